//! The `fuzarr` program: parse, run, exit code.

mod allocator;

use std::process::ExitCode;

fn main() -> ExitCode {
    fuzarr::helper::use_program("/proc/self/exe");
    let code = fuzarr::cli::run(std::env::args_os().collect());
    fuzarr::helper::tidy();
    ExitCode::from(code)
}
