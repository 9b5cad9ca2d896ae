//! Parts of a suite by the tags of its cases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::verdict::Tags;
use crate::data::Tag;

/// Most tags that make slices, in name order.
const TAGS_MAX: usize = 16;

/// Most values of a tag that have slices of their own; the rest is `other`.
const VALUES_MAX: usize = 20;

/// Most values of a tag that are counted; a tag with more names cases, not groups.
const COUNTED_MAX: usize = 10_000;

/// Most numbers of a tag that are kept for its quartiles.
const NUMBERS_MAX: usize = 1 << 16;

/// How cases fall into slices. It is made from the whole suite, so that all jobs on it have the same slices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slicer {
    tags: Vec<(String, Cut)>,
}

/// How the values of one tag are told apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Cut {
    /// A slice for each value, as text; `other` if there are more.
    Values { values: Vec<String>, other: bool },
    /// Slices at and below each edge, and above the last.
    Edges(Vec<f64>),
}

impl Cut {
    fn names(&self) -> Vec<String> {
        match self {
            Self::Values { values, other } => values.iter().cloned().chain(other.then(|| "other".to_owned())).collect(),
            Self::Edges(edges) => {
                let low = std::iter::once(String::new()).chain(edges.iter().map(f64::to_string));
                let high = edges.iter().map(f64::to_string).chain(std::iter::once(String::new()));
                low.zip(high).map(|(low, high)| format!("{low}..{high}")).collect()
            }
        }
    }

    fn place(&self, tag: &Tag) -> Option<usize> {
        match (self, tag) {
            (Self::Values { values, other }, _) => {
                let found = values.binary_search(&text(tag)).ok();
                found.or(other.then_some(values.len()))
            }
            (Self::Edges(edges), Tag::Number(n)) => Some(edges.partition_point(|edge| edge < n)),
            (Self::Edges(_), Tag::Text(_)) => None,
        }
    }
}

fn text(tag: &Tag) -> String {
    match tag {
        Tag::Text(text) => text.clone(),
        Tag::Number(number) => number.to_string(),
    }
}

impl Slicer {
    /// Names of all slices, `tag=value`. A quartile is `tag=LOW..HIGH`: above LOW, up to and with HIGH.
    pub fn names(&self) -> Vec<String> {
        self.tags.iter().flat_map(|(tag, cut)| cut.names().into_iter().map(move |v| format!("{tag}={v}"))).collect()
    }

    /// Positions in [`Slicer::names`] of the slices that a case with these tags is in.
    pub fn of(&self, tags: &Tags) -> Vec<usize> {
        let (mut first, mut places) = (0, Vec::new());
        for (tag, cut) in &self.tags {
            places.extend(tags.get(tag).and_then(|value| cut.place(value)).map(|place| first + place));
            first += match cut {
                Cut::Values { values, other } => values.len() + usize::from(*other),
                Cut::Edges(edges) => edges.len() + 1,
            };
        }
        places
    }
}

/// Values of tags, gathered while a suite is uploaded; from them the slices are cut.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census {
    tags: BTreeMap<String, Values>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Values {
    /// How often each value occurs; emptied if there are too many.
    counts: BTreeMap<String, u64>,
    many: bool,
    texts: bool,
    /// Every `stride`-th number, so that their memory is bounded.
    numbers: Vec<f64>,
    stride: u64,
    seen: u64,
}

impl Census {
    /// Takes in a case's tags; in the order of the suite.
    pub fn add(&mut self, tags: &Tags) {
        for (name, tag) in tags {
            if self.tags.len() < TAGS_MAX || self.tags.contains_key(name) {
                self.tags.entry(name.clone()).or_default().add(tag);
            }
        }
    }

    /// The slices. A tag with one value makes none.
    pub fn slicer(&self) -> Slicer {
        let cut = |(name, values): (&String, &Values)| values.cut().map(|cut| (name.clone(), cut));
        Slicer { tags: self.tags.iter().filter_map(cut).collect() }
    }
}

