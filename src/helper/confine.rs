//! What a helper gives up before it sees a request.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::error::{Error, Kind, Result};

/// What is left to a helper.
#[derive(Debug, Default)]
pub struct Confinement {
    /// Process that started it.
    pub parent: u32,
    /// Folders and files that it may read.
    pub readable: Vec<PathBuf>,
    /// Folder in which it may write.
    pub writable: Option<PathBuf>,
    /// Bytes of memory of its own.
    pub memory: Option<u64>,
    /// Bytes of a file that it writes.
    pub file: u64,
}

/// Confines this process. Call it before there is a second thread.
///
/// Rights on files are taken away where the kernel has Landlock (5.13, if built in); limits of memory and files, and the end
/// together with the parent, always.
///
/// # Errors
/// `Io` if the parent is gone already.
pub fn confine(to: &Confinement) -> Result<()> {
    let failed = |e: rustix::io::Errno| Error::io(&e.into(), "a helper cannot be confined");
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(failed)?;
    let parent = rustix::process::getppid().map_or(0, |id| id.as_raw_nonzero().get());
    if i64::from(parent) != i64::from(to.parent) {
        return Err(Error::new(Kind::Io, "the parent of a helper is gone"));
    }
    // SAFETY: this process is new and has opened nothing above 2 itself; what is there was inherited and has no owner here.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    let limit = |what, bytes| {
        let _ = setrlimit(what, Rlimit { current: Some(bytes), maximum: Some(bytes) });
    };
    limit(Resource::Core, 0);
    limit(Resource::Fsize, to.file);
    if let Some(bytes) = to.memory {
        limit(Resource::Data, bytes);
    }
    rustix::thread::set_no_new_privs(true).map_err(failed)?;
    landlock(to);
    Ok(())
}

// linux/landlock.h
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// All rights of the first version: those above, remove, and make entries of any kind.
const FIRST: u64 = (1 << 13) - 1;
/// Remove and make folders, files and links.
const MAKE: u64 = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 12;
const TRUNCATE: u64 = 1 << 14;
/// TCP: bind, connect (version 4).
const NETWORK: u64 = 3;
const RULE_PATH_BENEATH: libc::c_int = 1;

#[repr(C)]
struct Ruleset {
    files: u64,
    network: u64,
}

#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// Does what the kernel can; an old one leaves the helper with the rights of the daemon on files.
fn landlock(to: &Confinement) {
    // SAFETY: asks for the version; no memory is passed.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, 1_u32) };
    if version < 1 {
        return;
    }
    let files = FIRST | if version >= 3 { TRUNCATE } else { 0 };
    let rules = Ruleset { files, network: if version >= 4 { NETWORK } else { 0 } };
    let size: usize = if version >= 4 { 16 } else { 8 };
    // SAFETY: the structure lives through the call, and `size` bytes of it are there.
    let fd = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const rules, size, 0_u32) };
    let Ok(fd) = libc::c_int::try_from(fd) else { return };
    if fd < 0 {
        return;
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let set = unsafe { OwnedFd::from_raw_fd(fd) };
    for path in &to.readable {
        allow(&set, path, READ_FILE | READ_DIR | EXECUTE);
    }
    if let Some(path) = &to.writable {
        allow(&set, path, READ_FILE | READ_DIR | WRITE_FILE | MAKE | (files & TRUNCATE));
    }
    allow(&set, Path::new("/dev/null"), READ_FILE | WRITE_FILE);
    // SAFETY: a descriptor that is open and a flag.
    unsafe { libc::syscall(libc::SYS_landlock_restrict_self, set.as_raw_fd(), 0_u32) };
}

/// Allows something below a path, if it is there.
fn allow(set: &OwnedFd, path: &Path, rights: u64) {
    if CString::new(path.as_os_str().as_bytes()).is_err() {
        return;
    }
    let opened = File::options().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path);
    let Ok(file) = opened else { return };
    let folder = file.metadata().is_ok_and(|m| m.is_dir());
    let allowed = if folder { rights } else { rights & (READ_FILE | WRITE_FILE | EXECUTE | TRUNCATE) };
    let rule = PathBeneath { allowed, parent: file.as_raw_fd() };
    // SAFETY: the structure lives through the call and has the form of the kernel's; `file` is open.
    unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, set.as_raw_fd(), RULE_PATH_BENEATH, &raw const rule, 0_u32);
    }
}
