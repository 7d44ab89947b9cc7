//! The header: sizes, type, calibration.
//!
//! Sources: `nifti1.h` and `nifti2.h` of the NIfTI Data Format Working Group (public domain); the fields that Analyze 7.5
//! has at the same places.

use crate::codec::raster::Number;
use crate::error::{Error, Result};
use crate::model::{Quantity, Unit};

/// Bytes of the first version and of Analyze.
pub(super) const NIFTI1: u64 = 348;
/// Bytes of the second.
pub(super) const MOST_HEADER: u64 = 540;

/// What a header says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub big_endian: bool,
    /// Sizes along all axes: x, y, z, t, and further ones.
    sizes: [u64; 7],
    pub bits: u32,
    pub number: Number,
    pub samples: usize,
    /// First byte of the samples.
    pub start: u64,
    /// They lie in a file of their own.
    pub paired: bool,
    /// Size of a voxel.
    pub pixel: [f64; 3],
    pub length: Option<Unit>,
    pub interval: Option<Quantity>,
    pub description: Option<String>,
    /// Names of channels, if they are known.
    pub names: Vec<String>,
    /// Range to show; empty if none was given.
    pub window: (f64, f64),
    pub warnings: Vec<String>,
}

/// Fields at their places.
struct Fields<'a> {
    head: &'a [u8],
    big: bool,
}

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes: [u8; N] = self.head.get(at..).and_then(|h| h.first_chunk()).copied().unwrap_or([0; N]);
        if self.big {
            bytes.reverse();
        }
        bytes
    }

    fn short(&self, at: usize) -> i64 {
        i64::from(i16::from_le_bytes(self.bytes(at)))
    }

    fn int(&self, at: usize) -> i64 {
        i64::from(i32::from_le_bytes(self.bytes(at)))
    }

    fn long(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.bytes(at))
    }

    fn single(&self, at: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.bytes(at)))
    }

    fn double(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.bytes(at))
    }

    fn text(&self, at: usize, length: usize) -> Option<String> {
        let bytes = self.head.get(at..)?.get(..length)?.split(|b| *b == 0).next()?;
        let text: String = String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect();
        Some(text.trim().to_owned()).filter(|t| !t.is_empty())
    }
}

/// Which kind of header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Analyze,
    /// Are the samples in another file?
    First(bool),
    Second(bool),
}

/// The kind of header, and is the most significant byte first?
fn version(head: &[u8]) -> Option<(Version, bool)> {
    let size: [u8; 4] = head.first_chunk().copied()?;
    for (number, big) in [(u32::from_le_bytes(size), false), (u32::from_be_bytes(size), true)] {
        if number == 540 {
            let marks: [(&[u8], bool); 2] = [(b"n+2\0\r\n\x1a\n", false), (b"ni2\0\r\n\x1a\n", true)];
            let mark = marks.iter().find(|(mark, _)| head.get(4..12) == Some(mark));
            return mark.map(|(_, paired)| (Version::Second(*paired), big));
        }
        if number == 348 {
            let fields = Fields { head, big };
            // Between one and seven axes, each of them of some size.
            let plausible = (1..=7).contains(&fields.short(40)) && head.len() as u64 >= NIFTI1;
            return match head.get(344..348) {
                _ if !plausible => None,
                Some(b"n+1\0") => Some((Version::First(false), big)),
                Some(b"ni1\0") => Some((Version::First(true), big)),
                // Analyze has no mark: a type whose bits are those that are said.
                _ => {
                    let bits = datatype(fields.short(70)).map(|(bits, _, samples)| i64::from(bits) * samples as i64);
                    (bits == Some(fields.short(72)) && fields.short(42) > 0).then_some((Version::Analyze, big))
                }
            };
        }
    }
    None
}

pub(super) fn sniff(head: &[u8]) -> bool {
    version(head).is_some()
}

pub(super) fn is_second(head: &[u8]) -> bool {
    version(head).is_some_and(|(version, _)| matches!(version, Version::Second(_)))
}

/// Bits of a pixel, what its samples are, and how many.
fn datatype(code: i64) -> Option<(u32, Number, usize)> {
    Some(match code {
        2 => (8, Number::Unsigned, 1),
        4 => (16, Number::Signed, 1),
        8 => (32, Number::Signed, 1),
        16 => (32, Number::Float, 1),
        32 => (64, Number::ComplexFloat, 1),
        64 => (64, Number::Float, 1),
        128 => (8, Number::Unsigned, 3),
        256 => (8, Number::Signed, 1),
        512 => (16, Number::Unsigned, 1),
        768 => (32, Number::Unsigned, 1),
        1024 => (64, Number::Signed, 1),
        1280 => (64, Number::Unsigned, 1),
        1792 => (128, Number::ComplexFloat, 1),
        2304 => (8, Number::Unsigned, 4),
        _ => return None,
    })
}

