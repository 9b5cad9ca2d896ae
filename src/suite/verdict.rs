//! How a case came out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::Tag;
use crate::probe::audit::Frame;
use crate::tensor::Tensor;

/// Properties of a case by which results are sliced.
pub type Tags = BTreeMap<String, Tag>;

/// One case under one point of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub case: String,
    /// The case's position in the suite.
    pub index: u64,
    /// Position of the check in the job, and of the point in the check.
    pub check: u32,
    pub point: u32,
    pub outcome: Outcome,
    /// Why it was skipped or failed, and what an explainer says in words; empty otherwise.
    pub reason: String,
    /// Class index, or the expected value.
    pub label: Option<f64>,
    pub predicted_clean: Option<f64>,
    pub predicted: Option<f64>,
    pub measures: BTreeMap<String, f64>,
}

impl Verdict {
    /// A verdict that has not been reached: failed without a reason.
    pub fn blank(case: &str, index: u64, check: u32, point: u32) -> Self {
        Self {
            case: case.to_owned(),
            index,
            check,
            point,
            outcome: Outcome::Failed,
            reason: String::new(),
            label: None,
            predicted_clean: None,
            predicted: None,
            measures: BTreeMap::new(),
        }
    }

    /// Whether the case held; `None` if it was not judged.
    pub fn held(&self) -> Option<bool> {
        match self.outcome {
            Outcome::Held => Some(true),
            Outcome::Broken => Some(false),
            Outcome::Skipped | Outcome::Failed => None,
        }
    }

    /// Whether an attack was judged, which always says whether the case was right before it.
    pub(super) fn is_attacked(&self) -> bool {
        self.measures.contains_key("right_clean")
    }
}

/// Held: the answer is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Held,
    Broken,
    /// Not judged, for a reason that lies in the case.
    Skipped,
    /// Not judged, for a reason that lies in the run.
    Failed,
}

impl Outcome {
    /// As in all output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "broken",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// What a shard gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// By case, then by point.
    pub verdicts: Vec<Verdict>,
    /// Once a case, by its position in the suite; cases without tags are left out.
    pub tags: BTreeMap<u64, Tags>,
    /// Arrays by name, a row for each verdict (`x`: for each case), kept if the job asks for artifacts. Rows of cases
    /// that failed are zeros, or NaN.
    pub arrays: BTreeMap<String, Tensor>,
    /// What audits found in its cases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audits: Vec<Audited>,
    /// Rows that went through the model.
    pub queries: u64,
}

impl Evidence {
    /// Takes in what an audit found in further cases.
    pub fn audited(&mut self, found: Audited) {
        let same = |own: &&mut Audited| (own.check, own.point) == (found.check, found.point);
        match self.audits.iter_mut().find(same) {
            Some(own) => own.figures.extend(found.figures),
            None => self.audits.push(found),
        }
    }
}

/// What an audit found in the cases of a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audited {
    pub check: u32,
    pub point: u32,
    /// What the figures are of; in all shards of a job the same.
    pub frame: Frame,
    /// Figures by the position of the case in the suite; cases that failed are left out.
    pub figures: BTreeMap<u64, Vec<f64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audits_cases_come_together_by_check() {
        let mut all = Evidence::default();
        let found = |check: u32, case: u64| Audited {
            check,
            point: 0,
            frame: Frame::default(),
            figures: [(case, vec![f64::from(check)])].into(),
        };
        [found(0, 2), found(1, 2), found(0, 1)].into_iter().for_each(|found| all.audited(found));
        let cases = |audited: &Audited| audited.figures.keys().copied().collect::<Vec<_>>();
        assert_eq!(all.audits.iter().map(cases).collect::<Vec<_>>(), [vec![1, 2], vec![2]]);
    }
}
