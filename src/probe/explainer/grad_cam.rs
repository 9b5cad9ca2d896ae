//! Where an inner layer sees what counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::study::{Explanation, Grid, Study};
use super::view::View;
use crate::engine::{Inner, Input, Layer, Spent};
use crate::error::{Error, Result};
use crate::probe::{Access, Kind, Probe};

/// Where in the picture an inner layer's channels see what raises the score: each channel weighted by its mean gradient.
///
/// Coarse, but near to what the network has found: the map has the layer's resolution and is enlarged. What lowers the
/// score is left out. The residual is how far the weighted channels, with what lowers it, are from adding up to the score
/// less that of a black picture: small where the rest of the network is nearly linear.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct GradCam {
    #[serde(flatten)]
    view: View,
    /// An inner tensor of the ONNX graph with channels, rows and columns. If left out, the activation of the last
    /// convolution.
    layer: Option<String>,
}

impl Probe for GradCam {
    const NAME: &'static str = "grad_cam";
    const PAPER: &'static str = "Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, 2016 (arXiv:1610.02391)";
    const ACCESSES: &'static [Access] = &[Access::Gradient, Access::Internals];
    const COST: &'static str = "2";
    const KINDS: &'static [Kind] = &[Kind::Picture];
}

impl Explainer for GradCam {
    fn view(&self) -> View {
        self.view
    }

    fn layer(&self) -> Option<Layer> {
        Some(self.layer.clone().map_or(Layer::LastConvolution, Layer::Named))
    }

    fn cost(&self, _: &Input, _: u64) -> Spent {
        Spent { forward: 1, gradient: 1 }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let Some(grid) = study.grid() else { return Err(Error::invalid("", "grad_cam wants a picture")) };
        let black = study.values(&study.rows(|case| vec![0.0; case.x.len()]))?;
        let rows = study.rows(|case| case.x.clone());
        let mut explanations = Vec::new();
        for rows in rows.chunks(study.target.gradient_batch()) {
            let local = study.target.linearize(&rows.iter().collect::<Vec<_>>())?;
            let (values, cotangents) = study.cotangents(rows, &local);
            let Inner { shape, values: channels, gradients } = local.layer(cotangents)?;
            let &[_, height @ 1..=usize::MAX, width @ 1..=usize::MAX] = shape.as_slice() else {
                let message = format!("the layer has shape {shape:?}, channels, rows and columns were expected");
                return Err(Error::invalid("params.layer", message));
            };
            for (((row, value), channels), gradients) in rows.iter().zip(values).zip(channels).zip(gradients) {
                let map = weighted(&channels, &gradients, height * width);
                let whole = value - black[row.case];
                let residual = map.iter().sum::<f64>() - whole;
                explanations.push(Explanation::new(enlarged(&map, [height, width], grid), residual, whole));
            }
        }
        Ok(explanations)
    }
}

/// The sum over channels of each times its mean gradient.
#[allow(clippy::cast_precision_loss)]
fn weighted(channels: &[f32], gradients: &[f32], pixels: usize) -> Vec<f64> {
    let mut map = vec![0.0; pixels];
    for (channel, gradient) in channels.chunks(pixels.max(1)).zip(gradients.chunks(pixels.max(1))) {
        let weight = gradient.iter().map(|g| f64::from(*g)).sum::<f64>() / pixels as f64;
        map.iter_mut().zip(channel).for_each(|(sum, value)| *sum += weight * f64::from(*value));
    }
    map
}

/// What is above zero, in the size of the picture (bilinear), shared by its channels.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn enlarged(map: &[f64], [height, width]: [usize; 2], (size, strides): Grid) -> Vec<f32> {
    let above: Vec<f64> = map.iter().map(|v| v.max(0.0)).collect();
    let [channels, rows, columns] = size;
    let large = bilinear(&above, [height, width], [rows, columns]);
    let mut attribution = vec![0.0; channels * rows * columns];
    for (pixel, value) in large.into_iter().enumerate() {
        let at = pixel / columns * strides[1] + pixel % columns * strides[2];
        (0..channels).for_each(|c| attribution[at + c * strides[0]] = (value / channels as f64) as f32);
    }
    attribution
}

/// In another size, between the four nearest values; pixels have their values at their centres.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
fn bilinear(map: &[f64], from: [usize; 2], to: [usize; 2]) -> Vec<f64> {
    let near = |at: usize, axis: usize| {
        let place = ((at as f64 + 0.5) * from[axis] as f64 / to[axis] as f64 - 0.5).clamp(0.0, from[axis] as f64 - 1.0);
        let low = place as usize;
        (low, (low + 1).min(from[axis] - 1), place - low as f64)
    };
    let columns: Vec<_> = (0..to[1]).map(|j| near(j, 1)).collect();
    let mut large = Vec::with_capacity(to[0] * to[1]);
    for (up, down, below) in (0..to[0]).map(|i| near(i, 0)) {
        large.extend(columns.iter().map(|&(left, right, beside)| {
            let row = |i: usize| map[i * from[1] + left] * (1.0 - beside) + map[i * from[1] + right] * beside;
            row(up) * (1.0 - below) + row(down) * below
        }));
    }
    large
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_count_by_their_mean_gradient_and_only_what_raises_is_seen() {
        // Two channels of 2 x 2: the first counts for 1, the second against it for 2.
        let channels = [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 10.0];
        let map = weighted(&channels, &[1.0, 1.0, 1.0, 1.0, -1.0, -3.0, -2.0, -2.0], 4);
        assert_eq!(map, [1.0, 2.0, 3.0, -16.0]);
        assert_eq!(enlarged(&map, [2, 2], ([1, 2, 2], [4, 2, 1])), [1.0, 2.0, 3.0, 0.0]);
        assert_eq!(enlarged(&map, [2, 2], ([2, 2, 2], [4, 2, 1])), [0.5, 1.0, 1.5, 0.0, 0.5, 1.0, 1.5, 0.0]);
    }

    #[test]
    fn a_map_is_enlarged_between_its_values() {
        assert_eq!(bilinear(&[0.0, 4.0], [1, 2], [1, 4]), [0.0, 1.0, 3.0, 4.0]);
        assert_eq!(bilinear(&[0.0, 4.0], [2, 1], [4, 1]), [0.0, 1.0, 3.0, 4.0]);
        assert_eq!(bilinear(&[7.0], [1, 1], [2, 3]), [7.0; 6]);
    }
}
