//! The header: lines of fields.
//!
//! Source: "Definition of NRRD File Format" (Gordon Kindlmann, teem.sourceforge.net/nrrd/format.html).

use std::collections::BTreeMap;

use crate::codec::raster::Number;
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::format::unpacked::Compression;
use crate::io::ReadAt;

/// Longest header, with all names of files.
const LONGEST: u64 = 4 << 20;
/// Most axes (as in the library of its authors).
const MOST_AXES: usize = 16;
/// Most files of samples.
const MOST_FILES: u64 = 1 << 16;

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Raw,
    Text,
    Hex,
    Packed(Compression),
}

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// Behind the header, from this byte on.
    Here(u64),
    /// In these files.
    Files(Vec<String>),
}

/// What a header says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub number: Number,
    pub bits: u32,
    pub big_endian: bool,
    pub encoding: Encoding,
    /// Fastest first.
    pub sizes: Vec<u64>,
    pub location: Location,
    /// Axes that each of several files holds.
    pub of_file: Option<usize>,
    pub line_skip: u64,
    /// -1: as many as are before the samples at the end of the file.
    pub byte_skip: i64,
    /// All other fields, by lower-case names.
    pub fields: BTreeMap<String, String>,
    /// Keys with values.
    pub pairs: BTreeMap<String, String>,
}

pub(super) fn sniff(head: &[u8]) -> bool {
    // "NRRD0001" to "NRRD0005", and any later one.
    head.strip_prefix(b"NRRD000")
        .and_then(|rest| rest.split_first())
        .is_some_and(|(digit, rest)| digit.is_ascii_digit() && rest.first().is_some_and(|b| *b == b'\n' || *b == b'\r'))
}

/// The text of the header, and the byte behind its blank line.
fn text(file: &dyn ReadAt) -> Result<(String, Option<u64>)> {
    let mut bytes = Vec::new();
    let mut size = 4096;
    loop {
        let more = (size - bytes.len() as u64).min(file.len() - bytes.len() as u64);
        bytes.extend(file.read_vec(bytes.len() as u64, more)?);
        let blank = |mark: &[u8]| bytes.windows(mark.len()).position(|w| w == mark).map(|at| (at, at + mark.len()));
        let blank = [blank(b"\n\n"), blank(b"\n\r\n")].into_iter().flatten();
        if let Some((end, start)) = blank.min() {
            let head = bytes.get(..end).unwrap_or_default();
            return Ok((String::from_utf8_lossy(head).into_owned(), Some(start as u64)));
        }
        if bytes.len() as u64 == file.len() {
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), None));
        }
        if size >= LONGEST {
            return Err(Error::over_limit(format!("a header of more than {size} bytes")));
        }
        size *= 4;
    }
}

