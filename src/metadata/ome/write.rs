//! `OME/METADATA.ome.xml`: a tree that fits the schema, as bytes.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::values::{clean, is_xml};
use crate::metadata::Record;
use crate::model::Element;

const NAMESPACE: &str = "http://www.openmicroscopy.org/Schemas/OME/2016-06";
const LOCATION: &str =
    "http://www.openmicroscopy.org/Schemas/OME/2016-06 http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd";

/// The document of a record: valid against the schema of 2016-06.
pub fn write(record: &Record) -> Vec<u8> {
    // Writing into memory cannot fail.
    document(&record.ome).unwrap_or_default()
}

fn document(ome: &Element) -> io::Result<Vec<u8>> {
    let mut out = Writer::new(Vec::new());
    out.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let mut root = BytesStart::new("OME");
    root.push_attribute(("xmlns", NAMESPACE));
    root.push_attribute(("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"));
    root.push_attribute(("xsi:schemaLocation", LOCATION));
    content(&mut out, ome, root, Place::Schema)?;
    Ok(out.into_inner())
}

/// Whose element it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The schema's.
    Schema,
    /// The schema's, in an `XMLAnnotation`.
    XmlAnnotation,
    /// The first in a `Value` there: of no namespace, from here on.
    Foreign,
    /// Below one of those.
    Inside,
}

fn element(out: &mut Writer<Vec<u8>>, element: &Element, place: Place) -> io::Result<()> {
    let mut start = BytesStart::new(&*element.name);
    if place == Place::Foreign {
        start.push_attribute(("xmlns", ""));
    }
    content(out, element, start, place)
}

fn content(out: &mut Writer<Vec<u8>>, element_: &Element, mut start: BytesStart<'_>, place: Place) -> io::Result<()> {
    for (name, value) in &element_.attributes {
        start.push_attribute((&**name, attribute(&value.text).as_str()));
    }
    if element_.text.is_none() && element_.children.is_empty() {
        return out.write_event(Event::Empty(start));
    }
    out.write_event(Event::Start(start))?;
    if let Some(text) = &element_.text {
        out.write_event(Event::Text(BytesText::new(&clean(&text.text))))?;
    }
    let below = match place {
        Place::Schema if element_.name == "XMLAnnotation" => Place::XmlAnnotation,
        Place::XmlAnnotation if element_.name == "Value" => Place::Foreign,
        Place::Foreign | Place::Inside => Place::Inside,
        Place::Schema | Place::XmlAnnotation => Place::Schema,
    };
    for child in &element_.children {
        element(out, child, below)?;
    }
    out.write_event(Event::End(BytesEnd::new(&*element_.name)))
}

/// Text for an attribute: readers turn line ends and tabs there into spaces, so they are written as such.
fn attribute(text: &str) -> String {
    text.chars().filter(|c| is_xml(*c)).map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c }).collect()
}
