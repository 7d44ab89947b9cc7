//! How the samples of a plane lie, and the units it is read in.

use crate::codec::picture::Codec;
use crate::codec::raster::{Number, Predictor, Raster, dtype};
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::model::{Channel, Dtype, Level, Physical, Reduction, Role, Series, Shape, TileSize};

/// How every plane of a level is stored. Strides are bytes from one sample to the next and may be negative (rows from the
/// bottom up).
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Columns.
    pub width: u64,
    /// Rows.
    pub height: u64,
    /// Bits of a stored sample, both parts of a complex one: whole bytes.
    pub bits: u32,
    /// What they mean.
    pub number: Number,
    /// Most significant byte first.
    pub big_endian: bool,
    /// From a row to the next.
    pub row: i64,
    /// From a column to the next.
    pub pixel: i64,
    /// From the first sample of the plane to the first of each sample that a unit holds side by side.
    pub samples: Vec<i64>,
    /// What the samples are packed in.
    pub packing: Packing,
}

/// What the bytes of a plane are packed in. Strides hold inside of what is unpacked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packing {
    /// Samples lie in the file.
    None,
    /// Deflate in a zlib wrapper.
    Zlib,
    /// A picture with samples of its own: strides have no meaning.
    Picture(&'static Codec),
}

/// Bands of rows are about this large.
const BAND_BYTES: u64 = 1 << 20;
/// At most so many rows in a band, and parts of rows in steps of so many columns: units end where chunks do.
const CHUNK_ROWS: u64 = 512;
/// Rows longer than this are cut, or a small region of a wide image would cost its whole width.
const WIDE_BYTES: u64 = 128 << 10;
/// The parts of such rows: long enough for a disk, short enough for a region.
const RUN_BYTES: u64 = 32 << 10;
/// More samples in a pixel are not credible.
const MAX_SAMPLES: usize = 4096;
/// No address inside of a plane is farther from its first sample.
const FARTHEST: i128 = 1 << 60;

impl Layout {
    /// Samples side by side without gaps, the rows too.
    pub fn chunky(width: u64, height: u64, samples: usize, bits: u32, number: Number) -> Self {
        let element = i64::from(bits / 8);
        // Sizes that do not fit are refused by `check`.
        let pixel = element.saturating_mul(samples as i64);
        let row = i64::try_from(width).unwrap_or(i64::MAX).saturating_mul(pixel);
        let samples = (0..samples as i64).map(|s| s.saturating_mul(element)).collect();
        Layout { width, height, bits, number, big_endian: false, row, pixel, samples, packing: Packing::None }
    }

    /// Refuses what no plane can be, so that no address computed later overflows.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `OverLimit`.
    pub fn check(&self) -> Result<()> {
        let (width, height, count) = (self.width, self.height, self.samples.len());
        if width == 0 || height == 0 || width > u64::from(u32::MAX) || height > u64::from(u32::MAX) {
            return Err(Error::malformed(format!("a plane of {width} x {height} pixels")));
        }
        if count == 0 || count > MAX_SAMPLES {
            return Err(Error::malformed(format!("{count} samples in a pixel, 1 to {MAX_SAMPLES} are possible")));
        }
        if self.bits == 0 || !self.bits.is_multiple_of(8) || dtype(self.number, self.bits).is_none() {
            return Err(Error::unsupported(format!("samples of {} bits ({:?})", self.bits, self.number)));
        }
        let reach = |stride: i64, n: u64| i128::from(stride.unsigned_abs()) * i128::from(n);
        let farthest = self.samples.iter().map(|s| i128::from(s.unsigned_abs())).max().unwrap_or(0);
        if reach(self.row, height) + reach(self.pixel, width) + farthest > FARTHEST {
            return Err(Error::over_limit(format!(
                "a plane of {width} x {height} pixels with rows of {} bytes",
                self.row
            )));
        }
        Ok(())
    }

    /// The type that readers see.
    pub fn dtype(&self) -> Dtype {
        dtype(self.number, self.bits).unwrap_or(Dtype::U8)
    }

    /// Bytes of a stored sample.
    pub fn element(&self) -> u64 {
        u64::from(self.bits / 8)
    }

    /// Decoded bytes of so many pixels.
    pub fn decoded(&self, pixels: u64) -> u64 {
        pixels.saturating_mul(self.samples.len() as u64).saturating_mul(self.dtype().size() as u64)
    }

