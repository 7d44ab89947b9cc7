//! Bands of rows out of strips too large to hold: decoders that stop between bands and go on later.

use std::io::{BufRead, Read};

use super::fetch::Segment;
use super::header::TiffFile;
use super::page::Page;
use super::tags::Compression;
use crate::codec::raster::Target;
use crate::codec::{bits, deflate, lzw, packbits, zstd};
use crate::error::{Error, Kind, Result};
use crate::format::Stored;
use crate::io::Watch;
use crate::sync::{Mutex, lock};

/// Memory that a live decoder may hold beside its band, by compression.
pub(super) fn state_bytes(compression: Compression, unit_bytes: u64) -> u64 {
    match compression {
        Compression::Zstd => zstd_window(unit_bytes) + (1 << 20),
        _ => 512 << 10,
    }
}
/// A window may be as large as a unit, within reason.
fn zstd_window(unit_bytes: u64) -> u64 {
    unit_bytes.clamp(zstd::USUAL_WINDOW, zstd::MAX_WINDOW)
}

/// Encoded bytes read at once.
const READ_BYTES: u64 = 128 << 10;
/// Memory of the decoders kept alive for a file.
const KEPT_BYTES: u64 = 10 << 20;
/// Their number.
const KEPT: usize = 4;

/// Decoders that stopped inside a block, the latest used last.
#[derive(Default)]
pub(super) struct Cursors(Mutex<Vec<Cursor>>);

struct Cursor {
    /// Offset of the block in the file: tells blocks of all pages apart.
    block: u64,
    /// Next row that comes out.
    row: u64,
    decoder: Box<dyn Read + Send>,
    /// Memory it may hold.
    bytes: u64,
}

impl Cursors {
    /// Takes out the decoder of `block` that is closest before `row`.
    fn take(&self, block: u64, row: u64) -> Option<Cursor> {
        let mut kept = lock(&self.0);
        let fits = kept.iter().enumerate().filter(|(_, c)| c.block == block && c.row <= row);
        let (best, _) = fits.max_by_key(|(_, c)| c.row)?;
        Some(kept.remove(best))
    }

    fn put(&self, cursor: Cursor) {
        let mut kept = lock(&self.0);
        kept.retain(|c| (c.block, c.row) != (cursor.block, cursor.row));
        while kept.len() >= KEPT || kept.iter().map(|c| c.bytes).sum::<u64>() + cursor.bytes > KEPT_BYTES {
            if kept.is_empty() {
                break;
            }
            kept.remove(0);
        }
        kept.push(cursor);
    }
}

impl Page {
    /// Decodes a band of rows.
    pub(super) fn stream(&self, ty: u64, tx: u64, sample: u64, watch: &Watch) -> Result<Stored> {
        let (rows, columns) = self.unit_size(ty, tx);
        let raster = self.raster();
        let mut out = Vec::new();
        let plane = rows as usize * columns as usize * raster.sample_bytes();
        let mut target = Target { out: &mut [], plane, columns: columns as usize, row: 0 };
        let mut raw = Vec::new();
        for segment in self.segments(ty, tx) {
            let end = target.row + (segment.rows.end - segment.rows.start) as usize;
            if let Some(span) = self.locate(&segment, sample)? {
                self.stream_rows(&segment, span, raster.row_bytes(), &mut raw, watch)
                    .map_err(|e| e.at(format!("block at row {}, column {}", segment.by, segment.bx)))?;
                if out.is_empty() {
                    out = vec![0; self.cost(ty, tx).decoded as usize];
                }
                target = Target { out: &mut out, ..target };
                raster.spread(&mut raw, &mut target);
            }
            let row = end;
            target = Target { out: &mut [], row, ..target };
        }
        if out.is_empty() { Ok(Stored::Absent) } else { Ok(Stored::Decoded(out)) }
    }

    /// Fills `raw` with the decompressed rows of `segment`.
    fn stream_rows(
        &self,
        segment: &Segment,
        (offset, count): (u64, u64),
        row_bytes: usize,
        raw: &mut Vec<u8>,
        watch: &Watch,
    ) -> Result<()> {
        let cursors = &self.file.cursors;
        let mut cursor = match cursors.take(offset, segment.rows.start) {
            Some(cursor) => cursor,
            None => Cursor {
                block: offset,
                row: 0,
                decoder: self.decoder(offset, count)?,
                bytes: state_bytes(self.layout.compression, self.unit_bytes),
            },
        };
        let fill = |decoder: &mut dyn Read, raw: &mut [u8]| {
            for piece in raw.chunks_mut(READ_BYTES as usize) {
                watch.check()?;
                decoder
                    .read_exact(piece)
                    .map_err(|e| crate::codec::stream_error(&e, self.layout.compression.name()))?;
                watch.tick();
            }
            Ok::<_, Error>(())
        };
        raw.clear();
        raw.resize(row_bytes, 0);
        while cursor.row < segment.rows.start {
            fill(&mut cursor.decoder, raw)?;
            cursor.row += 1;
        }
        raw.resize((segment.rows.end - segment.rows.start) as usize * row_bytes, 0);
        fill(&mut cursor.decoder, raw)?;
        cursor.row = segment.rows.end;
        cursors.put(cursor);
        Ok(())
    }

    fn decoder(&self, offset: u64, count: u64) -> Result<Box<dyn Read + Send>> {
        let end = offset.saturating_add(count).min(self.file.file.len());
        let input = Input {
            file: self.file.clone(),
            at: offset,
            end,
            reversed: self.layout.reversed_bits,
            buf: Vec::new(),
            used: 0,
        };
        Ok(match self.layout.compression {
            Compression::Deflate => Box::new(deflate::reader(input)),
            Compression::Lzw => Box::new(lzw::reader(input)),
            Compression::PackBits => Box::new(packbits::reader(input)),
            Compression::Zstd => Box::new(zstd::reader(input, zstd_window(self.unit_bytes))?),
            other => return Err(Error::new(Kind::Internal, format!("{} does not stream", other.name()))),
        })
    }
}

/// The encoded bytes of a block, read in pieces.
struct Input {
    file: TiffFile,
    at: u64,
    end: u64,
    reversed: bool,
    buf: Vec<u8>,
    used: usize,
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.used == self.buf.len() && self.at < self.end {
            let size = (self.end - self.at).min(READ_BYTES);
            self.buf.resize(size as usize, 0);
            self.used = 0;
            if let Err(e) = self.file.file.read_exact_at(self.at, &mut self.buf) {
                self.buf.clear();
                return Err(std::io::Error::other(e));
            }
            if self.reversed {
                bits::reverse(&mut self.buf);
            }
            self.at += size;
        }
        Ok(&self.buf[self.used..])
    }

    fn consume(&mut self, amount: usize) {
        self.used = (self.used + amount).min(self.buf.len());
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let buf = self.fill_buf()?;
        let size = buf.len().min(out.len());
        out[..size].copy_from_slice(&buf[..size]);
        self.consume(size);
        Ok(size)
    }
}
