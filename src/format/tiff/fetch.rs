//! Reading the stored bytes of a unit.

use std::ops::Range;

use super::compression::Compression;
use super::page::{Blocks, Page};
use crate::error::{Error, Kind, Result};
use crate::format::Stored;
use crate::io::Watch;

/// Encoded blocks may be this much larger than one and a half times their samples: pictures have tables and headers.
pub(super) fn slack(compression: Compression) -> u64 {
    if compression.codec().is_some() { 64 << 10 } else { 1 << 10 }
}

/// Blocks this close together are read in one go.
const GAP: u64 = 4 << 10;

/// The part of a block that lies in a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Row of blocks.
    pub by: u64,
    /// Column of blocks.
    pub bx: u64,
    /// Rows inside the block.
    pub rows: Range<u64>,
}

impl Page {
    /// The blocks, or parts of blocks, that the unit at (`ty`, `tx`) is made of, from top to bottom.
    pub(super) fn segments(&self, ty: u64, tx: u64) -> impl Iterator<Item = Segment> + use<> {
        let (unit, block) = (self.layout.unit.y, self.layout.block.y);
        let first = ty.saturating_mul(unit);
        let end = first.saturating_add(unit).min(self.layout.height);
        (first / block..end.div_ceil(block)).map(move |by| Segment {
            by,
            bx: tx,
            rows: first.saturating_sub(by * block)..(end - by * block).min(block),
        })
    }

    /// Reads the stored bytes of the unit at (`ty`, `tx`); `sample` chooses the plane where samples lie apart, else 0.
    ///
    /// # Errors
    /// Any kind; the block is named.
    pub fn fetch(&self, ty: u64, tx: u64, sample: u64, watch: &Watch) -> Result<Stored> {
        let (rows, columns) = self.unit_size(ty, tx);
        if rows == 0 || columns == 0 || sample >= if self.layout.planar { self.layout.samples } else { 1 } {
            return Err(Error::new(Kind::Internal, format!("no unit {ty}, {tx} of sample {sample}")));
        }
        watch.check()?;
        let whole = self.layout.compression != Compression::None && !self.layout.bands;
        let stored_rows = if whole { self.layout.block.y } else { 1 };
        let needed = self.cost(ty, tx).decoded.max(self.layout.row_bytes().saturating_mul(stored_rows));
        if needed > self.unit_bytes.max(1 << 20) {
            let mebibytes = needed.div_ceil(1 << 20);
            return Err(Error::over_limit(format!(
                "{mebibytes} MiB must be decoded at once, which takes --cache-size {}MiB",
                4 * mebibytes
            )));
        }
        if self.layout.compression != Compression::None && self.layout.bands {
            return self.stream(ty, tx, sample, watch);
        }
        if let Blocks::Restarts(restarts) = &self.blocks {
            restarts.prepare(&self.file, watch)?;
        }
        let spans = self.segments(ty, tx).map(|s| self.locate(&s, sample)).collect::<Result<Vec<_>>>()?;
        watch.tick();
        if spans.iter().all(Option::is_none) {
            return Ok(Stored::Absent);
        }
        let (bytes, parts) = self.read(&spans, watch)?;
        let filled: usize = parts.iter().map(ExactSizeIterator::len).sum();
        let plain = self.layout.compression == Compression::None
            && !self.layout.reversed_bits
            && columns == self.layout.block.x
            && filled == bytes.len()
            && !parts.iter().any(Range::is_empty)
            && self.raster().is_plain();
        if plain {
            return Ok(Stored::Decoded(bytes));
        }
        Ok(Stored::Encoded { bytes, parts, note: None })
    }

    /// Index of a block in the tables.
    pub(super) fn block_index(&self, by: u64, bx: u64, sample: u64) -> u64 {
        let (down, across) = self.grid;
        let plane = if self.layout.planar { sample } else { 0 };
        plane * down * across + by * across + bx
    }

