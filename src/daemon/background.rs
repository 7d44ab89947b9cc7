//! Going to the background: a child that serves, and a parent that stays until it does.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::mounts::{self, Pulse};
use crate::error::{Error, Kind, Result};

/// How long the parent waits for the child to serve.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long the fresh mount may take to answer its first question.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(15);

/// Which of the two processes this is.
pub enum Side {
    /// The one that was called.
    Parent(Parent),
    /// The one that serves.
    Daemon(Reporter),
}

/// The parent's view of the child.
pub struct Parent {
    child: libc::pid_t,
    pipe: File,
}

/// The child's way to tell the parent.
pub struct Reporter(File);

/// Splits the process. Call it while there is one thread only.
///
/// # Errors
/// `Io` if there can be no further process.
pub fn split() -> Result<Side> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|e| Error::io(&e.into(), "pipe to the daemon"))?;
    // SAFETY: no other thread exists, so no lock is held by one that is missing in the child; the child goes on in
    // ordinary Rust code and never returns into a frame of the parent's.
    match unsafe { libc::fork() } {
        -1 => Err(Error::io(&std::io::Error::last_os_error(), "fork")),
        0 => {
            drop(read);
            Ok(Side::Daemon(Reporter(write.into())))
        }
        child => {
            drop(write);
            Ok(Side::Parent(Parent { child, pipe: read.into() }))
        }
    }
}

impl Parent {
    /// Waits until the mount serves, or passes on why it does not.
    ///
    /// # Errors
    /// The child's own, or `Stuck` if it says nothing.
    pub fn wait(self, mountpoint: &Path, log: &Path) -> Result<()> {
        let (tell, told) = mpsc::channel();
        let mut pipe = self.pipe;
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = pipe.read_to_string(&mut text);
            let _ = tell.send(text);
        });
        let see = format!("see {}", log.display());
        let Ok(text) = told.recv_timeout(READY_MAX) else {
            // SAFETY: `kill` has no memory effects, and the child is ours and not yet waited for.
            unsafe { libc::kill(self.child, libc::SIGTERM) };
            return Err(Error::new(Kind::Stuck, format!("the daemon was not ready within a minute; {see}")));
        };
        match text.split_once(' ') {
            Some(("ready", _)) => {}
            Some(("failed", why)) => return Err(Error::new(Kind::Invalid, why)),
            _ => return Err(Error::new(Kind::Internal, format!("the daemon ended before it served; {see}"))),
        }
        let answers = mounts::pulse(mountpoint, FIRST_ANSWER_MAX) == Pulse::Alive;
        if !answers || !mounts::is_ours(mountpoint)? {
            return Err(Error::new(Kind::Stuck, format!("the mount does not answer; {see}")).in_file(mountpoint));
        }
        Ok(())
    }
}

impl Reporter {
    /// Leaves the terminal: own session, root as working directory, standard input and output to nowhere, standard error
    /// to `errors`.
    ///
    /// # Errors
    /// `Io`.
    pub fn detach(&self, errors: &Path) -> Result<()> {
        let fail = |e: std::io::Error, what: &str| Error::io(&e, what);
        rustix::process::setsid().map_err(|e| fail(e.into(), "setsid"))?;
        std::env::set_current_dir("/").map_err(|e| fail(e, "chdir"))?;
        let null: OwnedFd =
            File::options().read(true).write(true).open("/dev/null").map_err(|e| fail(e, "/dev/null"))?.into();
        let log: OwnedFd = File::options().append(true).open(errors).map_err(|e| fail(e, "log file"))?.into();
        rustix::stdio::dup2_stdin(&null).map_err(|e| fail(e.into(), "standard input"))?;
        rustix::stdio::dup2_stdout(&null).map_err(|e| fail(e.into(), "standard output"))?;
        rustix::stdio::dup2_stderr(&log).map_err(|e| fail(e.into(), "standard error"))?;
        Ok(())
    }

    /// The mount serves.
    pub fn ready(mut self) {
        let _ = self.0.write_all(b"ready now");
    }

    /// It never will.
    pub fn failed(mut self, why: &Error) {
        let why = match why.file() {
            Some(file) => format!("{}: {}", file.display(), why.what()),
            None => why.what().to_owned(),
        };
        let _ = self.0.write_all(format!("failed {why}").as_bytes());
    }
}
