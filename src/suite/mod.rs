//! Floor 3: checks as a job asks for them; planning, running and judging; the report as a fold over verdicts.

mod check;
mod compare;
mod corruption_error;
mod expression;
mod finding;
mod gate;
mod judge;
mod paired;
mod plan;
mod report;
mod run;
mod sheet;
mod slices;
mod spec;
mod summary;
mod tally;
mod validate;
mod verdict;

pub use check::Check;
pub use compare::{Comparison, Flips, Overlap, Row, compare};
pub use corruption_error::corruption_errors;
pub use finding::Finding;
pub use gate::{Gate, GateOutcome, GateReport};
pub use judge::judge;
pub use paired::Four;
pub use plan::{Plan, Shard};
pub use report::{CheckReport, Fold, Metric, Place, Report, Scope};
pub use run::{Chunk, run};
pub use sheet::{Sheet, Wanted};
pub use slices::{Census, Slicer};
pub use spec::write as write_spec;
pub use summary::{Answers, Arrays, Summary};
pub use tally::{Cell, ConfusionMatrix};
pub use validate::{checks, validate};
pub use verdict::{Evidence, Outcome, Tags, Verdict};
