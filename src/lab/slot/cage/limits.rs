//! What the kernel counts.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Seconds of processor time in a slot's life. The pool's watchdog ends a shard long before; this one needs no pool.
const PROCESSOR: u64 = 3 * 24 * 3600;

/// Its pipes, its model, a suite and a background.
const FILES: u64 = 32;

/// Lowers the limits for good.
pub(super) fn put_up(memory: u64) -> Result<(), String> {
    let limits = [
        #[cfg(target_os = "linux")]
        (Resource::RLIMIT_AS, memory),
        (Resource::RLIMIT_CPU, PROCESSOR),
        (Resource::RLIMIT_NOFILE, FILES),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_CORE, 0),
    ];
    for (resource, limit) in limits {
        let set = getrlimit(resource).and_then(|(_, most)| {
            let limit = limit.min(most);
            setrlimit(resource, limit, limit)
        });
        set.map_err(|e| format!("{resource:?}: {}", e.desc()))?;
    }
    Ok(())
}
