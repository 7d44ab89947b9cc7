//! Starting and ending the processes of helpers.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::sync::{AtomicU64, Mutex, OnceLock, Ordering, lock};

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says which program has the `helper` subcommand: `/proc/self/exe` where this is that program itself. The first to say it is
/// right; until then no helper can be started.
pub fn use_program(path: impl Into<PathBuf>) {
    let _ = PROGRAM.set(path.into());
}

/// Folders of helpers that run.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes the folders of helpers that end together with this process. Call it last.
pub fn tidy() {
    for folder in std::mem::take(&mut *lock(&FOLDERS)) {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// A folder of a helper's own, which goes with it.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty folder for nobody else, in the folder for temporary files.
    ///
    /// # Errors
    /// `Io`.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut tries = 0;
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("fuzarr-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    lock(&FOLDERS).push(path.clone());
                    return Ok(Scratch(path));
                }
                // Left behind by a process of the same number.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tries < 1000 => tries += 1,
                Err(e) => return Err(Error::io(&e, "no folder for a helper process")),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        lock(&FOLDERS).retain(|folder| *folder != self.0);
    }
}

/// A running helper, ended when it is dropped.
pub(super) struct Process {
    child: Option<Child>,
    scratch: Option<Scratch>,
    pub socket: UnixStream,
}

/// Work of the one thread that starts and buries helpers.
enum Job {
    Start(Command, Sender<io::Result<Child>>),
    End(Child, Option<Scratch>),
}

impl Process {
    /// Starts `program helper arguments...`. Its standard input is the socket; output goes nowhere.
    pub fn start(arguments: &[OsString]) -> Result<Self> {
        let failed = |e: io::Error| Error::io(&e, "a helper process cannot be started");
        let program = PROGRAM.get().ok_or_else(|| {
            Error::new(Kind::Internal, "a helper process cannot be started: this program is not the one that has it")
        })?;
        let (near, far) = UnixStream::pair().map_err(failed)?;
        near.set_read_timeout(Some(super::wire::TURN)).map_err(failed)?;
        near.set_write_timeout(Some(super::wire::TURN)).map_err(failed)?;
        let scratch = Scratch::new()?;
        let mut command = Command::new(program);
        command.arg0("fuzarr").arg("helper").arg("--parent").arg(std::process::id().to_string());
        command.arg("--scratch").arg(scratch.path());
        // Locale and path decide how names of files are understood; nothing else of the caller's is any business of a helper.
        command.args(arguments).env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin").current_dir("/");
        command.stdin(OwnedFd::from(far)).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let (tell, told) = channel();
        undertaker(Job::Start(command, tell))?;
        let child = told.recv().map_err(|_| Error::new(Kind::Internal, "helper processes cannot be started"))?;
        Ok(Process { child: Some(child.map_err(failed)?), scratch: Some(scratch), socket: near })
    }

    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Has it closed its end, or said something that nobody asked for?
    pub fn is_ruined(&self) -> bool {
        let mut fds = [rustix::event::PollFd::new(&self.socket, rustix::event::PollFlags::IN)];
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        !matches!(rustix::event::poll(&mut fds, Some(&at_once)), Ok(0))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = undertaker(Job::End(child, self.scratch.take()));
        }
    }
}

/// Hands a job to the thread that lives as long as this process. The kernel ends a helper with the *thread* that started it
/// (`PR_SET_PDEATHSIG`), and threads that read images come and go.
fn undertaker(job: Job) -> Result<()> {
    static THREAD: OnceLock<Option<Mutex<Sender<Job>>>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| {
        let (send, jobs) = channel();
        let started = std::thread::Builder::new().name("helpers".into()).spawn(move || attend(&jobs));
        started.is_ok().then(|| Mutex::new(send))
    });
    let sent = thread.as_ref().is_some_and(|send| lock(send).send(job).is_ok());
    if sent { Ok(()) } else { Err(Error::new(Kind::Io, "no thread that starts helper processes")) }
}

fn attend(jobs: &Receiver<Job>) {
    let mut dying: Vec<(Child, Option<Scratch>)> = Vec::new();
    loop {
        // One that hangs in the kernel, on a dead file server, holds up nobody.
        dying.retain_mut(|(child, _)| matches!(child.try_wait(), Ok(None)));
        let job = match dying.is_empty() {
            true => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => jobs.recv_timeout(Duration::from_millis(50)),
        };
        match job {
            Ok(Job::Start(mut command, tell)) => drop(tell.send(command.spawn())),
            Ok(Job::End(child, scratch)) => dying.push((child, scratch)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// A number that grows while a process computes or reads: hundredths of a second, and bytes.
pub(super) fn effort(id: u32) -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<u64>().ok()).sum();
    let io = std::fs::read_to_string(format!("/proc/{id}/io")).unwrap_or_default();
    let read = io.lines().find_map(|l| l.strip_prefix("rchar: ")?.trim().parse().ok()).unwrap_or(0);
    Some((ticks, read))
}
