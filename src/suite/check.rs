//! A check as a job asks for it, understood.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{params, spec};
use crate::engine::{Layer, Signature, Spent};
use crate::error::{Error, Result, nearest};
use crate::probe::attack::{self, Attacker};
use crate::probe::audit::{self, Audit, Auditor};
use crate::probe::corruption::{self, Corrupter};
use crate::probe::explainer::{self, Attributor};
use crate::probe::{Access, Manual, manual, manuals};

/// A probe with parameters.
pub struct Check {
    /// As given, byte for byte.
    pub spec: String,
    pub manual: &'static Manual,
    /// What it does at each of its points: one, or several where a parameter is a list (a curve).
    pub(super) points: Vec<Point>,
}

/// One setting of a check.
pub(super) struct Point {
    pub(super) action: Action,
    /// Canonical parameters, defaults filled in.
    pub(super) params: Map<String, Value>,
    /// `name:key=value` with what differs from the defaults, in the schema's order: the key of the random numbers.
    /// A parameter that a later version adds leaves it as it is.
    pub(super) canonical: String,
    /// The same without what only asks how good an explanation is: the key of an explanation's random numbers.
    pub(super) explained: String,
}

/// What is done to a case before the model is asked.
pub(super) enum Action {
    Nothing,
    Corrupt(Corrupter),
    Attack(Attacker),
    Explain(Attributor),
    Audit(Auditor),
}

impl Action {
    fn new(name: &str, params: &Map<String, Value>) -> Result<Self> {
        if let Some(entry) = attack::find(name) {
            return (entry.read)(params).map(Self::Attack);
        }
        if let Some(entry) = explainer::find(name) {
            return (entry.read)(params).map(Self::Explain);
        }
        if let Some(entry) = audit::find(name) {
            return (entry.read)(params).map(Self::Audit);
        }
        corruption::find(name).map_or(Ok(Self::Nothing), |entry| (entry.read)(params).map(Self::Corrupt))
    }

    /// Name of the array that is kept of it.
    pub(super) fn array(&self) -> &'static str {
        match self {
            Self::Nothing => "scores",
            Self::Corrupt(_) => "x_corrupted",
            Self::Attack(_) => "x_adv",
            Self::Explain(_) => "attribution",
            Self::Audit(_) => "figures",
        }
    }
}

