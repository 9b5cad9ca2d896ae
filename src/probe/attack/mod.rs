//! Attacks: searches for small changes that make a model answer wrong.
//!
//! An attack only searches: what it asks the model is looked at by [`Search`], which keeps a witness, and judged anew
//! afterwards. Cases that are wrong when clean are left alone, and those that are broken leave the search, so that the
//! batch shrinks. Random numbers belong to a case, never to a batch.
//!
//! To add one: a file with its struct, [`Probe`] and [`Attack`], and its line in [`ATTACKS`].

mod apgd;
mod ascent;
mod auto_attack;
mod bim;
mod climb;
mod cw;
mod deepfool;
mod fab;
mod fgsm;
mod hyperplane;
mod mi_fgsm;
mod patch;
mod pgd;
mod search;
mod square;
mod threat;

pub use search::{Candidate, Case, Signs};
pub use threat::{Goal, Threat};

use std::sync::Arc;

use search::Search;
use serde_json::{Map, Value};
use threat::{Ball, Nearest};

use super::{Kind, Manual, Probe};
use crate::engine::{Limits, Spent, Target};
use crate::error::Result;

/// All attacks, in alphabetical order.
pub static ATTACKS: &[Entry] = &[
    attack::<apgd::Apgd>(),
    attack::<auto_attack::AutoAttack>(),
    attack::<bim::Bim>(),
    attack::<cw::Cw>(),
    attack::<deepfool::Deepfool>(),
    attack::<fab::Fab>(),
    attack::<fgsm::Fgsm>(),
    attack::<mi_fgsm::MiFgsm>(),
    attack::<pgd::Pgd>(),
    attack::<square::Square>(),
];

/// An attack is a probe that asks the model where to change a case.
trait Attack: Probe {
    /// Whether it looks at the gradient once alone.
    const ONE_STEP: bool = false;

    /// What it may do.
    fn threat(&self) -> Threat;

    /// The most that it asks about a case of a model with so many classes.
    fn cost(&self, classes: u64) -> Spent;

    /// Searches; the search keeps what is found.
    fn perturb(&self, search: &mut Search<'_>) -> Result<()>;
}

type Perturb = dyn Fn(&mut Search<'_>) -> Result<()> + Send + Sync;
type Cost = dyn Fn(u64) -> Spent + Send + Sync;

/// An attack with its parameters read.
pub struct Attacker {
    pub threat: Threat,
    perturb: Box<Perturb>,
    cost: Box<Cost>,
}

impl Attacker {
    /// The most that it asks about a case of a model with so many classes.
    pub fn cost(&self, classes: u64) -> Spent {
        (self.cost)(classes)
    }

    /// What stops this attack, beside `limits`.
    #[must_use]
    pub fn limits<'a>(&self, limits: Limits<'a>) -> Limits<'a> {
        Limits { budget: self.threat.budget, ..limits }
    }

    /// Searches for witnesses of `cases`, the target's in its order. `seed` and `check` (its canonical SPEC) key the
    /// random numbers. Fails where the model does, or where the target's limits stop it.
    pub fn attack(&self, target: &Target<'_>, cases: Vec<Case>, seed: u64, check: &str) -> Result<Vec<Candidate>> {
        let mut search = Search::new(target, self.threat, cases, seed, check);
        (self.perturb)(&mut search)?;
        Ok(search.finish())
    }
}

/// A member of the family.
pub struct Entry {
    pub manual: Manual,
    /// Whether it looks at the gradient once alone.
    pub one_step: bool,
    /// The attack of these parameters, which fit the manual's schema.
    pub read: fn(&Map<String, Value>) -> Result<Attacker>,
}

/// The attack of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ATTACKS.iter().find(|entry| entry.manual.name == name)
}

const fn attack<A: Attack>() -> Entry {
    let manual = Manual { kinds: &[Kind::Floats], ..Manual::of::<A>("attack") };
    Entry { manual, one_step: A::ONE_STEP, read: read::<A> }
}

fn read<A: Attack>(params: &Map<String, Value>) -> Result<Attacker> {
    let attack = Arc::new(super::read::<A>(params)?);
    let (threat, searching) = (attack.threat(), attack.clone());
    let perturb = Box::new(move |search: &mut Search<'_>| searching.perturb(search));
    Ok(Attacker { threat, perturb, cost: Box::new(move |classes| attack.cost(classes)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_in_order_and_has_manuals() {
        assert!(ATTACKS.is_sorted_by(|a, b| a.manual.name < b.manual.name));
        for entry in ATTACKS {
            let (name, summary) = (entry.manual.name, entry.manual.summary());
            assert!(summary.ends_with('.') && summary.len() < 120, "{name}: {summary}");
            assert!(!entry.manual.text().is_empty() && !entry.manual.paper.is_empty(), "{name}");
            let schema = (entry.manual.schema)();
            let properties = schema.get("properties").unwrap().as_object().unwrap();
            assert!(properties.values().all(|p| p["description"].is_string()), "{name}: {properties:?}");
            assert!(properties.contains_key("eps"), "{name}");
            (entry.read)(&Map::new()).unwrap();
        }
    }
}
