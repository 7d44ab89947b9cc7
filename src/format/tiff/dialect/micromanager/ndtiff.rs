//! NDTiff: planes in one or several files, listed in `NDTiff.index` with their coordinates along named axes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::{Map, Value};

use super::summary::Summary;
use super::{METADATA, SUMMARY, document, word};
use crate::error::{Error, Kind, Result};
use crate::format::tiff::dialect::Opening;
use crate::format::tiff::dialect::frames::{FRAME_BYTES, Frame, Frames, Layout};
use crate::format::tiff::files::{Files, Indexed};
use crate::format::tiff::page::Page;
use crate::format::tiff::series::tolerate;
use crate::format::tiff::source::TiffSource;
use crate::sync::Arc;

/// The index's file name.
const INDEX: &str = "NDTiff.index";
/// Longest name or list of axes.
const MAX_TEXT: usize = 64 << 10;

/// Assembles the dataset that the opened file is one of.
///
/// # Errors
/// `Malformed` if the index is not there or cannot be followed; failures of the disk.
pub(super) fn assemble(opening: &Opening<'_>) -> Result<TiffSource> {
    let first = Page::parse(&opening.tiff, opening.tiff.first_ifd, opening.limits)?;
    let file = (opening.place.open)(Path::new(INDEX)).map_err(|e| {
        let e = if e.kind() == Kind::Missing { e.with_kind(Kind::Malformed) } else { e };
        e.at(INDEX)
    })?;
    if file.len() > opening.limits.index_bytes {
        return Err(Error::over_limit(format!("{INDEX} of {} bytes", file.len())));
    }
    let bytes = file.read_vec(0, file.len())?;
    let index = Arc::new(Indexed::first(opening.tiff.clone()));
    let mut files = opening.files(&index).without_chains();
    files.add_companion(Path::new(INDEX), file);
    let mut list = List::default();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        opening.watch.check()?;
        let Some((entry, after)) = Entry::parse(rest) else {
            list.warnings.push(format!("{INDEX} ends in the middle of an entry"));
            break;
        };
        rest = after;
        list.add(&entry, &first, &mut files, opening).map_err(|e| e.at(INDEX))?;
    }
    let mut summary = Summary::default();
    if let Some((offset, length)) = summary_place(opening)? {
        let json = document(opening, offset, length)?;
        summary.add(&json).or_else(|e| tolerate(e, "summary", &mut list.warnings))?;
    }
    if let Some(json) = opening.first.bytes(METADATA, 1 << 20)? {
        summary.add(&json).or_else(|e| tolerate(e, "metadata of the first plane", &mut list.warnings))?;
    }
    let frames = Frames {
        layout: Layout::Samples,
        frames: list.frames,
        positions: list.positions.names(),
        about: summary.about(&list.channels.texts()),
        warnings: list.warnings,
        lost: None,
    };
    frames.assemble(opening, files)
}

/// The summary: behind two words (version 2) or three (version 3).
fn summary_place(opening: &Opening<'_>) -> Result<Option<(u64, u64)>> {
    for at in [16, 20] {
        if word(opening, at)? == SUMMARY {
            return Ok(Some((at + 8, word(opening, at + 4)?)));
        }
    }
    Ok(None)
}

/// An entry of the index, little-endian whatever the files are.
struct Entry<'a> {
    axes: &'a [u8],
    file: &'a [u8],
    offset: u64,
    width: u64,
    height: u64,
    compression: u32,
}

impl<'a> Entry<'a> {
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (axes, rest) = text(bytes)?;
        let (file, rest) = text(rest)?;
        let (words, rest) = rest.split_first_chunk::<32>()?;
        let word = |i: usize| u32::from_le_bytes([words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]]);
        let entry = Entry {
            axes,
            file,
            offset: u64::from(word(0)),
            width: u64::from(word(1)),
            height: u64::from(word(2)),
            compression: word(4),
        };
        Some((entry, rest))
    }
}

/// A length of 32 bits and as many bytes.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    (length <= MAX_TEXT).then(|| rest.split_at_checked(length)).flatten()
}

/// What the entries add up to.
#[derive(Default)]
struct List {
    frames: Vec<Frame>,
    files: HashMap<Vec<u8>, u32>,
    channels: Axis,
    positions: Axis,
    others: [Axis; 2],
    warnings: Vec<String>,
}

