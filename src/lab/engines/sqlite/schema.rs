//! The database's tables, as steps from one version to the next.

use rusqlite::Connection;

use super::failed;
use crate::error::{Error, Result};

/// Step `i` leads from version `i` to `i + 1`. Steps are only ever added.
const STEPS: &[&str] = &[
    "
CREATE TABLE meta (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE revision (only INTEGER PRIMARY KEY CHECK (only = 1), last INTEGER NOT NULL);
INSERT INTO revision VALUES (1, 0);
CREATE TABLE shard (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL,
    shard INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    until INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    token INTEGER NOT NULL DEFAULT 0,
    UNIQUE (job, shard)
);
CREATE INDEX shard_chunk ON shard (job, chunk);
CREATE TABLE log (
    job TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    key INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (job, sequence),
    UNIQUE (job, key)
) WITHOUT ROWID;
",
    "
ALTER TABLE shard ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
UPDATE shard SET tenant = substr(job, 9, instr(substr(job, 9), '/') - 1) WHERE job LIKE 'tenants/%';
CREATE INDEX shard_tenant ON shard (tenant, place);
",
];

/// The newest version.
pub(super) fn newest() -> usize {
    STEPS.len()
}

/// Durable settings for a connection that writes.
pub(super) fn configure(connection: &Connection) -> Result<()> {
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;")
        .map_err(failed)
}

/// Refuses a database whose pages are not sound: what is built on them may be wrong.
pub(super) fn examine(connection: &Connection) -> Result<()> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if found == "ok" {
        return Ok(());
    }
    Err(Error::DataLoss(format!(
        "the database is damaged: {found}; see `assay doctor`, restore the folder from a copy"
    )))
}

/// Brings the database to the newest version; a newer one is refused.
pub(super) fn migrate(connection: &Connection) -> Result<()> {
    let version: usize = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if version > STEPS.len() {
        let message = format!("the database has version {version}, this assay knows {}; use a newer one", STEPS.len());
        return Err(Error::Precondition(message));
    }
    for (from, step) in STEPS.iter().enumerate().skip(version) {
        let script = format!("BEGIN IMMEDIATE; {step} PRAGMA user_version = {}; COMMIT;", from + 1);
        connection.execute_batch(&script).map_err(failed)?;
    }
    // The clock of leases is that of the process; whoever held one is gone.
    connection.execute("UPDATE shard SET until = 0 WHERE until <> 0", []).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_wait_keep_their_tenant() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        connection.execute_batch("PRAGMA user_version = 1").unwrap();
        let job = "tenants/vision/jobs/0123";
        connection.execute("INSERT INTO shard (job, shard, chunk, until) VALUES (?1, 7, 0, 99)", [job]).unwrap();
        migrate(&connection).unwrap();
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let found: (String, i64) = connection.query_row("SELECT tenant, until FROM shard", [], read).unwrap();
        assert_eq!(found, ("vision".to_owned(), 0));
    }
}
