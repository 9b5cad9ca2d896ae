//! Whose turn it is: tenants share the slots by time, whatever the number and the size of their jobs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much longer than others a tenant may have been served before its worker turns to them. Turning away costs a new
/// slot and a model read anew, so it is not done for every shard.
const QUANTUM: Duration = Duration::from_millis(500);

/// A tenant's turn at one slot, which is over when this is dropped.
pub(super) struct Turn {
    turns: Arc<Mutex<Turns>>,
    ticket: u64,
    pub(super) tenant: String,
}

impl Turn {
    /// Whose turn it is of those who wait; `last` is for whom the worker was there before.
    pub(super) fn begin(turns: &Arc<Mutex<Turns>>, waiting: &[String], last: Option<&str>) -> Option<Self> {
        let begun = turns.lock().unwrap_or_else(PoisonError::into_inner).begin(waiting, last, Instant::now());
        begun.map(|(tenant, ticket)| Self { turns: turns.clone(), ticket, tenant })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).end(self.ticket, Instant::now());
    }
}

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
    fn begin(&mut self, waiting: &[String], last: Option<&str>, now: Instant) -> Option<(String, u64)> {
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
    fn end(&mut self, ticket: u64, now: Instant) {
        if let Some((tenant, since)) = self.running.remove(&ticket) {
            *self.served.entry(tenant).or_default() += now.saturating_duration_since(since);
        }
    }

    fn served(&self, tenant: &str, now: Instant) -> Duration {
        let running = self.running.values().filter(|(of, _)| of == tenant);
        let running: Duration = running.map(|(_, since)| now.saturating_duration_since(*since)).sum();
        self.served.get(tenant).copied().unwrap_or_default() + running
    }

    /// Tenants who come, or come back, start level with who was served least of those who are there: having been away
    /// earns nothing. What somebody was served beyond that is remembered, so that leaving pays no debt.
    fn meet(&mut self, waiting: &[String], now: Instant) {
        let running: Vec<&String> = self.running.values().map(|(tenant, _)| tenant).collect();
        let here = |tenant: &String| waiting.contains(tenant) || running.contains(&tenant);
        let known = self.served.keys().filter(|tenant| here(tenant));
        let Some(least) = known.map(|tenant| self.served(tenant, now)).min() else {
            // Nobody is left who went short.
            self.served = waiting.iter().map(|tenant| (tenant.clone(), Duration::ZERO)).collect();
            return;
        };
        self.served.retain(|tenant, time| {
            let runs = self.running.values().any(|(of, _)| of == tenant);
            runs || waiting.contains(tenant) || *time > least
        });
        for tenant in waiting {
            let served = self.served.entry(tenant.clone()).or_insert(least);
            *served = (*served).max(least);
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
    fn leaving_after_each_shard_pays_no_debt() {
        // One sends a job of one long shard as soon as the last has ended; the other always has short ones.
        let (mut turns, mut now) = (Turns::default(), Instant::now());
        let (start, mut last, mut away) = (now, None::<String>, now);
        let mut served: HashMap<String, Duration> = HashMap::new();
        while now < start + Duration::from_secs(3600) {
            let waiting: &[&str] = if now >= away { &["long", "short"] } else { &["short"] };
            let waiting: Vec<String> = waiting.iter().map(|name| (*name).to_owned()).collect();
            let (tenant, ticket) = turns.begin(&waiting, last.as_deref(), now).unwrap();
            let took = if tenant == "long" { Duration::from_secs(60) } else { Duration::from_millis(100) };
            now += took;
            turns.end(ticket, now);
            if tenant == "long" {
                away = now + Duration::from_millis(5);
            }
            *served.entry(tenant.clone()).or_default() += took;
            last = Some(tenant);
        }
        let share = served["short"].as_secs_f64() / now.duration_since(start).as_secs_f64();
        assert!((share - 0.5).abs() < 0.02, "{share}");
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
