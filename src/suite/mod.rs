//! Floor 3: checks as a job asks for them; planning, running and judging; the report as a fold over verdicts.

mod check;
mod corrupt;
mod gate;
mod params;
mod plan;
mod report;
mod run;
mod spec;
mod summary;
mod validate;
mod verdict;

pub use check::Check;
pub use gate::{Gate, GateOutcome, GateReport};
pub use plan::{Plan, Shard};
pub use report::{CheckReport, Fold, Metric, Report};
pub use run::{Chunk, run};
pub use spec::write as write_spec;
pub use summary::{Answers, Arrays, Summary};
pub use validate::{Given, checks, validate};
pub use verdict::{Evidence, Outcome, Verdict};
