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

    /// Modified at that time if not later.
    pub(super) fn not_before(self, time: Option<(i64, u32)>) -> Self {
        Attr { mtime: time.map_or(self.mtime, |time| time.max(self.mtime)), ..self }
    }

    /// With the first moment of the year (UTC) for every time.
    pub(super) fn by_year(self) -> Self {
        let cut = |(seconds, _): (i64, u32)| (year_start(seconds), 0);
        Attr { atime: cut(self.atime), mtime: cut(self.mtime), ctime: cut(self.ctime), ..self }
    }

    /// Of a document or a chunk.
    pub(super) fn file(id: u64, rights: Rights, facts: &Facts, size: u64) -> Self {
        let mirror = Attr::mirror(id, EntryKind::File, facts);
        Attr { mode: rights.file(), uid: rights.uid, gid: rights.gid, size, nlink: 1, rdev: 0, ..mirror }
    }
}

/// Seconds since 1970 at which the year of a moment began, in the Gregorian calendar.
fn year_start(seconds: i64) -> i64 {
    const ERA_DAYS: i64 = 146_097;
    let days = seconds.div_euclid(86_400).saturating_add(719_468);
    // Years that begin in March have the leap day at their end.
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let of_400 = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_400 + of_400 / 4 - of_400 / 100);
    // January and February, from day 306 on, belong to the next year.
    let year = era * 400 + of_400 + i64::from(of_year >= 306);
    let before = year - 1;
    let start = 365 * before + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162;
    start.saturating_mul(86_400)
}

#[cfg(test)]
mod tests {
    use super::year_start;

    #[test]
    fn years_begin_in_january() {
        for (seconds, start) in [
            (0, 0),
            (-1, -31_536_000),
            (951_868_799, 946_684_800),
            (946_684_799, 915_148_800),
            (946_684_800, 946_684_800),
            (1_709_251_200, 1_704_067_200),
            (1_735_689_599, 1_704_067_200),
            (1_735_689_600, 1_735_689_600),
        ] {
            assert_eq!(year_start(seconds), start, "{seconds}");
        }
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
