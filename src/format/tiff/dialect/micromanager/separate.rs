//! A file for each plane, and `metadata.txt` beside them.
//!
//! The document is one JSON object: `Summary`, then for each plane an object that names its file and its coordinates. Since
//! version 2 there are two objects for each, "Coords-FILE" and "Metadata-FILE". A program that was stopped leaves the last
//! brace out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::summary::Summary;
use crate::error::{Error, Kind, Result};
use crate::format::tiff::dialect::Opening;
use crate::format::tiff::dialect::frames::{FRAME_BYTES, Frame, Frames, Layout};
use crate::format::tiff::files::{Indexed, safe_name};
use crate::format::tiff::source::TiffSource;
use crate::sync::Arc;

/// The document's file name.
const DOCUMENT: &str = "metadata.txt";

/// Assembles the set that the opened file is one of.
///
/// # Errors
/// `Malformed` if the document is not there, cannot be followed, or says nothing of this file; failures of the disk.
pub(super) fn assemble(opening: &Opening<'_>) -> Result<TiffSource> {
    let file = (opening.place.open)(Path::new(DOCUMENT)).map_err(|e| {
        let e = if e.kind() == Kind::Missing { e.with_kind(Kind::Malformed) } else { e };
        e.at(DOCUMENT)
    })?;
    if file.len() > opening.limits.index_bytes {
        return Err(Error::over_limit(format!("{DOCUMENT} of {} bytes", file.len())));
    }
    let bytes = file.read_vec(0, file.len())?;
    opening.watch.tick();
    let document = Document::parse(&bytes).map_err(|e| e.at(DOCUMENT))?;
    drop(bytes);
    if document.planes.len() as u64 * FRAME_BYTES > opening.limits.index_bytes {
        return Err(Error::over_limit(format!("{} planes", document.planes.len())));
    }
    let index = Arc::new(Indexed::first(opening.tiff.clone()));
    let mut files = opening.files(&index).without_chains();
    files.add_companion(Path::new(DOCUMENT), file);
    let own = opening.place.path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if !document.planes.contains_key(own) {
        return Err(Error::malformed(format!("no plane of it is in {own:.200}")).at(DOCUMENT));
    }
    let mut frames = Vec::with_capacity(document.planes.len());
    let mut channels: Vec<Option<String>> = Vec::new();
    for (name, plane) in document.planes {
        let number = if name == own { 0 } else { files.add(&name, opening.watch)? };
        let coordinate = |value: Option<i64>| value.unwrap_or(0);
        let channel = coordinate(plane.channel);
        if let (Ok(at), Some(name)) = (usize::try_from(channel), plane.name)
            && at < 1024
        {
            channels.resize(channels.len().max(at + 1), None);
            channels[at] = Some(name);
        }
        frames.push(Frame {
            position: coordinate(plane.position),
            channel,
            z: coordinate(plane.z),
            time: coordinate(plane.time),
            file: number,
            at: 0,
        });
    }
    let mut summary = Summary::default();
    summary.push(document.summary);
    if let Some(first) = document.first {
        summary.push(first);
    }
    let frames = Frames {
        layout: Layout::Number,
        frames,
        positions: BTreeMap::new(),
        about: summary.about(&channels),
        warnings: document.warnings,
        lost: None,
    };
    frames.assemble(opening, files)
}

/// What is known of a plane.
#[derive(Debug, Default, Clone, PartialEq)]
struct Plane {
    channel: Option<i64>,
    z: Option<i64>,
    time: Option<i64>,
    position: Option<i64>,
    /// Of its channel.
    name: Option<String>,
}

/// The parts of the document that are used.
#[derive(Default)]
struct Document {
    summary: Value,
    /// Pixel size, if the first plane alone gives it.
    first: Option<Value>,
    /// By file name.
    planes: BTreeMap<String, Plane>,
    warnings: Vec<String>,
}

