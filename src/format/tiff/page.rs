//! One page: a directory whose layout was checked, with the tables that say where its blocks lie.

use super::compression::Compression;
use super::header::TiffFile;
use super::ifd::{Ifd, ValueTable};
use super::layout::Layout;
use super::restart::{self, Restarts};
use super::tags::{photometric, tag};
use super::wrapped::{self, High};
use crate::codec::raster::Raster;
use crate::error::{Error, Result};
use crate::format::{Limits, UnitCost};
use crate::model::{Colormap, TileSize};
use crate::sync::Arc;

/// A page, ready to be read. Small: its tables stay in the file. Cheap to parse again.
pub struct Page {
    /// The file it lies in.
    pub(super) file: TiffFile,
    /// Its directory, for the tags that are not pixels.
    pub ifd: Ifd,
    /// What its pixels are.
    pub layout: Layout,
    pub(super) blocks: Blocks,
    /// What the offsets lack (Zeiss LSM).
    pub(super) high: Option<High>,
    pub(super) jpeg_tables: Option<Vec<u8>>,
    /// What the decoder of pictures is told beside their layout.
    pub(super) codec_option: u64,
    pub(super) palette: Option<Arc<Colormap>>,
    pub(super) unit_bytes: u64,
    /// Blocks down and across in the tables: more than the layout has where the page was cropped.
    pub(super) grid: (u64, u64),
}

/// Where the blocks lie.
pub(super) enum Blocks {
    /// Offsets, and lengths if the file gives them.
    Table { offsets: Box<ValueTable>, counts: Option<Box<ValueTable>> },
    /// Uncompressed rows one after the other from this offset, whatever the tables say.
    Contiguous(u64),
    /// Restart intervals of one JPEG stream.
    Restarts(Box<Restarts>),
}

/// JPEG tables are some hundred bytes.
const MAX_JPEG_TABLES: u64 = 64 << 10;
/// Values in the tag that a codec asks for.
const MAX_OPTIONS: u64 = 8;
/// Directories below one directory.
const MAX_SUB_IFDS: u64 = 1024;

impl Page {
    /// Reads the directory at `offset` and checks it.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `Truncated`, `Io`; the directory is named.
    pub fn parse(file: &TiffFile, offset: u64, limits: &Limits) -> Result<Self> {
        Self::from_ifd(file, Ifd::read(file, offset)?, limits)
    }

    /// Checks a directory that was read already (by [`super::header::Chain`]).
    ///
    /// # Errors
    /// As [`Page::parse`].
    pub fn from_ifd(file: &TiffFile, ifd: Ifd, limits: &Limits) -> Result<Self> {
        let place = format!("directory at offset {}", ifd.offset);
        Self::build(file, ifd, limits).map_err(|e| e.at(place))
    }

    fn build(file: &TiffFile, mut ifd: Ifd, limits: &Limits) -> Result<Self> {
        if file.ndpi {
            restart::correct_grey(&mut ifd)?;
        }
        let high = file.wrapped.as_ref().map(|wrapped| wrapped.of(ifd.offset));
        if high.is_some() {
            wrapped::correct_bits(file.file.as_ref(), &mut ifd)?;
        }
        let mut layout = Layout::parse(&ifd, limits)?;
        let restarts = if file.ndpi { Restarts::find(file, &ifd, &mut layout, limits)? } else { None };
        if file.ndpi && restarts.is_none() {
            restart::stream_rows(file, &ifd, &mut layout, limits)?;
        }
        let table = |first, second| match ifd.table(first)? {
            Some(table) => Ok(Some(table)),
            None => ifd.table(second),
        };
        let (offsets, counts) = if layout.tiled {
            (table(tag::TILE_OFFSETS, tag::STRIP_OFFSETS)?, table(tag::TILE_BYTE_COUNTS, tag::STRIP_BYTE_COUNTS)?)
        } else {
            (table(tag::STRIP_OFFSETS, tag::TILE_OFFSETS)?, table(tag::STRIP_BYTE_COUNTS, tag::TILE_BYTE_COUNTS)?)
        };
        let offsets = offsets.ok_or_else(|| Error::malformed("no table of offsets"))?;
        let blocks = match restarts {
            Some(restarts) => Blocks::Restarts(Box::new(restarts)),
            None => {
                check_table(&offsets, layout.block_count())?;
                Blocks::Table { offsets: Box::new(offsets), counts: counts.map(Box::new) }
            }
        };
        let jpeg_tables =
            if layout.compression.is_jpeg() { ifd.bytes(tag::JPEG_TABLES, MAX_JPEG_TABLES)? } else { None };
        let codec_option = match layout.compression.option_tag() {
            Some(tag) => ifd.u64s(tag, MAX_OPTIONS)?.and_then(|values| values.last().copied()).unwrap_or(0),
            None => 0,
        };
        let mut page = Page {
            file: file.clone(),
            layout,
            blocks,
            high,
            jpeg_tables,
            codec_option,
            palette: None,
            unit_bytes: limits.unit_bytes,
            grid: layout.blocks(),
            ifd,
        };
        if layout.palette_rgb {
            let map = page.colormap()?.ok_or_else(|| Error::malformed("a palette image without ColorMap"))?;
            page.palette = Some(Arc::new(map));
        }
        Ok(page)
    }

