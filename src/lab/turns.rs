//! Whose turn it is: tenants share the slots by time, whatever the number and the size of their jobs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How much longer than others a tenant may have been served before its worker turns to them. Turning away costs a new
/// slot and a model read anew, so it is not done for every shard.
const QUANTUM: Duration = Duration::from_millis(500);

/// The time that slots have worked for each tenant.
#[derive(Debug, Default)]
pub(super) struct Turns {
    served: HashMap<String, Duration>,
    /// Shards under way by ticket: for whom, and since when.
    running: HashMap<u64, (String, Instant)>,
    next: u64,
}

impl Turns {
    /// Who comes next of those who wait: the one that was served least; `last`, for whom the worker was there before,
    /// while that is fair. The ticket is given back with [`Self::end`].
    pub(super) fn begin(&mut self, waiting: &[String], last: Option<&str>, now: Instant) -> Option<(String, u64)> {
        self.meet(waiting, now);
        let served = |tenant: &str| self.served(tenant, now);
        let least = waiting.iter().min_by_key(|tenant| served(tenant))?;
        let stays = last.filter(|last| waiting.iter().any(|t| t == last) && served(last) < served(least) + QUANTUM);
        let tenant = stays.unwrap_or(least).to_owned();
        self.next += 1;
        self.running.insert(self.next, (tenant.clone(), now));
        Some((tenant, self.next))
    }

    /// A shard is over, or there was none after all.
    pub(super) fn end(&mut self, ticket: u64, now: Instant) {
        if let Some((tenant, since)) = self.running.remove(&ticket) {
            *self.served.entry(tenant).or_default() += now.saturating_duration_since(since);
        }
    }

    fn served(&self, tenant: &str, now: Instant) -> Duration {
        let running = self.running.values().filter(|(of, _)| of == tenant);
        let running: Duration = running.map(|(_, since)| now.saturating_duration_since(*since)).sum();
        self.served.get(tenant).copied().unwrap_or_default() + running
    }

    /// Tenants who come, or come back, start level with who was served least: having been away earns nothing. Those who
    /// have gone are forgotten.
    fn meet(&mut self, waiting: &[String], now: Instant) {
        let running: Vec<&String> = self.running.values().map(|(tenant, _)| tenant).collect();
        self.served.retain(|tenant, _| waiting.contains(tenant) || running.contains(&tenant));
        let known = self.served.keys().chain(running.iter().copied());
        let least = known.map(|tenant| self.served(tenant, now)).min().unwrap_or_default();
        for tenant in waiting {
            self.served.entry(tenant.clone()).or_insert(least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One worker's time by tenant, where a shard of each takes so long, over `seconds`.
    fn share(tenants: &[(&str, u64)], seconds: u64) -> HashMap<String, f64> {
        let (mut turns, start) = (Turns::default(), Instant::now());
        let (mut now, mut last) = (start, None::<String>);
        let waiting: Vec<String> = tenants.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut share: HashMap<String, f64> = HashMap::new();
        while now < start + Duration::from_secs(seconds) {
            let (tenant, ticket) = turns.begin(&waiting, last.as_deref(), now).unwrap();
            let took = Duration::from_millis(tenants.iter().find(|(name, _)| *name == tenant).unwrap().1);
            now += took;
            turns.end(ticket, now);
            *share.entry(tenant.clone()).or_default() += took.as_secs_f64();
            last = Some(tenant);
        }
        share
    }

    #[test]
    fn tenants_get_the_same_time_whatever_their_shards_take() {
        let share = share(&[("a", 10), ("b", 300), ("c", 900)], 300);
        for time in share.values() {
            assert!((time - 100.0).abs() < 2.5, "{share:?}");
        }
    }

    #[test]
    fn a_worker_stays_for_a_while_and_who_was_away_earns_nothing() {
        let (mut turns, start) = (Turns::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let (tenant, ticket) = turns.begin(&names(&["a"]), None, at(0)).unwrap();
        assert_eq!(tenant, "a");
        turns.end(ticket, at(5000));
        // b comes, and does not get five seconds first.
        let (tenant, ticket) = turns.begin(&names(&["a", "b"]), Some("a"), at(5000)).unwrap();
        assert_eq!(tenant, "a");
        turns.end(ticket, at(5400));
        assert_eq!(turns.begin(&names(&["a", "b"]), Some("a"), at(5400)).unwrap().0, "a");
        // The shard under way counts as it goes.
        assert_eq!(turns.begin(&names(&["a", "b"]), Some("a"), at(5600)).unwrap().0, "b");
        assert_eq!(turns.begin(&[], Some("a"), at(5600)), None);
    }
}
