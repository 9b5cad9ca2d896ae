//! Corruption errors: how a model's errors under corruption compare with a reference's (Hendrycks and Dietterich,
//! 2019, arXiv:1903.12261).

use super::interval::Figure;
use super::moments::{Moments, student};

/// AlexNet's mean error over the five severities of the 15 corruptions of ImageNet-C, as the benchmark uses them.
pub const ALEXNET: [(&str, f64); 15] = [
    ("brightness", 0.564_592),
    ("contrast", 0.853_204),
    ("defocus_blur", 0.819_880),
    ("elastic_transform", 0.646_056),
    ("fog", 0.819_324),
    ("frost", 0.826_572),
    ("gaussian_noise", 0.886_428),
    ("glass_blur", 0.826_268),
    ("impulse_noise", 0.922_640),
    ("jpeg_compression", 0.606_500),
    ("motion_blur", 0.785_948),
    ("pixelate", 0.717_840),
    ("shot_noise", 0.894_468),
    ("snow", 0.866_816),
    ("zoom_blur", 0.798_360),
];

/// AlexNet's error on the clean validation set of ImageNet.
pub const ALEXNET_CLEAN: f64 = 0.435;

/// What a case has, by its number.
pub type OfCase<'a> = Box<dyn Fn(usize) -> f64 + 'a>;

/// One ratio of means over the same cases: what the model gives over what the reference gives.
pub struct Ratio<'a> {
    pub model: OfCase<'a>,
    pub reference: Reference<'a>,
}

/// The reference of a ratio: its own cases, or a published mean.
pub enum Reference<'a> {
    Cases(OfCase<'a>),
    Mean(f64),
}

fn mean(cases: &[usize], of: &OfCase<'_>) -> f64 {
    let mut moments = Moments::default();
    cases.iter().for_each(|case| moments.add(of(*case)));
    moments.mean()
}

/// The mean of ratios, all over the same cases. `None` without cases or ratios, or where a reference's mean is not
/// above 0.
///
/// Interval: Student's with the standard error of the delta method over cases, so that what one case does to several
/// ratios counts together.
#[allow(clippy::cast_precision_loss)]
pub fn mean_ratio(cases: &[usize], ratios: &[Ratio<'_>]) -> Option<Figure> {
    let below = |reference: &Reference<'_>| match reference {
        Reference::Cases(of) => mean(cases, of),
        Reference::Mean(mean) => *mean,
    };
    let means: Vec<(f64, f64)> = ratios.iter().map(|r| (mean(cases, &r.model), below(&r.reference))).collect();
    if cases.is_empty() || ratios.is_empty() || means.iter().any(|(_, below)| below.is_nan() || *below <= 0.0) {
        return None;
    }
    let many = ratios.len() as f64;
    let value = means.iter().map(|(above, below)| above / below).sum::<f64>() / many;
    let mut influences = Moments::default();
    for case in cases {
        let one = |(ratio, (above, below)): (&Ratio<'_>, &(f64, f64))| {
            let moved = match &ratio.reference {
                Reference::Cases(of) => above / below * (of(*case) - below),
                Reference::Mean(_) => 0.0,
            };
            ((ratio.model)(*case) - above - moved) / below
        };
        influences.add(ratios.iter().zip(&means).map(one).sum::<f64>() / many);
    }
    Some(student(value, influences.error().sqrt(), cases.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> OfCase<'_> {
        Box::new(|case| values[case])
    }

    #[test]
    fn a_model_against_itself_has_one_exactly() {
        let model = [0.0, 1.0, 0.4, 0.6];
        let itself = Ratio { model: of(&model), reference: Reference::Cases(of(&model)) };
        let figure = mean_ratio(&[0, 1, 2, 3], &[itself]).unwrap();
        assert_eq!((figure.value, figure.low, figure.high), (1.0, 1.0, 1.0));
        let half = mean_ratio(&[0, 1, 2, 3], &[Ratio { model: of(&model), reference: Reference::Mean(1.0) }]).unwrap();
        assert_eq!((half.value, half.n), (0.5, 4));
        assert!(half.low < 0.1 && half.high > 0.9);
    }

    #[test]
    fn a_reference_without_errors_has_no_ratio() {
        let perfect = Ratio { model: of(&[1.0]), reference: Reference::Cases(of(&[0.0])) };
        assert_eq!(mean_ratio(&[0], &[perfect]), None);
        assert_eq!(mean_ratio(&[0], &[]), None);
    }
}
