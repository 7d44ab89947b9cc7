//! What a directory says about its pixels, checked, and the units they are read in.

use super::compression::{Compression, unread_name};
use super::ifd::Ifd;
use super::tags::{photometric, tag};
use crate::codec::raster::{Number, Predictor, dtype};
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::model::{Dtype, TileSize};

/// Size, samples and storage of one page. Equal for pages that can share a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Columns.
    pub width: u64,
    /// Rows.
    pub height: u64,
    /// Samples of a pixel as stored.
    pub samples: u64,
    /// Each sample has tiles of its own (PlanarConfiguration 2).
    pub planar: bool,
    /// Bits of a stored sample, both parts of a complex one.
    pub bits: u32,
    /// What the bits mean.
    pub number: Number,
    /// The type that readers see; with an expanded palette that of the colours.
    pub dtype: Dtype,
    /// How blocks are compressed.
    pub compression: Compression,
    /// What to undo after that.
    pub predictor: Predictor,
    /// PhotometricInterpretation; `MIN_IS_BLACK` if the tag is missing.
    pub photometric: u16,
    /// The first pixel is in the least significant bit.
    pub reversed_bits: bool,
    /// Chroma subsampling across and down (JPEG carries its own).
    pub subsampling: (u64, u64),
    /// Rows and columns of a tile or strip.
    pub block: TileSize,
    /// Tiles, not strips?
    pub tiled: bool,
    /// Palette indices become three samples of colour.
    pub palette_rgb: bool,
    /// Rows and columns of a unit.
    pub unit: TileSize,
    /// Units are bands of rows that begin and end inside blocks.
    pub bands: bool,
    /// So many times half the stored size: a resolution inside of the compressed blocks.
    pub reduce: u8,
    /// Blocks down and across.
    grid: (u64, u64),
}

/// More samples in a pixel are not credible; hyperspectral cameras give hundreds.
const MAX_SAMPLES: u64 = 4096;
/// Several strips are read together up to this decoded size.
const GATHER_BYTES: u64 = 512 << 10;
/// Bands of rows are about this large.
const BAND_BYTES: u64 = 1 << 20;

