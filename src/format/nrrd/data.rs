//! The files that samples are in, as if all of them were raw.

use std::path::Path;

use super::header::{Encoding, Header, Location};
use crate::codec::raster::Number;
use crate::error::{Error, Result};
use crate::format::strided::Members;
use crate::format::unpacked::{self, Unpacked};
use crate::format::{Limits, OpenMember, Place};
use crate::io::{Fingerprint, MemoryFile, ReadAt, Watch};
use crate::sync::Arc;

/// Lines are looked for in pieces of so many bytes.
const PIECE: u64 = 64 << 10;
/// Blocks that are kept of each of several packed files.
const FEW: usize = 2;

/// Files of samples.
pub(super) struct Files {
    pub members: Members,
    /// Number of the first.
    pub first: u32,
    /// Bytes of the array in each.
    pub each: u64,
    /// Where they begin.
    pub start: u64,
    /// Memory of samples that were text, and of what unpacks files.
    pub held: u64,
}

/// How the samples of one file are got at.
#[derive(Clone, Copy)]
struct Reading {
    encoding: Encoding,
    /// First byte behind the header.
    from: u64,
    line_skip: u64,
    byte_skip: i64,
    /// Bytes of all samples in it.
    length: u64,
    number: Number,
    bits: u32,
    most: u64,
    /// Blocks that are kept of what was unpacked.
    blocks: usize,
}

/// Samples that were text, with what tells the state of their file.
struct Written {
    file: Arc<dyn ReadAt>,
    samples: MemoryFile,
}

/// The samples of a file, from byte 0 on.
struct Behind {
    file: Arc<dyn ReadAt>,
    start: u64,
}

impl ReadAt for Written {
    fn len(&self) -> u64 {
        self.samples.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.samples.read_exact_at(offset, buf)
    }

    fn verify(&self) -> Result<()> {
        self.file.verify()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.file.fingerprint()
    }
}

impl ReadAt for Behind {
    fn len(&self) -> u64 {
        self.file.len().saturating_sub(self.start)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let at = offset.checked_add(self.start).ok_or_else(|| Error::malformed("offset beyond 64 bits"))?;
        self.file.read_exact_at(at, buf)
    }

    fn verify(&self) -> Result<()> {
        self.file.verify()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.file.fingerprint()
    }
}

impl Reading {
    /// The samples of a file, raw and from its first byte on.
    fn samples(&self, file: Arc<dyn ReadAt>) -> Result<Arc<dyn ReadAt>> {
        let mut start = self.from;
        for _ in 0..self.line_skip {
            start = behind_line(file.as_ref(), start)?;
        }
        Ok(match self.encoding {
            Encoding::Raw if self.byte_skip < 0 => {
                let start = file.len().checked_sub(self.length).ok_or_else(|| {
                    Error::truncated(format!("{} bytes of samples in a file of {}", self.length, file.len()))
                })?;
                Arc::new(Behind { file, start })
            }
            Encoding::Raw => {
                let start = start.saturating_add(self.byte_skip.unsigned_abs());
                let stored = file.len().saturating_sub(start);
                // A file that was cut off has less than it should, but not a thousandth of it.
                if stored == 0 || self.length / stored > 1000 {
                    return Err(Error::truncated(format!("{stored} bytes of samples, {} belong there", self.length)));
                }
                Arc::new(Behind { file, start })
            }
            Encoding::Packed(compression) => {
                let skip = self.byte_skip.unsigned_abs();
                let length = self.length.saturating_add(skip);
                let unpacked: Arc<dyn ReadAt> =
                    Arc::new(Unpacked::new(file, (start, compression), length, self.blocks));
                // Bytes are skipped in what comes out.
                if skip == 0 { unpacked } else { Arc::new(Behind { file: unpacked, start: skip }) }
            }
            Encoding::Text | Encoding::Hex => {
                let start = start.saturating_add(self.byte_skip.unsigned_abs());
                let text = file.len().saturating_sub(start);
                if text.max(self.length) > self.most {
                    return Err(Error::over_limit(format!("{text} bytes of text, {} are allowed", self.most)));
                }
                let text = file.read_vec(start, text)?;
                let samples =
                    if self.encoding == Encoding::Hex { hex(&text) } else { numbers(&text, self.number, self.bits) };
                Arc::new(Written { file, samples: MemoryFile(samples?) })
            }
        })
    }
}

/// The byte behind the next end of a line.
fn behind_line(file: &dyn ReadAt, mut at: u64) -> Result<u64> {
    loop {
        let piece = file.read_vec(at, PIECE.min(file.len().saturating_sub(at)))?;
        if piece.is_empty() {
            return Err(Error::truncated("fewer lines than are to be skipped"));
        }
        if let Some(end) = piece.iter().position(|b| *b == b'\n') {
            return Ok(at + end as u64 + 1);
        }
        at += piece.len() as u64;
    }
}

/// Pairs of hexadecimal digits, whatever blanks are between.
fn hex(text: &[u8]) -> Result<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .iter()
        .filter(|b| !b.is_ascii_whitespace())
        .map(|b| char::from(*b).to_digit(16).map(|d| d as u8))
        .collect();
    let digits = digits.ok_or_else(|| Error::malformed("hexadecimal samples with other letters"))?;
    Ok(digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect())
}