    /// The same page with its rows, uncompressed, one after the other from `offset`: ImageJ writes one directory for a
    /// whole stack of planes.
    ///
    /// # Errors
    /// `Malformed` if the page is compressed or tiled, or its samples lie apart.
    pub fn contiguous_at(&self, offset: u64) -> Result<Self> {
        if self.layout.compression != Compression::None || self.layout.tiled || self.layout.planar {
            return Err(Error::malformed("planes without directories of their own in a compressed or tiled page"));
        }
        Ok(Page {
            file: self.file.clone(),
            ifd: self.ifd.clone(),
            layout: self.layout,
            blocks: Blocks::Contiguous(offset),
            high: None,
            jpeg_tables: None,
            codec_option: 0,
            palette: self.palette.clone(),
            unit_bytes: self.unit_bytes,
            grid: self.grid,
        })
    }

    /// The upper left part of the page: some writers give the size of all tiles as that of the image.
    ///
    /// # Errors
    /// `Malformed` if the page is smaller, or has no tiles to cut at.
    pub fn cropped(self, width: u64, height: u64) -> Result<Self> {
        if width > self.layout.width || height > self.layout.height {
            let (w, h) = (self.layout.width, self.layout.height);
            return Err(Error::malformed(format!("{width} x {height} pixels of a page of {w} x {h}")));
        }
        self.sized(width, height)
    }

    /// A page like this one of another size, to stand for what is put together from its tiles.
    ///
    /// # Errors
    /// `Malformed` for a size of zero, or a page without tiles.
    pub fn sized(mut self, width: u64, height: u64) -> Result<Self> {
        let layout = &mut self.layout;
        if (width, height) == (layout.width, layout.height) {
            return Ok(self);
        }
        if width == 0 || height == 0 || width.max(height) > u64::from(u32::MAX) || !layout.tiled {
            return Err(Error::malformed(format!("{width} x {height} pixels cut out of a page")));
        }
        (layout.width, layout.height) = (width, height);
        Ok(self)
    }

    /// Offset of the first block, for [`Page::contiguous_at`].
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn data_offset(&self) -> Result<u64> {
        match &self.blocks {
            Blocks::Table { offsets, .. } => offsets.get(0),
            Blocks::Contiguous(offset) => Ok(*offset),
            Blocks::Restarts(_) => Err(Error::malformed("the offset of data that are one JPEG stream")),
        }
    }

    /// Bytes of one uncompressed plane of all samples, rows as stored.
    pub fn plane_bytes(&self) -> u64 {
        let planes = if self.layout.planar { self.layout.samples } else { 1 };
        self.layout.row_bytes().saturating_mul(self.layout.height).saturating_mul(planes)
    }

    /// The file it lies in.
    pub fn source(&self) -> &dyn crate::io::ReadAt {
        self.file.file.as_ref()
    }

