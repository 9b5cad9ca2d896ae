//! What a case is worth when only some of its values are known.

use super::study::{Case, Study};
use crate::engine::Row;
use crate::error::Result;

/// Which values are known.
pub(super) type Coalition = Vec<bool>;

/// Rows that are made at once, at least.
const ROWS: usize = 4096;

/// What each coalition of a case's values is worth: the mean of what is explained over the background's rows, with the
/// known values of the case in each (the interventional value function; Janzing and others 2019, arXiv:1910.13413).
#[allow(clippy::cast_precision_loss)]
pub(super) fn worth(study: &Study<'_>, case: usize, coalitions: &[Coalition]) -> Result<Vec<f64>> {
    let (own, background) = (&study.cases[case], study.background);
    let mut worth = Vec::with_capacity(coalitions.len());
    for some in coalitions.chunks(ROWS.div_ceil(background.len().max(1))) {
        let rows: Vec<Row> = some
            .iter()
            .flat_map(|known| background.iter().map(move |b| Row { case, x: mixed(own, b, known) }))
            .collect();
        let values = study.values(&rows)?;
        let means = values.chunks(background.len().max(1)).map(|v| v.iter().sum::<f64>() / v.len() as f64);
        worth.extend(means);
    }
    Ok(worth)
}

fn mixed(case: &Case, background: &[f32], known: &[bool]) -> Vec<f32> {
    case.x.iter().zip(background).zip(known).map(|((x, b), known)| if *known { *x } else { *b }).collect()
}
