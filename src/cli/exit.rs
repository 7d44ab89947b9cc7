//! Exit codes. They are part of the interface: the man page lists them, tests hold them.

use std::fmt::Display;

use crate::error::{Error, Kind};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `status`: every mount asked about is healthy.
    Success,
    /// It failed.
    Failure,
    /// A wrong option, argument, environment variable or configuration file.
    Usage,
    /// `inspect`: the file is not readable as an image (unsupported, malformed, truncated) or has damaged parts.
    /// `validate`: there are errors. `catalog`, `warm`: a file cannot be read.
    BadFile,
    /// `status`: nothing of ours is mounted there.
    NotMounted,
    /// `status`: mounted, but the daemon does not answer, or part of the source is stuck.
    Unhealthy,
}

/// The table in the man page; the order is that of the codes.
pub const TABLE: &[(Exit, &str)] = &[
    (Exit::Success, "Success. For status: every mount asked about is healthy."),
    (Exit::Failure, "Failure; one line on standard error says why."),
    (Exit::Usage, "Wrong option, argument, environment variable or configuration file."),
    (
        Exit::BadFile,
        "inspect: the file cannot be read as an image, or --verify found damaged parts; validate: errors were \
         found; catalog, warm: a file cannot be read as an image.",
    ),
    (Exit::NotMounted, "status: nothing of fuzarr is mounted there."),
    (Exit::Unhealthy, "status: mounted, but the daemon does not answer or part of the source is stuck."),
];

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::BadFile => 3,
            Exit::NotMounted => 4,
            Exit::Unhealthy => 5,
        }
    }

    /// The one with this number; anything unknown is a failure.
    pub fn from_code(code: u8) -> Self {
        TABLE.iter().map(|(exit, _)| *exit).find(|exit| exit.code() == code).unwrap_or(Exit::Failure)
    }
}

/// Why a subcommand ends without having done its work: one line for standard error, and an exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong, where, and what to do about it. One line.
    pub message: String,
}

impl Failure {
    /// A failure while running.
    pub fn new(message: impl Display) -> Self {
        Failure { exit: Exit::Failure, message: message.to_string() }
    }

    /// A mistake in how the program was called or configured.
    pub fn usage(message: impl Display) -> Self {
        Failure { exit: Exit::Usage, message: message.to_string() }
    }

    /// Writes the line and gives the exit code.
    pub fn print(&self) -> u8 {
        eprintln!("fuzarr: {}", one_line(&self.message));
        self.exit.code()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.kind() {
            Kind::Unsupported | Kind::Malformed | Kind::Truncated | Kind::OverLimit => Exit::BadFile,
            _ => Exit::Failure,
        };
        Failure { exit, message: error.to_string() }
    }
}

/// Control characters would let a file name or a damaged tag write its own lines, or colours, into a terminal or a log.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_complete_and_in_order() {
        for (n, (exit, _)) in TABLE.iter().enumerate() {
            assert_eq!(usize::from(exit.code()), n);
            assert_eq!(Exit::from_code(exit.code()), *exit);
        }
        assert_eq!(Exit::from_code(200), Exit::Failure);
    }

    #[test]
    fn messages_stay_on_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[31m\n"), "a b [31m");
    }
}