    /// Rows and columns of a unit, for [`crate::model::Level::unit`].
    pub fn unit(&self) -> TileSize {
        self.layout.unit
    }

    /// The tile size, if the page is tiled.
    pub fn native_tile(&self) -> Option<TileSize> {
        self.layout.tiled.then_some(self.layout.block)
    }

    /// Channels that a unit holds side by side.
    pub fn samples_per_unit(&self) -> u64 {
        self.layout.samples_per_unit()
    }

    /// Could both be planes of one stack, or of one level?
    pub fn same_layout(&self, other: &Page) -> bool {
        self.layout == other.layout
    }

    /// Can units be decoded in any order at the same cost?
    pub fn random_access(&self) -> bool {
        !self.layout.bands || self.layout.compression == Compression::None
    }

    /// Rows and columns of the unit at (`ty`, `tx`), cut to the page.
    pub fn unit_size(&self, ty: u64, tx: u64) -> (u64, u64) {
        let cut = |at: u64, step: u64, end: u64| step.min(end.saturating_sub(at.saturating_mul(step)));
        (cut(ty, self.layout.unit.y, self.layout.height), cut(tx, self.layout.unit.x, self.layout.width))
    }

    /// What a unit costs, from the layout alone.
    pub fn cost(&self, ty: u64, tx: u64) -> UnitCost {
        let layout = &self.layout;
        let (rows, columns) = self.unit_size(ty, tx);
        let pixel = self.samples_per_unit() * layout.dtype.size() as u64;
        let decoded = rows.saturating_mul(columns).saturating_mul(pixel);
        let stored_rows = if layout.bands { rows } else { rows.max(layout.block.y) };
        let stored = stored_rows.saturating_mul(layout.row_bytes());
        let scratch = if layout.compression == Compression::None {
            stored
        } else if layout.bands {
            stored.saturating_add(self.stream_state())
        } else {
            // The encoded bytes of all blocks, and one block decoded but not yet spread.
            let block = layout.compression.memory(layout.block.y.saturating_mul(self.held_row_bytes()));
            let slack = super::fetch::slack(layout.compression) * rows.div_ceil(layout.block.y);
            // What is encoded is the full resolution.
            let encoded = stored.saturating_mul(1 << (2 * layout.reduce).min(62));
            encoded.saturating_add(encoded / 2).saturating_add(block).saturating_add(slack)
        };
        UnitCost { decoded, scratch }
    }

    /// Bytes of a row of a block while it is decoded. Decoders of pictures give whole bytes, whatever the page says of bits;
    /// those of fax alone give bits.
    fn held_row_bytes(&self) -> u64 {
        let layout = &self.layout;
        let stored = layout.row_bytes();
        match layout.compression.codec() {
            Some(codec) if !codec.bit_order => {
                let pixel = layout.block_samples().saturating_mul(layout.dtype.size() as u64);
                stored.max(layout.block.x.saturating_mul(pixel))
            }
            _ => stored,
        }
    }

    /// Offsets of the directories below this one (SubIFDs).
    ///
    /// # Errors
    /// If the list cannot be read.
    pub fn sub_ifds(&self) -> Result<Vec<u64>> {
        Ok(self.ifd.u64s(tag::SUB_IFDS, MAX_SUB_IFDS)?.unwrap_or_default())
    }

    /// NewSubfileType: bit 0 marks a reduced resolution, bit 2 a mask.
    pub fn subfile_type(&self) -> u64 {
        self.ifd.u64(tag::NEW_SUBFILE_TYPE).ok().flatten().unwrap_or(0)
    }

    /// Is this a smaller version of another page? The old SubfileType 2 says so too.
    pub fn is_reduced(&self) -> bool {
        self.subfile_type() & 1 == 1 || matches!(self.ifd.u64(tag::SUBFILE_TYPE), Ok(Some(2)))
    }

    /// ImageDescription, if it has at most `max` bytes.
    ///
    /// # Errors
    /// If it cannot be read, or is longer.
    pub fn description(&self, max: u64) -> Result<Option<Vec<u8>>> {
        self.ifd.text(tag::IMAGE_DESCRIPTION, max)
    }

