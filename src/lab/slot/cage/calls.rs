//! Which system calls it has: a seccomp filter. What is not on the list is refused with EPERM.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

/// Calls that are allowed whatever they are asked.
const ALLOWED: [libc::c_long; 32] = [
    // Orders, answers, and the files that landlock leaves.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    // Memory.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Time and itself.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrusage,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_futex,
    // Its own end, and signals on the way there.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Puts the filter on this thread.
pub(super) fn put_up() -> Result<(), String> {
    let program = filter(std::process::id()).map_err(|e| e.to_string())?;
    apply_filter(&program).map_err(|e| e.to_string())
}

fn filter(own: u32) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    // Nothing new is ever run: memory with code in it is what the program began with.
    let code = libc::PROT_EXEC as u64;
    let no_code = SeccompRule::new(vec![SeccompCondition::new(2, Dword, SeccompCmpOp::MaskedEq(code), 0)?])?;
    rules.insert(libc::SYS_mmap, vec![no_code.clone()]);
    rules.insert(libc::SYS_mprotect, vec![no_code]);
    // A program that aborts sends itself a signal, and sends none to others.
    let itself = SeccompRule::new(vec![SeccompCondition::new(0, Dword, SeccompCmpOp::Eq, u64::from(own))?])?;
    rules.insert(libc::SYS_tgkill, vec![itself]);
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()
}
