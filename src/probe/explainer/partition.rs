//! Values that come and go together: parts of a picture, steps of a sequence, groups of features.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::superpixels::superpixels;
use crate::engine::{Input, Layout};
use crate::error::{Error, Result, nearest};

/// Parameters of explainers that ask about parts of a case.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Grouping {
    /// What comes and goes together: `each` value alone, `superpixels` or `patches` of a picture, `steps` or `features`
    /// of a sequence, or features of a row by name or number, such as `age+sex bmi+bp`, the others alone. If left out,
    /// superpixels, steps, or each value.
    groups: Option<String>,
    /// Superpixels or patches that a picture is cut into, about and at most.
    #[schemars(range(min = 2, max = 512))]
    segments: usize,
}

impl Default for Grouping {
    fn default() -> Self {
        Self { groups: None, segments: 50 }
    }
}

/// The group of each value of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) of: Vec<usize>,
    pub(super) count: usize,
}

impl Partition {
    pub(super) fn new(of: Vec<usize>) -> Self {
        let count = of.iter().max().map_or(0, |most| most + 1);
        Self { of, count }
    }

    /// What each value gets of what the groups get: an equal share.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn spread(&self, groups: &[f64]) -> Vec<f32> {
        let mut sizes = vec![0usize; self.count];
        self.of.iter().for_each(|group| sizes[*group] += 1);
        self.of.iter().map(|group| (groups[*group] / sizes[*group] as f64) as f32).collect()
    }

    /// `x` where its group is known, `other` elsewhere.
    pub(super) fn mixed(&self, x: &[f32], other: &[f32], known: &[bool]) -> Vec<f32> {
        let values = x.iter().zip(other).zip(&self.of);
        values.map(|((x, other), group)| if known[*group] { *x } else { *other }).collect()
    }
}

impl Grouping {
    /// The most groups that a case with such an input has; refuses what the input does not have.
    pub(super) fn most(&self, input: &Input) -> Result<usize> {
        match (self.word(input), input.image()) {
            ("superpixels", Some([_, height, width])) => Ok(self.segments.min(height * width)),
            _ => Ok(self.places(input, &[])?.count),
        }
    }

    /// Whether someone said what comes and goes together.
    pub(super) fn is_given(&self) -> bool {
        self.groups.is_some()
    }

    /// The same with so many superpixels or patches at most.
    pub(super) fn at_most(&self, most: usize) -> Self {
        Self { segments: self.segments.min(most), ..self.clone() }
    }

    /// Refuses an input with more groups than `most`.
    pub(super) fn fits(&self, input: &Input, most: usize) -> Result<()> {
        let found = self.most(input)?;
        if found <= most {
            return Ok(());
        }
        let message = format!("{found} groups of values were found, at most {most} are explained; make them larger");
        Err(Error::invalid("params.groups", message))
    }

    /// The groups of a case.
    pub(super) fn of(&self, input: &Input, x: &[f32]) -> Result<Partition> {
        self.places(input, x)
    }

    fn word(&self, input: &Input) -> &str {
        let usual = match input.layout {
            _ if input.is_image() => "superpixels",
            Layout::Ntf if input.shape.len() == 2 => "steps",
            _ => "each",
        };
        self.groups.as_deref().unwrap_or(usual)
    }

    fn places(&self, input: &Input, x: &[f32]) -> Result<Partition> {
        let values = input.len();
        let refuse = |what: &str| Err(Error::invalid("params.groups", format!("{what}; the input is none")));
        let grid = input.grid();
        let of = match (self.word(input), grid, input.shape.as_slice()) {
            ("each", ..) => (0..values).collect(),
            ("superpixels", Some(grid), _) => superpixels(x, grid, self.segments),
            ("patches", Some((size, strides)), _) => patches(size, strides, self.segments, values),
            ("superpixels" | "patches", None, _) => return refuse("superpixels and patches are of pictures"),
            ("steps", _, &[_, width]) if input.layout == Layout::Ntf => (0..values).map(|i| i / width).collect(),
            ("features", _, &[_, width]) if input.layout == Layout::Ntf => (0..values).map(|i| i % width).collect(),
            ("steps" | "features", ..) => return refuse("steps and features are of sequences"),
            (lists, _, &[_]) if input.layout == Layout::Nf => listed(lists, input)?,
            (lists, ..) => return refuse(&format!("`{lists}` was found, lists are of rows")),
        };
        Ok(Partition::new(of))
    }
}

/// Features by name or number with spaces between them, or the number of one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::probe) enum Names {
    One(usize),
    Several(String),
}

impl Names {
    /// As it would be written.
    pub(in crate::probe) fn text(&self) -> String {
        match self {
            Self::One(number) => number.to_string(),
            Self::Several(names) => names.clone(),
        }
    }
}