    /// Software, as text; bytes that are not UTF-8 are replaced.
    pub fn software(&self) -> Option<String> {
        self.short_text(tag::SOFTWARE)
    }

    /// DateTime, as written ("2024:01:31 12:00:00").
    pub fn date_time(&self) -> Option<String> {
        self.short_text(tag::DATE_TIME)
    }

    /// A short text field.
    pub fn short_text(&self, tag: u16) -> Option<String> {
        let text = self.ifd.text(tag, 4096).ok().flatten()?;
        Some(String::from_utf8_lossy(&text).trim().to_owned()).filter(|t| !t.is_empty())
    }

    /// What the pixels' order means, if it is not row by row from the top left (Orientation, TIFF 6.0 page 36).
    pub fn orientation(&self) -> Option<&'static str> {
        match self.ifd.u64(tag::ORIENTATION).ok().flatten()? {
            2 => Some("2 (mirrored left to right)"),
            3 => Some("3 (rotated by 180 degrees)"),
            4 => Some("4 (mirrored top to bottom)"),
            5 => Some("5 (rows and columns exchanged)"),
            6 => Some("6 (to be rotated by 90 degrees clockwise)"),
            7 => Some("7 (rows and columns exchanged, both backwards)"),
            8 => Some("8 (to be rotated by 90 degrees counterclockwise)"),
            _ => None,
        }
    }

    /// XResolution, YResolution and ResolutionUnit (1 none, 2 inch, 3 centimetre), in pixels a unit.
    pub fn resolution(&self) -> Option<(f64, f64, u64)> {
        let x = self.ifd.f64(tag::X_RESOLUTION).ok().flatten()?;
        let y = self.ifd.f64(tag::Y_RESOLUTION).ok().flatten()?;
        let unit = self.ifd.u64(tag::RESOLUTION_UNIT).ok().flatten().unwrap_or(2);
        Some((x, y, unit))
    }

    /// Are pixels red, green, blue (with or without more)? JPEG and its successors turn YCbCr into that.
    pub fn is_rgb(&self) -> bool {
        let layout = &self.layout;
        layout.palette_rgb
            || layout.samples >= 3
                && (layout.photometric == photometric::RGB
                    || layout.photometric == photometric::YCBCR && layout.compression.codec().is_some())
    }

    /// The palette of a palette image.
    ///
    /// # Errors
    /// If it cannot be read, or is shorter than the samples need.
    pub fn colormap(&self) -> Result<Option<Colormap>> {
        if self.layout.photometric != photometric::PALETTE || self.layout.bits > 16 {
            return Ok(None);
        }
        let size = 1_usize << self.layout.bits;
        let Some(values) = self.ifd.u64s(tag::COLOR_MAP, 3 * size as u64)? else { return Ok(None) };
        if values.len() < 3 * size {
            return Err(Error::malformed(format!("ColorMap of {} entries, not {}", values.len(), 3 * size)));
        }
        let third = |i: usize| values[i * size..(i + 1) * size].iter().map(|v| *v as u16).collect();
        Ok(Some(Colormap { red: third(0), green: third(1), blue: third(2) }))
    }

    /// How the rows of a block lie once decompressed.
    pub(super) fn raster(&self) -> Raster {
        let layout = &self.layout;
        Raster {
            width: layout.block.x as usize,
            samples: layout.block_samples() as usize,
            bits: layout.bits,
            number: layout.number,
            big_endian: !self.file.little_endian,
            predictor: layout.predictor,
            palette: self.palette.clone(),
        }
    }
}

/// A table that claims more entries than the image has blocks, and more than the file has room for, is made up.
/// One that the file merely cuts short still serves the blocks it names.
fn check_table(offsets: &ValueTable, blocks: u64) -> Result<()> {
    let (claimed, present) = (offsets.len(), offsets.present());
    if present == 0 || claimed > blocks && present < claimed {
        return Err(Error::truncated(format!("a table of {claimed} offsets of which the file holds {present}")));
    }
    Ok(())
}
