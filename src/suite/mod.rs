//! Floor 3: checks as a job asks for them, and judging cases under them.

mod check;
mod run;

pub use check::Check;
pub use run::{Outcome, Verdict, accuracies, run};
