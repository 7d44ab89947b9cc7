//! Turning the stored bytes of a unit into samples.

use super::fetch::Segment;
use super::page::{Blocks, Page};
use super::tags::{Compression, photometric};
use crate::codec::raster::{Raster, Target};
use crate::codec::{bits, deflate, jpeg, lzw, packbits, zstd};
use crate::error::{Error, Kind, Result};
use crate::format::Stored;

impl Page {
    /// Decodes what [`Page::fetch`] gave for the unit at (`ty`, `tx`): little-endian samples, one plane after the other,
    /// cut to the page; blocks that were never stored are zero.
    ///
    /// # Errors
    /// `Malformed`, `Truncated`, `Unsupported`; the block is named.
    pub fn decode(&self, ty: u64, tx: u64, stored: Stored) -> Result<Vec<u8>> {
        let cost = self.cost(ty, tx);
        let (mut bytes, parts) = match stored {
            Stored::Decoded(samples) => return Ok(samples),
            Stored::Absent => return Ok(vec![0; cost.decoded as usize]),
            Stored::Encoded { bytes, parts, .. } => (bytes, parts),
        };
        let (rows, columns) = self.unit_size(ty, tx);
        let raster = self.raster();
        let mut out = vec![0; cost.decoded as usize];
        let plane = rows as usize * columns as usize * raster.sample_bytes();
        let mut target = Target { out: &mut out, plane, columns: columns as usize, row: 0 };
        let mut scratch = Vec::new();
        for (segment, part) in self.segments(ty, tx).zip(parts) {
            let row = target.row + (segment.rows.end - segment.rows.start) as usize;
            if !part.is_empty() {
                let encoded = bytes.get_mut(part).ok_or_else(|| Error::new(Kind::Internal, "part out of range"))?;
                self.decode_block(&segment, encoded, &raster, &mut scratch, &mut target)
                    .map_err(|e| e.at(format!("block at row {}, column {}", segment.by, segment.bx)))?;
            }
            target.row = row;
        }
        Ok(out)
    }

    fn decode_block(
        &self,
        segment: &Segment,
        encoded: &mut [u8],
        raster: &Raster,
        scratch: &mut Vec<u8>,
        target: &mut Target<'_>,
    ) -> Result<()> {
        if self.layout.reversed_bits && self.layout.compression != Compression::Jpeg {
            bits::reverse(encoded);
        }
        match self.layout.compression {
            Compression::None => {
                raster.spread(encoded, target);
                return Ok(());
            }
            Compression::Jpeg => return self.decode_jpeg(segment, encoded, raster, target),
            _ => {}
        }
        let row = raster.row_bytes();
        let size = self.layout.block_rows(segment.by) as usize * row;
        // Some writers leave out the rows of a tile that lie below the image.
        let least = segment.rows.end as usize * row;
        if raster.in_place(target.columns) && segment.rows.start == 0 && least == size {
            let at = target.row * row;
            let rows = &mut target.out[at..at + size];
            self.decompress(encoded, rows, least)?;
            raster.finish(rows);
            return Ok(());
        }
        scratch.clear();
        scratch.resize(size, 0);
        self.decompress(encoded, scratch, least)?;
        raster.spread(&mut scratch[segment.rows.start as usize * row..least], target);
        Ok(())
    }

    /// Decompresses the bytes of a block, at least the first `least` of them.
    fn decompress(&self, encoded: &[u8], out: &mut [u8], least: usize) -> Result<()> {
        match self.layout.compression {
            Compression::Lzw => lzw::decode(encoded, &mut out[..least]),
            Compression::Deflate => deflate::decode(encoded, out, least),
            Compression::PackBits => packbits::decode(encoded, &mut out[..least]),
            Compression::Zstd => zstd::decode(encoded, out, least),
            other => Err(Error::new(Kind::Internal, format!("{} data", other.name()))),
        }
    }

    fn decode_jpeg(&self, segment: &Segment, encoded: &[u8], raster: &Raster, target: &mut Target<'_>) -> Result<()> {
        let color = match self.layout.photometric {
            photometric::YCBCR => jpeg::Color::YCbCr,
            photometric::RGB => jpeg::Color::Rgb,
            _ => jpeg::Color::Stored,
        };
        // Frames may be padded to whole blocks of 16.
        let most = |side: u64| side.next_multiple_of(16) as usize;
        let most = (most(self.layout.block.x), most(self.layout.block.y));
        let interval = match &self.blocks {
            Blocks::Restarts(restarts) => Some(restarts.image(encoded)),
            _ => None,
        };
        let encoded = interval.as_deref().unwrap_or(encoded);
        let mut image = jpeg::decode(encoded, self.jpeg_tables.as_deref(), color, most)?;
        let rows = segment.rows.end as usize;
        if image.samples != raster.samples || image.width < target.columns || image.height < rows {
            return Err(Error::malformed(format!(
                "a JPEG frame of {} x {} pixels of {} samples for {} x {rows} of {}",
                image.width, image.height, image.samples, target.columns, raster.samples
            )));
        }
        let raster = Raster { width: image.width, ..raster.clone() };
        let row = raster.row_bytes();
        raster.spread(&mut image.data[segment.rows.start as usize * row..rows * row], target);
        Ok(())
    }
}
