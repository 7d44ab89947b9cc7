//! Who may read what: source modes carried over so that the mount never shows more than the source.
//!
//! The kernel checks the modes reported here (`default_permissions`). Whatever a mode cannot say is denied.

use rustix::fs::Stat;

/// What an access control list takes away from the mode bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Acl {
    /// Bits of the group class that remain.
    group: u32,
    /// Bits of the other class that remain.
    other: u32,
}

impl Acl {
    /// No list: the mode says it all.
    pub const NONE: Acl = Acl { group: 7, other: 7 };
    /// A list that cannot be expressed: group and others are denied.
    pub const OPAQUE: Acl = Acl { group: 0, other: 0 };

    /// From the value of `system.posix_acl_access`.
    ///
    /// With a list the group bits of the mode are its mask, which is wider than what the owning group has: they are
    /// cleared. A named user or group would be judged by the other bits here, so these keep only what every named entry has.
    pub fn posix(value: &[u8]) -> Acl {
        const USER: u16 = 0x02;
        const GROUP: u16 = 0x08;
        const MASK: u16 = 0x10;
        let Some(entries) = value.strip_prefix(&2u32.to_le_bytes()) else { return Acl::OPAQUE };
        if entries.len() % 8 != 0 {
            return Acl::OPAQUE;
        }
        let parsed = entries
            .chunks_exact(8)
            .map(|e| (u16::from_le_bytes([e[0], e[1]]), u32::from(u16::from_le_bytes([e[2], e[3]]))));
        let mask = parsed.clone().find(|(tag, _)| *tag == MASK).map_or(7, |(_, bits)| bits);
        let named = parsed.clone().filter(|(tag, _)| matches!(*tag, USER | GROUP));
        if named.clone().next().is_none() && !parsed.clone().any(|(tag, _)| tag == MASK) {
            return Acl::NONE;
        }
        Acl { group: 0, other: named.fold(7, |other, (_, bits)| other & bits & mask) }
    }
}

