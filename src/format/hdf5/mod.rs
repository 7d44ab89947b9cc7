//! HDF5: groups, attributes and arrays of numbers, as far as image files of this container use them.
//!
//! Written from the HDF5 File Format Specification (version 3.0, The HDF Group). Everything is read by position and in pieces
//! of bounded size: opening a file reads its superblock, looking at an object reads its header, and a chunk of an array is
//! found by walking its index down to that chunk, never by listing all of them. Readers at hand keep the index of a
//! whole dataset in memory and read in caches of their own, outside of the budget and the deadline of the program.

mod attribute;
mod btree2;
mod bytes;
mod chunks;
mod dataset;
mod fields;
mod filters;
mod heaps;
mod links;
mod object;

pub(super) use self::attribute::Attributes;
use self::bytes::Cursor;
pub(super) use self::dataset::{Dataset, Storage};
pub(super) use self::fields::Datatype;
pub(super) use self::links::Links;
pub(super) use self::object::Object;
use super::Limits;
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::sync::Arc;

/// What a file begins with.
const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
/// No structure is read that is larger.
const MOST_STRUCTURE: u64 = 8 << 20;

/// An open file.
pub(super) struct Hdf5 {
    file: Arc<dyn ReadAt>,
    /// Added to every address.
    base: u64,
    /// Bytes of an address.
    offset_size: u8,
    /// Bytes of a length.
    length_size: u8,
    /// Address of the root group's header.
    root: u64,
    /// Most bytes that a list of links or attributes may take.
    pub most: u64,
}

/// Does a file begin so? A block of the user's may come first (512 bytes, or twice as much any number of times).
pub(super) fn sniff(head: &[u8]) -> bool {
    [0, 512, 1024, 2048].into_iter().any(|at| head.get(at..).is_some_and(|h| h.starts_with(&SIGNATURE)))
}

impl Hdf5 {
    /// Reads the superblock (section II.A).
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `Truncated`, failures of the disk.
    pub fn open(file: Arc<dyn ReadAt>, limits: &Limits) -> Result<Self> {
        let head = file.read_vec(0, file.len().min(4096))?;
        let start = [0_usize, 512, 1024, 2048]
            .into_iter()
            .find(|at| head.get(*at..).is_some_and(|h| h.starts_with(&SIGNATURE)));
        let start = start.ok_or_else(|| Error::malformed("no HDF5 superblock"))?;
        Self::superblock(file, head.get(start..).unwrap_or_default(), start as u64, limits.index_bytes / 4)
            .map_err(|e| e.at("superblock"))
    }

    fn superblock(file: Arc<dyn ReadAt>, head: &[u8], start: u64, most: u64) -> Result<Self> {
        let mut at = Cursor::new(head, 8, 8);
        at.skip(8)?;
        let version = at.u8()?;
        let (offset_size, length_size) = match version {
            0 | 1 => {
                at.skip(4)?;
                (at.u8()?, at.u8()?)
            }
            2 | 3 => (at.u8()?, at.u8()?),
            other => return Err(Error::unsupported(format!("superblock of version {other}"))),
        };
        if ![2, 4, 8].contains(&offset_size) || ![2, 4, 8].contains(&length_size) {
            return Err(Error::malformed(format!("addresses of {offset_size} bytes, lengths of {length_size}")));
        }
        let mut at = Cursor::new(head, offset_size, length_size);
        at.skip(if version < 2 { 15 } else { 11 })?;
        if version < 2 {
            at.skip(9)?;
        } else {
            at.skip(1)?;
        }
        if version == 1 {
            at.skip(4)?;
        }
        let base = at.offset()?.unwrap_or(0);
        at.offset()?;
        let end = at.offset()?;
        if version < 2 {
            at.offset()?;
            at.offset()?;
        }
        let root = at.offset()?.ok_or_else(|| Error::malformed("no root group"))?;
        if version >= 2 {
            at.checksum(head)?;
        }
        // The base is where the superblock is, whatever a file that something was put before says.
        let base = if base == 0 { start } else { base };
        if let Some(end) = end.filter(|end| end.saturating_add(if base == start { 0 } else { base }) > file.len()) {
            log::debug!("an HDF5 file of {} bytes that should have {end}", file.len());
        }
        Ok(Hdf5 { file, base, offset_size, length_size, root, most })
    }

    /// The root group.
    ///
    /// # Errors
    /// As [`Hdf5::object`].
    pub fn root(&self) -> Result<Object> {
        self.object(self.root)
    }

    /// Bytes at an address.
    fn read(&self, address: u64, length: u64) -> Result<Vec<u8>> {
        if length > MOST_STRUCTURE {
            return Err(Error::over_limit(format!("a structure of {length} bytes at address {address}")));
        }
        self.file.read_vec(self.position(address)?, length)
    }

    /// As many bytes at an address as there are, up to `length`.
    fn read_some(&self, address: u64, length: u64) -> Result<Vec<u8>> {
        let position = self.position(address)?;
        let there = self.file.len().saturating_sub(position);
        if there == 0 {
            return Err(Error::truncated(format!("address {address} lies behind the end of the file")));
        }
        self.file.read_vec(position, length.min(there))
    }

    /// Where in the file an address is.
    ///
    /// # Errors
    /// `Malformed` beyond 64 bits.
    pub fn position(&self, address: u64) -> Result<u64> {
        address.checked_add(self.base).ok_or_else(|| Error::malformed(format!("address {address}")))
    }

    fn cursor<'a>(&self, bytes: &'a [u8]) -> Cursor<'a> {
        Cursor::new(bytes, self.offset_size, self.length_size)
    }

    /// The file itself.
    pub fn file(&self) -> &Arc<dyn ReadAt> {
        &self.file
    }
}