impl Check {
    /// Reads a SPEC. Unknown names and parameters are refused with the nearest known one.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, params) = spec::read(text)?;
        Self::new(text, &name, params)
    }

    /// A check from its name and parameters; `text` is echoed in all output.
    pub fn new(text: &str, name: &str, params: Map<String, Value>) -> Result<Self> {
        let Some(manual) = manual(name) else {
            let hint =
                nearest(name, manuals().map(|m| m.name)).map_or(String::new(), |n| format!("; did you mean {n}?"));
            return Err(Error::invalid("name", format!("there is no probe `{name}`{hint}")));
        };
        let point = |params: Map<String, Value>| {
            let action = Action::new(name, &params)?;
            let telling = params::telling(manual, &params);
            let canonical = spec::write(name, &telling);
            let own = telling.into_iter().filter(|(key, _)| !explainer::ASKED.contains(&key.as_str()));
            Ok(Point { action, params, canonical, explained: spec::write(name, &own.collect()) })
        };
        let points = params::points(manual, params)?.into_iter().map(point).collect::<Result<_>>()?;
        let check = Self { spec: text.to_owned(), manual, points };
        if (1..check.len()).any(|point| check.attributor(point).is_some_and(|a| a.layer() != check.layer())) {
            return Err(Error::invalid("params.layer", "a check has one layer; write a check for each"));
        }
        // What an audit has of a case is as wide as its setting says.
        if check.wants_survey() && check.len() > 1 {
            return Err(Error::invalid("params", "an audit has one setting; write a check for each"));
        }
        Ok(check)
    }

    /// Number of points: verdicts that each case gets.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no point; never so for a check that was read.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Manuals of the probe and of those that it is compared with.
    pub fn manuals(&self) -> impl Iterator<Item = &'static Manual> {
        let compared = (0..self.len()).filter_map(|point| self.attributor(point)?.compared());
        std::iter::once(self.manual).chain(compared)
    }

    fn wants(&self, access: Access) -> bool {
        self.manuals().any(|manual| manual.accesses.contains(&access))
    }

    /// Whether it takes the gradient of the model.
    pub fn wants_gradient(&self) -> bool {
        self.wants(Access::Gradient)
    }

    /// Whether it asks the model with shuffled weights too.
    pub fn wants_randomised(&self) -> bool {
        (0..self.len()).any(|point| self.attributor(point).is_some_and(Attributor::randomises))
    }

    /// Whether it takes the trees of a tree ensemble.
    pub fn wants_trees(&self) -> bool {
        self.wants(Access::Weights)
    }

    /// Whether reference rows make a difference to it.
    pub fn takes_background(&self) -> bool {
        matches!(self.manual.family, "explainer" | "audit")
    }

    /// Whether it cannot do without reference rows.
    pub fn wants_background(&self, signature: &Signature) -> bool {
        self.points.iter().any(|point| match &point.action {
            Action::Explain(attributor) => attributor.wants_background(signature.probed()),
            Action::Audit(auditor) => auditor.wants_background(),
            Action::Nothing | Action::Corrupt(_) | Action::Attack(_) => false,
        })
    }

    /// The inner tensor that it differentiates with respect to, beside the input; of all of its points the same.
    pub fn layer(&self) -> Option<Layer> {
        self.attributor(0)?.layer()
    }

    /// The most that a case costs at all points, in rows forward and in gradients; with what judging takes.
    /// `background` is the number of reference rows.
    pub fn cost(&self, signature: &Signature, background: u64) -> Spent {
        let mut all = Spent { forward: self.len() as u64, gradient: 0 };
        for point in &self.points {
            let cost = match &point.action {
                Action::Attack(attacker) => attacker.cost(signature.output.size as u64),
                Action::Explain(attributor) => attributor.cost(signature.probed(), background),
                Action::Audit(auditor) => auditor.cost(signature.probed(), background),
                Action::Nothing | Action::Corrupt(_) => Spent::default(),
            };
            all.forward = all.forward.saturating_add(cost.forward);
            all.gradient = all.gradient.saturating_add(cost.gradient);
        }
        all
    }

    /// Figures of a case that are kept until the job ends, at most.
    pub fn figures(&self, signature: &Signature) -> u64 {
        let auditors = (0..self.len()).filter_map(|point| self.auditor(point));
        auditors.map(|auditor| auditor.figures(signature.probed())).fold(0, u64::saturating_add)
    }

    /// Refuses a model whose probed input or answers its explainers cannot explain.
    pub fn fits(&self, signature: &Signature) -> Result<()> {
        let mut attributors = (0..self.len()).filter_map(|point| self.attributor(point));
        attributors.try_for_each(|explainer| {
            explainer.fits(signature.probed()).and_then(|()| explainer.answers(&signature.output))
        })
    }

    /// The attack of a point, if it is one.
    pub(super) fn attacker(&self, point: usize) -> Option<&Attacker> {
        if let Action::Attack(attacker) = &self.points[point].action { Some(attacker) } else { None }
    }

    /// The explainer of a point, if it is one.
    pub(super) fn attributor(&self, point: usize) -> Option<&Attributor> {
        if let Action::Explain(attributor) = &self.points[point].action { Some(attributor) } else { None }
    }

    /// The audit of a point, if it is one.
    pub(super) fn auditor(&self, point: usize) -> Option<&dyn Audit> {
        if let Action::Audit(auditor) = &self.points[point].action { Some(auditor.as_ref()) } else { None }
    }

    /// Whether it looks at all rows of the suite at once.
    pub fn wants_survey(&self) -> bool {
        self.manual.family == "audit"
    }

    /// Canonical parameters of a point.
    pub fn params(&self, point: usize) -> &Map<String, Value> {
        &self.points[point].params
    }

    /// The SPEC of one point alone.
    pub fn canonical(&self, point: usize) -> &str {
        &self.points[point].canonical
    }

    /// Parameters of the whole check: those that differ between points as lists of their values.
    pub fn all_params(&self) -> Map<String, Value> {
        let mut all: BTreeMap<&String, Vec<&Value>> = BTreeMap::new();
        for (key, value) in self.points.iter().flat_map(|p| &p.params) {
            let values = all.entry(key).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
        let value = |values: Vec<&Value>| match values.as_slice() {
            [one] => (*one).clone(),
            several => Value::Array(several.iter().map(|v| (*v).clone()).collect()),
        };
        all.into_iter().map(|(key, values)| (key.clone(), value(values))).collect()
    }
}

