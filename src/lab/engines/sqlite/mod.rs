//! State in one SQLite database, blobs as files beside it: durable, for one machine.

mod schema;
mod view;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use tokio::sync::Notify;

pub(in crate::lab) use self::view::View;
use self::writer::Store;
use super::files::{Files, hold};
use super::wakes::Wakes;
use super::{Appended, Engine, Entry, Expect, Lease, Log, Meta, Queue, Record};
use crate::error::{Error, Result};

/// Opens (or makes) the folder `dir`. One process at a time: a second is refused with [`Error::Precondition`].
pub fn open(dir: &Path) -> Result<Engine> {
    std::fs::create_dir_all(dir).map_err(|e| Error::internal(&format!("making {}", dir.display()), e))?;
    let lock = hold(dir)?;
    let path = dir.join("assay.db");
    let connection = Connection::open(&path).map_err(failed)?;
    schema::configure(&connection)?;
    schema::examine(&connection)?;
    schema::migrate(&connection)?;
    let sqlite = Arc::new(Sqlite {
        store: Store::start(&path, connection)?,
        started: Instant::now(),
        freed: Notify::new(),
        appended: Wakes::default(),
        _lock: lock,
    });
    let blobs = Arc::new(Files::open(dir)?);
    let name = format!("sqlite:{}", dir.display());
    Ok(Engine { meta: sqlite.clone(), queue: sqlite.clone(), log: sqlite, blobs, name })
}

struct Sqlite {
    store: Store,
    /// Leases are counted from here, so that a jump of the wall clock ends none.
    started: Instant,
    freed: Notify,
    appended: Wakes,
    _lock: File,
}

/// SQLite's errors as the caller sees them.
fn failed(e: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
    match e.sqlite_error_code() {
        Some(DiskFull) => Error::Exhausted { limit: "disk".to_owned(), value: 0, what: "the database".to_owned() },
        Some(DatabaseCorrupt | NotADatabase) => {
            Error::DataLoss(format!("the database is damaged: {e}; see `assay doctor`, restore the folder from a copy"))
        }
        _ => Error::internal("database", e),
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record { key: row.get(0)?, revision: row.get(1)?, value: row.get(2)? })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry { sequence: row.get(0)?, key: row.get(1)?, body: row.get(2)? })
}

/// Whether a write with this expectation may happen.
fn meets(connection: &Connection, key: &str, expect: Expect) -> rusqlite::Result<bool> {
    let mut query = connection.prepare_cached("SELECT revision FROM meta WHERE key = ?1")?;
    let revision: Option<u64> = query.query_row([key], |row| row.get(0)).optional()?;
    Ok(match expect {
        Expect::Any => true,
        Expect::Absent => revision.is_none(),
        Expect::Revision(expected) => revision == Some(expected),
    })
}

#[async_trait]
impl Meta for Sqlite {
    async fn get(&self, key: &str) -> Result<Option<Record>> {
        let key = key.to_owned();
        let query = "SELECT key, revision, value FROM meta WHERE key = ?1";
        self.store.read(move |c| c.prepare_cached(query)?.query_row([key], record).optional()).await
    }

    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<Option<u64>> {
        let (key, value) = (key.to_owned(), value.to_vec());
        let write = move |c: &Connection| {
            if !meets(c, &key, expect)? {
                return Ok(None);
            }
            let bump = "UPDATE revision SET last = last + 1 RETURNING last";
            let revision: u64 = c.prepare_cached(bump)?.query_row([], |row| row.get(0))?;
            c.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2, ?3)")?
                .execute(params![key, revision, value])?;
            Ok(Some(revision))
        };
        self.store.write(write).await
    }

    async fn delete(&self, key: &str, expect: Expect) -> Result<bool> {
        let key = key.to_owned();
        let delete = "DELETE FROM meta WHERE key = ?1";
        self.store.write(move |c| Ok(meets(c, &key, expect)? && c.execute(delete, [key])? > 0)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        // Comparing the start of the key leaves no character to escape; the range keeps to the index.
        let query = "SELECT key, revision, value FROM meta WHERE key >= ?1 AND (?2 IS NULL OR key > ?2)
                     AND substr(key, 1, length(?1)) = ?1 ORDER BY key LIMIT ?3";
        let read = move |c: &Connection| {
            let mut query = c.prepare_cached(query)?;
            query.query_map(params![prefix, after, limit], record)?.collect()
        };
        self.store.read(read).await
    }
}

