//! What the pixels of a frame are (Image Pixel Module, PS3.3 C.7.6.3).

use super::elements::DataSet;
use super::tags;
use crate::codec::raster::{Number, dtype};
use crate::error::{Error, Result};
use crate::model::{Colormap, Dtype};

/// What samples mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Photometric {
    /// Low values are dark.
    Gray,
    /// Low values are bright.
    Inverted,
    Palette,
    Rgb,
    /// YCbCr of full range: to be turned into RGB.
    Ycbcr,
    /// The same, one pair of chroma samples for two pixels of a row.
    Ycbcr422,
    /// YCbCr that the compression itself turns into RGB.
    Transformed,
}

/// A frame's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Pixel {
    pub rows: u64,
    pub columns: u64,
    pub samples: u64,
    /// Samples of one kind lie together.
    pub planar: bool,
    pub photometric: Photometric,
    /// Bits that a sample takes.
    pub allocated: u32,
    /// Bits that are used, and how far up they lie.
    pub stored: u32,
    pub shift: u32,
    pub number: Number,
}

impl Pixel {
    /// From the elements; `number` tells floating-point pixel data.
    ///
    /// # Errors
    /// `Malformed` for what cannot be, `Unsupported` for what is not read.
    pub fn of(set: &DataSet, float: Option<u32>) -> Result<Self> {
        let count = |tag: u32, name: &str| set.count(tag).ok_or_else(|| Error::malformed(format!("no {name}")));
        let (rows, columns) = (count(tags::ROWS, "Rows")?, count(tags::COLUMNS, "Columns")?);
        if rows == 0 || columns == 0 {
            return Err(Error::malformed(format!("frames of {columns} x {rows} pixels")));
        }
        let samples = set.count(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let name = set.text(tags::PHOTOMETRIC).unwrap_or_default();
        let photometric = match (name.as_str(), samples) {
            ("MONOCHROME1", 1) => Photometric::Inverted,
            ("MONOCHROME2" | "", 1) => Photometric::Gray,
            ("PALETTE COLOR", 1) => Photometric::Palette,
            ("RGB", 3) => Photometric::Rgb,
            ("YBR_FULL", 3) => Photometric::Ycbcr,
            ("YBR_FULL_422", 3) => Photometric::Ycbcr422,
            ("YBR_ICT" | "YBR_RCT" | "XYB", 3) => Photometric::Transformed,
            (_, 1..=4) => return Err(Error::unsupported(format!("pixels of kind {name:.40} with {samples} samples"))),
            _ => return Err(Error::malformed(format!("{samples} samples per pixel"))),
        };
        let allocated = count(tags::BITS_ALLOCATED, "BitsAllocated")?;
        if let Some(bits) = float {
            if samples != 1 {
                return Err(Error::malformed(format!("{samples} samples of floating-point numbers")));
            }
            let number = Number::Float;
            let (allocated, stored) = (bits, bits);
            return Ok(Pixel {
                rows,
                columns,
                samples,
                planar: false,
                photometric,
                allocated,
                stored,
                shift: 0,
                number,
            });
        }
        let allocated = match allocated {
            1 | 8 | 16 | 32 | 64 => allocated as u32,
            n if n > 64 || n == 0 || (n > 8 && n % 8 != 0) || n < 8 => {
                return Err(Error::malformed(format!("BitsAllocated {n}")));
            }
            n => return Err(Error::unsupported(format!("samples of {n} bits"))),
        };
        let stored = set.count(tags::BITS_STORED).unwrap_or(allocated.into());
        if stored == 0 || stored > u64::from(allocated) {
            return Err(Error::malformed(format!("{stored} bits stored in {allocated}")));
        }
        let stored = stored as u32;
        let high = set.count(tags::HIGH_BIT).unwrap_or(u64::from(stored) - 1);
        // A high bit that cannot be is ignored, as others do.
        let high = if high < u64::from(allocated) && high + 1 >= u64::from(stored) { high as u32 } else { stored - 1 };
        let signed = set.count(tags::PIXEL_REPRESENTATION) == Some(1) && allocated > 1;
        if signed && samples > 1 {
            return Err(Error::unsupported("colours with a sign"));
        }
        Ok(Pixel {
            rows,
            columns,
            samples,
            planar: samples > 1 && set.count(tags::PLANAR_CONFIGURATION) == Some(1),
            photometric,
            allocated,
            stored,
            shift: high + 1 - stored,
            number: if signed { Number::Signed } else { Number::Unsigned },
        })
    }

    /// The type that readers see.
    pub fn dtype(&self) -> Dtype {
        dtype(self.number, self.allocated.max(8)).unwrap_or(Dtype::U8)
    }

    /// Bytes of a sample in memory.
    pub fn size(&self) -> u64 {
        self.dtype().size() as u64
    }

    /// Decoded bytes of so many pixels.
    pub fn decoded(&self, pixels: u64) -> u64 {
        pixels.saturating_mul(self.samples).saturating_mul(self.size())
    }

    /// Bits of a stored row of all samples, of frames that are not compressed.
    pub fn row_bits(&self) -> u64 {
        let samples = match self.photometric {
            // Two pixels share their chroma.
            Photometric::Ycbcr422 => return self.columns.div_ceil(2) * 4 * u64::from(self.allocated),
            _ => self.samples,
        };
        self.columns * samples * u64::from(self.allocated)
    }

    /// Bits of a frame that is not compressed.
    pub fn frame_bits(&self) -> u64 {
        self.row_bits() * self.rows
    }
}

/// The table of a palette image, as many entries as indices can have; segmented ones are not read.
pub(super) fn colormap(set: &DataSet, pixel: &Pixel) -> Option<Colormap> {
    let descriptor = set.numbers(tags::RED_DESCRIPTOR);
    let [entries, first, bits] = descriptor[..] else { return None };
    let (entries, first) = (if entries == 0 { 65_536 } else { entries as usize }, first as usize);
    if pixel.allocated > 16 || first >= 65_536 {
        return None;
    }
    let table = |tag: u32| -> Option<Vec<u16>> {
        let bytes = set.bytes(tag)?;
        let values: Vec<u16> = if bytes.len() >= 2 * entries {
            let values = set.numbers(tag).into_iter().take(entries).map(|v| v as u16);
            // Tables of eight bits in words have them in the lower half.
            values.map(|v| if bits <= 8 { (v & 255) * 257 } else { v }).collect()
        } else {
            bytes.iter().take(entries).map(|b| u16::from(*b) * 257).collect()
        };
        let (lowest, highest) = (*values.first()?, *values.last()?);
        let before = std::iter::repeat_n(lowest, first);
        let all = before.chain(values).chain(std::iter::repeat(highest));
        Some(all.take(1 << pixel.allocated.max(8)).collect())
    };
    Some(Colormap { red: table(tags::RED_DATA)?, green: table(tags::GREEN_DATA)?, blue: table(tags::BLUE_DATA)? })
}