impl Document {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut document = Document::default();
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        match reader.deserialize_map(Reader(&mut document)) {
            // What was read before the end counts, if it is a plane at least.
            Err(e) if e.is_eof() && !document.planes.is_empty() => {
                document.warnings.push(format!("{DOCUMENT} ends early, after {} planes", document.planes.len()));
                Ok(document)
            }
            Err(e) => Err(Error::malformed(format!("JSON: {e}"))),
            Ok(()) => Ok(document),
        }
    }

    fn entry(&mut self, key: &str, fields: &Fields) {
        let version_2 = key.strip_prefix("Coords-").or_else(|| key.strip_prefix("Metadata-"));
        let named = fields.file.as_ref().and_then(Value::as_str).or(version_2);
        let Some(name) = named.filter(|n| safe_name(n).is_ok()) else {
            if named.is_some() && self.warnings.len() < 10 {
                self.warnings.push(format!("{key:.80} names no file beneath this directory"));
            }
            return;
        };
        // Version 2 puts the directory that the document itself lies in before the name.
        let name = name.rsplit('/').next().unwrap_or(name);
        if self.first.is_none()
            && let Some(size) = &fields.pixel_size
        {
            self.first = Some(serde_json::json!({ "PixelSizeUm": size }));
        }
        let plane = self.planes.entry(name.to_owned()).or_default();
        let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_i64);
        plane.channel = number(&fields.channel_index).or(plane.channel);
        plane.z = number(&fields.slice_index).or(number(&fields.slice)).or(plane.z);
        plane.time = number(&fields.frame_index).or(number(&fields.frame)).or(plane.time);
        plane.position = number(&fields.position_index).or(plane.position);
        let name = fields.channel.as_ref().and_then(Value::as_str).map(str::to_owned);
        plane.name = name.or(plane.name.take());
    }
}

/// Reads the document entry by entry: an acquisition has thousands, each with a hundred fields nobody asks for.
struct Reader<'a>(&'a mut Document);

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "Summary" {
                self.0.summary = map.next_value()?;
            } else if ["FrameKey-", "Coords-", "Metadata-"].iter().any(|p| key.starts_with(p)) {
                let fields: Fields = map.next_value()?;
                self.0.entry(&key, &fields);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The fields of a plane that are used, whatever their type.
#[derive(Default)]
struct Fields {
    file: Option<Value>,
    channel: Option<Value>,
    channel_index: Option<Value>,
    slice: Option<Value>,
    slice_index: Option<Value>,
    frame: Option<Value>,
    frame_index: Option<Value>,
    position_index: Option<Value>,
    pixel_size: Option<Value>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Plane;
        impl<'de> Visitor<'de> for Plane {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<String>()? {
                    let field = match key.as_str() {
                        "FileName" => &mut fields.file,
                        "Channel" => &mut fields.channel,
                        "ChannelIndex" => &mut fields.channel_index,
                        "Slice" => &mut fields.slice,
                        "SliceIndex" => &mut fields.slice_index,
                        "Frame" => &mut fields.frame,
                        "FrameIndex" => &mut fields.frame_index,
                        "PositionIndex" => &mut fields.position_index,
                        "PixelSizeUm" => &mut fields.pixel_size,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *field = Some(map.next_value()?);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Plane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_of_both_versions() {
        let json = br#"{"Summary":{"Slices":2},"FrameKey-0-1-2":{"FrameIndex":0,"ChannelIndex":1,"SliceIndex":2,
            "Channel":"FITC","FileName":"a.tif","Other":[1,{}]},"Coords-Default/b.tif":{"TimeIndex":0},
            "Metadata-Default/b.tif":{"Frame":4,"Slice":3,"ChannelIndex":0,"FileName":"Default/b.tif"},"Other":1}"#;
        let document = Document::parse(json).unwrap();
        assert_eq!(document.planes.len(), 2);
        let a = Plane { channel: Some(1), z: Some(2), time: Some(0), position: None, name: Some("FITC".into()) };
        assert_eq!(document.planes["a.tif"], a);
        let b = &document.planes["b.tif"];
        assert_eq!((b.channel, b.z, b.time), (Some(0), Some(3), Some(4)));
    }

    #[test]
    fn a_document_that_ends_early_gives_what_it_has() {
        let json = br#"{"Summary":{},"FrameKey-0-0-0":{"FileName":"a.tif"},"FrameKey-0-0-1":{"Fil"#;
        let document = Document::parse(json).unwrap();
        assert_eq!((document.planes.len(), document.warnings.len()), (1, 1));
        assert!(Document::parse(br#"{"Summary": {"Slices": 1,"#).is_err());
        assert!(Document::parse(br#"[1]"#).is_err());
    }

    #[test]
    fn names_that_lead_elsewhere_are_left_out() {
        let json = br#"{"FrameKey-0-0-0":{"FileName":"../../etc/passwd"}}"#;
        let document = Document::parse(json).unwrap();
        assert_eq!((document.planes.len(), document.warnings.len()), (0, 1));
    }
}
