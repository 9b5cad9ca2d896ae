//! Places for heavy work that callers wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// So many places, of which each tenant has one at most: whoever sends many waits for itself.
pub(super) struct Turnstile {
    all: Arc<Semaphore>,
    /// By tenant: its one place in the queue for these.
    own: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Turnstile {
    pub(super) fn new(places: u64) -> Self {
        let all = Arc::new(Semaphore::new(usize::try_from(places).unwrap_or(1).max(1)));
        Self { all, own: Mutex::default() }
    }

    /// A place, which is free again when this is dropped.
    pub(super) async fn enter(&self, tenant: &str) -> Result<[OwnedSemaphorePermit; 2]> {
        let failed = |e| Error::internal("a turnstile", e);
        let own = {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever neither works nor waits is forgotten.
            own.retain(|_, place| Arc::strong_count(place) > 1 || place.available_permits() == 0);
            own.entry(tenant.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
        };
        let own = own.acquire_owned().await.map_err(failed)?;
        Ok([own, self.all.clone().acquire_owned().await.map_err(failed)?])
    }
}
