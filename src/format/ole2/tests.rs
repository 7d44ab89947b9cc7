//! Compound files written here, read and damaged.

use super::*;
use crate::io::MemoryFile;

/// Entries of a level of the tree: streams with their bytes, storages with their entries.
pub(crate) enum Node {
    Stream(&'static str, Vec<u8>),
    Storage(&'static str, Vec<Node>),
}

struct Writer {
    sector: usize,
    sectors: Vec<Vec<u8>>,
    next: Vec<u32>,
    small: Vec<u8>,
    small_next: Vec<u32>,
    entries: Vec<Vec<u8>>,
}

impl Writer {
    /// Puts bytes into sectors, every second one of them behind the others, so that chains have gaps.
    fn put(&mut self, bytes: &[u8]) -> u32 {
        let parts: Vec<&[u8]> = bytes.chunks(self.sector).collect();
        let base = self.sectors.len();
        let half = parts.len().div_ceil(2);
        let place = |i: usize| (base + if i.is_multiple_of(2) { i / 2 } else { half + i / 2 }) as u32;
        self.sectors.resize(base + parts.len(), Vec::new());
        self.next.resize(base + parts.len(), 0);
        for (i, part) in parts.iter().enumerate() {
            let mut whole = part.to_vec();
            whole.resize(self.sector, 0xee);
            self.sectors[place(i) as usize] = whole;
            self.next[place(i) as usize] = if i + 1 < parts.len() { place(i + 1) } else { header::END };
        }
        if parts.is_empty() { header::END } else { base as u32 }
    }

    fn entry(&mut self, name: &str, kind: u8) -> usize {
        let mut bytes = vec![0; 128];
        for (at, unit) in name.encode_utf16().enumerate() {
            bytes[2 * at..2 * at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        bytes[0x40] = (2 * name.encode_utf16().count() + 2) as u8;
        bytes[0x42] = kind;
        for at in [0x44, 0x48, 0x4c] {
            bytes[at..at + 4].fill(0xff);
        }
        self.entries.push(bytes);
        self.entries.len() - 1
    }

    fn set(&mut self, entry: usize, at: usize, value: u32) {
        self.entries[entry][at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// A chain of right siblings is a tree, if not a balanced one.
    fn children(&mut self, parent: usize, nodes: Vec<Node>) {
        let mut last = (parent, 0x4c);
        for node in nodes {
            let entry = match node {
                Node::Stream(name, bytes) => {
                    let entry = self.entry(name, 2);
                    let start = if bytes.len() >= 4096 { self.put(&bytes) } else { self.put_small(&bytes) };
                    self.set(entry, 0x74, start);
                    self.set(entry, 0x78, bytes.len() as u32);
                    entry
                }
                Node::Storage(name, inside) => {
                    let entry = self.entry(name, 1);
                    self.children(entry, inside);
                    entry
                }
            };
            self.set(last.0, last.1, entry as u32);
            last = (entry, 0x48);
        }
    }

    fn put_small(&mut self, bytes: &[u8]) -> u32 {
        let (first, count) = (self.small_next.len(), bytes.len().div_ceil(64));
        for i in 0..count {
            self.small_next.push(if i + 1 < count { (first + i + 1) as u32 } else { header::END });
        }
        self.small.extend(bytes);
        self.small.resize((first + count) * 64, 0xdd);
        if count == 0 { header::END } else { first as u32 }
    }
}

/// Writes a compound file of version 3 or 4.
pub(crate) fn write(version: u16, nodes: Vec<Node>) -> Vec<u8> {
    let sector = if version == 4 { 4096 } else { 512 };
    let mut w = Writer {
        sector,
        sectors: Vec::new(),
        next: Vec::new(),
        small: Vec::new(),
        small_next: Vec::new(),
        entries: Vec::new(),
    };
    let root = w.entry("Root Entry", 5);
    w.children(root, nodes);
    let small = std::mem::take(&mut w.small);
    let start = w.put(&small);
    w.set(root, 0x74, start);
    w.set(root, 0x78, small.len() as u32);
    let table: Vec<u8> = w.small_next.iter().flat_map(|n| n.to_le_bytes()).collect();
    let table_sectors = table.len().div_ceil(sector) as u32;
    let small_table = w.put(&[&table[..], &vec![0xff; (sector - table.len() % sector) % sector]].concat());
    let directory = w.entries.concat();
    let directory = w.put(&directory);
    // The table counts itself and the sectors that say where it is.
    let each = sector / 4;
    let (mut fat, mut more) = (0, 0);
    loop {
        let needed = (w.sectors.len() + fat + more).div_ceil(each);
        let further = needed.saturating_sub(109).div_ceil(each - 1);
        if (needed, further) == (fat, more) {
            break;
        }
        (fat, more) = (needed, further);
    }
    let base = w.sectors.len();
    let places: Vec<u32> = (base..base + fat).map(|p| p as u32).collect();
    let mut next = w.next.clone();
    next.extend(std::iter::repeat_n(0xffff_fffd, fat));
    next.extend(std::iter::repeat_n(0xffff_fffc, more));
    next.resize(fat * each, u32::MAX);
    let number = |n: u32| n.to_le_bytes();
    let mut head = vec![0; sector];
    head[..8].copy_from_slice(&MAGIC);
    head[0x18..0x1e].copy_from_slice(&[0x3e, 0, version as u8, 0, 0xfe, 0xff]);
    head[0x1e..0x22].copy_from_slice(&[if version == 4 { 12 } else { 9 }, 0, 6, 0]);
    let further = if more > 0 { (base + fat) as u32 } else { header::END };
    let fields = [fat as u32, directory, 0, 4096, small_table, table_sectors, further, more as u32];
    for (at, value) in [0x2c, 0x30, 0x34, 0x38, 0x3c, 0x40, 0x44, 0x48].into_iter().zip(fields) {
        head[at..at + 4].copy_from_slice(&number(value));
    }
    for at in 0..109 {
        let place = places.get(at).copied().unwrap_or(u32::MAX);
        head[0x4c + 4 * at..0x50 + 4 * at].copy_from_slice(&number(place));
    }
    let mut out = head;
    out.extend(w.sectors.concat());
    out.extend(next.iter().flat_map(|n| n.to_le_bytes()));
    for (i, part) in places.get(109..).unwrap_or_default().chunks(each - 1).enumerate() {
        let mut values = part.to_vec();
        values.resize(each - 1, u32::MAX);
        values.push(if i + 1 < more { (base + fat + i + 1) as u32 } else { header::END });
        out.extend(values.iter().flat_map(|n| n.to_le_bytes()));
    }
    out
}

fn open(bytes: &[u8]) -> Result<Compound> {
    let limits = Limits { index_bytes: 8 << 20, ..Limits::default() };
    Compound::open(Arc::new(MemoryFile(bytes.to_vec())), &limits, &Watch::default())
}

fn read(compound: &Compound, path: &str) -> Result<Vec<u8>> {
    let stream = compound.stream(path, &Watch::default())?;
    stream.read_vec(0, stream.len())
}

fn count(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn sample() -> Vec<Node> {
    let inner = vec![
        Node::Stream("large", count(70_001)),
        Node::Stream("small", count(100)),
        Node::Storage("deep", vec![Node::Stream("least", count(4095))]),
    ];
    vec![Node::Stream("edge", count(4096)), Node::Storage("in", inner), Node::Stream("none", Vec::new())]
}

#[test]
fn streams_of_all_sizes_are_read_in_both_versions() {
    for version in [3, 4] {
        let compound = open(&write(version, sample())).unwrap();
        for (path, size) in
            [("edge", 4096), ("in/large", 70_001), ("in/small", 100), ("in/deep/least", 4095), ("none", 0)]
        {
            assert_eq!(read(&compound, path).unwrap(), count(size), "{path} in version {version}");
            assert_eq!(compound.size(path), Some(size as u64));
        }
        assert!(read(&compound, "in").is_err() && compound.size("In/small").is_none());
        assert!(compound.heap_bytes() > 0);
    }
}

#[test]
fn a_table_that_the_header_has_no_room_for_is_found() {
    // 109 sectors of table reach for 109 * 128 sectors of 512 bytes.
    let compound = open(&write(3, vec![Node::Stream("a", count(8_000_000)), Node::Stream("b", count(9))])).unwrap();
    assert_eq!(read(&compound, "a").unwrap(), count(8_000_000));
    assert_eq!(read(&compound, "b").unwrap(), count(9));
}

#[test]
fn chains_without_an_end_and_trees_with_loops_are_refused() {
    let good = write(3, vec![Node::Stream("a", count(5000)), Node::Stream("b", count(5000))]);
    let number = |at: usize| header::number(&good, at);
    let fat = (number(0x4c) as usize + 1) * 512;
    let directory = number(0x30);
    let mut bytes = good.clone();
    bytes[fat + 4 * directory as usize..][..4].copy_from_slice(&directory.to_le_bytes());
    assert!(open(&bytes).err().unwrap().to_string().contains("comes back"));
    // An entry whose sibling is itself.
    let entry = (directory as usize + 1) * 512 + 128;
    let mut bytes = good.clone();
    bytes[entry + 0x48..entry + 0x4c].copy_from_slice(&1_u32.to_le_bytes());
    assert!(open(&bytes).err().unwrap().to_string().contains("twice"));
    // A stream larger than the file, and one whose chain is too short.
    let mut bytes = good.clone();
    bytes[entry + 0x78..entry + 0x7c].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(read(&open(&bytes).unwrap(), "a").unwrap_err().kind(), crate::Kind::Truncated);
    let mut bytes = good.clone();
    bytes[entry + 0x78..entry + 0x7c].copy_from_slice(&6000_u32.to_le_bytes());
    assert_eq!(read(&open(&bytes).unwrap(), "a").unwrap_err().kind(), crate::Kind::Malformed);
    // More sectors of table than the file has.
    let mut bytes = good;
    bytes[0x2c..0x30].fill(0xff);
    assert!(open(&bytes).is_err());
}

#[test]
fn damage_and_cuts_do_no_harm() {
    let whole = write(3, vec![Node::Stream("a", count(5000)), Node::Storage("s", vec![Node::Stream("b", count(700))])]);
    let all = |bytes: &[u8]| open(bytes).and_then(|c| Ok((read(&c, "a")?, read(&c, "s/b")?)));
    assert!(all(&whole).is_ok());
    for end in 0..whole.len() {
        // The last sector is the table, whose unused end may be missing for a cut file to read.
        if let Ok(read) = all(&whole[..end]) {
            assert_eq!(read, (count(5000), count(700)), "cut at {end}");
        }
    }
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let _ = all(&bytes);
        }
    }
}