/// The SPEC of a probe with parameters for people: what is as it is by default is left out, but for curves.
pub fn title(name: &str, params: &Map<String, Value>) -> String {
    let told = manual(name).map_or_else(|| params.clone(), |manual| params::telling(manual, params));
    let shown = |key: &String, value: &Value| value.is_array() || told.contains_key(key);
    let shown = params.iter().filter(|(key, value)| shown(key, value)).map(|(k, v)| (k.clone(), v.clone())).collect();
    spec::write(name, &shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(spec: &str) -> Vec<String> {
        Check::parse(spec).unwrap().points.into_iter().map(|p| p.canonical).collect()
    }

    #[test]
    fn a_list_makes_points_and_defaults_are_filled_in() {
        assert_eq!(canonical("gaussian_noise").len(), 5);
        assert_eq!(canonical("gaussian_noise:severity=3"), ["gaussian_noise:severity=3"]);
        assert_eq!(canonical("gaussian_noise:severity=[1,3]").len(), 2);
        assert_eq!(canonical("clean"), ["clean"]);
        let check = Check::parse("motion_blur:severity=[1,3],variant=[imagecorruptions,imagenet_c]").unwrap();
        assert_eq!(check.len(), 4);
        assert_eq!(Value::Object(check.params(1).clone()), serde_json::json!({"severity": 1, "variant": "imagenet_c"}));
    }

    #[test]
    fn the_canonical_text_depends_neither_on_order_nor_on_defaults_spelled_out() {
        let plain = canonical("motion_blur:severity=2");
        for same in
            ["motion_blur:variant=imagecorruptions,severity=2", "motion_blur:severity=2.0", "motion_blur:severity=4/2"]
        {
            assert_eq!(canonical(same), plain);
        }
        let other = ["motion_blur:severity=2,variant=imagenet_c"];
        assert_eq!(canonical("motion_blur:variant=imagenet_c,severity=2"), other);
    }

    #[test]
    fn mistakes_are_named_with_what_was_meant() {
        for (spec, expect) in [
            ("gausian_noise", "did you mean gaussian_noise?"),
            (
                "gaussian_noise:severty=3",
                "params.severty: gaussian_noise has no parameter `severty`; did you mean severity?",
            ),
            ("gaussian_noise:severity=6", "params.severity: 6 was found, a whole number from 1 to 5 was expected"),
            ("gaussian_noise:severity=[1,9]", "params.severity: 9 was found, a whole number from 1 to 5 was expected"),
            ("gaussian_noise:severity=[1,1]", "twice"),
            ("gaussian_noise:severity=[]", "an empty list"),
            ("motion_blur:variant=cifar", "params.variant: \"cifar\" was found, imagecorruptions or imagenet_c"),
            ("clean:severity=1", "no parameters"),
            ("permutation_importance:repeats=[1,2]", "an audit has one setting; write a check for each"),
            ("", "there is no probe"),
        ] {
            let error = Check::parse(spec).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(expect), "{spec}: {error}");
        }
    }
}
