//! The answer that is wanted.

use super::super::view::View;
use crate::engine::OutputKind;

/// What the model should say instead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wish {
    /// Any class but this one.
    Other(usize),
    Class(usize),
    /// A value no less, and no more.
    Within([f64; 2]),
}

/// What the model says, against what is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reply {
    /// How far the answer is beyond the wanted one's border, in units of the score; below 0 if it is not reached.
    pub(super) margin: f64,
    pub(super) reached: bool,
}

impl Wish {
    /// A class is reached if its score is above all others.
    pub(super) fn judge(self, scores: &[f64], view: View, kind: OutputKind) -> Reply {
        let (wanted, other) = match self {
            Self::Within([least, most]) => {
                let value = scores.first().copied().unwrap_or(f64::NAN);
                let margin = (value - least).min(most - value);
                return Reply { margin, reached: value >= least && value <= most };
            }
            Self::Other(class) => (highest(scores, class), Some(class)),
            Self::Class(class) => (Some(class), highest(scores, class)),
        };
        let known = |class: &usize| *class < scores.len();
        let score =
            |class: Option<usize>| class.filter(known).map_or(f64::NEG_INFINITY, |c| view.of(scores, c, kind).0);
        let margin = (score(wanted) - score(other)).clamp(f64::MIN, f64::MAX);
        Reply { margin, reached: margin > 0.0 }
    }
}

/// The class with the highest score, one left out.
fn highest(scores: &[f64], without: usize) -> Option<usize> {
    let others = (0..scores.len()).filter(|class| *class != without);
    others.max_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_say_whether_and_how_far() {
        let judge = |wish: Wish, scores: &[f64]| wish.judge(scores, View::default(), OutputKind::Logits);
        assert_eq!(judge(Wish::Other(0), &[1.0, 3.0, 2.0]), Reply { margin: 2.0, reached: true });
        assert_eq!(judge(Wish::Class(2), &[1.0, 3.0, 2.0]), Reply { margin: -1.0, reached: false });
        assert!(!judge(Wish::Class(1), &[1.0, 1.0]).reached, "a tie is no other answer");
        assert!(!judge(Wish::Other(0), &[f64::NAN, 1.0]).reached);
        let within = Wish::Within([2.0, f64::INFINITY]);
        let value = |value: f64| within.judge(&[value], View::default(), OutputKind::Value);
        assert_eq!(value(1.5), Reply { margin: -0.5, reached: false });
        assert_eq!(value(2.0), Reply { margin: 0.0, reached: true });
    }
}
