//! One thread writes, many requests a commit; readers have a connection of their own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::failed;
use crate::error::{Error, Result};

/// Most requests in one commit.
const GROUP_MAX: usize = 256;

/// Tells a request how the commit went.
type Finish = Box<dyn FnOnce(Result<()>) + Send>;

/// A request: works inside the transaction, is answered after the commit.
type Request = Box<dyn FnOnce(&Connection) -> Finish + Send>;

/// The two connections of a database.
pub(super) struct Store {
    requests: mpsc::Sender<Request>,
    reader: Arc<Mutex<Connection>>,
}

impl Store {
    /// Starts the writer's thread, which ends when the store is dropped.
    pub(super) fn start(path: &Path, writer: Connection) -> Result<Self> {
        let reader = Connection::open(path).map_err(failed)?;
        reader.execute_batch("PRAGMA query_only = ON; PRAGMA busy_timeout = 5000;").map_err(failed)?;
        let (requests, inbox) = mpsc::channel::<Request>();
        let thread = std::thread::Builder::new().name("assay-writer".to_owned());
        thread.spawn(move || serve(&writer, &inbox)).map_err(|e| Error::internal("starting the writer", e))?;
        Ok(Self { requests, reader: Arc::new(Mutex::new(reader)) })
    }

    /// Runs `work` in the writer's transaction; the answer comes after the commit is on disk. An error undoes only
    /// this request.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let request: Request = Box::new(move |connection| {
            let result = savepoint(connection, work);
            Box::new(move |committed| {
                // Nobody listens where the caller was cancelled; the write stands all the same.
                let _ = answer.send(committed.and(result));
            })
        });
        self.requests.send(request).map_err(|_| Error::Unavailable("the database's writer has ended".to_owned()))?;
        answered.await.map_err(|_| Error::Unavailable("the database's writer has ended".to_owned()))?
    }

    /// Runs `work` on what is committed.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let reader = self.reader.clone();
        let task = move || work(&reader.lock().unwrap_or_else(PoisonError::into_inner)).map_err(failed);
        spawn_blocking(task).await.map_err(|e| Error::internal("database task", e))?
    }
}

fn savepoint<T>(connection: &Connection, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
    connection.execute_batch("SAVEPOINT request").map_err(failed)?;
    let result = work(connection);
    let end = if result.is_ok() { "RELEASE request" } else { "ROLLBACK TO request; RELEASE request" };
    connection.execute_batch(end).map_err(failed)?;
    result.map_err(failed)
}

fn serve(connection: &Connection, inbox: &mpsc::Receiver<Request>) {
    while let Ok(first) = inbox.recv() {
        let group: Vec<Request> = std::iter::once(first).chain(inbox.try_iter().take(GROUP_MAX - 1)).collect();
        let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(failed);
        let finishes: Vec<Finish> = group.into_iter().map(|request| request(connection)).collect();
        let committed = begun.and_then(|()| connection.execute_batch("COMMIT").map_err(failed));
        if committed.is_err() && !connection.is_autocommit() {
            // What did not commit must not leak into the next group.
            let _ = connection.execute_batch("ROLLBACK");
        }
        for finish in finishes {
            finish(committed.clone());
        }
    }
}
