//! Attributions over the picture that they explain.

use ndarray::{Array3, ArrayD, ArrayView3, Axis};

use crate::tensor::Tensor;

/// What raises the score, and what lowers it: red and blue.
pub(super) const COLOURS: [[f32; 3]; 2] = [[0.84, 0.10, 0.16], [0.13, 0.34, 0.85]];

/// The share of pixels whose attributions are within the full colour; the others would leave these pale.
const WITHIN: f64 = 0.99;

/// The picture in pale grey under its attributions, RGB with channels last; `None` for what is no picture. Channels of
/// attributions are added up.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(super) fn overlay(x: &Tensor, attribution: &Tensor) -> Option<Tensor> {
    let (x, attribution) = (planes(x)?, planes(attribution)?);
    let grey = x.mean_axis(Axis(2))?;
    let sums = attribution.sum_axis(Axis(2));
    if grey.dim() != sums.dim() {
        return None;
    }
    let mut sizes: Vec<f32> = sums.iter().map(|a| a.abs()).collect();
    sizes.sort_by(f32::total_cmp);
    let full = sizes[((sizes.len() - 1) as f64 * WITHIN) as usize].max(f32::MIN_POSITIVE);
    let mixed = Array3::from_shape_fn((grey.nrows(), grey.ncols(), 3), |(i, j, channel)| {
        let share = (sums[[i, j]] / full).clamp(-1.0, 1.0);
        let colour = COLOURS[usize::from(share < 0.0)][channel];
        // Neither black nor white, so that colours are seen on both.
        let paper = 0.35 + 0.55 * grey[[i, j]].clamp(0.0, 1.0);
        ((paper + share.abs() * (colour - paper)) * 255.0).round() as u8
    });
    Some(Tensor::U8(mixed.into_dyn()))
}

/// Rows, columns and channels of a picture in floats.
fn planes(tensor: &Tensor) -> Option<Array3<f32>> {
    let order = match tensor.shape() {
        [1 | 3, _, _] => [1, 2, 0],
        [_, _, 1 | 3] => [0, 1, 2],
        _ => return None,
    };
    let floats: ArrayD<f32> = match tensor {
        Tensor::U8(a) => a.mapv(|v| f32::from(v) / 255.0),
        Tensor::F32(a) => a.clone(),
        _ => return None,
    };
    let planes: ArrayView3<f32> = floats.view().into_dimensionality().ok()?;
    (!planes.is_empty()).then(|| planes.permuted_axes(order).to_owned())
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn what_raises_is_red_and_what_lowers_is_blue() {
        let x = Tensor::U8(ArrayD::from_elem(vec![1, 4, 4], 128));
        let mut attribution = Array2::zeros((4, 4));
        (attribution[[0, 0]], attribution[[3, 3]]) = (2.0, -2.0);
        let attribution = Tensor::F32(attribution.insert_axis(Axis(0)).into_dyn());
        let Some(Tensor::U8(mixed)) = overlay(&x, &attribution) else { panic!("a picture") };
        assert_eq!(mixed.shape(), [4, 4, 3]);
        assert!(mixed[[0, 0, 0]] > mixed[[0, 0, 2]] + 100 && mixed[[3, 3, 2]] > mixed[[3, 3, 0]] + 100);
        assert!(mixed[[1, 1, 0]] == mixed[[1, 1, 2]]);
        assert!(overlay(&x, &Tensor::F32(ArrayD::zeros(vec![7]))).is_none());
    }
}
