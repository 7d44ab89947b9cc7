//! The mount table, and taking mounts down. Nothing here touches a path inside a mount.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::error::{Error, Kind, Result};

/// What the mount table calls our mounts, as type and as source. A kernel that drops the subtype shows `fuse` and the source.
const OUR_TYPE: &[u8] = b"fuse.fuzarr";
const OUR_SOURCE: &[u8] = b"fuzarr";

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Where.
    pub mountpoint: PathBuf,
    /// File system type, such as `fuse.fuzarr`.
    pub fs_type: Vec<u8>,
    /// What is mounted; for FUSE a name that the daemon chose.
    pub source: Vec<u8>,
    /// Who mounted it, for FUSE.
    pub user: Option<u32>,
}

impl MountEntry {
    fn is_ours(&self) -> bool {
        self.fs_type == OUR_TYPE || (self.fs_type == b"fuse" && self.source == OUR_SOURCE)
    }
}

/// The mount table of this process, bottom first.
///
/// # Errors
/// `Io` without `/proc`.
pub fn table() -> Result<Vec<MountEntry>> {
    let text = std::fs::read("/proc/self/mountinfo").map_err(|e| Error::io(&e, "/proc/self/mountinfo"))?;
    Ok(text.split(|b| *b == b'\n').filter_map(entry).collect())
}

/// `36 35 98:0 /root /mount\040point rw,noatime shared:1 - ext3 /dev/root rw`
fn entry(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|b| *b == b' ');
    let mountpoint = PathBuf::from(OsString::from_vec(unescape(fields.nth(4)?)));
    let mut fields = fields.skip_while(|f| *f != b"-");
    let fs_type = fields.nth(1)?.to_vec();
    let source = fields.next().unwrap_or_default().to_vec();
    let user = fields.next().and_then(|options| {
        let id = options.split(|b| *b == b',').find_map(|o| o.strip_prefix(b"user_id="))?;
        std::str::from_utf8(id).ok()?.parse().ok()
    });
    Some(MountEntry { mountpoint, fs_type, source, user })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|d| first == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        if let Some(digits) = digits {
            let value = digits.iter().fold(0u32, |n, d| n * 8 + u32::from(d - b'0'));
            out.push(value as u8);
            rest = &tail[3..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    out
}

/// The uppermost mount at exactly this place, if there is one.
///
/// # Errors
/// `Io` without `/proc`.
pub fn top_mount(mountpoint: &Path) -> Result<Option<MountEntry>> {
    Ok(table()?.into_iter().rfind(|e| e.mountpoint == mountpoint))
}

/// Is a mount of ours at this place (alive or dead)?
///
/// # Errors
/// `Io` without `/proc`.
pub fn is_ours(mountpoint: &Path) -> Result<bool> {
    Ok(top_mount(mountpoint)?.is_some_and(|e| e.is_ours()))
}

/// All mounts of ours that this user made; for root, those of everybody.
///
/// # Errors
/// `Io` without `/proc`.
pub fn mounts_of_user() -> Result<Vec<PathBuf>> {
    let uid = rustix::process::geteuid();
    let mine = |e: &MountEntry| e.is_ours() && (uid.is_root() || e.user == Some(uid.as_raw()));
    let mut places: Vec<PathBuf> = table()?.into_iter().filter(mine).map(|e| e.mountpoint).collect();
    places.sort();
    places.dedup();
    Ok(places)
}

/// What a mountpoint says when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// It answers.
    Alive,
    /// Its daemon is gone ("transport endpoint is not connected").
    Dead,
    /// No answer in time.
    Silent,
}

/// Asks a mount for its file system's totals, in a thread of its own: a hanging mount must not hang us. Unlike attributes,
/// these are never answered from the kernel's cache after the daemon has died.
pub fn pulse(mountpoint: &Path, patience: Duration) -> Pulse {
    let (tell, told) = mpsc::channel();
    let place = mountpoint.to_owned();
    let thread = std::thread::Builder::new().name("pulse".into()).spawn(move || {
        let answer = rustix::fs::statfs(&place);
        let _ = tell.send(!matches!(answer, Err(Errno::NOTCONN | Errno::CONNABORTED)));
    });
    let Ok(thread) = thread else { return Pulse::Silent };
    let Ok(alive) = told.recv_timeout(patience) else { return Pulse::Silent };
    // No thread is left behind where an answer came: the caller may fork.
    let _ = thread.join();
    if alive { Pulse::Alive } else { Pulse::Dead }
}

/// How a mount went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmount {
    /// It is gone.
    Done,
    /// Files in it are open.
    Busy,
}

