//! The first 1024 bytes of MRC and DeltaVision files.
//!
//! Sources: the MRC2014 specification (Cheng et al., J. Struct. Biol. 192, 2015) and the header of DeltaVision files as the
//! `mrc` reader (BSD) knows it. The latter is an MRC header in which some fields mean other things: sizes of a pixel in place
//! of a cell, counts of wavelengths and time points.

use crate::codec::raster::Number;
use crate::error::{Error, Result};

/// Bytes before the extended header.
pub(super) const HEADER_BYTES: u64 = 1024;
/// The mark of DeltaVision files.
const DELTAVISION: i16 = -16224;
/// The mark of IMOD's headers.
const IMOD: i32 = 1_146_047_817;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    DeltaVision,
    Mrc,
}

/// Tells what a file is by its header, and its byte order (is the most significant byte first?).
pub(super) fn kind(head: &[u8]) -> Option<(Kind, bool)> {
    for big in [false, true] {
        let fields = Fields { head, big };
        if fields.short(96) == Some(DELTAVISION) && fields.plausible() {
            return Some((Kind::DeltaVision, big));
        }
    }
    // "MAP " and a stamp of the machine since 2000; before, only sizes that make sense.
    let marked = head.get(208..211) == Some(b"MAP");
    let stamp = head.get(212).copied();
    let big = match stamp {
        Some(0x11) if marked => Some(true),
        Some(0x44) if marked => Some(false),
        _ => [false, true].into_iter().find(|big| Fields { head, big: *big }.plausible()),
    }?;
    Fields { head, big }.plausible().then_some((Kind::Mrc, big))
}

/// Numbers at fixed places.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub head: &'a [u8],
    /// Most significant byte first.
    pub big: bool,
}

impl Fields<'_> {
    fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        let mut bytes: [u8; N] = self.head.get(at..)?.first_chunk().copied()?;
        if self.big {
            bytes.reverse();
        }
        Some(bytes)
    }

    /// 16 bits.
    pub fn short(self, at: usize) -> Option<i16> {
        self.bytes(at).map(i16::from_le_bytes)
    }

    /// 32 bits.
    pub fn int(self, at: usize) -> Option<i32> {
        self.bytes(at).map(i32::from_le_bytes)
    }

    /// A floating-point number that is one.
    pub fn real(self, at: usize) -> Option<f64> {
        self.bytes(at).map(|b| f64::from(f32::from_le_bytes(b))).filter(|v| v.is_finite())
    }

    /// Could this be a header in this byte order?
    fn plausible(self) -> bool {
        let side = |at| self.int(at).is_some_and(|n| n > 0);
        let axes = [64, 68, 72].map(|at| self.int(at));
        let axes_known = axes.iter().all(|a| matches!(a, Some(1..=3))) || axes == [Some(0); 3];
        self.head.len() as u64 >= HEADER_BYTES
            && side(0)
            && side(4)
            && side(8)
            && axes_known
            && self.int(12).is_some_and(|mode| sample(mode, true).is_some() || mode == 101)
            && self.int(92).is_some_and(|n| n >= 0)
    }
}

/// Bits and kind of a sample.
fn sample(mode: i32, signed_bytes: bool) -> Option<(u32, Number)> {
    Some(match mode {
        0 => (8, if signed_bytes { Number::Signed } else { Number::Unsigned }),
        1 | 5 => (16, Number::Signed),
        2 => (32, Number::Float),
        3 => (32, Number::ComplexInt),
        4 => (64, Number::ComplexFloat),
        6 => (16, Number::Unsigned),
        7 => (32, Number::Signed),
        12 => (16, Number::Float),
        _ => return None,
    })
}

/// Which of focal planes, wavelengths and time points goes fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequence {
    Ztw,
    Wzt,
    Zwt,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub kind: Kind,
    pub big_endian: bool,
    pub width: u64,
    pub height: u64,
    pub sections: u64,
    pub bits: u32,
    pub number: Number,
    /// Bytes before the first section.
    pub start: u64,
    pub t: u64,
    pub c: u64,
    pub z: u64,
    pub sequence: Sequence,
    /// Size of a pixel along x, y, z: micrometres, or ångström in MRC files.
    pub pixel: [Option<f64>; 3],
    /// Emission wavelengths in nanometres.
    pub wavelengths: Vec<f64>,
    /// Integers and floating-point numbers that the extended header has of each section.
    pub extended: (u64, u64),
    pub titles: Vec<String>,
    pub warnings: Vec<String>,
}

