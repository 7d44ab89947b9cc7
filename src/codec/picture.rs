//! Compressions of pictures: streams that carry a size and samples of their own, which a container must agree with.

use super::raster::Number;
use crate::error::{Error, Result};

/// A decoder of pictures.
#[derive(Debug)]
pub struct Codec {
    /// The name in messages.
    pub name: &'static str,
    /// Is its data a stream of bits whose order in a byte the container chooses?
    pub bit_order: bool,
    /// How many times a picture that begins so can be had at half the size before, if the compression has such a thing.
    pub resolutions: Option<Resolutions>,
    /// Bytes that decoding a picture of so many decoded bytes takes at most, the decoded ones included.
    pub memory: fn(u64) -> u64,
    /// Turns a stream into samples.
    pub decode: fn(&[u8], &Wanted<'_>) -> Result<Picture>,
}

impl Codec {
    /// A codec with an order of bits of its own and pictures of one size.
    pub const fn new(
        name: &'static str,
        memory: fn(u64) -> u64,
        decode: fn(&[u8], &Wanted<'_>) -> Result<Picture>,
    ) -> Self {
        Codec { name, bit_order: false, resolutions: None, memory, decode }
    }
}

/// Reads the headers of a stream, which may be cut off behind them.
pub type Resolutions = fn(&[u8]) -> Result<u8>;

/// Decoded samples, side by side, least significant byte first; rows begin on whole bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Samples of a pixel.
    pub samples: usize,
    /// Bits that a sample takes in `data`.
    pub bits: u32,
    /// What they mean.
    pub number: Number,
    /// `height` rows.
    pub data: Vec<u8>,
}

/// What the container says of a picture.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Columns that a picture may have at most.
    pub width: usize,
    /// Rows that it may have at most.
    pub height: usize,
    /// Columns of the container's block, for streams that do not say.
    pub columns: usize,
    /// Rows that must come out, for streams that do not say.
    pub rows: usize,
    /// Samples of a pixel.
    pub samples: usize,
    /// Bits of a sample.
    pub bits: u32,
    /// What they mean.
    pub number: Number,
    /// What three samples are.
    pub color: Color,
    /// What the stream needs and its container holds once for all (JPEGTables).
    pub tables: Option<&'a [u8]>,
    /// A number that the container gives, by codec: options of fax, the compression on top of LERC.
    pub option: u64,
    /// So many times half the size.
    pub reduce: u8,
}

/// What the three components of a stream are, as its container says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// YCbCr, shown as RGB.
    YCbCr,
    /// RGB, unless the stream itself says YCbCr.
    Rgb,
    /// Whatever it is, as stored.
    Stored,
}

impl Wanted<'_> {
    /// A block of unsigned samples as they are stored, of which nothing else is known.
    pub fn plain(width: usize, height: usize, samples: usize, bits: u32) -> Self {
        Wanted {
            width,
            height,
            columns: width,
            rows: height,
            samples,
            bits,
            number: Number::Unsigned,
            color: Color::Stored,
            tables: None,
            option: 0,
            reduce: 0,
        }
    }

    /// Bits of a whole number of bytes that hold a sample.
    pub fn container_bits(&self) -> u32 {
        match self.bits {
            0..=8 => 8,
            9..=16 => 16,
            17..=32 => 32,
            _ => 64,
        }
    }

    /// Refuses a picture of another size before anything is allocated for it.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn check_size(&self, codec: &str, width: usize, height: usize) -> Result<()> {
        if width == 0 || height == 0 || width > self.width || height > self.height {
            return Err(Error::malformed(format!(
                "a {codec} picture of {width} x {height} pixels where {} x {} belong",
                self.width, self.height
            )));
        }
        Ok(())
    }

    /// Refuses a picture of another number of samples.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn check_samples(&self, codec: &str, samples: usize) -> Result<()> {
        if samples != self.samples {
            return Err(Error::malformed(format!(
                "a {codec} picture of {samples} samples where {} belong",
                self.samples
            )));
        }
        Ok(())
    }
}
