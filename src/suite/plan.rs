//! Shards: the unit of work, retry and progress.

use std::ops::Range;

/// Most cases of a shard, so that progress moves and a retry costs little.
const CASES_MAX: u64 = 32;

/// Floating-point operations of a shard, at most, as far as whole cases allow: some minutes. A costly attack on a large
/// model has few cases a shard.
const WORK_MAX: u64 = 4_000_000_000_000;

/// Parts into which even a small suite is cut, so that all slots have work.
const PARTS_MIN: u64 = 16;

/// Parts beyond which shards grow instead.
const PARTS_MAX: u64 = 4096;

/// How a job's work is cut, which follows from its spec alone. Shards are in chunks of cases: all checks of the first
/// chunk, then all of the next, so that a slot prepares a chunk once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    cases: u64,
    checks: u64,
    chunk: u64,
}

/// One check on a few cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub check: usize,
    pub cases: Range<u64>,
}

impl Plan {
    /// The plan of `checks` checks on `cases` cases, the costliest of which takes up to `flops`
    /// floating-point operations a case.
    pub fn new(cases: u64, checks: usize, flops: u64) -> Self {
        let most = (WORK_MAX / flops.max(1)).clamp(1, CASES_MAX);
        let chunk = cases.div_ceil(PARTS_MIN).clamp(1, most).max(cases.div_ceil(PARTS_MAX));
        Self { cases, checks: checks as u64, chunk }
    }

    /// Number of shards.
    pub fn len(&self) -> u64 {
        self.cases.div_ceil(self.chunk) * self.checks
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shard in which `case` meets `check`.
    pub fn index(&self, check: usize, case: u64) -> u64 {
        case / self.chunk * self.checks + check as u64
    }

    /// Shard `index`; `None` at and beyond [`Plan::len`].
    pub fn shard(&self, index: u64) -> Option<Shard> {
        if index >= self.len() {
            return None;
        }
        let start = index / self.checks * self.chunk;
        let check = usize::try_from(index % self.checks).ok()?;
        Some(Shard { check, cases: start..(start + self.chunk).min(self.cases) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_costly_check_has_few_cases_a_shard() {
        let first = |flops| Plan::new(1000, 1, flops).shard(0).unwrap().cases;
        assert_eq!([first(0), first(400_000_000_000), first(u64::MAX)], [0..32, 0..10, 0..1]);
    }

    #[test]
    fn every_case_meets_every_check_once() {
        for (cases, checks) in [(0, 3), (1, 1), (20, 4), (200, 4), (1500, 2), (1_000_000, 1)] {
            let plan = Plan::new(cases, checks, 1);
            let shards: Vec<Shard> = (0..plan.len()).map(|i| plan.shard(i).unwrap()).collect();
            for check in 0..checks {
                let ranges: Vec<_> = shards.iter().filter(|s| s.check == check).map(|s| s.cases.clone()).collect();
                assert!(ranges.windows(2).all(|w| w[0].end == w[1].start));
                assert_eq!(ranges.iter().map(|r| r.end - r.start).sum::<u64>(), cases);
            }
            let own = |i: u64| plan.shard(i).unwrap();
            assert!((0..plan.len()).all(|i| own(i).cases.into_iter().all(|case| plan.index(own(i).check, case) == i)));
            assert_eq!(plan.shard(plan.len()), None);
        }
    }
}