    /// Offset and length of what must be read for `segment`; `None` if it was never stored.
    pub(super) fn locate(&self, segment: &Segment, sample: u64) -> Result<Option<(u64, u64)>> {
        let index = self.block_index(segment.by, segment.bx, sample);
        self.locate_block(segment, index)
            .map_err(|e| e.at(format!("{} {index}", if self.layout.tiled { "tile" } else { "strip" })))
    }

    fn locate_block(&self, segment: &Segment, index: u64) -> Result<Option<(u64, u64)>> {
        let row = self.layout.row_bytes();
        let block = self.layout.block_rows(segment.by) * row;
        let direct = self.layout.compression == Compression::None;
        let (offset, count) = match &self.blocks {
            Blocks::Contiguous(start) => {
                let skipped = segment.by * self.layout.block.y * row;
                let offset = start.checked_add(skipped).ok_or_else(|| Error::malformed("offset beyond 64 bits"))?;
                (offset, block)
            }
            Blocks::Table { offsets, counts } => {
                let offset = offsets.get(index)?;
                let count = match counts {
                    Some(counts) => counts.get(index)?,
                    // Without lengths, the samples' own size or the end of the file must do.
                    None if direct => block,
                    None => self.file.file.len().saturating_sub(offset).max(1),
                };
                // Some writers state a wrong length for their only strip; readers go by the image's size.
                let only = direct && offsets.len() == 1 && count > 0 && count < block;
                (offset, if only { block } else { count })
            }
            Blocks::Restarts(restarts) => restarts.span(index)?,
        };
        let (offset, count) = match self.high {
            Some(high) => high.correct(index, offset, count, !direct, self.file.file.len()),
            None => (offset, count),
        };
        if offset == 0 || count == 0 {
            return Ok(None);
        }
        if !direct {
            // An encoded block has little reason to be larger than its samples; a made-up length must not be believed.
            let full = block.saturating_mul(1 << (2 * self.layout.reduce).min(62));
            let most = full.saturating_add(full / 2).saturating_add(slack(self.layout.compression));
            return Ok(Some((offset, count.min(most))));
        }
        let (start, end) = (segment.rows.start * row, segment.rows.end * row);
        if end > count {
            return Err(Error::truncated(format!("{count} bytes where {end} are needed")));
        }
        let offset = offset.checked_add(start).ok_or_else(|| Error::malformed("offset beyond 64 bits"))?;
        Ok(Some((offset, end - start)))
    }

    /// Reads all spans, neighbours in one go; gives a range of the buffer for each span.
    fn read(&self, spans: &[Option<(u64, u64)>], watch: &Watch) -> Result<(Vec<u8>, Vec<Range<usize>>)> {
        let length = self.file.file.len();
        let mut reads: Vec<(u64, u64)> = Vec::new();
        let mut parts = Vec::with_capacity(spans.len());
        let mut total = 0_u64;
        for span in spans {
            let Some((offset, count)) = *span else {
                parts.push(0..0);
                continue;
            };
            let end = offset.checked_add(count).filter(|end| *end <= length).ok_or_else(|| {
                Error::truncated(format!(
                    "{count} bytes at offset {offset} reach past the end of the file ({length} bytes)"
                ))
            })?;
            match reads.last_mut() {
                Some((_, last)) if (*last..=last.saturating_add(GAP)).contains(&offset) => {
                    total += end - *last;
                    *last = end;
                }
                _ => {
                    reads.push((offset, end));
                    total += count;
                }
            }
            parts.push((total - count) as usize..total as usize);
        }
        let mut bytes = vec![0; usize::try_from(total).map_err(|_| Error::over_limit(format!("{total} bytes")))?];
        let mut at = 0;
        for (offset, end) in reads {
            let size = (end - offset) as usize;
            self.file.file.read_exact_at(offset, &mut bytes[at..at + size])?;
            at += size;
            watch.tick();
            watch.check()?;
        }
        Ok((bytes, parts))
    }
}
