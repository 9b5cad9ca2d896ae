//! Shards: the unit of work, retry and progress.

use std::ops::Range;

/// Most cases of a shard, so that progress moves and a retry costs little.
const CASES_MAX: u64 = 32;

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
    /// The plan of `checks` checks on `cases` cases.
    pub fn new(cases: u64, checks: usize) -> Self {
        let chunk = cases.div_ceil(PARTS_MIN).clamp(1, CASES_MAX).max(cases.div_ceil(PARTS_MAX));
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
    fn every_case_meets_every_check_once() {
        for (cases, checks) in [(0, 3), (1, 1), (20, 4), (200, 4), (1500, 2), (1_000_000, 1)] {
            let plan = Plan::new(cases, checks);
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
