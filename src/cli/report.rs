//! What the program writes: results to standard output, one line of error to standard error.

use std::io::Write;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::exit::one_line;
use super::{Exit, Failure};

/// Writes to standard output; a reader that has gone (`| head`) is no error.
pub fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(format!("standard output: {e}"))),
        _ => Ok(()),
    }
}

/// Help and version go to standard output as they are; any other parse error becomes one line.
pub fn parse_error(error: &clap::Error) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            Exit::Success.code()
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Exit::Usage.code()
        }
        _ => Failure::usage(format!("{} (see 'fuzarr --help')", parse_message(error))).print(),
    }
}

/// The first paragraph of clap's report as one line, with its suggestion if it has one.
pub fn parse_message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let mut message = one_line(paragraph.strip_prefix("error: ").unwrap_or(paragraph));
    while let Some(at) = message.find("  ") {
        message.replace_range(at..at + 2, " ");
    }
    match suggestion(error) {
        Some(suggestion) => format!("{message}; did you mean {suggestion}?"),
        None => message,
    }
}

/// The most similar name; clap lists the least similar first.
fn suggestion(error: &clap::Error) -> Option<String> {
    let kinds = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    match kinds.iter().find_map(|kind| error.get(*kind))? {
        ContextValue::String(name) => Some(name.clone()),
        ContextValue::Strings(names) => names.last().cloned(),
        _ => None,
    }
}