impl Header {
    /// Reads it.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `OverLimit`, failures of the disk.
    pub fn read(file: &dyn ReadAt, limits: &Limits) -> Result<Self> {
        let (text, start) = text(file)?;
        if text.len() as u64 * 4 > limits.index_bytes {
            return Err(Error::over_limit(format!("a header of {} bytes", text.len())));
        }
        let mut fields = BTreeMap::new();
        let mut pairs = BTreeMap::new();
        let mut list = None;
        let mut lines = text.lines().skip(1);
        for line in lines.by_ref().map(str::trim_end).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            // A key with a value, or a field with its description, whichever mark comes first.
            let (field, key) = (line.find(": "), line.find(":="));
            match (field, key) {
                (Some(at), key) if key.is_none_or(|k| at < k) => {
                    let name = line.get(..at).unwrap_or_default().to_lowercase();
                    let value = line.get(at + 2..).unwrap_or_default().trim().to_owned();
                    // Names of files are all that follows.
                    let last = (name == "data file" || name == "datafile") && value.starts_with("LIST");
                    fields.insert(name, value);
                    if last {
                        list = Some(lines.map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect::<Vec<_>>());
                        break;
                    }
                }
                (_, Some(at)) => {
                    pairs.insert(
                        line.get(..at).unwrap_or_default().to_owned(),
                        line.get(at + 2..).unwrap_or_default().to_owned(),
                    );
                }
                _ => return Err(Error::malformed(format!("the line {line:.60?} of the header"))),
            }
        }
        Self::of(fields, pairs, list, start)
    }

    fn of(
        mut fields: BTreeMap<String, String>,
        pairs: BTreeMap<String, String>,
        list: Option<Vec<String>>,
        start: Option<u64>,
    ) -> Result<Self> {
        let missing = |name: &str| Error::malformed(format!("no {name} in the header"));
        let kind = fields.remove("type").ok_or_else(|| missing("type"))?;
        let (number, bits) = sample(&kind).ok_or_else(|| Error::unsupported(format!("samples of type {kind:?}")))?;
        let encoding = fields.remove("encoding").ok_or_else(|| missing("encoding"))?;
        let encoding = match encoding.to_lowercase().as_str() {
            "raw" => Encoding::Raw,
            "txt" | "text" | "ascii" => Encoding::Text,
            "hex" => Encoding::Hex,
            "gz" | "gzip" => Encoding::Packed(Compression::Gzip),
            "bz2" | "bzip2" => Encoding::Packed(Compression::Bzip2),
            _ => return Err(Error::unsupported(format!("the encoding {encoding:?}"))),
        };
        let big_endian = match fields.remove("endian").map(|e| e.to_lowercase()).as_deref() {
            Some("little") => false,
            // Text has no order of bytes.
            Some("big") => encoding != Encoding::Text,
            Some(other) => return Err(Error::malformed(format!("the byte order {other:?}"))),
            None if bits == 8 || encoding == Encoding::Text => false,
            None => return Err(missing("endian")),
        };
        let sizes = fields.remove("sizes").ok_or_else(|| missing("sizes"))?;
        let sizes: Option<Vec<u64>> = sizes.split_whitespace().map(|s| s.parse().ok().filter(|n| *n > 0)).collect();
        let sizes = sizes
            .filter(|s| !s.is_empty() && s.len() <= MOST_AXES)
            .ok_or_else(|| Error::malformed("sizes of the axes"))?;
        let rank = fields.remove("dimension").and_then(|d| d.parse::<usize>().ok());
        if rank != Some(sizes.len()) {
            return Err(Error::malformed(format!("{rank:?} dimensions, {} sizes", sizes.len())));
        }
        let number_of = |fields: &mut BTreeMap<String, String>, names: [&str; 2]| {
            let text = names.iter().find_map(|n| fields.remove(*n));
            text.map(|t| t.parse::<i64>().map_err(|_| Error::malformed(format!("{} {t:?}", names[0])))).transpose()
        };
        let line_skip = number_of(&mut fields, ["line skip", "lineskip"])?.unwrap_or(0);
        let byte_skip = number_of(&mut fields, ["byte skip", "byteskip"])?.unwrap_or(0);
        let line_skip = u64::try_from(line_skip).map_err(|_| Error::malformed(format!("line skip {line_skip}")))?;
        if byte_skip < -1 || byte_skip == -1 && encoding != Encoding::Raw {
            return Err(Error::malformed(format!("byte skip {byte_skip}")));
        }
        let file = ["data file", "datafile"].iter().find_map(|n| fields.remove(*n));
        let (location, of_file) = match (file, list, start) {
            (Some(head), Some(names), _) => {
                (Location::Files(names), head.split_whitespace().nth(1).and_then(|n| n.parse().ok()))
            }
            (Some(name), None, _) => files(&name)?,
            (None, _, Some(start)) => (Location::Here(start), None),
            (None, _, None) => return Err(Error::truncated("the header does not end, and names no file")),
        };
        Ok(Header { number, bits, big_endian, encoding, sizes, location, of_file, line_skip, byte_skip, fields, pairs })
    }

    /// Values of a field for each axis; `None` if there are not as many.
    pub fn of_axes(&self, name: &str) -> Option<Vec<String>> {
        let text = self.fields.get(name)?;
        let words = match name {
            "space directions" => vectors(text),
            "units" | "labels" | "space units" => quoted(text),
            _ => text.split_whitespace().map(str::to_owned).collect(),
        };
        Some(words)
    }
}