/// Numbers with blanks between, as samples with the least significant byte first.
fn numbers(text: &[u8], number: Number, bits: u32) -> Result<Vec<u8>> {
    let bytes = bits as usize / 8;
    let mut all = Vec::new();
    // A number that nothing follows may be the beginning of a longer one.
    let end = text.iter().rposition(|b| b.is_ascii_whitespace() || *b == b',').unwrap_or(0);
    let text = text.get(..end).unwrap_or_default();
    for word in text.split(|b| b.is_ascii_whitespace() || *b == b',').filter(|w| !w.is_empty()) {
        let word = String::from_utf8_lossy(word);
        let wrong = || Error::malformed(format!("{word:.40?} among the samples"));
        let low = match number {
            Number::Float if bits == 32 => word.parse::<f32>().map_err(|_| wrong())?.to_le_bytes().to_vec(),
            Number::Float => word.parse::<f64>().map_err(|_| wrong())?.to_le_bytes().to_vec(),
            _ => {
                let value: i128 = word.parse().map_err(|_| wrong())?;
                let fits = if number == Number::Signed {
                    value >= -(1 << (bits - 1)) && value < 1 << (bits - 1)
                } else {
                    value >= 0 && value < 1 << bits
                };
                if !fits {
                    return Err(wrong());
                }
                value.to_le_bytes().to_vec()
            }
        };
        all.extend(low.iter().take(bytes));
    }
    Ok(all)
}

impl Files {
    /// Opens them.
    ///
    /// # Errors
    /// Any kind.
    pub fn open(
        file: Arc<dyn ReadAt>,
        header: &Header,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let all = header.sizes.iter().fold(u64::from(header.bits / 8), |n, s| n.saturating_mul(*s));
        let text = matches!(header.encoding, Encoding::Text | Encoding::Hex);
        let mut reading = Reading {
            encoding: header.encoding,
            from: 0,
            line_skip: header.line_skip,
            byte_skip: header.byte_skip,
            length: all,
            number: header.number,
            bits: header.bits,
            most: limits.index_bytes / 2,
            blocks: unpacked::BLOCKS,
        };
        let held = match header.encoding {
            Encoding::Raw => 0,
            Encoding::Packed(compression) => compression.memory(unpacked::BLOCKS),
            Encoding::Text | Encoding::Hex => all,
        };
        let names = match &header.location {
            Location::Here(start) => {
                reading.from = *start;
                let samples = reading.samples(file)?;
                let short = samples.len() < all;
                if short {
                    warnings.push(format!("{} of {all} bytes of samples are stored", samples.len()));
                }
                return Ok(Files { members: Members::new(samples, place), first: 0, each: all, start: 0, held });
            }
            Location::Files(names) => names,
        };
        let each = share(header, names.len() as u64, all)?;
        reading.length = each;
        // A few files are open at a time.
        reading.blocks = if names.len() > 1 { FEW } else { unpacked::BLOCKS };
        if text {
            reading.most /= names.len().clamp(1, 16) as u64;
        }
        let open = Arc::clone(&place.open);
        let opener: OpenMember = Arc::new(move |path: &Path| reading.samples(open(path)?));
        let mut members = Members::new(file, &Place { path: place.path, open: opener });
        for name in names {
            watch.check()?;
            let name = name.strip_prefix("./").unwrap_or(name);
            let (_, samples) = members.add(Path::new(name))?;
            if samples.len() < each {
                warnings.push(format!("{} of {each} bytes of samples are stored in one of the files", samples.len()));
            }
            watch.tick();
        }
        warnings.truncate(16);
        let held = match header.encoding {
            Encoding::Packed(compression) => {
                compression.memory(reading.blocks).saturating_mul(names.len().min(16) as u64)
            }
            _ => held,
        };
        Ok(Files { members, first: 1, each, start: 0, held })
    }
}

/// Bytes of the array that each of several files holds.
fn share(header: &Header, count: u64, all: u64) -> Result<u64> {
    let rank = header.sizes.len();
    let axes = header.of_file.unwrap_or(rank.saturating_sub(1));
    let wrong = || Error::malformed(format!("{count} files for an array of {:?}", header.sizes));
    if count == 1 {
        return Ok(all);
    }
    // All axes but the slower ones; with all of them, each file has a part of the slowest.
    let faster: u64 = header.sizes.iter().take(axes).fold(u64::from(header.bits / 8), |n, s| n.saturating_mul(*s));
    let each = if axes >= rank { all.checked_div(count).ok_or_else(wrong)? } else { faster };
    // A plane lies in one of them.
    if each == 0 || each.checked_mul(count) != Some(all) {
        return Err(wrong());
    }
    Ok(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_are_text() {
        assert_eq!(hex(b"0aFF\n 01").unwrap(), [10, 255, 1]);
        assert!(hex(b"0g").is_err());
        assert_eq!(numbers(b"1 -2\n300 12", Number::Signed, 16).unwrap(), [1, 0, 254, 255, 44, 1]);
        assert_eq!(numbers(b"18446744073709551615\n", Number::Unsigned, 64).unwrap(), [255; 8]);
        assert_eq!(numbers(b"0.5\n", Number::Float, 32).unwrap(), 0.5_f32.to_le_bytes());
        for bad in ["256", "-1", "x", "1.5"] {
            assert!(numbers(format!("{bad} ").as_bytes(), Number::Unsigned, 8).is_err(), "{bad}");
        }
    }
}
