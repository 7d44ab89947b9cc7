//! Turning the stored bytes of a unit into samples.

use super::compression::Compression;
use super::fetch::Segment;
use super::page::{Blocks, Page};
use super::tags::photometric;
use crate::codec::bits;
use crate::codec::picture::{Codec, Color, Wanted};
use crate::codec::raster::{Predictor, Raster, Target, dtype};
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
        // Pictures other than fax have an order of bits of their own.
        if self.layout.reversed_bits && self.layout.compression.has_bit_order() {
            bits::reverse(encoded);
        }
        let decompress = match self.layout.compression {
            Compression::None => {
                raster.spread(encoded, target);
                return Ok(());
            }
            Compression::Picture { codec, .. } => {
                return self.decode_picture(codec, segment, encoded, raster, target);
            }
            Compression::Bytes(bytes) => bytes.decode,
        };
        let row = raster.row_bytes();
        let size = self.layout.block_rows(segment.by) as usize * row;
        // Some writers leave out the rows of a tile that lie below the image.
        let least = segment.rows.end as usize * row;
        if raster.in_place(target.columns) && segment.rows.start == 0 && least == size {
            let at = target.row * row;
            let rows = &mut target.out[at..at + size];
            decompress(encoded, rows, least)?;
            raster.finish(rows);
            return Ok(());
        }
        scratch.clear();
        scratch.resize(size, 0);
        decompress(encoded, scratch, least)?;
        raster.spread(&mut scratch[segment.rows.start as usize * row..least], target);
        Ok(())
    }

    fn decode_picture(
        &self,
        codec: &Codec,
        segment: &Segment,
        encoded: &[u8],
        raster: &Raster,
        target: &mut Target<'_>,
    ) -> Result<()> {
        let layout = &self.layout;
        // Pictures may be padded to whole blocks of 16.
        let most = |side: u64| side.next_multiple_of(16) as usize;
        let wanted = Wanted {
            width: most(layout.block.x),
            height: most(layout.block.y),
            columns: layout.block.x as usize,
            rows: segment.rows.end as usize,
            samples: raster.samples,
            bits: layout.bits,
            number: layout.number,
            color: match layout.photometric {
                photometric::YCBCR => Color::YCbCr,
                photometric::RGB => Color::Rgb,
                _ => Color::Stored,
            },
            tables: self.jpeg_tables.as_deref(),
            option: self.codec_option,
            reduce: layout.reduce,
        };
        let interval = match &self.blocks {
            Blocks::Restarts(restarts) => Some(restarts.image(encoded)),
            _ => None,
        };
        let encoded = interval.as_deref().unwrap_or(encoded);
        let mut picture = (codec.decode)(encoded, &wanted)?;
        let rows = segment.rows.end as usize;
        if picture.samples != raster.samples
            || picture.width < target.columns
            || picture.height < rows
            || dtype(picture.number, picture.bits) != dtype(layout.number, layout.bits)
        {
            return Err(Error::malformed(format!(
                "a {} picture of {} x {} pixels of {} samples of {} bits for {} x {rows} of {} of {} bits",
                codec.name,
                picture.width,
                picture.height,
                picture.samples,
                picture.bits,
                target.columns,
                raster.samples,
                layout.bits,
            )));
        }
        let raster = Raster {
            width: picture.width,
            bits: picture.bits,
            number: picture.number,
            big_endian: false,
            predictor: Predictor::None,
            ..raster.clone()
        };
        let row = raster.row_bytes();
        let range = segment.rows.start as usize * row..rows * row;
        let data = picture.data.get_mut(range);
        raster.spread(data.ok_or_else(|| Error::new(Kind::Internal, "a picture with too few rows"))?, target);
        Ok(())
    }
}