impl Sqlite {
    /// Milliseconds since this process opened the database, from 1.
    fn now(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX - 1) + 1
    }

    fn until(&self, ttl: Duration) -> i64 {
        self.now().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
    }

    /// Runs a statement that concerns one held lease; whether it was still held.
    async fn on_lease(&self, lease: &Lease, statement: &'static str, value: i64) -> Result<bool> {
        let lease = lease.clone();
        let write = move |c: &Connection| {
            let held =
                named_params! { ":job": lease.job, ":shard": lease.shard, ":token": lease.token, ":value": value };
            Ok(c.prepare_cached(statement)?.execute(held)? > 0)
        };
        self.store.write(write).await
    }
}

/// Leases a free shard by the three rules of [`Queue::lease`].
const TAKE: &str = "
UPDATE shard SET until = ?2, token = token + 1 WHERE place = coalesce(
    (SELECT place FROM shard WHERE tenant = ?5 AND job = ?3 AND chunk = ?4 AND until <= ?1 ORDER BY place LIMIT 1),
    (SELECT place FROM shard AS free WHERE tenant = ?5 AND until <= ?1 AND NOT EXISTS (
        SELECT 1 FROM shard AS held WHERE held.job = free.job AND held.chunk = free.chunk AND held.until > ?1
    ) ORDER BY place LIMIT 1),
    (SELECT place FROM shard WHERE tenant = ?5 AND until <= ?1 ORDER BY place LIMIT 1)
) RETURNING job, shard, chunk, failures, token";

/// Tenants with a free shard. It steps from tenant to tenant along the index, however many shards each has.
const TENANTS: &str = "
WITH RECURSIVE known (tenant) AS (
    SELECT min(tenant) FROM shard
    UNION ALL SELECT (SELECT min(tenant) FROM shard WHERE tenant > known.tenant) FROM known WHERE tenant IS NOT NULL
) SELECT tenant FROM known WHERE EXISTS (SELECT 1 FROM shard WHERE shard.tenant = known.tenant AND until <= ?1)";

#[async_trait]
impl Queue for Sqlite {
    async fn enqueue(&self, tenant: &str, _pool: &str, job: &str, shards: &[u32], checks: u32) -> Result<()> {
        let (tenant, job, shards) = (tenant.to_owned(), job.to_owned(), shards.to_vec());
        let write = move |c: &Connection| {
            let insert = "INSERT OR IGNORE INTO shard (tenant, job, shard, chunk) VALUES (?1, ?2, ?3, ?4)";
            let mut insert = c.prepare_cached(insert)?;
            let chunk = |shard: &u32| shard / checks.max(1);
            shards.iter().try_for_each(|shard| insert.execute(params![tenant, job, shard, chunk(shard)]).map(drop))
        };
        self.store.write(write).await?;
        self.freed.notify_waiters();
        Ok(())
    }

    async fn tenants(&self) -> Result<Vec<String>> {
        let now = self.now();
        let read = move |c: &Connection| c.prepare_cached(TENANTS)?.query_map([now], |row| row.get(0))?.collect();
        self.store.read(read).await
    }

