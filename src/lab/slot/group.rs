//! A cgroup (version 2) for each slot, where the service may make some: the kernel counts the memory that a slot really
//! takes, not the addresses that it asks for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The folder of this process's cgroup, version 2, or why there is none.
pub(in crate::lab) fn own_cgroup() -> Result<PathBuf, String> {
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return Err("cgroup v2 is not mounted at /sys/fs/cgroup".to_owned());
    }
    let list = fs::read_to_string("/proc/self/cgroup").map_err(|e| e.to_string())?;
    let path = list.lines().find_map(|line| line.strip_prefix("0::")).ok_or("this process has no cgroup v2")?;
    Ok(Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')))
}

/// The cgroup that the service was given, below which slots get theirs.
#[derive(Debug)]
pub(in crate::lab) struct Groups {
    own: PathBuf,
    next: AtomicU64,
    /// Folders of slots that have ended. The kernel keeps each until its process is quite gone.
    gone: Mutex<Vec<PathBuf>>,
}

impl Groups {
    /// Takes the cgroup of this process for its slots, or says why not. The process itself moves into one below, since
    /// the kernel shares memory out among cgroups and not between a cgroup and its processes.
    pub(in crate::lab) fn take() -> Result<Self, String> {
        Self::below(own_cgroup()?)
    }

    fn below(own: PathBuf) -> Result<Self, String> {
        let controllers = fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
        if !controllers.split_whitespace().any(|name| name == "memory") {
            return Err("no cgroup with memory was delegated to this process".to_owned());
        }
        let delegate = || -> std::io::Result<()> {
            let server = own.join("server");
            fs::create_dir_all(&server)?;
            fs::write(server.join("cgroup.procs"), std::process::id().to_string())?;
            fs::write(own.join("cgroup.subtree_control"), "+memory")
        };
        delegate().map_err(|e| {
            // Back to where it was; that this fails too leaves it one step below, which harms nobody.
            let _ = fs::write(own.join("cgroup.procs"), std::process::id().to_string());
            format!("no cgroup was delegated to this process: {e}")
        })?;
        let groups = Self { own, next: AtomicU64::new(0), gone: Mutex::default() };
        // What an earlier process has left.
        let left = fs::read_dir(&groups.own).into_iter().flatten().flatten();
        let left = left.filter(|entry| entry.file_name().to_string_lossy().starts_with("slot-"));
        groups.clear(left.map(|entry| entry.path()).collect());
        Ok(groups)
    }

    /// Removes folders whose processes are gone; the others, of then and now, wait for the next time.
    fn clear(&self, ended: Vec<PathBuf>) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.extend(ended);
        gone.retain(|folder| fs::remove_dir(folder).is_err() && folder.exists());
    }

    /// Puts a process that has only just started into a cgroup with a limit.
    pub(super) fn hold(self: &Arc<Self>, process: u32, memory: u64) -> Result<Group, String> {
        self.clear(Vec::new());
        let folder = self.own.join(format!("slot-{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let put = |folder: &Path| -> std::io::Result<()> {
            fs::create_dir_all(folder)?;
            fs::write(folder.join("memory.max"), memory.to_string())?;
            // Where the kernel counts no swap there is none to forbid.
            let _ = fs::write(folder.join("memory.swap.max"), "0");
            fs::write(folder.join("cgroup.procs"), process.to_string())
        };
        let group = Group { groups: self.clone(), folder };
        put(&group.folder).map_err(|e| e.to_string())?;
        Ok(group)
    }
}

/// The cgroup of one slot, removed when dropped.
#[derive(Debug)]
pub(super) struct Group {
    groups: Arc<Groups>,
    folder: PathBuf,
}

impl Group {
    /// Whether the kernel ended the slot because it took more memory than it may.
    pub(super) fn overflowed(&self) -> bool {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.groups.clear(vec![std::mem::take(&mut self.folder)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_gets_a_cgroup_with_its_limit() {
        // A plain folder takes the same writes as the kernel's.
        let folder = tempfile::tempdir().unwrap();
        let refused = Groups::below(folder.path().to_owned()).unwrap_err();
        assert!(refused.contains("no cgroup with memory"), "{refused}");
        fs::write(folder.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        let groups = Arc::new(Groups::below(folder.path().to_owned()).unwrap());
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("server/cgroup.procs"), std::process::id().to_string());
        assert_eq!(read("cgroup.subtree_control"), "+memory");
        let group = groups.hold(42, 1 << 30).unwrap();
        assert_eq!(
            (read("slot-0/memory.max"), read("slot-0/cgroup.procs")),
            ("1073741824".to_owned(), "42".to_owned())
        );
        assert!(!group.overflowed());
        fs::write(folder.path().join("slot-0/memory.events"), "low 0\noom 1\noom_kill 1\n").unwrap();
        assert!(group.overflowed());
    }
}
