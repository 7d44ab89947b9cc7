//! `fuzarr completions SHELL`.

use super::args::{Cli, CompletionsArgs};
use super::{Exit, Failure};
use clap::CommandFactory;

/// Writes the completion script to standard output.
pub fn run(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut table = Cli::command();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut table, "fuzarr", &mut script);
    super::report::print(&script)?;
    Ok(Exit::Success)
}
