//! The frame of OIR files: typed blocks one after the other, and a list of their offsets.
//!
//! The header names the size of the file and the place of the list. A block is its length, its type and so many bytes; one
//! that names a plane is followed by the one with its samples. Where the list cannot be followed, the blocks themselves can.

use super::uid::Uid;
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::io::{ReadAt, Watch};

/// The first bytes of an OIR file.
pub(super) const MAGIC: &[u8; 16] = b"OLYMPUSRAWFORMAT";
/// Where the first block is.
pub(super) const FIRST: u64 = 96;
/// What stands before the list of offsets.
const LIST: u32 = u32::MAX;
/// Read at once from a block on: the name of a plane, and the head of the block behind it.
const STEP: u64 = 256;
/// Memory of a block of samples.
const BLOCK_BYTES: u64 = 64;
/// XML of single frames that is kept, for their times.
const MAX_FRAMES: usize = 1 << 10;

mod kind {
    pub const METADATA: u32 = 0;
    pub const FRAME: u32 = 1;
    pub const UID: u32 = 3;
    pub const PIXELS: u32 = 4;
    pub const NULL: u32 = 5;
}

/// Samples in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Samples {
    /// Number of the file.
    pub member: u32,
    pub offset: u64,
    pub length: u64,
}

/// What is in a file, or in several.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Parts of planes.
    pub planes: Vec<(Uid, Samples)>,
    /// XML of frames.
    pub frames: Vec<Vec<u8>>,
    /// Other XML.
    pub texts: Vec<Vec<u8>>,
    pub warnings: Vec<String>,
    /// Something could not be followed: what seems never to have been stored may have been lost.
    pub damaged: bool,
    text_bytes: u64,
}

/// The head of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    length: u64,
    kind: u32,
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

impl Head {
    fn of(bytes: &[u8]) -> Option<Self> {
        Some(Head { length: u64::from(number(bytes, 0)?), kind: number(bytes, 4)? })
    }
}

/// Offsets of blocks, from the list.
fn list(file: &dyn ReadAt, limits: &Limits) -> Result<Vec<u64>> {
    let head = file.read_vec(0, FIRST)?;
    if !head.starts_with(MAGIC) {
        return Err(Error::malformed("it does not begin as an OIR file does"));
    }
    let wide = |at: usize| head.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b));
    let (size, start) = (wide(32), wide(40));
    if start < FIRST || start.checked_add(4).is_none_or(|end| end > size) {
        return Err(Error::malformed(format!("a list of blocks at offset {start} of {size} bytes")));
    }
    if size > file.len() {
        return Err(Error::truncated(format!("{size} bytes by its header, in a file of {}", file.len())));
    }
    let bytes = size - start - 4;
    if bytes / 8 * BLOCK_BYTES > limits.index_bytes {
        return Err(Error::over_limit(format!("a list of {} blocks", bytes / 8)));
    }
    let list = file.read_vec(start, 4 + bytes)?;
    if number(&list, 0) != Some(LIST) {
        return Err(Error::malformed(format!("no list of blocks at offset {start}")));
    }
    let offsets = list.get(4..).unwrap_or_default().as_chunks().0.iter().map(|b| u64::from_le_bytes(*b));
    Ok(offsets.take_while(|o| *o != 0 && *o < size).collect())
}

/// Offsets of blocks, from one to the next up to where the list is.
fn walk(file: &dyn ReadAt, limits: &Limits, watch: &Watch) -> Result<Vec<u64>> {
    let mut offsets = Vec::new();
    let mut at = FIRST;
    loop {
        let bytes = file.read_vec(at, 8).map_err(|e| e.at("block without a list"))?;
        let head = Head::of(&bytes).unwrap_or(Head { length: 0, kind: u32::MAX });
        if head.length == u64::from(LIST) {
            return Ok(offsets);
        }
        if head.kind > kind::NULL {
            return Err(Error::malformed(format!("a block of type {} at offset {at}", head.kind)));
        }
        offsets.push(at);
        if offsets.len() as u64 * BLOCK_BYTES > limits.index_bytes {
            return Err(Error::over_limit(format!("more than {} blocks", offsets.len())));
        }
        at = at.saturating_add(8 + head.length);
        if offsets.len() % 64 == 0 {
            watch.tick();
            watch.check()?;
        }
    }
}

impl Contents {
    /// Adds what is in a file.
    ///
    /// # Errors
    /// `Malformed`, `Truncated`, `OverLimit`, failures of the disk.
    pub fn add(&mut self, file: &dyn ReadAt, member: u32, limits: &Limits, watch: &Watch) -> Result<()> {
        let followed = list(file, limits).and_then(|offsets| {
            let mut own = Contents::default();
            own.blocks(file, &offsets, member, limits, watch)?;
            Ok(own)
        });
        let followed = match followed {
            Err(e) if e.about_content() && e.kind() != crate::Kind::OverLimit => Err(e),
            other => Ok(other?),
        };
        if let Ok(own) = followed {
            return self.join(own, limits);
        }
        let why = followed.err().map(|e| e.reason()).unwrap_or_default();
        let offsets = walk(file, limits, watch)?;
        let mut own = Contents::default();
        own.warnings.push(format!("list of blocks not followed: {why}"));
        // Nobody says any more that this is all.
        own.damaged = true;
        own.blocks(file, &offsets, member, limits, watch)?;
        self.join(own, limits)
    }

