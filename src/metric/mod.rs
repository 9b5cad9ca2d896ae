//! Floor 1: pure metrics with their intervals, and the tests that compare them.
//!
//! Every sum is exact ([`ExactSum`]), so that a figure is the same bits in whatever order its cases came.

mod calibration;
mod confusion;
mod corruption;
mod interval;
mod likelihood;
mod moments;
mod names;
mod paired;
mod quantile;
mod regression;
mod significance;
mod sum;

pub use calibration::Calibration;
pub use confusion::{Average, Confusion, Margin};
pub use corruption::{ALEXNET, ALEXNET_CLEAN, OfCase, Ratio, Reference, mean_ratio};
pub use interval::{Figure, rate, wilson};
pub use likelihood::Likelihood;
pub use moments::{Moments, mean_and_deviation, student};
pub use names::{Better, Known, Level, METRICS, Paired, known};
pub use paired::{McNemar, difference, mcnemar};
pub use quantile::{median, quantile};
pub use regression::Regression;
pub use significance::{holm, less_often, mean_above};
pub use sum::ExactSum;