/// Takes down the uppermost mount at a place, by the system call, or by `fusermount3` without the right to it.
/// `detach` takes it out of the tree at once even while it is busy.
///
/// # Errors
/// `Invalid` if nothing is mounted there, `AccessDenied` if it belongs to somebody else, `Io` for the rest.
pub fn unmount(mountpoint: &Path, detach: bool) -> Result<Unmount> {
    let flags = UnmountFlags::NOFOLLOW | if detach { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match rustix::mount::unmount(mountpoint, flags) {
        Ok(()) => Ok(Unmount::Done),
        Err(Errno::BUSY) => Ok(Unmount::Busy),
        Err(Errno::PERM) => by_helper(mountpoint, detach),
        Err(Errno::INVAL | Errno::NOENT) => {
            Err(Error::new(Kind::Invalid, "nothing is mounted there").in_file(mountpoint))
        }
        Err(e) => Err(Error::io(&e.into(), "unmount").in_file(mountpoint)),
    }
}

fn by_helper(mountpoint: &Path, detach: bool) -> Result<Unmount> {
    for program in ["fusermount3", "fusermount", "/bin/fusermount3", "/usr/bin/fusermount3"] {
        let mut command = Command::new(program);
        command.arg("-u").args(detach.then_some("-z")).arg("--").arg(mountpoint);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).env("LC_ALL", "C");
        let output = match command.output() {
            Ok(output) => output,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io(&e, program)),
        };
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return match output.status.success() {
            true => Ok(Unmount::Done),
            false if said.contains("busy") => Ok(Unmount::Busy),
            false => Err(Error::new(Kind::AccessDenied, said).in_file(mountpoint)),
        };
    }
    let what = "unmounting needs root or the program fusermount3 (package fuse3)";
    Err(Error::new(Kind::AccessDenied, what).in_file(mountpoint))
}

/// Takes a mount down, waiting while it is busy.
///
/// # Errors
/// As [`unmount`].
pub fn unmount_patiently(mountpoint: &Path, patience: Duration, mut give_up: impl FnMut() -> bool) -> Result<Unmount> {
    let end = Instant::now() + patience;
    loop {
        match unmount(mountpoint, false)? {
            Unmount::Busy if Instant::now() < end && !give_up() => std::thread::sleep(Duration::from_millis(50)),
            outcome => return Ok(outcome),
        }
    }
}

/// How many dead mounts of ours may lie over each other at one place.
const STACKED_MAX: usize = 16;

/// Clears mounts of ours whose daemon is gone; says how many there were.
///
/// # Errors
/// `Invalid` if a mount of ours lives there or does not answer, or it cannot be cleared.
pub fn clear_stale(mountpoint: &Path) -> Result<usize> {
    let refuse = |what: String| Err(Error::new(Kind::Invalid, what).in_file(mountpoint));
    let quoted = String::from_utf8_lossy(mountpoint.as_os_str().as_bytes()).into_owned();
    for cleared in 0..=STACKED_MAX {
        if !is_ours(mountpoint)? {
            return Ok(cleared);
        }
        match pulse(mountpoint, Duration::from_secs(5)) {
            Pulse::Dead => {
                unmount(mountpoint, true)?;
            }
            Pulse::Alive => {
                return refuse(format!("fuzarr is mounted here already; end it with 'fuzarr unmount {quoted}'"));
            }
            Pulse::Silent => {
                return refuse(format!(
                    "a fuzarr mount here does not answer; detach it with 'fuzarr unmount --lazy {quoted}'"
                ));
            }
        }
    }
    refuse("too many dead mounts lie over each other here".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_lines() {
        let e =
            entry(b"36 35 98:0 / /mnt/a\\040b\\134c rw,noatime shared:1 master:2 - fuse.fuzarr fuzarr ro,user_id=0")
                .unwrap();
        assert_eq!(e.mountpoint, Path::new("/mnt/a b\\c"));
        assert_eq!((e.fs_type.as_slice(), e.user), (OUR_TYPE, Some(0)));
        assert!(e.is_ours());
        assert!(entry(b"1 0 0:1 / /m rw - fuse fuzarr ro").unwrap().is_ours());
        assert!(!entry(b"1 0 0:1 / /m rw - fuse sshfs ro").unwrap().is_ours());
        let e = entry(b"1 0 0:1 / / rw - tmpfs tmpfs rw").unwrap();
        assert_eq!((e.mountpoint.as_path(), &e.fs_type[..]), (Path::new("/"), &b"tmpfs"[..]));
        assert_eq!(entry(b""), None);
        assert_eq!(entry(b"1 2 3"), None);
        assert_eq!(unescape(b"a\\9\\04"), b"a\\9\\04");
    }

    #[test]
    fn a_plain_folder_is_no_mount_and_answers() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(top_mount(folder.path()).unwrap(), None);
        assert_eq!(pulse(folder.path(), Duration::from_secs(5)), Pulse::Alive);
        assert_eq!(clear_stale(folder.path()).unwrap(), 0);
        assert_eq!(unmount(folder.path(), false).unwrap_err().kind(), Kind::Invalid);
    }
}
