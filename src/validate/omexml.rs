//! `OME/METADATA.ome.xml` against the images that it describes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::image::Image;
use super::node::read_bytes;
use super::report::{Report, short};
use crate::metadata::ome::misfits;

/// Largest document that is looked at.
const DOCUMENT_MAX: u64 = 1 << 30;
/// Largest one that is held against the schema: it is held in memory.
const SCHEMA_MAX: u64 = 32 << 20;
/// Deepest nesting.
const DEPTH_MAX: usize = 256;
/// Namespace of the release that OME-Zarr takes.
const NAMESPACE: &str = "http://www.openmicroscopy.org/Schemas/OME/2016-06";

/// What is kept of an `Image`.
#[derive(Debug, Default)]
struct Described {
    id: String,
    pixels: Option<Vec<(String, String)>>,
    metadata_only: bool,
}

/// Reads the document once and compares its images, in order, with those of the directory.
pub fn check(path: &Path, images: &[Image], report: &mut Report) {
    match read(path, report) {
        Ok(described) => {
            compare(&described, images, report);
            schema(path, report);
        }
        Err(reason) => report.error("ome.xml", "OME", format!("METADATA.ome.xml: {}", short(&reason))),
    }
}

/// What the schema of 2016-06 has no place for. Readers pass over it, or refuse the document.
fn schema(path: &Path, report: &mut Report) {
    // Larger ones are those of plates; their images are alike.
    let Ok(Some(document)) = read_bytes(path, SCHEMA_MAX) else { return };
    match misfits(&document) {
        Ok(all) => all.iter().for_each(|what| report.warn("ome.schema", "OME", short(what))),
        Err(e) => report.warn("ome.schema", "OME", short(&e.reason())),
    }
}

fn attributes(start: &BytesStart<'_>) -> Result<Vec<(String, String)>, String> {
    start
        .attributes()
        .map(|a| {
            let a = a.map_err(|e| e.to_string())?;
            let key = a.key.local_name().as_ref().to_owned();
            Ok((key, a.value.into_owned()))
        })
        .collect()
}

fn read(path: &Path, report: &mut Report) -> Result<Vec<Described>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut reader = Reader::from_reader(BufReader::new(file.take(DOCUMENT_MAX)));
    let (mut buffer, mut open, mut images) = (Vec::new(), Vec::<String>::new(), Vec::<Described>::new());
    let mut rooted = false;
    loop {
        let event =
            reader.read_event_into(&mut buffer).map_err(|e| format!("byte {}: {e}", reader.error_position()))?;
        let (start, empty) = match &event {
            Event::Start(start) => (start, false),
            Event::Empty(start) => (start, true),
            Event::End(_) => {
                open.pop();
                buffer.clear();
                continue;
            }
            Event::Eof => break,
            _ => {
                buffer.clear();
                continue;
            }
        };
        let name = start.local_name().as_ref().to_owned();
        let place: Vec<&str> = open.iter().map(String::as_str).collect();
        match (place.as_slice(), name.as_str()) {
            ([], _) => {
                if rooted || name != "OME" {
                    return Err(format!("the root element is {}, not OME", short(&name)));
                }
                rooted = true;
                let own = start.attributes().flatten().filter(|a| a.key.as_ref().starts_with("xmlns"));
                if !own.into_iter().any(|a| a.value.as_ref() == NAMESPACE) {
                    report.warn("ome.xml", "OME", format!("METADATA.ome.xml is not of the release {NAMESPACE}"));
                }
            }
            (["OME"], "Image") => {
                let id = attributes(start)?.into_iter().find(|(k, _)| k == "ID").map(|(_, v)| v);
                images.push(Described { id: id.unwrap_or_default(), ..Described::default() });
            }
            (["OME", "Image"], "Pixels") => {
                if let Some(image) = images.last_mut() {
                    image.pixels = Some(attributes(start)?);
                }
            }
            (["OME", "Image", "Pixels"], "MetadataOnly") => {
                if let Some(image) = images.last_mut() {
                    image.metadata_only = true;
                }
            }
            (["OME", "Image", "Pixels"], "TiffData" | "BinData") | (["OME"], "BinaryOnly") => {
                let what = format!("METADATA.ome.xml has {name}; MetadataOnly must stand there");
                report.error("ome.xml", "OME", what);
            }
            _ => {}
        }
        if !empty {
            open.push(name);
            if open.len() > DEPTH_MAX {
                return Err(format!("elements are nested more than {DEPTH_MAX} deep"));
            }
        }
        buffer.clear();
    }
    if let Some(name) = open.last() {
        return Err(format!("the document ends inside of {}", short(name)));
    }
    if !rooted {
        return Err("no element".to_owned());
    }
    Ok(images)
}

fn compare(described: &[Described], images: &[Image], report: &mut Report) {
    if described.len() != images.len() {
        let what = format!("METADATA.ome.xml describes {} images; there are {}", described.len(), images.len());
        report.error("ome.images", "OME", what);
    }
    // Where images go by numbers, napari finds their groups by the ids.
    let numbered = images.iter().all(|i| !i.path.is_empty() && i.path.bytes().all(|b| b.is_ascii_digit()));
    for (n, (one, image)) in described.iter().zip(images).enumerate() {
        if numbered && one.id != format!("Image:{}", image.path) {
            let what =
                format!("Image {n} has the ID '{}'; napari looks for it by Image:{}", short(&one.id), image.path);
            report.error("ome.images", "OME", what);
        }
        let Some(pixels) = &one.pixels else {
            report.error("ome.images", "OME", format!("Image {n} has no Pixels"));
            continue;
        };
        if !one.metadata_only {
            report.error("ome.images", "OME", format!("Pixels of Image {n} have no MetadataOnly"));
        }
        let value = |key: &str| pixels.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str());
        for axis in ["X", "Y", "Z", "C", "T"] {
            let size = image.sizes.iter().find(|(name, _)| name.eq_ignore_ascii_case(axis)).map_or(1, |(_, n)| *n);
            let stated = value(&format!("Size{axis}"));
            if stated.parse() != Ok(size) {
                let what = format!("Size{axis} of Image {n} is '{}', the array has {size}", short(stated));
                report.error("ome.images", "OME", what);
            }
        }
        if !same_type(value("Type"), &image.dtype) {
            let what = format!("Type of Image {n} is '{}', the array is {}", short(value("Type")), image.dtype);
            report.error("ome.images", "OME", what);
        }
    }
}

/// Types by their names in OME-XML; what it has no name for goes by the nearest.
fn same_type(ome: &str, dtype: &str) -> bool {
    match dtype {
        "float16" | "float32" | "bfloat16" => ome == "float",
        "float64" | "int64" | "uint64" => ome == "double",
        "complex64" => ome == "complex",
        "complex128" => ome == "double-complex",
        "bool" => ome == "bit",
        "uint8" => matches!(ome, "uint8" | "bit"),
        same => ome == same,
    }
}