impl Values {
    fn add(&mut self, tag: &Tag) {
        if !self.many {
            *self.counts.entry(text(tag)).or_default() += 1;
            if self.counts.len() > COUNTED_MAX {
                self.counts.clear();
                self.many = true;
            }
        }
        match tag {
            Tag::Text(_) => self.texts = true,
            Tag::Number(number) => {
                if self.seen.is_multiple_of(self.stride.max(1)) {
                    self.numbers.push(*number);
                }
                self.seen += 1;
                if self.numbers.len() == NUMBERS_MAX {
                    let mut at = 0;
                    self.numbers.retain(|_| {
                        at += 1;
                        at % 2 == 1
                    });
                    self.stride = 2 * self.stride.max(1);
                }
            }
        }
    }

    fn cut(&self) -> Option<Cut> {
        let numbers = !self.texts && (self.many || self.counts.len() > VALUES_MAX);
        let several = self.many || self.counts.len() > 1;
        match () {
            () if numbers => quartiles(self.numbers.clone()).map(Cut::Edges),
            () if self.many || !several => None,
            () => {
                let mut counts: Vec<(&String, &u64)> = self.counts.iter().collect();
                // The most frequent, equals by name.
                counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
                let mut values: Vec<String> = counts.into_iter().take(VALUES_MAX).map(|(v, _)| v.clone()).collect();
                values.sort();
                Some(Cut::Values { values, other: self.counts.len() > VALUES_MAX })
            }
        }
    }
}

/// Quartiles that are edges of slices: of equal ones one, and none that leaves nothing above it.
fn quartiles(mut numbers: Vec<f64>) -> Option<Vec<f64>> {
    numbers.retain(|n| n.is_finite());
    numbers.sort_by(f64::total_cmp);
    let last = *numbers.last()?;
    let mut edges: Vec<f64> = (1..4).map(|q| numbers[(numbers.len() * q).div_ceil(4) - 1]).collect();
    edges.dedup();
    edges.retain(|edge| *edge < last);
    (!edges.is_empty()).then_some(edges)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slicer(tags: impl Iterator<Item = Tag>) -> Slicer {
        let mut census = Census::default();
        tags.for_each(|tag| census.add(&Tags::from([("t".to_owned(), tag)])));
        census.slicer()
    }

    fn slice(slicer: &Slicer, tag: Tag) -> Option<String> {
        slicer.of(&Tags::from([("t".to_owned(), tag)])).first().map(|at| slicer.names()[*at].clone())
    }

    #[test]
    fn the_twentieth_value_is_kept_and_the_rest_is_other() {
        let text = |i: u32| Tag::Text(format!("v{i:02}"));
        // Value i occurs i + 1 times, so that the first two are the rarest of 22.
        let slices = slicer((0..22).flat_map(|i| (0..=i).map(move |_| text(i))));
        assert_eq!(slices.names().len(), 21);
        assert_eq!(slice(&slices, text(21)).unwrap(), "t=v21");
        assert_eq!(slice(&slices, text(1)).unwrap(), "t=other");
    }

    #[test]
    fn many_numbers_are_cut_at_quartiles() {
        let slices = slicer((1..=100).map(|i| Tag::Number(f64::from(i))));
        assert_eq!(slices.names(), ["t=..25", "t=25..50", "t=50..75", "t=75.."]);
        assert_eq!(slice(&slices, Tag::Number(25.0)).unwrap(), "t=..25");
        assert_eq!(slice(&slices, Tag::Number(26.0)).unwrap(), "t=25..50");
        let few = slicer((0..100).map(|i| Tag::Number(f64::from(i % 3))));
        assert_eq!(few.names(), ["t=0", "t=1", "t=2"]);
        // Half of the values are 0, so there is nothing between the first quartile and the second.
        let skewed = slicer((0..100).map(|i| Tag::Number(f64::from(i.max(50)))));
        assert_eq!(skewed.names(), ["t=..50", "t=50..74", "t=74.."]);
    }

    #[test]
    fn what_names_cases_or_is_always_the_same_makes_no_slices() {
        assert_eq!(slicer((0..20_000).map(|i| Tag::Text(i.to_string()))).names().len(), 0);
        assert_eq!(slicer((0..20).map(|_| Tag::Text("same".to_owned()))).names().len(), 0);
        let large = slicer((0..200_000).map(|i| Tag::Number(f64::from(i))));
        assert_eq!(large.names().len(), 4);
    }
}
