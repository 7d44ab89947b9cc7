//! Attributes of nodes.

use rustix::fs::StatVfs;

use crate::tree::{EntryKind, Facts, Rights};

/// What `stat` shows of a node. No blocks: virtual bytes take no space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Attr {
    pub id: u64,
    pub kind: EntryKind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub nlink: u32,
    pub rdev: u64,
    pub atime: (i64, u32),
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
}

impl Attr {
    /// Of a source entry shown as it is. A directory has more subdirectories here than at the source, so its link count is
    /// 1, which stands for "not counted".
    pub(super) fn mirror(id: u64, kind: EntryKind, facts: &Facts) -> Self {
        let directory = kind == EntryKind::Directory;
        Attr {
            id,
            kind,
            mode: if kind == EntryKind::Link { 0o777 } else { facts.rights.mode },
            uid: facts.rights.uid,
            gid: facts.rights.gid,
            size: if directory { 0 } else { facts.size },
            nlink: if directory { 1 } else { facts.nlink },
            rdev: facts.rdev,
            atime: facts.atime,
            mtime: facts.mtime,
            ctime: facts.ctime,
        }
    }

    /// Of a virtual directory.
    pub(super) fn directory(id: u64, rights: Rights, facts: &Facts, nlink: u32) -> Self {
        let mirror = Attr::mirror(id, EntryKind::Directory, facts);
        Attr { mode: rights.directory(), uid: rights.uid, gid: rights.gid, nlink, rdev: 0, ..mirror }
    }

    /// Of a document or a chunk.
    pub(super) fn file(id: u64, rights: Rights, facts: &Facts, size: u64) -> Self {
        let mirror = Attr::mirror(id, EntryKind::File, facts);
        Attr { mode: rights.file(), uid: rights.uid, gid: rights.gid, size, nlink: 1, rdev: 0, ..mirror }
    }
}

/// Space of a file system, as `statfs` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Space {
    pub blocks: u64,
    pub free: u64,
    pub available: u64,
    pub files: u64,
    pub files_free: u64,
    pub block_size: u32,
    pub fragment_size: u32,
}

impl Space {
    pub(super) fn of(space: &StatVfs) -> Self {
        let small = |n: u64| u32::try_from(n).unwrap_or(4096);
        Space {
            blocks: space.f_blocks,
            free: space.f_bfree,
            available: space.f_bavail,
            files: space.f_files,
            files_free: space.f_ffree,
            block_size: small(space.f_bsize),
            fragment_size: small(space.f_frsize),
        }
    }
}