impl Layout {
    /// Reads and checks the fields of `ifd`.
    ///
    /// # Errors
    /// `Malformed` for contradictions, `Unsupported` for what is not read.
    pub fn parse(ifd: &Ifd, limits: &Limits) -> Result<Self> {
        let (width, height) = size(ifd)?;
        let samples = ifd.u64(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        if samples == 0 {
            return Err(Error::malformed("no samples in a pixel"));
        }
        if samples > MAX_SAMPLES {
            return Err(Error::over_limit(format!("{samples} samples in a pixel, at most {MAX_SAMPLES}")));
        }
        let bits = same(ifd, tag::BITS_PER_SAMPLE, samples)?.unwrap_or(1);
        let number = match same(ifd, tag::SAMPLE_FORMAT, samples)?.unwrap_or(1) {
            // Untyped data are shown as they lie.
            1 | 4 => Number::Unsigned,
            2 => Number::Signed,
            3 => Number::Float,
            5 => Number::ComplexInt,
            6 => Number::ComplexFloat,
            n => return Err(Error::malformed(format!("sample format {n}"))),
        };
        let bits = u32::try_from(bits).ok().filter(|b| (1..=128).contains(b));
        let bits = bits.ok_or_else(|| Error::malformed("BitsPerSample is 0 or above 128"))?;
        let stored = dtype(number, bits)
            .ok_or_else(|| Error::unsupported(format!("samples of {bits} bits in format {number:?}")))?;
        let compression = compression(ifd)?;
        let photometric = ifd.u64(tag::PHOTOMETRIC)?.unwrap_or(1).min(u64::from(u16::MAX)) as u16;
        let planar = match ifd.u64(tag::PLANAR_CONFIGURATION)?.unwrap_or(1) {
            1 => false,
            2 => samples > 1,
            n => return Err(Error::malformed(format!("planar configuration {n}"))),
        };
        let subsampling = subsampling(ifd, photometric, compression, samples)?;
        let (block, tiled) = block(ifd, width, height)?;
        let palette_rgb = limits.palette_rgb && photometric == photometric::PALETTE && samples == 1 && bits <= 16;
        let mut layout = Layout {
            width,
            height,
            samples,
            planar,
            bits,
            number,
            dtype: if palette_rgb { Dtype::U8 } else { stored },
            compression,
            predictor: predictor(ifd, compression, number, bits)?,
            photometric,
            reversed_bits: ifd.u64(tag::FILL_ORDER)? == Some(2),
            subsampling,
            block,
            tiled,
            palette_rgb,
            unit: block,
            bands: false,
            reduce: 0,
            grid: (height.div_ceil(block.y), width.div_ceil(block.x)),
        };
        layout.choose_unit(limits)?;
        Ok(layout)
    }

    /// Channels that a unit holds side by side.
    pub fn samples_per_unit(&self) -> u64 {
        if self.palette_rgb {
            3
        } else if self.planar {
            1
        } else {
            self.samples
        }
    }

    /// Samples of a pixel as shown: three for an expanded palette.
    pub fn shown_samples(&self) -> u64 {
        if self.palette_rgb { 3 } else { self.samples }
    }

    /// Stored samples of a pixel inside one block.
    pub fn block_samples(&self) -> u64 {
        if self.planar { 1 } else { self.samples }
    }

    /// Blocks down and across.
    pub fn blocks(&self) -> (u64, u64) {
        self.grid
    }

    /// Blocks of the page, over all its samples.
    pub fn block_count(&self) -> u64 {
        let (down, across) = self.blocks();
        down.saturating_mul(across).saturating_mul(if self.planar { self.samples } else { 1 })
    }

    /// Decoded bytes of `rows` rows of a block.
    pub fn shown_bytes(&self, rows: u64) -> u64 {
        let pixel = self.samples_per_unit() * self.dtype.size() as u64;
        rows.saturating_mul(self.block.x).saturating_mul(pixel)
    }

    /// Stored bytes of a row of a block, decompressed.
    pub fn row_bytes(&self) -> u64 {
        self.block.x.saturating_mul(self.block_samples() * u64::from(self.bits)).div_ceil(8)
    }

    /// Rows that block row `by` holds: a tile is always full, a last strip is not.
    pub fn block_rows(&self, by: u64) -> u64 {
        if self.tiled { self.block.y } else { self.block.y.min(self.height.saturating_sub(by * self.block.y)) }
    }

    /// Decoded bytes of a tile or strip of the file; 0 for uncompressed strips, whose rows are read one by one.
    pub fn native_unit_bytes(&self) -> u64 {
        let direct = self.compression == Compression::None && !self.tiled;
        if direct { 0 } else { self.shown_bytes(self.block.y) }
    }

    /// Cuts a page of one strip into blocks that its data tell apart.
    ///
    /// # Errors
    /// `OverLimit` if the blocks are too large.
    pub fn set_block(&mut self, block: TileSize, limits: &Limits) -> Result<()> {
        self.block = block;
        self.unit = block;
        self.bands = false;
        self.grid = (self.height.div_ceil(block.y), self.width.div_ceil(block.x));
        self.choose_unit(limits)
    }

    /// The same pixels at `1 / 2^reduce` of the size, as the compression of the blocks gives them; `None` if blocks would no
    /// longer lie side by side, or nothing would be left.
    pub fn reduced(&self, reduce: u8) -> Option<Self> {
        let step = 1_u64.checked_shl(u32::from(reduce))?;
        let fits = self.block.x.is_multiple_of(step) && self.block.y.is_multiple_of(step);
        if self.reduce != 0 || self.bands || !(fits && self.tiled || self.grid == (1, 1)) {
            return None;
        }
        // Rounded to the nearest: what is left of a last row or column must be at least a half.
        let side = |side: u64| Some((side + step / 2) / step).filter(|side| *side > 0);
        let (width, height) = (side(self.width)?, side(self.height)?);
        let block = TileSize { y: self.block.y.div_ceil(step), x: self.block.x.div_ceil(step) };
        let unit = TileSize { y: block.y.min(height.max(1)), x: block.x };
        let unit = if self.tiled { block } else { unit };
        Some(Layout { width, height, block, unit, reduce, ..*self })
    }

    /// Reads a block in bands of rows, although its compression does not stream by itself.
    pub fn set_bands(&mut self, limits: &Limits) {
        let row = self.shown_bytes(1).max(1);
        self.bands = true;
        self.unit.y = aligned((BAND_BYTES.min(limits.unit_bytes) / row).max(1)).min(self.height);
    }

    fn choose_unit(&mut self, limits: &Limits) -> Result<()> {
        let row = self.shown_bytes(1).max(self.row_bytes()).max(1);
        let block = row.saturating_mul(self.block.y);
        let band = aligned((BAND_BYTES.min(limits.unit_bytes) / row).max(1));
        // No unit of this page may have a size that does not fit in memory arithmetic.
        if row.checked_mul(self.block.y).is_none_or(|n| n > 1 << 56) {
            return Err(Error::over_limit(format!("blocks of {} x {} pixels", self.block.x, self.block.y)));
        }
        let direct = self.compression == Compression::None && !self.tiled;
        if direct {
            // Rows of uncompressed strips are read one by one, whatever strip they are in.
            self.bands = !band.is_multiple_of(self.block.y);
            self.unit.y = band.min(self.height);
        } else if block > limits.unit_bytes && self.compression.streams() {
            self.bands = true;
            self.unit.y = band.min(self.height);
        } else if !self.tiled {
            let strips = (aligned(GATHER_BYTES / row) / self.block.y).clamp(1, self.height.div_ceil(self.block.y));
            self.unit.y = (strips * self.block.y).min(self.height);
        }
        Ok(())
    }
}

/// At most `rows` rows, such that units end where chunks do: what is lost with a strip then stays in its own chunks.
fn aligned(rows: u64) -> u64 {
    const CHUNK_ROWS: u64 = 512;
    if rows <= 1 { rows } else { (1 << rows.ilog2()).min(CHUNK_ROWS) }
}

fn size(ifd: &Ifd) -> Result<(u64, u64)> {
    let side = |tag, name| {
        let side = ifd.u64(tag)?.ok_or_else(|| Error::malformed(format!("no {name}")))?;
        if side == 0 || side > u64::from(u32::MAX) {
            return Err(Error::malformed(format!("{name} {side}")));
        }
        Ok(side)
    };
    Ok((side(tag::IMAGE_WIDTH, "ImageWidth")?, side(tag::IMAGE_LENGTH, "ImageLength")?))
}

/// The one value that a field with an entry for each sample has.
fn same(ifd: &Ifd, tag: u16, samples: u64) -> Result<Option<u64>> {
    let Some(values) = ifd.u64s(tag, samples)? else { return Ok(None) };
    let first = values.first().copied();
    if values.iter().any(|v| Some(*v) != first) {
        return Err(Error::unsupported(format!("samples that differ in tag {tag}: {values:?}")));
    }
    Ok(first)
}

fn compression(ifd: &Ifd) -> Result<Compression> {
    let number = ifd.u64(tag::COMPRESSION)?.unwrap_or(1);
    Compression::from_number(number)
        .ok_or_else(|| Error::unsupported(format!("compression {number} ({})", unread_name(number))))
}

fn predictor(ifd: &Ifd, compression: Compression, number: Number, bits: u32) -> Result<Predictor> {
    if !compression.has_predictor() {
        return Ok(Predictor::None);
    }
    match ifd.u64(tag::PREDICTOR)?.unwrap_or(1) {
        1 => Ok(Predictor::None),
        2 => Ok(Predictor::Horizontal),
        3 if number == Number::Float && bits.is_multiple_of(8) => Ok(Predictor::Float),
        3 => Err(Error::malformed(format!("floating-point predictor on {bits}-bit samples in format {number:?}"))),
        n => Err(Error::unsupported(format!("predictor {n}"))),
    }
}

/// Subsampled chroma outside of pictures is not read: samples of a pixel would not lie together.
fn subsampling(ifd: &Ifd, photometric: u16, compression: Compression, samples: u64) -> Result<(u64, u64)> {
    if photometric != photometric::YCBCR || samples != 3 {
        return Ok((1, 1));
    }
    let (x, y) = match ifd.u64s(tag::YCBCR_SUBSAMPLING, 2)?.as_deref() {
        Some([x, y]) => (*x, *y),
        _ => (2, 2),
    };
    if compression.codec().is_none() && (x, y) != (1, 1) {
        return Err(Error::unsupported(format!("{} data with chroma subsampling {x} x {y}", compression.name())));
    }
    Ok((x, y))
}

fn block(ifd: &Ifd, width: u64, height: u64) -> Result<(TileSize, bool)> {
    let Some(x) = ifd.u64(tag::TILE_WIDTH)? else {
        let rows = ifd.u64(tag::ROWS_PER_STRIP)?.filter(|rows| *rows > 0).unwrap_or(height);
        return Ok((TileSize { y: rows.min(height), x: width }, false));
    };
    let y = ifd.u64(tag::TILE_LENGTH)?.ok_or_else(|| Error::malformed("TileWidth without TileLength"))?;
    if x == 0 || y == 0 || x > i32::MAX as u64 || y > i32::MAX as u64 {
        return Err(Error::malformed(format!("tiles of {x} x {y} pixels")));
    }
    Ok((TileSize { y, x }, true))
}