    /// The lowest and the highest address (exclusive) of the plane, from its first sample on.
    pub fn extent(&self) -> (i64, i64) {
        let span = |stride: i64, n: u64| {
            let far = stride * (n.saturating_sub(1) as i64);
            (far.min(0), far.max(0))
        };
        let (rows, pixels) = (span(self.row, self.height), span(self.pixel, self.width));
        let (low, high) = self.spread();
        (rows.0 + pixels.0 + low, rows.1 + pixels.1 + high + self.element() as i64)
    }

    /// Bytes of the unpacked plane.
    pub fn unpacked(&self) -> u64 {
        if let Packing::Picture(_) = self.packing {
            return self.decoded(self.width.saturating_mul(self.height));
        }
        let (low, high) = self.extent();
        high.abs_diff(low)
    }

    /// Lowest and highest offset of the samples.
    fn spread(&self) -> (i64, i64) {
        let low = self.samples.iter().copied().min().unwrap_or(0);
        (low, self.samples.iter().copied().max().unwrap_or(0))
    }

    /// Samples that are read together: all, where they lie inside one pixel.
    pub fn runs(&self) -> Vec<std::ops::Range<usize>> {
        let (low, high) = self.spread();
        let count = self.samples.len();
        if count == 1 || high - low < self.pixel.abs() {
            std::iter::once(0..count).collect()
        } else {
            (0..count).map(|s| s..s + 1).collect()
        }
    }

    /// Do the samples of a row follow each other as in memory?
    pub fn is_chunky(&self) -> bool {
        let element = self.element() as i64;
        self.pixel == element * self.samples.len() as i64
            && self.samples.iter().zip(0..).all(|(at, s)| *at == element * s)
    }

    /// How a row of `columns` pixels with `samples` samples side by side becomes samples as shown.
    pub fn raster(&self, columns: usize, samples: usize) -> Raster {
        Raster {
            width: columns,
            samples,
            bits: self.bits,
            number: self.number,
            big_endian: self.big_endian,
            predictor: Predictor::None,
            palette: None,
        }
    }

    /// Is a packed plane too large to be unpacked at once?
    pub fn in_bands(&self, limits: &Limits) -> bool {
        let needed = self.unpacked().max(self.decoded(self.width.saturating_mul(self.height)));
        matches!(self.packing, Packing::Zlib) && needed > limits.unit_bytes && self.rows_follow()
    }

    /// Does row after row come out of a stream?
    fn rows_follow(&self) -> bool {
        let (low, _) = self.extent();
        low == 0 && self.row_span() <= self.row.unsigned_abs()
    }

    /// Bytes from the first to the last of a row of a plane, with all that lies between.
    pub fn row_span(&self) -> u64 {
        let (low, high) = self.spread();
        self.pixel.unsigned_abs() * (self.width - 1) + high.abs_diff(low) + self.element()
    }

    /// The units that planes are read in.
    pub fn unit(&self, limits: &Limits) -> TileSize {
        let most = limits.unit_bytes.max(1);
        let row = self.decoded(self.width).max(1);
        if !matches!(self.packing, Packing::None) {
            if !self.in_bands(limits) {
                return TileSize { y: self.height, x: self.width };
            }
            // A stream goes forward only, and a band out of its middle costs what is before it: few large ones.
            let rows = most / 2 / row.max(self.row.unsigned_abs());
            let aligned = if rows > CHUNK_ROWS { rows / CHUNK_ROWS * CHUNK_ROWS } else { rows };
            return TileSize { y: aligned.clamp(1, self.height), x: self.width };
        }
        let runs = self.runs().len() as u64;
        let stored = (self.pixel.unsigned_abs().max(self.element())).saturating_mul(runs).saturating_mul(self.width);
        let row = row.max(stored);
        if row > most.min(WIDE_BYTES) {
            let pixel = row.div_ceil(self.width).max(1);
            let columns = (RUN_BYTES.min(most) / pixel).max(1);
            let whole = columns.next_multiple_of(CHUNK_ROWS);
            let columns = if whole.saturating_mul(pixel) <= most { whole } else { columns }.min(self.width);
            let rows = (BAND_BYTES.min(most) / columns.saturating_mul(pixel)).max(1);
            return TileSize { y: (1 << rows.ilog2()).min(CHUNK_ROWS).min(self.height), x: columns };
        }
        let rows = (BAND_BYTES.min(most) / row).max(1);
        let aligned = (1 << rows.ilog2()).min(CHUNK_ROWS);
        TileSize { y: aligned.min(self.height), x: self.width }
    }