impl List {
    fn add(&mut self, entry: &Entry<'_>, first: &Page, files: &mut Files, opening: &Opening<'_>) -> Result<()> {
        if entry.compression != 0 {
            return Err(Error::unsupported(format!("NDTiff compression {}", entry.compression)));
        }
        if (entry.width, entry.height) != (first.layout.width, first.layout.height) {
            return Err(Error::malformed(format!("a plane of {} x {} pixels", entry.width, entry.height)));
        }
        if self.frames.len() as u64 * FRAME_BYTES > opening.limits.index_bytes {
            return Err(Error::over_limit(format!("more than {} planes", self.frames.len())));
        }
        let axes: Map<String, Value> = serde_json::from_slice(entry.axes)
            .map_err(|e| Error::malformed(format!("axes of plane {}: {e}", self.frames.len())))?;
        let own = opening.place.path.file_name().is_some_and(|n| n.as_encoded_bytes() == entry.file);
        let file = match self.files.get(entry.file) {
            _ if own => 0,
            Some(file) => *file,
            None => {
                let file = files.add(&String::from_utf8_lossy(entry.file), opening.watch)?;
                self.files.insert(entry.file.to_vec(), file);
                file
            }
        };
        let mut frame = Frame { position: 0, channel: 0, z: 0, time: 0, file, at: entry.offset };
        // What is neither of these axes tells images apart, as positions do.
        let mut position = String::new();
        for (axis, value) in &axes {
            match axis.as_str() {
                "channel" => frame.channel = self.channels.at(value)?,
                "z" | "slice" => frame.z = self.others[0].at(value)?,
                "time" | "frame" => frame.time = self.others[1].at(value)?,
                _ => {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    if !position.is_empty() {
                        position.push_str(", ");
                    }
                    position.push_str(&format!("{axis} {value}"));
                }
            }
        }
        if !position.is_empty() {
            frame.position = self.positions.at(&Value::String(position))?;
        }
        self.frames.push(frame);
        Ok(())
    }
}

/// Coordinates along an axis: numbers, or words in the order in which they come.
#[derive(Default)]
struct Axis {
    words: Vec<String>,
    known: HashMap<String, i64>,
}

/// Most words of an axis.
const MAX_WORDS: usize = 1 << 16;

impl Axis {
    fn at(&mut self, value: &Value) -> Result<i64> {
        if let Some(number) = value.as_i64() {
            return Ok(number);
        }
        let word = value.as_str().ok_or_else(|| Error::malformed(format!("a coordinate {value:.40}")))?;
        if let Some(known) = self.known.get(word) {
            return Ok(*known);
        }
        if self.words.len() >= MAX_WORDS {
            return Err(Error::over_limit(format!("more than {MAX_WORDS} words along an axis")));
        }
        let number = self.words.len() as i64;
        self.words.push(word.to_owned());
        self.known.insert(word.to_owned(), number);
        Ok(number)
    }

    fn texts(&self) -> Vec<Option<String>> {
        self.words.iter().map(|w| Some(w.clone())).collect()
    }

    fn names(&self) -> BTreeMap<i64, String> {
        (0..).zip(self.words.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_follow_each_other() {
        let mut bytes = Vec::new();
        for text in [&b"{\"z\":-1}"[..], b"a.tif"] {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text);
        }
        for word in [512_u32, 32, 16, 1, 0, 9, 9, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.push(7);
        let (entry, rest) = Entry::parse(&bytes).unwrap();
        assert_eq!((entry.offset, entry.width, entry.height, entry.compression), (512, 32, 16, 0));
        assert_eq!((entry.axes, entry.file, rest), (&b"{\"z\":-1}"[..], &b"a.tif"[..], &[7][..]));
        assert!(Entry::parse(&bytes[..bytes.len() - 2]).is_none());
        assert!(Entry::parse(b"\xff\xff\xff\xff").is_none());
    }

    #[test]
    fn words_count_in_their_order() {
        let mut axis = Axis::default();
        let mut at = |v: &str| axis.at(&Value::String(v.into())).unwrap();
        assert_eq!((at("DAPI"), at("FITC"), at("DAPI")), (0, 1, 0));
        assert_eq!(axis.at(&Value::from(-3)).unwrap(), -3);
        assert!(axis.at(&Value::Null).is_err());
    }
}
