//! The entry of the command line.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Probes and networks take large arrays and give them back all the time. The system's allocator goes to the kernel with
/// each, which can cost as much as the work on it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    assay::cli::main()
}