    /// The level of a series: `planes` is its number of time points, channels (all samples) and focal planes.
    pub fn level(&self, (t, c, z): (u64, u64, u64), limits: &Limits) -> Level {
        let shape = Shape { t, c, z, y: self.height, x: self.width };
        Level { shape, unit: self.unit(limits), native_tile: None }
    }

    /// A series of one level, of which only the pixels are known; `(t, groups, z)` counts its planes.
    pub fn series(&self, (t, groups, z): (u64, u64, u64), limits: &Limits) -> Series {
        let samples = self.samples.len() as u64;
        let channels = groups.saturating_mul(samples);
        let count = usize::try_from(channels).unwrap_or(usize::MAX).min(1 << 14);
        Series {
            name: String::new(),
            role: Role::Image,
            dtype: self.dtype(),
            significant_bits: self.dtype().size() as u32 * 8,
            samples,
            rgb: false,
            levels: vec![self.level((t, channels, z), limits)],
            channels: vec![Channel::default(); count],
            physical: Physical::default(),
            reduction: Reduction::Mean,
            colormap: None,
            acquired: None,
            description: None,
            objective: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: u64, height: u64) -> Layout {
        Layout::chunky(width, height, 1, 16, Number::Unsigned)
    }

    #[test]
    fn units_are_bands_of_rows_that_end_where_chunks_do() {
        let limits = Limits::default();
        assert_eq!(gray(1000, 5000).unit(&limits), TileSize { y: 512, x: 1000 });
        assert_eq!(gray(1000, 5).unit(&limits), TileSize { y: 5, x: 1000 });
        // Of wide rows, parts.
        assert_eq!(gray(300_000, 900).unit(&limits), TileSize { y: 32, x: 16_384 });
        // A row that does not fit is cut.
        let small = Limits { unit_bytes: 1000, ..limits };
        assert_eq!(gray(800, 9).unit(&small), TileSize { y: 1, x: 500 });
        // Packed planes are units of their own, unless they are too large.
        let packed = Layout { packing: Packing::Zlib, ..gray(1000, 5000) };
        assert_eq!(packed.unit(&limits), TileSize { y: 5000, x: 1000 });
        let small = Limits { unit_bytes: 4 << 20, ..limits };
        assert_eq!(packed.unit(&small), TileSize { y: 1024, x: 1000 });
        assert!(packed.in_bands(&small));
        // Rows from the bottom up do not come out of a stream in order.
        let upward = Layout { row: -2000, ..packed };
        assert!(!upward.in_bands(&small));
    }

    #[test]
    fn addresses_that_no_file_has_are_refused() {
        assert!(gray(4, 4).check().is_ok());
        for bad in [
            gray(0, 4),
            gray(4, 0),
            gray(1 << 33, 1),
            Layout { row: i64::MIN, ..gray(4, 4) },
            Layout { pixel: i64::MAX, ..gray(4, 4) },
            Layout { samples: vec![], ..gray(4, 4) },
            Layout { samples: vec![i64::MIN], ..gray(4, 4) },
            Layout { bits: 12, ..gray(4, 4) },
            Layout { bits: 24, number: Number::ComplexInt, ..gray(4, 4) },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn extents_reach_below_the_first_sample() {
        let upward = Layout { row: -8, samples: vec![0], ..gray(4, 3) };
        assert_eq!((upward.extent(), upward.unpacked()), ((-16, 8), 24));
        let planar = Layout { samples: vec![0, 24, 48], ..gray(4, 3) };
        assert_eq!((planar.extent(), planar.runs().len()), ((0, 72), 3));
        let chunky = Layout::chunky(4, 3, 3, 8, Number::Unsigned);
        assert_eq!((chunky.extent(), chunky.runs().len(), chunky.is_chunky()), ((0, 36), 1, true));
        let reversed = Layout { samples: vec![2, 1, 0], ..chunky };
        assert_eq!((reversed.extent(), reversed.runs().len(), reversed.is_chunky()), ((0, 36), 1, false));
    }
}
