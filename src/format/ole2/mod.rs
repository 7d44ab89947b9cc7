//! Compound files (OLE2, structured storage): streams and storages in one file, as [MS-CFB] describes them.
//!
//! The file is cut into sectors. A table (FAT) says for each the one that follows; the header and sectors of its own (DIFAT)
//! say where the table is. Streams below 4096 bytes lie in small sectors of one large stream, with a table of their own.
//! Opening reads the directory; tables are read as streams are followed.

mod directory;
mod header;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;

use self::header::Header;
use self::table::Table;
use super::Limits;
use super::pieces::Pieces;
use crate::error::{Error, Result};
use crate::io::{ReadAt, Watch};
use crate::sync::Arc;

/// The first bytes of a compound file.
pub(crate) const MAGIC: [u8; 8] = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

/// A stream, as the directory has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// First sector.
    start: u32,
    /// Bytes.
    size: u64,
}

/// An open compound file.
pub(crate) struct Compound {
    file: Arc<dyn ReadAt>,
    header: Header,
    fat: Table,
    small: Table,
    small_stream: Arc<dyn ReadAt>,
    entries: HashMap<String, Entry>,
    limits: Limits,
    heap_bytes: u64,
}

impl Compound {
    /// Reads the header and the directory.
    ///
    /// # Errors
    /// `Malformed`, `Truncated`, `OverLimit`, failures of the disk.
    pub fn open(file: Arc<dyn ReadAt>, limits: &Limits, watch: &Watch) -> Result<Self> {
        let header = Header::read(file.as_ref()).map_err(|e| e.at("compound file header"))?;
        let fat = header.fat(&file, limits, watch).map_err(|e| e.at("sector table"))?;
        watch.tick();
        let sectors = header.sectors(file.len());
        let chain = fat.chain(header.directory, sectors, limits, watch)?;
        let stream = sectors_of(&file, &chain, header.sector, header.sector, None)?;
        let directory = directory::read(&stream, &header, limits, watch).map_err(|e| e.at("directory"))?;
        let mut small_stream = Pieces::new(Arc::clone(&file));
        if directory.root.size > 0 {
            let size = directory.root.size;
            let chain = fat.whole(directory.root.start, size, header.sector, file.len(), limits, watch);
            let chain = chain.map_err(|e| e.at("small sectors"))?;
            small_stream = sectors_of(&file, &chain, header.sector, header.sector, Some(size))?;
        }
        let chain = match header.small_table {
            (_, 0) => Vec::new(),
            (first, count) => {
                let size = u64::from(count).saturating_mul(header.sector);
                fat.whole(first, size, header.sector, file.len(), limits, watch)
                    .map_err(|e| e.at("small sector table"))?
            }
        };
        let small = Table::new(Arc::new(sectors_of(&file, &chain, header.sector, header.sector, None)?));
        let heap_bytes = directory.heap_bytes + small_stream.heap_bytes();
        let small_stream = Arc::new(small_stream);
        Ok(Compound { file, header, fat, small, small_stream, entries: directory.entries, limits: *limits, heap_bytes })
    }

    /// Size of the stream at a path ("Storage00001/Stream00004"), if there is one.
    pub fn size(&self, path: &str) -> Option<u64> {
        self.entries.get(path).map(|e| e.size)
    }

    /// Paths of all streams, in no order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The stream at a path as a file.
    ///
    /// # Errors
    /// `Malformed` if there is none, or its sectors do not follow each other; `Truncated`; failures of the disk.
    pub fn stream(&self, path: &str, watch: &Watch) -> Result<Arc<dyn ReadAt>> {
        let entry =
            self.entries.get(path).ok_or_else(|| Error::malformed(format!("there is no stream {path:.200}")))?;
        self.follow(*entry, watch).map_err(|e| e.at(format!("stream {path:.200}")))
    }

    fn follow(&self, Entry { start, size }: Entry, watch: &Watch) -> Result<Arc<dyn ReadAt>> {
        if size == 0 {
            return Ok(Arc::new(Pieces::new(Arc::clone(&self.file))));
        }
        let sector = self.header.sector;
        if size >= self.header.cutoff {
            let chain = self.fat.whole(start, size, sector, self.file.len(), &self.limits, watch)?;
            return Ok(Arc::new(sectors_of(&self.file, &chain, sector, sector, Some(size))?));
        }
        let step = self.header.small_sector;
        let chain = self.small.whole(start, size, step, self.small_stream.len(), &self.limits, watch)?;
        Ok(Arc::new(sectors_of(&self.small_stream, &chain, step, 0, Some(size))?))
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        self.heap_bytes + self.fat.heap_bytes() + self.small.heap_bytes()
    }
}

/// Sectors in a row: the first, and how many.
type Run = (u32, u32);

/// The sectors of a chain as a file; `before` bytes precede the first sector. Without a size, all of the last sector belongs
/// to it.
fn sectors_of(file: &Arc<dyn ReadAt>, chain: &[Run], sector: u64, before: u64, size: Option<u64>) -> Result<Pieces> {
    let mut pieces = Pieces::new(Arc::clone(file));
    let mut left = size.unwrap_or(u64::MAX);
    for (first, count) in chain {
        let length = u64::from(*count).saturating_mul(sector).min(left);
        pieces.push(file, u64::from(*first).saturating_mul(sector).saturating_add(before), length)?;
        left -= length;
    }
    Ok(pieces)
}
