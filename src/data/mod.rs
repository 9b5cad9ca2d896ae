//! Floor 0: cases.

mod case;

pub use case::{Case, Class, Expected, Tag, Value};
