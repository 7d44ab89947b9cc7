//! `OME/METADATA.ome.xml`: what is mounted, as OME-XML 2016-06.
//!
//! Always built anew, never copied: readers take sizes and types from here and find the arrays by `Image:0`, `Image:1`, so
//! both must be those of the arrays. What the source itself says stands verbatim beside it.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::plates::plate;
use super::rois::{references, regions, written};
use crate::model::plate::{Plate, spots};
use crate::model::{Channel, Dtype, Quantity, Rois, Series};
use crate::pyramid::OpenImage;

const NAMESPACE: &str = "http://www.openmicroscopy.org/Schemas/OME/2016-06";
const LOCATION: &str =
    "http://www.openmicroscopy.org/Schemas/OME/2016-06 http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd";

/// The document: one `Image` for each series of role image, in the order of their places; `name` for those that have none of
/// their own.
pub fn ome_xml(image: &OpenImage, name: &str) -> Vec<u8> {
    // Writing into memory cannot fail.
    document(image.source.series(), image.source.plates(), image.source.rois(), name).unwrap_or_default()
}

/// The document of a source of these series, plates and regions.
pub(super) fn document(all: &[Series], plates: &[Plate], rois: Option<&Rois>, name: &str) -> io::Result<Vec<u8>> {
    let numbers: Vec<u32> = spots(all, plates).into_iter().map(|(number, _)| number).collect();
    let series: Vec<&Series> = numbers.iter().filter_map(|n| all.get(*n as usize)).collect();
    let mut out = Writer::new(Vec::new());
    out.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let mut root = BytesStart::new("OME");
    root.push_attribute(("xmlns", NAMESPACE));
    root.push_attribute(("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"));
    root.push_attribute(("xsi:schemaLocation", LOCATION));
    root.push_attribute(("Creator", concat!("fuzarr ", env!("CARGO_PKG_VERSION"))));
    out.write_event(Event::Start(root))?;
    let mut notes: Vec<Note> = Vec::new();
    let shapes = rois.map_or_else(Vec::new, written);
    // The schema wants plates before instruments and images.
    let images = numbers.iter().zip(0..).map(|(series, image)| (*series, image)).collect();
    for (number, p) in plates.iter().enumerate() {
        plate(&mut out, number, p, &images)?;
    }
    for (index, series) in series.iter().enumerate() {
        instrument(&mut out, index, series)?;
    }
    for ((index, series), number) in series.iter().enumerate().zip(&numbers) {
        let own = rois.map(|rois| (rois, &shapes[..], *number));
        image(&mut out, index, series, own, name, &mut notes)?;
    }
    annotations(&mut out, &notes)?;
    if let Some(rois) = rois {
        regions(&mut out, rois, &shapes, all)?;
    }
    out.write_event(Event::End(BytesEnd::new("OME")))?;
    Ok(out.into_inner())
}

pub(super) type Out = Writer<Vec<u8>>;

/// What the schema cannot say about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    /// The type of the mounted array, where `Pixels/@Type` must name another.
    StoredType(Dtype),
    /// Sizes beyond the schema's 32 bits; the attributes hold the largest value that it allows.
    LargeSize { x: u64, y: u64, z: u64, c: u64, t: u64 },
}

/// The lens of an image. The schema wants instruments before images.
fn instrument(out: &mut Out, index: usize, series: &Series) -> io::Result<()> {
    let Some(objective) = &series.objective else { return Ok(()) };
    let mut element = BytesStart::new("Instrument");
    element.push_attribute(("ID", format!("Instrument:{index}").as_str()));
    out.write_event(Event::Start(element))?;
    let mut element = BytesStart::new("Objective");
    element.push_attribute(("ID", format!("Objective:{index}").as_str()));
    if let Some(model) = &objective.model {
        element.push_attribute(("Model", attribute(model).as_str()));
    }
    for (key, value) in [("LensNA", objective.na), ("NominalMagnification", objective.magnification)] {
        if let Some(v) = value.filter(|v| *v >= f64::from(f32::MIN_POSITIVE) && *v <= f64::from(f32::MAX)) {
            element.push_attribute((key, v.to_string().as_str()));
        }
    }
    out.write_event(Event::Empty(element))?;
    out.write_event(Event::End(BytesEnd::new("Instrument")))
}

