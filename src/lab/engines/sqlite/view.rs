//! A database opened for reading alone, beside whoever writes it: nothing is locked, migrated, freed or cleared.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{failed, schema};
use crate::error::Result;

/// What a database held at one moment.
pub(in crate::lab) struct View(Connection);

impl View {
    /// Opens the database in the folder `dir`.
    pub(in crate::lab) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("assay.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let encoded: String = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        // A database that nobody has open has no log beside it, and even a reader would make one. Where there is one, a
        // writer may be at work, and the reader has to look into its log.
        let quiet = if path.with_extension("db-wal").exists() { "" } else { "?immutable=1" };
        let connection = Connection::open_with_flags(format!("file:{encoded}{quiet}"), flags).map_err(failed)?;
        // All that is read is of one moment.
        connection.execute_batch("PRAGMA busy_timeout = 5000; BEGIN;").map_err(failed)?;
        Ok(Self(connection))
    }

    /// The schema's version, and the newest that is known here.
    pub(in crate::lab) fn version(&self) -> Result<(usize, usize)> {
        let version = self.0.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        Ok((version, schema::newest()))
    }

    /// What SQLite finds wrong with its own pages; nothing if they are sound.
    pub(in crate::lab) fn damage(&self) -> Result<Option<String>> {
        let first: String = self.0.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
        Ok((first != "ok").then_some(first))
    }

    /// Calls `each` with every record whose key starts with `prefix`.
    pub(in crate::lab) fn records(&self, prefix: &str, each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.each("SELECT value FROM meta WHERE substr(key, 1, length(?1)) = ?1", [prefix], each)
    }

    /// Calls `each` with every line of every job's log.
    pub(in crate::lab) fn lines(&self, each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.each("SELECT body FROM log", [], each)
    }

    fn each(
        &self,
        query: &str,
        params: impl rusqlite::Params,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut query = self.0.prepare(query).map_err(failed)?;
        let mut rows = query.query(params).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            each(row.get_ref(0).and_then(|value| Ok(value.as_blob()?)).map_err(failed)?)?;
        }
        Ok(())
    }
}