impl Header {
    /// Reads the header.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`.
    pub fn read(head: &[u8]) -> Result<Self> {
        let (kind, big) = kind(head).ok_or_else(|| Error::malformed("no MRC header"))?;
        let fields = Fields { head, big };
        let count = |at: usize, name: &str| {
            let value = fields.int(at).and_then(|v| u64::try_from(v).ok()).filter(|v| *v > 0);
            value.ok_or_else(|| Error::malformed(format!("{name} {:?}", fields.int(at))))
        };
        let mode = fields.int(12).unwrap_or(-1);
        let (bits, number) = sample(mode, signed_bytes(fields, kind))
            .ok_or_else(|| Error::unsupported(format!("samples of mode {mode}")))?;
        let extended = fields.int(92).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let mut header = Header {
            kind,
            big_endian: big,
            width: count(0, "columns")?,
            height: count(4, "rows")?,
            sections: count(8, "sections")?,
            bits,
            number,
            start: HEADER_BYTES + extended,
            t: 1,
            c: 1,
            z: 1,
            sequence: Sequence::Ztw,
            pixel: [None; 3],
            wavelengths: Vec::new(),
            extended: (0, 0),
            titles: titles(fields),
            warnings: Vec::new(),
        };
        match kind {
            Kind::DeltaVision => header.deltavision(fields)?,
            Kind::Mrc => header.mrc(fields),
        }
        Ok(header)
    }

    fn deltavision(&mut self, fields: Fields<'_>) -> Result<()> {
        let count = |at| fields.short(at).and_then(|n| u64::try_from(n).ok());
        (self.t, self.c) = (count(180).unwrap_or(1).max(1), count(196).unwrap_or(1).max(1));
        self.sequence = match fields.short(182) {
            Some(0) => Sequence::Ztw,
            Some(1) => Sequence::Wzt,
            Some(2) => Sequence::Zwt,
            other => {
                self.warnings.push(format!("sequence of sections {other:?} is not known, read as z, t, wavelength"));
                Sequence::Ztw
            }
        };
        if !self.sections.is_multiple_of(self.t * self.c) {
            return Err(Error::malformed(format!(
                "{} sections for {} wavelengths and {} time points",
                self.sections, self.c, self.t
            )));
        }
        self.z = self.sections / (self.t * self.c);
        self.pixel = [40, 44, 48].map(|at| fields.real(at));
        let known = usize::try_from(self.c).unwrap_or(5).min(5);
        self.wavelengths = (0..known).map(|i| f64::from(fields.short(198 + 2 * i).unwrap_or(0))).collect();
        self.extended = (count(128).unwrap_or(0), count(130).unwrap_or(0));
        Ok(())
    }

    fn mrc(&mut self, fields: Fields<'_>) {
        self.z = self.sections;
        // A stack of volumes.
        let volume = fields.int(36).and_then(|mz| u64::try_from(mz).ok()).filter(|mz| *mz > 0);
        if let (Some(401), Some(depth)) = (fields.int(88), volume)
            && self.sections.is_multiple_of(depth)
        {
            (self.t, self.z) = (self.sections / depth, depth);
        }
        self.sequence = Sequence::Ztw;
        let cell = |i: usize| {
            let samples = fields.int(28 + 4 * i).filter(|n| *n > 0)?;
            Some(fields.real(40 + 4 * i)? / f64::from(samples))
        };
        self.pixel = [cell(0), cell(1), cell(2)];
    }

    /// The number of a section.
    pub fn section(&self, t: u64, c: u64, z: u64) -> u64 {
        match self.sequence {
            Sequence::Ztw => (c * self.t + t) * self.z + z,
            Sequence::Wzt => (t * self.z + z) * self.c + c,
            Sequence::Zwt => (t * self.c + c) * self.z + z,
        }
    }
}

/// Bytes have a sign in MRC files since 2014, unless IMOD says otherwise; never in DeltaVision files.
fn signed_bytes(fields: Fields<'_>, kind: Kind) -> bool {
    if kind == Kind::DeltaVision {
        return false;
    }
    if fields.int(152) == Some(IMOD) {
        return fields.int(156).is_some_and(|flags| flags & 1 == 1);
    }
    fields.head.get(208..211) == Some(b"MAP")
}