/// Permission bits and owner of a source entry, after its access control list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rights {
    /// The nine permission bits, none that writes.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Rights {
    /// Of a source entry.
    pub fn of(stat: &Stat, acl: Acl) -> Self {
        let keep = 0o500 | (acl.group << 3) | acl.other;
        Rights { mode: stat.st_mode & keep & 0o555, uid: stat.st_uid, gid: stat.st_gid }
    }

    /// Mode of the virtual directory of a file: each r copied to x.
    pub fn directory(self) -> u32 {
        let read = self.mode & 0o444;
        read | (read >> 2)
    }

    /// Mode of documents and chunks: the r bits alone.
    pub fn file(self) -> u32 {
        self.mode & 0o444
    }

    /// The same owner with the search bits in the place of the read bits: for a directory that must be passed.
    pub fn search(self) -> Rights {
        Rights { mode: (self.mode & 0o111) << 2, ..self }
    }

    /// Read rights of those who may read both `self` and `other`, said with the owner of `self`. Who belongs to which
    /// group is not known here, so a class keeps its bit only if everyone it can hold has it in `other` too.
    #[must_use]
    pub fn and(self, other: Rights) -> Rights {
        let has = |bit: u32| other.mode & bit != 0;
        let (owner, group, rest) = (has(0o400), has(0o040), has(0o004));
        let (same_user, same_group) = (self.uid == other.uid, self.gid == other.gid);
        let for_owner = if same_user { owner } else { group && rest };
        let for_group = (same_user || owner) && group && (same_group || rest);
        let for_rest = (same_user || owner) && (same_group || group) && rest;
        let keep = [(for_owner, 0o700), (for_group, 0o070), (for_rest, 0o007)];
        let keep = keep.iter().filter(|(has, _)| *has).fold(0, |bits, (_, class)| bits | class);
        Rights { mode: self.mode & keep, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(mode: u32, uid: u32, gid: u32) -> Rights {
        Rights { mode, uid, gid }
    }

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = 2u32.to_le_bytes().to_vec();
        for (tag, bits, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(bits.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    #[test]
    fn read_becomes_search_and_nothing_writes() {
        let r = rights(0o640 & 0o555, 1, 1);
        assert_eq!(r.directory(), 0o550);
        assert_eq!(r.file(), 0o440);
        assert_eq!(rights(0o111, 1, 1).directory(), 0);
        assert_eq!(rights(0o555, 1, 1).file(), 0o444);
    }

    #[test]
    fn a_list_never_widens() {
        let (owner, user, owning, group, mask, other) = (1, 2, 4, 8, 16, 32);
        let one_more = list(&[(owner, 6, 0), (user, 4, 7), (owning, 0, 0), (mask, 4, 0), (other, 0, 0)]);
        assert_eq!(Acl::posix(&one_more), Acl { group: 0, other: 4 });
        let one_less = list(&[(owner, 6, 0), (user, 0, 7), (owning, 4, 0), (mask, 4, 0), (other, 4, 0)]);
        assert_eq!(Acl::posix(&one_less), Acl { group: 0, other: 0 });
        let masked = list(&[(owner, 6, 0), (group, 4, 7), (owning, 4, 0), (mask, 0, 0), (other, 4, 0)]);
        assert_eq!(Acl::posix(&masked), Acl { group: 0, other: 0 });
        let minimal = list(&[(owner, 6, 0), (owning, 4, 0), (other, 4, 0)]);
        assert_eq!(Acl::posix(&minimal), Acl::NONE);
        assert_eq!(Acl::posix(b"\x03\0\0\0"), Acl::OPAQUE);
        assert_eq!(Acl::posix(b""), Acl::OPAQUE);
        assert_eq!(Acl::posix(b"\x02\0\0\0abc"), Acl::OPAQUE);
    }

    #[test]
    fn two_files_are_readable_where_both_are() {
        let public = rights(0o444, 1, 1);
        assert_eq!(public.and(rights(0o440, 1, 1)).mode, 0o440);
        assert_eq!(public.and(rights(0o444, 2, 2)).mode, 0o444);
        // A private file of another: nobody but its owner, who has no class of his own here.
        assert_eq!(public.and(rights(0o400, 2, 2)).mode, 0);
        assert_eq!(public.and(rights(0o440, 2, 1)).mode, 0o040);
        assert_eq!(public.and(rights(0o440, 1, 2)).mode, 0o400);
        // The other file shuts out its own group: anyone here may belong to it.
        assert_eq!(public.and(rights(0o404, 2, 2)).mode, 0);
    }

    /// Every pair of modes and owners against a model that asks for each person.
    #[test]
    fn nobody_gains_by_an_intersection() {
        let may = |r: Rights, uid: u32, groups: &[u32]| {
            let class = if uid == r.uid {
                6
            } else if groups.contains(&r.gid) {
                3
            } else {
                0
            };
            r.mode >> class & 4 != 0
        };
        let people: [(u32, &[u32]); 8] =
            [(1, &[1]), (1, &[1, 2]), (2, &[2]), (2, &[1, 2]), (3, &[1]), (3, &[2]), (3, &[1, 2]), (3, &[])];
        let modes = [0, 0o400, 0o040, 0o004, 0o440, 0o404, 0o044, 0o444];
        for (a, b) in modes.iter().flat_map(|a| modes.iter().map(move |b| (*a, *b))) {
            for (uid, gid) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
                let (one, two) = (rights(a, 1, 1), rights(b, uid, gid));
                let both = one.and(two);
                for (who, groups) in people {
                    if may(both, who, groups) {
                        assert!(
                            may(one, who, groups) && may(two, who, groups),
                            "{a:o} {b:o} {uid}:{gid} {who} {groups:?}"
                        );
                    }
                }
            }
        }
    }
}
