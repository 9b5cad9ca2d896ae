//! Audits: what holds of the model over the whole suite.
//!
//! An audit has three stages. [`Audit::fit`] looks at all rows and settles what every case is asked: a [`Frame`] of grids
//! or orders. [`Audit::ask`] asks it of some cases, in the pool like any other probe, and gives a row of figures for each.
//! [`Audit::reduce`] makes of the rows of all cases what is reported. The frame follows from the suite and the seed, so
//! that wherever cases are asked they are asked the same.
//!
//! To add one: a file with its struct, [`Probe`] and [`Audit`], and its line in [`AUDITS`].

mod accumulated_local_effects;
mod choice;
mod feature_interaction;
mod frame;
mod global_shap;
mod partial_dependence;
mod permutation_importance;
mod scoring;

pub use frame::{Curve, Frame, Panel, Reduced, Table};

pub use choice::Response;
use serde_json::{Map, Value};

use super::explainer::{Case, Study};
use super::{Access, Kind, Manual, Probe};
use crate::engine::{Answer, Input, Output, Signature, Spent, Target};
use crate::error::Result;

/// All audits, in alphabetical order.
pub static AUDITS: &[Entry] = &[
    audit::<accumulated_local_effects::AccumulatedLocalEffects>(),
    audit::<feature_interaction::FeatureInteraction>(),
    audit::<global_shap::GlobalShap>(),
    audit::<partial_dependence::PartialDependence>(),
    audit::<permutation_importance::PermutationImportance>(),
];

/// Values of a table, and figures of all cases, at most: both are held in memory.
pub const VALUES_MAX: u64 = 1 << 25;

/// An audit is a probe of the model over all rows of a suite.
pub trait Audit: Send + Sync {
    /// Which number of the model is looked at; `None` if its answers are.
    fn response(&self) -> Option<Response>;

    /// The class whose score is looked at; 0 where none is.
    fn class(&self, output: &Output) -> Result<usize> {
        self.response().map_or(Ok(0), |response| response.class(output))
    }

    /// The metric that it has of each feature.
    fn metric(&self) -> &'static str;

    /// What is looked at in such an input, without grids; refuses features that there are not.
    fn panels(&self, input: &Input) -> Result<Vec<Panel>>;

    /// Names of what it has a figure of, the slices `feature=NAME` of its metric.
    fn parts(&self, input: &Input) -> Result<Vec<String>> {
        Ok(self.panels(input)?.into_iter().map(|panel| panel.name).collect())
    }

    /// Refuses a model whose output it cannot look at.
    fn fits(&self, output: &Output) -> Result<()> {
        self.class(output).map(drop)
    }

    /// Whether it cannot do without reference rows.
    fn wants_background(&self) -> bool {
        false
    }

    /// The most that it asks about a case.
    fn cost(&self, input: &Input, background: u64) -> Spent;

    /// Figures of a case, at most.
    fn figures(&self, input: &Input) -> u64 {
        self.cost(input, 0).forward
    }

    /// Figures of a case by a frame; `None` if it is none of this audit's.
    fn width(&self, frame: &Frame) -> Option<usize>;

    /// What every case is asked. Random numbers are `draw`'s.
    fn fit(&self, table: &Table, signature: &Signature, draw: &Draw<'_>) -> Result<Frame>;

    /// Figures of each case, as many as [`Self::width`] says.
    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<Vec<f64>>>;

    /// What the figures of all cases say, in their order: one row at least, each as wide as [`Self::width`] says, all
    /// numbers finite.
    fn reduce(&self, frame: &Frame, rows: &[&[f64]]) -> Reduced;
}

/// The key of an audit's random numbers.
pub struct Draw<'a> {
    pub seed: u64,
    /// The canonical SPEC.
    pub check: &'a str,
}

/// Cases, and all that an audit may ask about them.
pub struct Asked<'a> {
    pub target: &'a Target<'a>,
    pub cases: &'a [Case],
    /// What is expected of each.
    pub answers: &'a [&'a Answer],
    /// Where each stands in the table.
    pub places: &'a [usize],
    pub table: &'a Table,
    pub frame: &'a Frame,
    pub background: &'a [Vec<f32>],
    pub draw: Draw<'a>,
}

impl<'a> Asked<'a> {
    /// The cases under a view of the model.
    fn study(&'a self, response: &Response) -> Study<'a> {
        let Draw { seed, check } = self.draw;
        let (target, cases, background) = (self.target, self.cases, self.background);
        Study { target, cases, background, view: response.view(), seed, check }
    }
}

/// An audit with its parameters read.
pub type Auditor = Box<dyn Audit>;

/// A member of the family.
pub struct Entry {
    pub manual: Manual,
    /// The audit of these parameters, which fit the manual's schema.
    pub read: fn(&Map<String, Value>) -> Result<Auditor>,
}

/// The audit of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    AUDITS.iter().find(|entry| entry.manual.name == name)
}

const fn audit<A: Probe + Audit>() -> Entry {
    let manual = Manual { accesses: &[Access::Score], kinds: &[Kind::Row], ..Manual::of::<A>("audit") };
    Entry { manual, read: |params| Ok(Box::new(super::read::<A>(params)?)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_in_order_and_has_manuals() {
        assert!(AUDITS.is_sorted_by(|a, b| a.manual.name < b.manual.name));
        for entry in AUDITS {
            let (name, summary) = (entry.manual.name, entry.manual.summary());
            assert!(summary.ends_with('.') && summary.len() < 120, "{name}: {summary}");
            assert!(!entry.manual.text().is_empty() && !entry.manual.paper.is_empty(), "{name}");
            (entry.read)(&Map::new()).unwrap();
        }
    }
}
