//! Who waits for which job's log, within one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Wakes those who wait for a name.
#[derive(Default)]
pub(super) struct Wakes(Mutex<HashMap<String, Arc<Notify>>>);

impl Wakes {
    /// Wakes all who wait for `name`.
    pub(super) fn wake(&self, name: &str) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(notify) = waiting {
            notify.notify_waiters();
        }
    }

    /// Waits for the next [`Wakes::wake`] of `name`, unless `ready` says after the waiting has begun that there is no
    /// need to.
    pub(super) async fn wait<F: Future<Output = bool>>(
        &self,
        name: &str,
        timeout: Duration,
        ready: impl FnOnce() -> F,
    ) {
        let notify = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().clone();
        {
            let notified = notify.notified();
            tokio::pin!(notified);
            // From here on no wake is missed, so what `ready` does not see will wake.
            notified.as_mut().enable();
            if !ready().await {
                // A timeout is as good as a wake: the caller looks again.
                let _ = tokio::time::timeout(timeout, notified).await;
            }
        }
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map and this call hold the last two; a name without waiters is forgotten.
        if Arc::strong_count(&notify) == 2 {
            waiting.remove(name);
        }
    }
}