impl Header {
    /// Reads it.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `Truncated`.
    pub fn read(head: &[u8]) -> Result<Self> {
        let (version, big) = version(head).ok_or_else(|| Error::malformed("no NIfTI header"))?;
        let fields = Fields { head, big };
        let second = matches!(version, Version::Second(_));
        if second && (head.len() as u64) < MOST_HEADER {
            return Err(Error::truncated(format!("a header of {} bytes", head.len())));
        }
        let dim = |n: usize| if second { fields.long(16 + 8 * n) } else { fields.short(40 + 2 * n) };
        let pixdim = |n: usize| if second { fields.double(104 + 8 * n) } else { fields.single(76 + 4 * n) };
        let rank = dim(0);
        if !(1..=7).contains(&rank) {
            return Err(Error::malformed(format!("{rank} dimensions")));
        }
        let mut sizes = [1; 7];
        for (n, size) in sizes.iter_mut().enumerate().take(rank as usize) {
            // Zero stands for one where nothing is meant by it.
            let said = dim(n + 1);
            *size = u64::try_from(said)
                .map_err(|_| Error::malformed(format!("size {said} of dimension {}", n + 1)))?
                .max(1);
        }
        let code = fields.short(if second { 12 } else { 70 });
        let (bits, number, samples) =
            datatype(code).ok_or_else(|| Error::unsupported(format!("samples of NIfTI type {code}")))?;
        let paired = !matches!(version, Version::First(false) | Version::Second(false));
        let start = if second { fields.long(168) as f64 } else { fields.single(108) };
        let least = if paired { 0 } else { head.len() as u64 };
        let start = if (0.0..9e15).contains(&start) { (start as u64).max(least) } else { least };
        let analyze = version == Version::Analyze;
        let units = match (analyze, second) {
            (true, _) => 2,
            (_, true) => fields.int(500),
            _ => i64::from(head.get(123).copied().unwrap_or(0)),
        };
        let length = match units & 7 {
            1 => Some("m"),
            2 => Some("mm"),
            3 => Some("µm"),
            _ => None,
        };
        let time = match units & 0x38 {
            8 => Some("s"),
            16 => Some("ms"),
            24 => Some("µs"),
            _ => None,
        };
        let mut warnings = Vec::new();
        let (slope, intercept) =
            if second { (fields.double(176), fields.double(184)) } else { (fields.single(112), fields.single(116)) };
        if !analyze && slope.is_finite() && slope != 0.0 && (slope, intercept) != (1.0, 0.0) {
            warnings
                .push(format!("values are stored values times {slope} plus {intercept}; the stored ones are shown"));
        }
        let window =
            if second { (fields.double(200), fields.double(192)) } else { (fields.single(128), fields.single(124)) };
        let real = |v: f64| if v.is_finite() { v.abs() } else { 0.0 };
        let unit = |symbol: &str| Unit(symbol.to_owned());
        let interval =
            time.and_then(|symbol| Quantity::checked(real(pixdim(4)), Some(unit(symbol)))).filter(|_| sizes[3] > 1);
        let further = sizes.iter().skip(4).fold(1_u64, |n, s| n.saturating_mul(*s));
        let names = if further > 1 && further <= 1 << 14 && samples == 1 { names(&sizes) } else { Vec::new() };
        Ok(Header {
            big_endian: big,
            sizes,
            bits,
            number,
            samples,
            start,
            paired,
            pixel: [1, 2, 3].map(|n| real(pixdim(n))),
            length: length.map(unit),
            interval,
            description: if second { fields.text(240, 80) } else { fields.text(148, 80) },
            names,
            window,
            warnings,
        })
    }

    pub fn width(&self) -> u64 {
        self.sizes[0]
    }

    pub fn height(&self) -> u64 {
        self.sizes[1]
    }

    /// Time points, channel groups, focal planes.
    pub fn planes(&self) -> [u64; 3] {
        let further = self.sizes.iter().skip(4).fold(1_u64, |n, s| n.saturating_mul(*s));
        [self.sizes[3], further, self.sizes[2]]
    }
}

/// Names of what the fifth dimension and those behind it multiply into.
fn names(sizes: &[u64; 7]) -> Vec<String> {
    let mut names = vec![String::new()];
    for size in sizes.iter().skip(4).rev().filter(|s| **s > 1) {
        let join = |name: &String, n: u64| if name.is_empty() { n.to_string() } else { format!("{name} {n}") };
        names = names.iter().flat_map(|name| (1..=*size).map(move |n| join(name, n))).collect();
    }
    names
}
