//! Command line: one clap table, from which help, man pages, completions, environment variables and the keys of the
//! configuration file all follow.

mod args;
mod catalog;
mod completions;
mod exit;
mod fstab;
mod helper;
mod inspect;
mod man;
mod metadata;
mod mount;
mod report;
mod settings;
mod sidecar;
mod status;
mod unmount;
mod validate;
mod values;
mod warm;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

use args::{Cli, Command};
pub use exit::{Exit, Failure};

/// Runs the program with `argv` (the first is the name it was called by) and gives the exit code.
pub fn run(argv: Vec<OsString>) -> u8 {
    let argv = match fstab::expand(argv) {
        Ok(argv) => argv,
        Err(failure) => return failure.print(),
    };
    let table = Cli::command();
    let parsed = table.clone().try_get_matches_from(argv).and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return report::parse_error(&error),
    };
    let done = match cli.command {
        Command::Mount(args) => mount::run(&args),
        Command::Unmount(args) => unmount::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Warm(args) => warm::run(&args),
        Command::Catalog(args) => catalog::run(&args),
        Command::Metadata(args) => metadata::run(&args),
        Command::Sidecar(args) => sidecar::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Helper(args) => helper::run(args),
    };
    match done {
        Ok(exit) => exit.code(),
        Err(failure) => failure.print(),
    }
}