    fn join(&mut self, own: Contents, limits: &Limits) -> Result<()> {
        self.planes.extend(own.planes);
        self.frames.extend(own.frames.into_iter().take(MAX_FRAMES.saturating_sub(self.frames.len())));
        self.texts.extend(own.texts);
        self.warnings.extend(own.warnings);
        self.damaged |= own.damaged;
        self.text_bytes += own.text_bytes;
        if self.planes.len() as u64 * BLOCK_BYTES > limits.index_bytes || self.text_bytes > limits.index_bytes / 2 {
            return Err(Error::over_limit(format!("{} blocks of samples", self.planes.len())));
        }
        Ok(())
    }

    fn blocks(
        &mut self,
        file: &dyn ReadAt,
        offsets: &[u64],
        member: u32,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<()> {
        let mut number = 0;
        while let Some(offset) = offsets.get(number).copied() {
            number += 1;
            if number % 64 == 0 {
                watch.tick();
                watch.check()?;
            }
            let near = file.read_vec(offset, STEP.min(file.len().saturating_sub(offset)))?;
            let short = || Error::truncated(format!("the block at offset {offset} reaches past the end of the file"));
            let head = Head::of(&near).ok_or_else(short)?;
            match head.kind {
                kind::UID => {
                    let next = offsets.get(number).copied();
                    let next =
                        next.ok_or_else(|| Error::malformed(format!("no samples for the name at offset {offset}")))?;
                    number += 1;
                    let behind = match next.checked_sub(offset).and_then(|d| usize::try_from(d).ok()) {
                        Some(at) if at.saturating_add(8) <= near.len() => Head::of(near.get(at..).unwrap_or_default()),
                        _ => Head::of(&file.read_vec(next, 8)?),
                    };
                    let samples = behind.filter(|h| h.kind == kind::PIXELS);
                    let samples = samples
                        .ok_or_else(|| Error::malformed(format!("no samples behind the name at offset {offset}")))?;
                    let name = name(file, &near, offset, head.length)?.ok_or_else(short)?;
                    match Uid::parse(&name) {
                        Some(uid) => {
                            let samples = Samples { member, offset: next.saturating_add(8), length: samples.length };
                            self.planes.push((uid, samples));
                        }
                        // Overviews of where lines were scanned, and the like.
                        None if name.starts_with("REF_") => {}
                        None => self.warn(format!("samples called {name:.80} are not shown")),
                    }
                }
                kind::PIXELS => {
                    return Err(Error::malformed(format!("samples without a name at offset {offset}")));
                }
                kind::FRAME if self.frames.len() >= MAX_FRAMES => {}
                kind::FRAME | kind::METADATA => {
                    if head.length > limits.index_bytes / 4 && offset.saturating_add(head.length) <= file.len() {
                        return Err(Error::over_limit(format!("metadata of {} bytes at offset {offset}", head.length)));
                    }
                    match file.read_vec(offset + 8, head.length) {
                        Ok(bytes) => self.text(&bytes, head.kind, limits)?,
                        Err(e) if e.kind() == crate::Kind::Truncated => {
                            self.damaged = true;
                            self.warn(format!("metadata at offset {offset}: {}", e.what()));
                        }
                        Err(e) => return Err(e),
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn warn(&mut self, text: String) {
        if self.warnings.len() < 20 {
            self.warnings.push(text);
        }
    }

    /// The documents in a block: each begins with its declaration, and numbers stand between them.
    fn text(&mut self, bytes: &[u8], kind: u32, limits: &Limits) -> Result<()> {
        const DECLARATION: &[u8] = b"<?xml";
        let mut starts: Vec<usize> = Vec::new();
        let mut at = 0;
        while let Some(found) = bytes.get(at..).and_then(|rest| rest.windows(5).position(|w| w == DECLARATION)) {
            starts.push(at + found);
            at += found + DECLARATION.len();
        }
        let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
        for (start, end) in starts.iter().zip(ends) {
            let whole = bytes.get(*start..end).unwrap_or_default();
            let end = whole.iter().rposition(|b| *b == b'>').map_or(0, |at| at + 1);
            let text = whole.get(..end).unwrap_or_default();
            self.text_bytes += text.len() as u64;
            if self.text_bytes > limits.index_bytes / 2 {
                return Err(Error::over_limit(format!("{} bytes of metadata", self.text_bytes)));
            }
            let list = if kind == kind::FRAME { &mut self.frames } else { &mut self.texts };
            list.push(text.to_vec());
        }
        Ok(())
    }
}

/// The name in a block: two numbers of no known meaning, its length, and the name.
fn name(file: &dyn ReadAt, near: &[u8], offset: u64, length: u64) -> Result<Option<String>> {
    let size = number(near, 16).map_or(u64::MAX, u64::from);
    if size.saturating_add(12) > length || size > 1 << 10 {
        return Ok(None);
    }
    let bytes = match near.get(20..20 + size as usize) {
        Some(bytes) => bytes.to_vec(),
        None => file.read_vec(offset.saturating_add(20), size)?,
    };
    Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()))
}
