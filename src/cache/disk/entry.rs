//! One entry: a header that says what it is, its whole key, the bytes, a checksum over all of it.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, Read, Write};

use twox_hash::XxHash64;

use super::identity::{ImageId, SCHEMA, hash};
use crate::pyramid::ChunkId;

/// The first bytes of every entry.
const MAGIC: &[u8; 8] = b"fuzarr\0\x01";
const KEY: usize = 88;
/// Magic, schema, key, length, checksum.
pub(super) const HEADER: usize = 8 + 4 + KEY + 8 + 8;

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Chunk = 1,
    Windows = 2,
    Opening = 3,
}

/// The whole key of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryKey([u8; KEY]);

impl EntryKey {
    fn new(holds: Holds, image: ImageId, small: [u32; 3], large: [u64; 7]) -> Self {
        let mut key = Vec::with_capacity(KEY);
        key.extend((holds as u32).to_le_bytes());
        small.iter().for_each(|n| key.extend(n.to_le_bytes()));
        key.extend(image);
        large.iter().for_each(|n| key.extend(n.to_le_bytes()));
        EntryKey(key.try_into().unwrap_or([0; KEY]))
    }

    /// A chunk of a synthesized level, of `side` rows and columns.
    pub fn chunk(image: ImageId, side: (u64, u64), id: &ChunkId) -> Self {
        EntryKey::new(Holds::Chunk, image, [id.series, id.level, 0], [side.0, side.1, id.t, id.c, id.z, id.y, id.x])
    }

    /// Contrast of a series; `rule` says which version of the rule found it.
    pub fn windows(image: ImageId, series: u32, rule: u32) -> Self {
        EntryKey::new(Holds::Windows, image, [series, 0, rule], [0; 7])
    }

    /// What was read to open a file.
    pub fn opening(file: ImageId) -> Self {
        EntryKey::new(Holds::Opening, file, [0; 3], [0; 7])
    }

    /// Folder and file name: nothing about the image can be read from them.
    pub(super) fn name(&self) -> String {
        let id: String = hash(&[&SCHEMA.to_le_bytes(), &self.0]).iter().map(|b| format!("{b:02x}")).collect();
        format!("{}/{id}{}", id.get(..2).unwrap_or_default(), super::folder::ENDING)
    }

    fn checksum(&self, length: u64) -> XxHash64 {
        let mut sum = XxHash64::with_seed(u64::from(SCHEMA));
        sum.write(&self.0);
        sum.write(&length.to_le_bytes());
        sum
    }
}

/// What [`read`] found.
pub(super) enum Found<R> {
    Whole(Vec<u8>, R),
    /// Not what the key says, whatever it is.
    Damaged,
    /// No room was granted for it.
    NoRoom,
}

/// Reads an entry of at most `most` bytes.
///
/// # Errors
/// Only of the operating system.
pub(super) fn read<R>(
    file: &mut File,
    key: &EntryKey,
    most: u64,
    room: impl FnOnce(u64) -> Option<R>,
) -> io::Result<Found<R>> {
    let held = file.metadata()?.len();
    let mut header = [0u8; HEADER];
    if held < HEADER as u64 || held > most.saturating_add(HEADER as u64) {
        return Ok(Found::Damaged);
    }
    match file.read_exact(&mut header) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(Found::Damaged),
        other => other?,
    }
    let length = held - HEADER as u64;
    let mut sum = key.checksum(length);
    let (said, rest) = header.split_at(8 + 4 + KEY + 8);
    if said != lead(key, length) {
        return Ok(Found::Damaged);
    }
    let Some(room) = room(length) else { return Ok(Found::NoRoom) };
    let Ok(size) = usize::try_from(length) else { return Ok(Found::Damaged) };
    let mut bytes = vec![0; size];
    match file.read_exact(&mut bytes) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(Found::Damaged),
        other => other?,
    }
    sum.write(&bytes);
    Ok(if rest == sum.finish().to_le_bytes() { Found::Whole(bytes, room) } else { Found::Damaged })
}

/// The header up to its checksum.
fn lead(key: &EntryKey, length: u64) -> Vec<u8> {
    [&MAGIC[..], &SCHEMA.to_le_bytes(), &key.0, &length.to_le_bytes()].concat()
}

/// Writes an entry made of `parts`.
///
/// # Errors
/// Of the operating system.
pub(super) fn write<'a>(
    file: &mut File,
    key: &EntryKey,
    parts: impl Iterator<Item = &'a [u8]> + Clone,
) -> io::Result<()> {
    let length = parts.clone().map(|p| p.len() as u64).sum();
    let mut sum = key.checksum(length);
    parts.clone().for_each(|p| sum.write(p));
    let mut out = io::BufWriter::with_capacity(64 << 10, file);
    out.write_all(&lead(key, length))?;
    out.write_all(&sum.finish().to_le_bytes())?;
    for part in parts {
        out.write_all(part)?;
    }
    out.flush()
}