/// One name, or a pattern of names with the first and last number and the step.
fn files(text: &str) -> Result<(Location, Option<usize>)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [pattern, first, last, step, rest @ ..] = &words[..] else {
        return Ok((Location::Files(vec![text.to_owned()]), None));
    };
    let numbers: Option<Vec<i64>> = [first, last, step].iter().map(|w| w.parse().ok()).collect();
    let (Some(numbers), true) = (numbers, pattern.contains('%')) else {
        // A name with blanks.
        return Ok((Location::Files(vec![text.to_owned()]), None));
    };
    let wrong = || Error::malformed(format!("files {text:.80?}"));
    let [first, last, step] = numbers[..] else { return Err(wrong()) };
    let count = last.checked_sub(first).and_then(|n| n.checked_div(step)).filter(|n| *n >= 0).ok_or_else(wrong)?;
    if count as u64 >= MOST_FILES {
        return Err(Error::over_limit(format!("{count} files of samples")));
    }
    let (before, rest_of) = pattern.split_once('%').ok_or_else(wrong)?;
    let (format, after) = rest_of.split_once('d').ok_or_else(wrong)?;
    let zeros = format.starts_with('0');
    let width: usize = if format.is_empty() { 0 } else { format.parse().map_err(|_| wrong())? };
    if width > 64 {
        return Err(wrong());
    }
    let name = |n: i64| {
        let number = if zeros { format!("{n:0width$}") } else { format!("{n:width$}") };
        format!("{before}{number}{after}")
    };
    let names = (0..=count).map(|i| name(first + i * step)).collect();
    Ok((Location::Files(names), rest.first().and_then(|n| n.parse().ok())))
}

/// What a type of C is.
fn sample(name: &str) -> Option<(Number, u32)> {
    let name = name.to_lowercase();
    Some(match name.as_str() {
        "signed char" | "int8" | "int8_t" => (Number::Signed, 8),
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => (Number::Unsigned, 8),
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => (Number::Signed, 16),
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => (Number::Unsigned, 16),
        "int" | "signed int" | "int32" | "int32_t" => (Number::Signed, 32),
        "uint" | "unsigned int" | "uint32" | "uint32_t" => (Number::Unsigned, 32),
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => (Number::Signed, 64),
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => (Number::Unsigned, 64),
        "float" => (Number::Float, 32),
        "double" => (Number::Float, 64),
        _ => return None,
    })
}

/// "(1,0,0) none (0,1,0)".
fn vectors(text: &str) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let end = if rest.starts_with('(') { rest.find(')').map(|e| e + 1) } else { rest.find(char::is_whitespace) };
        let (word, more) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(word.to_owned());
        rest = more.trim_start();
    }
    words
}

/// Words in quotation marks, or without.
fn quoted(text: &str) -> Vec<String> {
    if !text.contains('"') {
        return text.split_whitespace().map(str::to_owned).collect();
    }
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_counted() {
        let names = |text: &str| match files(text).unwrap() {
            (Location::Files(names), of) => (names, of),
            other => panic!("{other:?}"),
        };
        let want = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(names("a%03d.raw 8 10 1"), (want(&["a008.raw", "a009.raw", "a010.raw"]), None));
        assert_eq!(names("a%d.raw 5 1 -2 3"), (want(&["a5.raw", "a3.raw", "a1.raw"]), Some(3)));
        assert_eq!(names("my file.raw"), (want(&["my file.raw"]), None));
        for bad in ["a%d.raw 1 5 0", "a%d.raw 5 1 1", "a%s.raw 1 2 1", "a%d.raw 0 99999999 1", "a%999d 1 2 1"] {
            assert!(files(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_of_axes() {
        assert_eq!(vectors("none (1,0, 0)  (0,1,0)"), ["none", "(1,0, 0)", "(0,1,0)"]);
        assert_eq!(vectors("(1"), ["(1"]);
        assert_eq!(quoted("\"mm\" \"\" \"s s\""), ["mm", "", "s s"]);
        assert!(sniff(b"NRRD0004\n") && !sniff(b"NRRD0004") && !sniff(b"NRRD00x\n"));
    }
}
