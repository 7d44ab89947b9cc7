//! Answers in the kernel's words.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileType, Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus, ReplyXattr};

use crate::error::{Error, Kind, Result};
use crate::fs::{Attr, Sink};
use crate::tree::EntryKind;

/// The error number of a failed operation on names and handles.
///
/// A node of an old state of its source answers ESTALE: the kernel looks the whole path up again, past its caches, and only
/// a caller that holds on to the old directory sees it.
pub(super) fn name_errno(error: &Error) -> Errno {
    if error.kind() == Kind::Changed { Errno::ESTALE } else { errno(error) }
}

/// The error number of a failed read.
pub(super) fn errno(error: &Error) -> Errno {
    Errno::from_i32(error.errno())
}

fn time((seconds, nanoseconds): (i64, u32)) -> SystemTime {
    let nanoseconds = nanoseconds.min(999_999_999);
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    start.and_then(|t| t.checked_add(Duration::from_nanos(u64::from(nanoseconds)))).unwrap_or(UNIX_EPOCH)
}

pub(super) fn kind(kind: EntryKind) -> FileType {
    match kind {
        EntryKind::File => FileType::RegularFile,
        EntryKind::Directory => FileType::Directory,
        EntryKind::Link => FileType::Symlink,
        EntryKind::Pipe => FileType::NamedPipe,
        EntryKind::Socket => FileType::Socket,
        EntryKind::Character => FileType::CharDevice,
        EntryKind::Block => FileType::BlockDevice,
    }
}

pub(super) fn attr(of: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(of.id),
        size: of.size,
        blocks: 0,
        atime: time(of.atime),
        mtime: time(of.mtime),
        ctime: time(of.ctime),
        crtime: time(of.ctime),
        kind: kind(of.kind),
        perm: u16::try_from(of.mode & 0o777).unwrap_or(0),
        nlink: of.nlink,
        uid: of.uid,
        gid: of.gid,
        rdev: u32::try_from(of.rdev).unwrap_or(0),
        blksize: 128 << 10,
        flags: 0,
    }
}

/// Attributes that stand for "no such name": node 0, believed as long as an entry would be.
pub(super) fn absent() -> FileAttr {
    let nothing = (0, 0);
    let empty = Attr {
        id: 0,
        kind: EntryKind::File,
        mode: 0,
        uid: 0,
        gid: 0,
        size: 0,
        nlink: 0,
        rdev: 0,
        atime: nothing,
        mtime: nothing,
        ctime: nothing,
    };
    attr(&empty)
}

/// Answers a question for an attribute's value, or for its size.
pub(super) fn xattr(reply: ReplyXattr, size: u32, value: Result<Vec<u8>>) {
    match value {
        Err(e) => reply.error(name_errno(&e)),
        Ok(value) => match u32::try_from(value.len()) {
            Err(_) => reply.error(Errno::E2BIG),
            Ok(length) if size == 0 => reply.size(length),
            Ok(length) if length > size => reply.error(Errno::ERANGE),
            Ok(_) => reply.data(&value),
        },
    }
}

/// Entries of a directory on their way to the kernel.
pub(super) struct Entries(pub ReplyDirectory);

impl Sink for Entries {
    fn add(&mut self, id: u64, next: u64, of: EntryKind, name: &[u8]) -> bool {
        self.0.add(INodeNo(id), next, kind(of), OsStr::from_bytes(name))
    }

    fn done(self: Box<Self>, result: Result<()>) {
        match result {
            Ok(()) => self.0.ok(),
            Err(e) => self.0.error(name_errno(&e)),
        }
    }
}

/// Entries of a directory on their way to the kernel, with their attributes.
pub(super) struct LookedEntries(pub ReplyDirectoryPlus);

impl Sink for LookedEntries {
    fn add(&mut self, id: u64, next: u64, of: EntryKind, name: &[u8]) -> bool {
        // An entry without attributes should have node 0, but `fuser` makes that its inode number too, and programs take such
        // an entry for a deleted one. The kernel never believes that an entry is the root: it lists the name and keeps nothing
        // of it. `.` and `..` it lists only, whatever their node.
        let id = if matches!(name, b"." | b"..") { id } else { INodeNo::ROOT.0 };
        let named = FileAttr { ino: INodeNo(id), kind: kind(of), ..absent() };
        self.0.add(INodeNo(id), next, OsStr::from_bytes(name), &Duration::ZERO, &named, Generation(0))
    }

    fn add_looked(&mut self, found: &Attr, ttl: Duration, next: u64, name: &[u8]) -> bool {
        self.0.add(INodeNo(found.id), next, OsStr::from_bytes(name), &ttl, &attr(found), Generation(0))
    }

    fn done(self: Box<Self>, result: Result<()>) {
        match result {
            Ok(()) => self.0.ok(),
            Err(e) => self.0.error(name_errno(&e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_and_far_away() {
        assert_eq!(time((0, 5)), UNIX_EPOCH + Duration::from_nanos(5));
        assert_eq!(time((-1, 500_000_000)), UNIX_EPOCH - Duration::from_millis(500));
        let _ = (time((i64::MAX, u32::MAX)), time((i64::MIN, 0)));
    }

    #[test]
    fn an_old_state_is_stale_by_name_and_an_error_by_handle() {
        let changed = Error::new(Kind::Changed, "x");
        assert_eq!(i32::from(name_errno(&changed)), libc::ESTALE);
        assert_eq!(i32::from(errno(&changed)), libc::EIO);
    }
}