    async fn lease(&self, ttl: Duration, tenant: &str, last: Option<&Lease>) -> Result<Option<Lease>> {
        let (now, until, tenant) = (self.now(), self.until(ttl), tenant.to_owned());
        let last = last.map(|lease| (lease.job.clone(), lease.chunk));
        let write = move |c: &Connection| {
            let (job, chunk) = last.unzip();
            let lease = |r: &Row<'_>| {
                let [shard, chunk, failures] = [r.get(1)?, r.get(2)?, r.get(3)?];
                Ok(Lease { job: r.get(0)?, shard, chunk, failures, token: r.get(4)? })
            };
            c.prepare_cached(TAKE)?.query_row(params![now, until, job, chunk, tenant], lease).optional()
        };
        self.store.write(write).await
    }

    async fn extend(&self, lease: &Lease, ttl: Duration) -> Result<bool> {
        let extend =
            "UPDATE shard SET until = :value WHERE job = :job AND shard = :shard AND token = :token AND until > 0";
        self.on_lease(lease, extend, self.until(ttl)).await
    }

    async fn ack(&self, lease: &Lease) -> Result<bool> {
        let ack = "DELETE FROM shard WHERE job = :job AND shard = :shard AND token = :token AND until > :value";
        self.on_lease(lease, ack, 0).await
    }

    async fn nack(&self, lease: &Lease, failed: bool) -> Result<bool> {
        let nack = "UPDATE shard SET until = 0, failures = failures + :value
                    WHERE job = :job AND shard = :shard AND token = :token AND until > 0";
        let held = self.on_lease(lease, nack, i64::from(failed)).await?;
        self.freed.notify_waiters();
        Ok(held)
    }

    async fn give_back(&self) {}

    async fn left(&self, job: &str) -> Result<bool> {
        let (job, query) = (job.to_owned(), "SELECT EXISTS (SELECT 1 FROM shard WHERE job = ?1)");
        self.store.read(move |c| c.prepare_cached(query)?.query_row([job], |row| row.get(0))).await
    }

    async fn forget(&self, job: &str) -> Result<()> {
        let job = job.to_owned();
        self.store.write(move |c| c.execute("DELETE FROM shard WHERE job = ?1", [job]).map(drop)).await
    }

    async fn pending(&self) -> Result<u64> {
        self.store.read(|c| c.query_row("SELECT count(*) FROM shard", [], |row| row.get(0))).await
    }

    async fn wait(&self, timeout: Duration) {
        // A shard that was freed just before is found after the timeout at the latest.
        let _ = tokio::time::timeout(timeout, self.freed.notified()).await;
    }
}

#[async_trait]
impl Log for Sqlite {
    async fn append(&self, job: &str, key: u32, body: &[u8]) -> Result<Appended> {
        let (name, body) = (job.to_owned(), body.to_vec());
        let write = move |c: &Connection| {
            let find = "SELECT sequence FROM log WHERE job = ?1 AND key = ?2";
            let found = c.prepare_cached(find)?.query_row(params![name, key], |row| row.get(0)).optional()?;
            if let Some(sequence) = found {
                return Ok(Appended::Exists(sequence));
            }
            let add =
                "INSERT INTO log VALUES (?1, (SELECT coalesce(max(sequence), 0) + 1 FROM log WHERE job = ?1), ?2, ?3)
                       RETURNING sequence";
            c.prepare_cached(add)?.query_row(params![name, key, body], |row| row.get(0)).map(Appended::New)
        };
        let appended = self.store.write(write).await?;
        self.appended.wake(job);
        Ok(appended)
    }

    async fn read(&self, job: &str, after: u64, limit: usize) -> Result<Vec<Entry>> {
        let job = job.to_owned();
        let read = move |c: &Connection| {
            let query =
                "SELECT sequence, key, body FROM log WHERE job = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3";
            c.prepare_cached(query)?.query_map(params![job, after, limit], entry)?.collect()
        };
        self.store.read(read).await
    }

    async fn get(&self, job: &str, key: u32) -> Result<Option<Entry>> {
        let job = job.to_owned();
        let read = move |c: &Connection| {
            let query = "SELECT sequence, key, body FROM log WHERE job = ?1 AND key = ?2";
            c.prepare_cached(query)?.query_row(params![job, key], entry).optional()
        };
        self.store.read(read).await
    }

    async fn keys(&self, job: &str) -> Result<Vec<u32>> {
        let job = job.to_owned();
        let read = move |c: &Connection| {
            // The index over (job, key) holds them, so that no body is touched.
            let query = "SELECT key FROM log WHERE job = ?1";
            c.prepare_cached(query)?.query_map([job], |row| row.get(0))?.collect()
        };
        self.store.read(read).await
    }

    async fn forget(&self, job: &str) -> Result<()> {
        let name = job.to_owned();
        self.store.write(move |c| c.execute("DELETE FROM log WHERE job = ?1", [name]).map(drop)).await?;
        self.appended.wake(job);
        Ok(())
    }

    async fn wait(&self, job: &str, after: u64, timeout: Duration) {
        // An error is found by whoever reads next.
        let ready = async || self.read(job, after, 1).await.is_ok_and(|entries| !entries.is_empty());
        self.appended.wait(job, timeout, ready).await;
    }
}