fn image(
    out: &mut Out,
    index: usize,
    series: &Series,
    rois: Option<(&Rois, &[bool], u32)>,
    name: &str,
    notes: &mut Vec<Note>,
) -> io::Result<()> {
    let mut element = BytesStart::new("Image");
    element.push_attribute(("ID", format!("Image:{index}").as_str()));
    let name = if series.name.trim().is_empty() { name } else { &series.name };
    element.push_attribute(("Name", attribute(name).as_str()));
    out.write_event(Event::Start(element))?;
    if let Some(date) = series.acquired.as_deref().filter(|d| is_date_time(d)) {
        text_element(out, "AcquisitionDate", date)?;
    }
    if let Some(description) = &series.description {
        text_element(out, "Description", description)?;
    }
    if series.objective.is_some() {
        for (name, id) in [("InstrumentRef", "Instrument"), ("ObjectiveSettings", "Objective")] {
            let mut reference = BytesStart::new(name);
            reference.push_attribute(("ID", format!("{id}:{index}").as_str()));
            out.write_event(Event::Empty(reference))?;
        }
    }
    pixels(out, index, series)?;
    if let Some((rois, shapes, number)) = rois {
        references(out, rois, shapes, number)?;
    }
    for note in [stored_type(series), large_size(series)].into_iter().flatten() {
        let id = notes.iter().position(|n| *n == note).unwrap_or_else(|| {
            notes.push(note);
            notes.len() - 1
        });
        let mut reference = BytesStart::new("AnnotationRef");
        reference.push_attribute(("ID", format!("Annotation:{id}").as_str()));
        out.write_event(Event::Empty(reference))?;
    }
    out.write_event(Event::End(BytesEnd::new("Image")))
}

fn stored_type(series: &Series) -> Option<Note> {
    matches!(series.dtype, Dtype::F16 | Dtype::I64 | Dtype::U64).then_some(Note::StoredType(series.dtype))
}

fn large_size(series: &Series) -> Option<Note> {
    let s = series.shape();
    (s.tczyx().into_iter().any(|n| n > LARGEST)).then_some(Note::LargeSize { x: s.x, y: s.y, z: s.z, c: s.c, t: s.t })
}

/// `PositiveInt` of the schema is a signed 32-bit integer.
const LARGEST: u64 = i32::MAX as u64;

fn pixels(out: &mut Out, index: usize, series: &Series) -> io::Result<()> {
    let shape = series.shape();
    let mut element = BytesStart::new("Pixels");
    element.push_attribute(("ID", format!("Pixels:{index}").as_str()));
    element.push_attribute(("DimensionOrder", "XYZCT"));
    element.push_attribute(("Type", pixel_type(series.dtype)));
    if series.dtype.is_integer() && !matches!(series.dtype, Dtype::I64 | Dtype::U64) && series.significant_bits > 0 {
        element.push_attribute(("SignificantBits", series.significant_bits.to_string().as_str()));
    }
    element.push_attribute(("BigEndian", "false"));
    element.push_attribute(("Interleaved", "false"));
    for (key, size) in
        [("SizeX", shape.x), ("SizeY", shape.y), ("SizeZ", shape.z), ("SizeC", shape.c), ("SizeT", shape.t)]
    {
        element.push_attribute((key, size.min(LARGEST).to_string().as_str()));
    }
    let p = &series.physical;
    quantity(&mut element, "PhysicalSizeX", "PhysicalSizeXUnit", p.x.as_ref(), Some("pixel"));
    quantity(&mut element, "PhysicalSizeY", "PhysicalSizeYUnit", p.y.as_ref(), Some("pixel"));
    quantity(&mut element, "PhysicalSizeZ", "PhysicalSizeZUnit", p.z.as_ref(), Some("pixel"));
    quantity(&mut element, "TimeIncrement", "TimeIncrementUnit", p.t.as_ref(), None);
    out.write_event(Event::Start(element))?;
    for (number, c) in series.channels.iter().enumerate() {
        channel(out, index, number, c)?;
    }
    out.write_event(Event::Empty(BytesStart::new("MetadataOnly")))?;
    out.write_event(Event::End(BytesEnd::new("Pixels")))
}

/// `unitless` is what the schema calls a size without a real unit; `None`: such a value is left out.
fn quantity(
    element: &mut BytesStart<'_>,
    key: &str,
    unit_key: &str,
    quantity: Option<&Quantity>,
    unitless: Option<&str>,
) {
    let Some(q) = quantity else { return };
    // The schema has 32-bit floats, and positive ones; Rust writes the shortest digits that read back the same.
    if !(q.value >= f64::from(f32::MIN_POSITIVE) && q.value <= f64::from(f32::MAX)) {
        return;
    }
    let Some(unit) = q.unit.as_ref().map(|u| u.0.as_str()).or(unitless) else { return };
    element.push_attribute((key, q.value.to_string().as_str()));
    element.push_attribute((unit_key, unit));
}

