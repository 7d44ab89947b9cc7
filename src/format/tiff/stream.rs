//! Bands of rows out of blocks too large to hold.

use std::io::Read;

use super::compression::Compression;
use super::cursors::{Encoding, Turn};
use super::fetch::Segment;
use super::page::Page;
use super::tags::photometric;
use crate::codec::raster::Target;
use crate::codec::{jpeg, jpeg_rows};
use crate::error::{Error, Kind, Result};
use crate::format::Stored;
use crate::format::stretch::Stretch;
use crate::io::Watch;
use crate::sync::Arc;

impl Page {
    /// Memory that a live decoder may hold beside its band.
    pub(super) fn stream_state(&self) -> u64 {
        match self.layout.compression {
            Compression::Bytes(bytes) => (bytes.state)(self.unit_bytes),
            Compression::Picture { .. } => jpeg_rows::memory(self.layout.block.x),
            Compression::None => 0,
        }
    }

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
                if self.layout.compression.is_jpeg() && self.layout.photometric == photometric::YCBCR {
                    jpeg::ycbcr_to_rgb(raw.as_mut_slice(), 255);
                }
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
        (offset, length): (u64, u64),
        row_bytes: usize,
        raw: &mut Vec<u8>,
        watch: &Watch,
    ) -> Result<()> {
        let stream = Encoding {
            offset,
            length,
            compression: self.layout.compression,
            reversed: self.layout.reversed_bits,
            row_bytes,
        };
        let turn = Turn::wait(self.file.key.block(stream), segment.rows.start, watch)?;
        let mut cursor = match turn.resume(segment.rows.start) {
            Some(cursor) => cursor,
            None => turn.begin(self.decoder(stream)?, self.stream_state()),
        };
        raw.clear();
        raw.resize((segment.rows.end - segment.rows.start) as usize * row_bytes, 0);
        match cursor.read(segment.rows.start, raw, watch) {
            Err(e) if e.kind() != Kind::Interrupted => Err(e),
            // Whoever comes next goes on where this one stopped.
            done => {
                turn.end(cursor);
                done
            }
        }
    }

    fn decoder(&self, stream: Encoding) -> Result<Box<dyn Read + Send>> {
        let range = stream.offset..stream.offset.saturating_add(stream.length);
        let input = Stretch::new(Arc::clone(&self.file.file), range, stream.reversed);
        match stream.compression {
            Compression::Bytes(bytes) => (bytes.reader)(Box::new(input), self.stream_state()),
            jpeg if jpeg.is_jpeg() => {
                let rows = jpeg_rows::Rows::new(input)?;
                let (width, _, samples) = rows.size();
                if width * samples != stream.row_bytes {
                    return Err(Error::malformed(format!("a JPEG frame of {width} columns of {samples} samples")));
                }
                Ok(Box::new(rows))
            }
            other => Err(Error::new(Kind::Internal, format!("{} does not stream", other.name()))),
        }
    }
}
