//! Byte ranges of some files, put together: what was read to open them once is what will be read the next time.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Stands for the state of a file: whoever makes packs decides what that is.
pub type State = [u8; 16];

/// Files and ranges in a pack at most: what a damaged one may make us allocate.
const MOST: usize = 1 << 20;

/// Ranges of one file, sorted, apart from each other.
struct Part {
    path: PathBuf,
    state: State,
    /// Offset in the file, length, place in the bytes of the pack.
    ranges: Vec<(u64, u32, usize)>,
}

/// See the module.
pub struct Pack {
    bytes: Vec<u8>,
    parts: Vec<Part>,
    by_name: HashMap<(PathBuf, State), usize>,
}

/// Takes a slice apart from its beginning.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// A count of things that take at least `each` bytes of what is left.
    fn count(&mut self, each: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count <= MOST && count.checked_mul(each)? <= self.0.len()).then_some(count)
    }
}

impl Pack {
    /// From the bytes that [`PackBuilder::encoded`] gave; `None` if they are not such bytes.
    pub fn decode(bytes: Vec<u8>) -> Option<Pack> {
        let mut head = Cursor(&bytes);
        let mut parts = Vec::new();
        let mut place = 0usize;
        for _ in 0..head.count(24)? {
            let length = head.count(1)?;
            let path = PathBuf::from(OsStr::from_bytes(head.take(length)?));
            let state = head.take(16)?.try_into().ok()?;
            let mut ranges = Vec::new();
            let mut end = 0u64;
            for _ in 0..head.count(12)? {
                let (offset, length) = (head.u64()?, head.u32()?);
                if offset < end || length == 0 {
                    return None;
                }
                end = offset.checked_add(u64::from(length))?;
                ranges.push((offset, length, place));
                place = place.checked_add(usize::try_from(length).ok()?)?;
            }
            parts.push(Part { path, state, ranges });
        }
        let (held, start) = (head.0.len(), bytes.len() - head.0.len());
        if held != place {
            return None;
        }
        for part in &mut parts {
            part.ranges.iter_mut().for_each(|range| range.2 += start);
        }
        let by_name = parts.iter().enumerate().map(|(at, p)| ((p.path.clone(), p.state), at)).collect();
        Some(Pack { bytes, parts, by_name })
    }

    /// Where a file in this state stands; every range of a file in another state is worth nothing.
    pub(super) fn find(&self, path: &Path, state: &State) -> Option<usize> {
        self.by_name.get(&(path.to_owned(), *state)).copied()
    }

    /// Fills `buf` from `offset` of file `part`; false if not all of that is here.
    pub(super) fn read(&self, part: usize, offset: u64, buf: &mut [u8]) -> bool {
        let Some(part) = self.parts.get(part) else { return false };
        let after = part.ranges.partition_point(|r| r.0 <= offset);
        let Some((from, length, place)) = after.checked_sub(1).and_then(|at| part.ranges.get(at)) else {
            return buf.is_empty();
        };
        let skip = offset - from;
        let found = usize::try_from(skip).ok().filter(|s| s.saturating_add(buf.len()) <= *length as usize);
        let found = found.and_then(|skip| self.bytes.get(place + skip..place + skip + buf.len()));
        match found {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }

    /// Everything in it, to be put into another one.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (&Path, &State, u64, &[u8])> {
        self.parts.iter().flat_map(|part| {
            part.ranges.iter().filter_map(|(offset, length, place)| {
                let bytes = self.bytes.get(*place..place + *length as usize)?;
                Some((part.path.as_path(), &part.state, *offset, bytes))
            })
        })
    }
}

/// What was read of a file: where, and the bytes.
type Noted = Vec<(u64, Vec<u8>)>;

/// Makes a pack.
#[derive(Default)]
pub struct PackBuilder {
    parts: Vec<(PathBuf, State, Noted)>,
    by_name: HashMap<(PathBuf, State), usize>,
    bytes: u64,
    reads: u64,
}

impl PackBuilder {
    /// What a range costs beside its bytes, about.
    pub const RANGE: u64 = 64;

    /// The number of a file.
    pub fn file(&mut self, path: &Path, state: &State) -> usize {
        let next = self.parts.len();
        let number = *self.by_name.entry((path.to_owned(), *state)).or_insert(next);
        if number == next {
            self.parts.push((path.to_owned(), *state, Vec::new()));
        }
        number
    }

