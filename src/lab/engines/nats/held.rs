//! Shards that this process has taken from the queue: leased to a worker here, or taken with them and free still.
//!
//! A server hands shards out in the order of their queue. That a worker stays with the cases it has at hand, and keeps away
//! from those that another one here has, is chosen among these.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::lab::engines::Lease;

/// A shard and the message `M` by which its server knows it.
pub(super) struct Task<M> {
    pub(super) tenant: String,
    pub(super) lease: Lease,
    pub(super) message: M,
    until: Option<Instant>,
    /// When it came, or came free.
    since: Instant,
}

impl<M> Task<M> {
    /// Whether nobody here has it.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    fn chunk(&self) -> (&str, u32) {
        (&self.lease.job, self.lease.chunk)
    }
}

/// By their place in the queue.
pub(super) struct Held<M>(BTreeMap<u64, Task<M>>);

impl<M> Default for Held<M> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<M> Held<M> {
    /// Takes in what the server has delivered. A shard that is here already stays with its holder: the server has only not
    /// heard of it for a while.
    pub(super) fn take(&mut self, place: u64, tenant: String, lease: Lease, message: M, now: Instant) {
        match self.0.get_mut(&place) {
            Some(known) => known.message = message,
            None => {
                self.0.insert(place, Task { tenant, lease, message, until: None, since: now });
            }
        }
    }

    /// Leases a free shard of a tenant: of the chunk that `last` is of, else of a chunk that nobody here is at, else, if it may
    /// be `any`, the first.
    pub(super) fn lease(
        &mut self,
        now: Instant,
        ttl: Duration,
        tenant: &str,
        last: Option<&Lease>,
        any: bool,
    ) -> Option<Lease> {
        let busy: BTreeSet<(&str, u32)> = self.0.values().filter(|t| !t.is_free(now)).map(Task::chunk).collect();
        let mut free = self.0.iter().filter(|(_, t)| t.tenant == tenant && t.is_free(now));
        let own = last.map(|last| (last.job.as_str(), last.chunk));
        let beside = free.clone().find(|(_, t)| Some(t.chunk()) == own);
        let apart = beside.or_else(|| free.clone().find(|(_, t)| !busy.contains(&t.chunk())));
        let place = *apart.or_else(|| free.next().filter(|_| any))?.0;
        let task = self.0.get_mut(&place)?;
        task.until = Some(now + ttl);
        task.lease.token += 1;
        Some(task.lease.clone())
    }

    /// Free shards of a tenant.
    pub(super) fn free(&self, now: Instant, tenant: &str) -> usize {
        self.0.values().filter(|t| t.tenant == tenant && t.is_free(now)).count()
    }

    /// Tenants with free shards.
    pub(super) fn tenants(&self, now: Instant) -> BTreeSet<String> {
        self.0.values().filter(|t| t.is_free(now)).map(|t| t.tenant.clone()).collect()
    }

    fn place(&self, lease: &Lease) -> Option<u64> {
        let is = |t: &Task<M>| {
            t.until.is_some()
                && t.lease.token == lease.token
                && t.lease.shard == lease.shard
                && t.lease.job == lease.job
        };
        self.0.iter().find(|(_, task)| is(task)).map(|(place, _)| *place)
    }

    /// The shard whose lease is still this one.
    pub(super) fn get(&self, lease: &Lease) -> Option<&Task<M>> {
        self.0.get(&self.place(lease)?)
    }

    /// Makes a lease last until then.
    pub(super) fn extend(&mut self, lease: &Lease, until: Instant) -> bool {
        let Some(task) = self.place(lease).and_then(|place| self.0.get_mut(&place)) else { return false };
        task.until = Some(until);
        true
    }

    /// Makes a leased shard free again.
    pub(super) fn release(&mut self, lease: &Lease, now: Instant) -> bool {
        let Some(task) = self.place(lease).and_then(|place| self.0.get_mut(&place)) else { return false };
        (task.until, task.since) = (None, now);
        true
    }

    /// Takes out a leased shard.
    pub(super) fn remove(&mut self, lease: &Lease) -> Option<Task<M>> {
        self.0.remove(&self.place(lease)?)
    }

    /// Takes out what is free for longer than `time`: others may want it.
    pub(super) fn idle(&mut self, now: Instant, time: Duration) -> Vec<M> {
        let since = |t: &Task<M>| t.until.unwrap_or(t.since).max(t.since);
        let idle = |t: &Task<M>| t.is_free(now) && now.saturating_duration_since(since(t)) >= time;
        self.0.extract_if(.., |_, t| idle(t)).map(|(_, t)| t.message).collect()
    }

    /// Takes out all of a job.
    pub(super) fn forget(&mut self, job: &str) {
        self.0.retain(|_, task| task.lease.job != job);
    }

    /// All of them.
    pub(super) fn messages(&self) -> impl Iterator<Item = &M> {
        self.0.values().map(|task| &task.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    fn held(shards: &[(u64, u32)]) -> (Held<&'static str>, Instant) {
        let (mut held, now) = (Held::default(), Instant::now());
        for (place, chunk) in shards {
            let shard = u32::try_from(*place).unwrap();
            let lease = Lease { job: "j".to_owned(), shard, chunk: *chunk, failures: 0, token: 0 };
            held.take(*place, "t".to_owned(), lease, "m", now);
        }
        (held, now)
    }

    #[test]
    fn a_worker_is_given_its_own_chunk_then_one_that_nobody_is_at() {
        let (mut held, now) = held(&[(1, 0), (2, 0), (3, 1)]);
        let mut next = |last: Option<&Lease>, any| held.lease(now, TIME, "t", last, any);
        let first = next(None, false).unwrap();
        assert_eq!(first.shard, 1);
        assert_eq!(next(None, false).unwrap().shard, 3);
        assert_eq!(next(None, false), None, "all chunks are worked on");
        assert_eq!(next(Some(&first), false).unwrap().shard, 2);
        assert_eq!(next(None, true), None);
    }

    #[test]
    fn a_lease_that_ended_is_free_and_its_holder_fenced_off() {
        let (mut held, now) = held(&[(1, 0)]);
        let zombie = held.lease(now, TIME, "t", None, true).unwrap();
        assert!(held.extend(&zombie, now + TIME));
        assert_eq!(held.lease(now, TIME, "t", None, true), None);
        let next = held.lease(now + TIME, TIME, "t", None, true).unwrap();
        assert!(next.token > zombie.token);
        assert!(!held.extend(&zombie, now + TIME * 3) && held.remove(&zombie).is_none());
        // Delivered anew, it stays with its holder.
        held.take(1, "t".to_owned(), Lease { token: 1, ..next.clone() }, "again", now + TIME);
        assert_eq!(held.get(&next).map(|task| task.message), Some("again"));
    }

    #[test]
    fn what_nobody_takes_goes_back() {
        let (mut held, now) = held(&[(1, 0), (2, 0)]);
        let lease = held.lease(now, TIME * 2, "t", None, true).unwrap();
        assert_eq!(held.idle(now + TIME / 2, TIME).len(), 0);
        assert_eq!(held.idle(now + TIME, TIME).len(), 1);
        // The time counts from when it came free.
        assert!(held.release(&lease, now + TIME));
        assert_eq!(held.idle(now + TIME, TIME).len(), 0);
        assert_eq!(held.idle(now + TIME * 2, TIME).len(), 1);
        assert_eq!(held.free(now, "t"), 0);
    }
}