/// The place of a feature, which is named or numbered. One that has no name is called as reports call it, too.
pub(in crate::probe) fn feature(text: &str, input: &Input) -> Result<usize> {
    let named = input.features.iter().position(|name| name == text);
    let number = |text: &str| text.parse().ok().filter(|place| *place < input.len());
    let called = || number(text.strip_prefix('x')?).filter(|place| input.feature(*place) == text);
    let place = named.or_else(|| number(text)).or_else(called);
    place.ok_or_else(|| {
        let hint = nearest(text, input.features.iter().map(String::as_str));
        let hint = hint.map_or(String::new(), |name| format!("; did you mean {name}?"));
        Error::invalid("", format!("`{text}` is no feature; the row has {}{hint}", input.len()))
    })
}

/// Groups that are written out come first, in their order; then the other features.
fn listed(lists: &str, input: &Input) -> Result<Vec<usize>> {
    let mut groups: Vec<Option<usize>> = vec![None; input.len()];
    let mut count = 0;
    for list in lists.split_whitespace() {
        for name in list.split('+') {
            let place = feature(name, input).map_err(|e| e.under("params.groups"))?;
            if groups[place].replace(count).is_some() {
                return Err(Error::invalid("params.groups", format!("`{name}` stands in two groups")));
            }
        }
        count += 1;
    }
    let alone = |group: Option<usize>| {
        group.unwrap_or_else(|| {
            count += 1;
            count - 1
        })
    };
    Ok(groups.into_iter().map(alone).collect())
}

/// Squares of the side that makes as many as wanted, and no more.
fn patches([_, height, width]: [usize; 3], strides: [usize; 3], wanted: usize, values: usize) -> Vec<usize> {
    let count = |side: usize| height.div_ceil(side) * width.div_ceil(side);
    let longest = height.max(width).max(1);
    let side = (1..longest).find(|side| count(*side) <= wanted).unwrap_or(longest);
    let (row, column) = (strides[1].max(1), strides[2].max(1));
    (0..values).map(|at| (at / row % height / side) * width.div_ceil(side) + at / column % width / side).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;

    fn input(layout: Layout, shape: &[usize], features: &[&str]) -> Input {
        Input {
            name: "x".to_owned(),
            dtype: DType::F32,
            shape: shape.to_vec(),
            layout,
            range: None,
            geometry: Vec::new(),
            preprocess: Vec::new(),
            features: features.iter().map(|name| (*name).to_owned()).collect(),
            vocabulary: Vec::new(),
        }
    }

    fn groups(groups: &str, input: &Input) -> Result<Vec<usize>> {
        let grouping = Grouping { groups: Some(groups.to_owned()), segments: 4 };
        let partition = grouping.of(input, &vec![0.0; input.len()])?;
        assert_eq!(grouping.most(input)?, partition.count);
        Ok(partition.of)
    }

    #[test]
    fn features_are_grouped_by_name_or_number_and_the_others_stay_alone() {
        let row = input(Layout::Nf, &[5], &["age", "sex", "bmi", "bp", "s1"]);
        assert_eq!(groups("bmi+bp", &row).unwrap(), [1, 2, 0, 0, 3]);
        assert_eq!(groups("0+4 sex+3", &row).unwrap(), [0, 1, 2, 1, 0]);
        assert_eq!(groups("each", &row).unwrap(), [0, 1, 2, 3, 4]);
        for (wrong, said) in [("bmj+age", "did you mean bmi?"), ("age+bp bp", "two groups"), ("7", "no feature")] {
            let error = groups(wrong, &row).unwrap_err().to_string();
            assert!(error.starts_with("params.groups") && error.contains(said), "{error}");
        }
        assert!(groups("patches", &row).is_err() && groups("steps", &row).is_err());
        // What has no name is called `x` and its number, as in reports.
        let nameless = input(Layout::Nf, &[5], &[]);
        assert_eq!(groups("x2+x3", &nameless).unwrap(), [1, 2, 0, 0, 3]);
        for wrong in ["x5", "x02", "x"] {
            assert!(groups(wrong, &nameless).is_err(), "{wrong}");
        }
        assert!(groups("x2", &row).is_err());
    }

    #[test]
    fn pictures_are_cut_into_squares_and_sequences_into_steps() {
        let picture = input(Layout::Nchw, &[2, 3, 4], &[]);
        assert!(groups("patches", &picture).is_err(), "two channels are no picture");
        let picture = input(Layout::Nhwc, &[3, 4, 1], &[]);
        assert_eq!(groups("patches", &picture).unwrap(), [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3]);
        let planes = input(Layout::Nchw, &[3, 2, 2], &[]);
        assert_eq!(groups("patches", &planes).unwrap(), [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
        let sequence = input(Layout::Ntf, &[3, 2], &[]);
        assert_eq!(groups("steps", &sequence).unwrap(), [0, 0, 1, 1, 2, 2]);
        assert_eq!(groups("features", &sequence).unwrap(), [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn values_share_what_their_group_gets() {
        let partition = Partition::new(vec![0, 1, 0]);
        assert_eq!(partition.spread(&[3.0, 5.0]), [1.5, 5.0, 1.5]);
        assert_eq!(partition.mixed(&[1.0, 2.0, 3.0], &[0.0; 3], &[true, false]), [1.0, 0.0, 3.0]);
    }
}
