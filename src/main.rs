//! The `hopwatch` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    hopwatch::cli::main()
}
