//! The processor, the memory, and what the kernel has to cage slots with.

use std::fs;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{AccessFlags, access};

use super::{Sign, size};
use crate::lab::slot::own_cgroup;

/// Memory below which a slot with a larger network may be killed.
const MEMORY_MIN: u64 = 2 << 30;

/// Open files that a server with some hundred streams needs.
const FILES_MIN: u64 = 1024;

/// What is said of a missing cage; models of strangers are what they are for.
pub(super) const UNCAGED: &str = "models run without it; take only those that you trust, or use another kernel";

pub(super) fn signs() -> Vec<Sign> {
    vec![cpu(), memory(), files(), kernel(), cgroup()]
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn cpu() -> Sign {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (has, lacks) = features();
    let found = format!("{} x {}, {}", cores, std::env::consts::ARCH, list(&has));
    if lacks.is_empty() {
        return Sign::ok("processor", found);
    }
    Sign::warn("processor", format!("{found}; not {}", list(&lacks)), "networks run several times slower without them")
}

fn list(words: &[&str]) -> String {
    if words.is_empty() { "no vector units".to_owned() } else { words.join(" ") }
}

/// The vector units that this machine has, and those that fast kernels want and it lacks.
#[cfg(target_arch = "x86_64")]
fn features() -> (Vec<&'static str>, Vec<&'static str>) {
    let all = [
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
    ];
    let has = all.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    // AVX-512 helps, but nothing needs it.
    (has, all.iter().filter(|(name, there)| !*there && *name != "avx512f").map(|(name, _)| *name).collect())
}

#[cfg(target_arch = "aarch64")]
fn features() -> (Vec<&'static str>, Vec<&'static str>) {
    let dot = std::arch::is_aarch64_feature_detected!("dotprod").then_some("dotprod");
    (std::iter::once("neon").chain(dot).collect(), Vec::new())
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> (Vec<&'static str>, Vec<&'static str>) {
    (Vec::new(), Vec::new())
}

/// The memory of the machine, or of the cgroup if that is less.
fn memory() -> Sign {
    let info = text("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| -> Option<u64> {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    let (Some(total), Some(free)) = (field("MemTotal"), field("MemAvailable")) else {
        return Sign::warn("memory", "unknown: /proc/meminfo does not say", "");
    };
    let limit = own_cgroup().ok().and_then(|own| text(own.join("memory.max"))?.parse::<u64>().ok());
    let limit = limit.filter(|limit| *limit < total);
    let capped = limit.map_or(String::new(), |limit| format!(", limited to {}", size(limit)));
    let found = format!("{} free of {}{capped}", size(free), size(total));
    if free.min(limit.unwrap_or(free)) < MEMORY_MIN {
        return Sign::warn("memory", found, "a slot takes several times its model's size; use fewer slots");
    }
    Sign::ok("memory", found)
}

fn files() -> Sign {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) if soft < FILES_MIN => {
            Sign::warn("open files", format!("at most {soft}"), "raise it for many streams: `ulimit -n 65536`")
        }
        Ok((soft, _)) => Sign::ok("open files", format!("at most {soft}")),
        Err(e) => Sign::warn("open files", format!("unknown: {e}"), ""),
    }
}

fn kernel() -> Sign {
    match text("/proc/sys/kernel/osrelease") {
        Some(release) => Sign::ok("kernel", format!("{} {release}", std::env::consts::OS)),
        None => Sign::warn("kernel", std::env::consts::OS, "slots are caged on Linux alone"),
    }
}

/// Whether slots can be given cgroups of their own, with a limit of memory.
fn cgroup() -> Sign {
    let advice = "a slot's memory has no limit of its own; start the service with `Delegate=yes` (systemd) or the like";
    let own = match own_cgroup() {
        Ok(own) => own,
        Err(why) => return Sign::warn("cgroup v2", why, advice),
    };
    let controllers = text(own.join("cgroup.controllers")).unwrap_or_default();
    let memory = controllers.split(' ').any(|name| name == "memory");
    let writable = [own.clone(), own.join("cgroup.procs")].iter().all(|path| access(path, AccessFlags::W_OK).is_ok());
    match (writable, memory) {
        (true, true) => Sign::ok("cgroup v2", "delegated, with memory"),
        (true, false) => Sign::warn("cgroup v2", format!("delegated without memory (it has: {controllers})"), advice),
        (false, _) => Sign::warn("cgroup v2", "there, but not delegated to this user", advice),
    }
}