/// Lines of 80 characters that the writer left.
fn titles(fields: Fields<'_>) -> Vec<String> {
    let count = fields.int(220).and_then(|n| usize::try_from(n).ok()).unwrap_or(0).min(10);
    let line =
        |i: usize| fields.head.get(224 + 80 * i..304 + 80 * i).map(|b| b.split(|b| *b == 0).next().unwrap_or_default());
    let text =
        |b: &[u8]| b.iter().map(|b| char::from(*b)).filter(|c| !c.is_control()).collect::<String>().trim().to_owned();
    (0..count).filter_map(line).map(text).filter(|t| !t.is_empty()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header: sizes and mode, then fields at their places.
    pub fn header(sizes: [i32; 4], shorts: &[(usize, i16)], reals: &[(usize, f32)], big: bool) -> Vec<u8> {
        let mut head = vec![0; 1024];
        let mut put = |at: usize, bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            if big {
                bytes.reverse();
            }
            head[at..at + bytes.len()].copy_from_slice(&bytes);
        };
        for (i, v) in sizes.iter().chain(&[0, 0, 0]).chain(&sizes[..3]).enumerate() {
            put(4 * i, &v.to_le_bytes());
        }
        [(64, 1_i32), (68, 2), (72, 3)].iter().for_each(|(at, v)| put(*at, &v.to_le_bytes()));
        shorts.iter().for_each(|(at, v)| put(*at, &v.to_le_bytes()));
        reals.iter().for_each(|(at, v)| put(*at, &v.to_le_bytes()));
        head
    }

    #[test]
    fn deltavision_in_both_byte_orders() {
        for big in [false, true] {
            let shorts = [(96, DELTAVISION), (180, 3), (182, 1), (196, 2), (198, 457), (200, 528), (128, 8), (130, 32)];
            let head = header([40, 32, 24, 6], &shorts, &[(40, 0.5), (44, 0.25), (48, 2.0)], big);
            let read = Header::read(&head).unwrap();
            assert_eq!((read.kind, read.big_endian, read.number), (Kind::DeltaVision, big, Number::Unsigned));
            assert_eq!((read.t, read.c, read.z, read.sequence), (3, 2, 4, Sequence::Wzt));
            assert_eq!(
                (read.pixel, read.wavelengths.as_slice()),
                ([Some(0.5), Some(0.25), Some(2.0)], &[457.0, 528.0][..])
            );
            assert_eq!((read.section(0, 1, 0), read.section(0, 0, 1), read.section(1, 0, 0)), (1, 2, 8));
            let other = Header { sequence: Sequence::Zwt, ..read.clone() };
            assert_eq!((other.section(0, 1, 0), other.section(0, 0, 1), other.section(1, 0, 0)), (4, 1, 8));
            let other = Header { sequence: Sequence::Ztw, ..read };
            assert_eq!((other.section(0, 1, 0), other.section(0, 0, 1), other.section(1, 0, 0)), (12, 1, 4));
            let head = header([40, 32, 25, 6], &shorts, &[], big);
            assert_eq!(Header::read(&head).unwrap_err().kind(), crate::Kind::Malformed);
        }
    }

    #[test]
    fn mrc_with_cells_stamps_and_titles() {
        let mut head = header([10, 20, 6, 0], &[], &[(40, 50.0), (44, 40.0), (48, 12.0)], false);
        head[208..216].copy_from_slice(b"MAP \x44\x44\0\0");
        head[220] = 1;
        head[224..231].copy_from_slice(b"a title");
        let read = Header::read(&head).unwrap();
        assert_eq!((read.kind, read.z, read.t, read.number), (Kind::Mrc, 6, 1, Number::Signed));
        assert_eq!(
            (read.pixel, read.titles.as_slice()),
            ([Some(5.0), Some(2.0), Some(2.0)], &["a title".to_owned()][..])
        );
        head[36] = 3;
        head[88..92].copy_from_slice(&401_i32.to_le_bytes());
        let read = Header::read(&head).unwrap();
        assert_eq!((read.t, read.z), (2, 3));
        head[152..156].copy_from_slice(&IMOD.to_le_bytes());
        assert_eq!(Header::read(&head).unwrap().number, Number::Unsigned);
        head[12] = 101;
        assert_eq!(Header::read(&head).unwrap_err().kind(), crate::Kind::Unsupported);
        assert!(kind(&head[..1023]).is_none());
        assert!(kind(&[b'a'; 2000]).is_none());
    }
}