fn channel(out: &mut Out, index: usize, number: usize, channel: &Channel) -> io::Result<()> {
    let mut element = BytesStart::new("Channel");
    element.push_attribute(("ID", format!("Channel:{index}:{number}").as_str()));
    if let Some(name) = &channel.name {
        element.push_attribute(("Name", attribute(name).as_str()));
    }
    // Each sample of an RGB pixel is a channel of the mounted array.
    element.push_attribute(("SamplesPerPixel", "1"));
    if let Some(color) = channel.color {
        let rgba = i32::from_be_bytes([color.0, color.1, color.2, 0xFF]);
        element.push_attribute(("Color", rgba.to_string().as_str()));
    }
    let waves = [
        ("ExcitationWavelength", "ExcitationWavelengthUnit", channel.excitation_nm),
        ("EmissionWavelength", "EmissionWavelengthUnit", channel.emission_nm),
    ];
    for (key, unit_key, value) in waves {
        if let Some(v) = value.filter(|v| *v >= f64::from(f32::MIN_POSITIVE) && *v <= f64::from(f32::MAX)) {
            element.push_attribute((key, v.to_string().as_str()));
            element.push_attribute((unit_key, "nm"));
        }
    }
    if let Some(fluor) = &channel.fluor {
        element.push_attribute(("Fluor", attribute(fluor).as_str()));
    }
    out.write_event(Event::Empty(element))
}

fn annotations(out: &mut Out, notes: &[Note]) -> io::Result<()> {
    if notes.is_empty() {
        return Ok(());
    }
    out.write_event(Event::Start(BytesStart::new("StructuredAnnotations")))?;
    for (id, note) in notes.iter().enumerate() {
        let (namespace, description, value) = match note {
            Note::StoredType(dtype) => (
                "urn:fuzarr:stored-type",
                "Type of the mounted array; OME-XML has no such type, so Pixels/@Type names the nearest one",
                dtype.name().to_owned(),
            ),
            Note::LargeSize { x, y, z, c, t } => (
                "urn:fuzarr:size",
                "Size of the mounted array; OME-XML has 32-bit sizes only",
                format!("x {x}, y {y}, z {z}, c {c}, t {t}"),
            ),
        };
        let mut element = BytesStart::new("CommentAnnotation");
        element.push_attribute(("ID", format!("Annotation:{id}").as_str()));
        element.push_attribute(("Namespace", namespace));
        out.write_event(Event::Start(element))?;
        text_element(out, "Description", description)?;
        text_element(out, "Value", &value)?;
        out.write_event(Event::End(BytesEnd::new("CommentAnnotation")))?;
    }
    out.write_event(Event::End(BytesEnd::new("StructuredAnnotations")))
}

/// The nearest type that OME-XML 2016-06 has (`PixelType`).
fn pixel_type(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::U8 => "uint8",
        Dtype::I8 => "int8",
        Dtype::U16 => "uint16",
        Dtype::I16 => "int16",
        Dtype::U32 => "uint32",
        Dtype::I32 => "int32",
        Dtype::F16 | Dtype::F32 => "float",
        Dtype::F64 | Dtype::I64 | Dtype::U64 => "double",
        Dtype::C64 => "complex",
        Dtype::C128 => "double-complex",
    }
}

pub(super) fn text_element(out: &mut Out, name: &'static str, text: &str) -> io::Result<()> {
    let text: String = text.chars().filter(|c| is_xml(*c)).collect();
    out.write_event(Event::Start(BytesStart::new(name)))?;
    out.write_event(Event::Text(BytesText::new(&text)))?;
    out.write_event(Event::End(BytesEnd::new(name)))
}

/// Text for an attribute: readers turn line ends and tabs there into spaces, so they are written as such.
pub(super) fn attribute(text: &str) -> String {
    text.chars().filter(|c| is_xml(*c)).map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c }).collect()
}

/// Characters that XML 1.0 allows (production `Char`).
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

/// Is this an `xsd:dateTime`? A date that is not would make the whole document invalid.
pub(super) fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let number = |t: &str, digits: usize| -> Option<u32> {
        (t.len() == digits && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse().ok()).flatten()
    };
    let mut parts = date.split('-');
    let (Some(y), Some(m), Some(d), None) = (
        parts.next().and_then(|t| number(t, 4)),
        parts.next().and_then(|t| number(t, 2)),
        parts.next().and_then(|t| number(t, 2)),
        parts.next(),
    ) else {
        return false;
    };
    let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let days = match m {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    if y == 0 || d == 0 || d > days {
        return false;
    }
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(c, f)| (c, Some(f)));
    let hms: Vec<Option<u32>> = clock.split(':').map(|t| number(t, 2)).collect();
    let clock_ok = matches!(hms[..], [Some(0..=23), Some(0..=59), Some(0..=59)]);
    let fraction_ok = fraction.is_none_or(|f| !f.is_empty() && f.bytes().all(|b| b.is_ascii_digit()));
    let zone_ok = zone.is_empty() || zone == "Z" || {
        let parts: Vec<Option<u32>> = zone[1..].split(':').map(|t| number(t, 2)).collect();
        matches!(parts[..], [Some(0..=13), Some(0..=59)] | [Some(14), Some(0)])
    };
    clock_ok && fraction_ok && zone_ok
}
