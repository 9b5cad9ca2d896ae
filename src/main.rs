//! The entry of the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    assay::cli::main()
}
