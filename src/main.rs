//! The `fuzarr` program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(fuzarr::cli::run(std::env::args_os().collect()))
}