    /// Adds what was read of a file.
    pub fn add(&mut self, file: usize, offset: u64, bytes: &[u8]) {
        if let Some(part) = self.parts.get_mut(file).filter(|_| !bytes.is_empty()) {
            part.2.push((offset, bytes.to_vec()));
            self.bytes = self.bytes.saturating_add(bytes.len() as u64 + Self::RANGE);
            self.reads += 1;
        }
    }

    /// About what it holds, and how many ranges were added.
    pub fn cost(&self) -> (u64, u64) {
        (self.bytes, self.reads)
    }

    /// As bytes; `None` if it is too much.
    pub fn encoded(self) -> Option<Vec<u8>> {
        let count = |n: usize| u32::try_from(n).ok().filter(|n| *n as usize <= MOST).map(u32::to_le_bytes);
        let mut parts = self.parts;
        parts.retain(|p| !p.2.is_empty());
        let (mut head, mut body) = (Vec::new(), Vec::new());
        head.extend(count(parts.len())?);
        for (path, state, mut ranges) in parts {
            let path = path.as_os_str().as_bytes();
            head.extend(count(path.len())?);
            head.extend(path);
            head.extend(state);
            ranges.sort_unstable_by_key(|r| r.0);
            let mut merged: Vec<(u64, u32)> = Vec::new();
            for (offset, bytes) in ranges {
                let end = merged.last().map(|(from, length)| from + u64::from(*length));
                let (fresh, joins) = match end {
                    // What a range shares with the one before is there already.
                    Some(end) if offset <= end => {
                        (bytes.get(usize::try_from(end - offset).ok()?..).unwrap_or_default(), true)
                    }
                    _ => (&bytes[..], false),
                };
                body.extend_from_slice(fresh);
                let more = u32::try_from(fresh.len()).ok()?;
                match merged.last_mut().filter(|_| joins) {
                    Some(last) => last.1 = last.1.checked_add(more)?,
                    None => merged.push((offset, more)),
                }
            }
            head.extend(count(merged.len())?);
            for (offset, length) in merged {
                head.extend(offset.to_le_bytes());
                head.extend(length.to_le_bytes());
            }
        }
        head.append(&mut body);
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: State = [1; 16];

    fn pack(ranges: &[(u64, &[u8])]) -> Vec<u8> {
        let mut builder = PackBuilder::default();
        let file = builder.file(Path::new("a"), &A);
        ranges.iter().for_each(|(offset, bytes)| builder.add(file, *offset, bytes));
        builder.encoded().unwrap()
    }

    #[test]
    fn ranges_are_joined_and_served_from_anywhere_inside() {
        let bytes = pack(&[(10, b"klmn"), (0, b"abc"), (12, b"mnop"), (3, b"d"), (11, b"l")]);
        let pack = Pack::decode(bytes).unwrap();
        let file = pack.find(Path::new("a"), &A).unwrap();
        assert!(pack.find(Path::new("a"), &[2; 16]).is_none() && pack.find(Path::new("b"), &A).is_none());
        let read = |offset, length: usize| {
            let mut buf = vec![0; length];
            pack.read(file, offset, &mut buf).then_some(buf)
        };
        assert_eq!(read(0, 4).unwrap(), b"abcd");
        assert_eq!(read(10, 6).unwrap(), b"klmnop");
        assert_eq!(read(13, 2).unwrap(), b"no");
        assert_eq!([read(0, 5), read(4, 1), read(9, 2), read(10, 7), read(u64::MAX, 2)], [const { None }; 5]);
        assert_eq!(pack.ranges().map(|r| (r.2, r.3.len())).collect::<Vec<_>>(), [(0, 4), (10, 6)]);
    }

    #[test]
    fn whatever_is_changed_it_is_refused_or_stays_within_its_bytes() {
        let whole = pack(&[(10, b"klmn"), (0, b"abc")]);
        for at in 0..whole.len() {
            assert!(Pack::decode(whole[..at].to_vec()).is_none(), "cut at {at}");
            for flip in [1u8, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                if let Some(pack) = Pack::decode(bytes) {
                    for offset in [0, 1, 10, 1 << 40, u64::MAX - 3] {
                        pack.read(0, offset, &mut [0; 4]);
                    }
                    assert!(pack.ranges().map(|r| r.3.len()).sum::<usize>() <= whole.len());
                }
            }
        }
    }
}
