//! From a document of any release to a tree of local names.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use crate::error::{Error, Result};
use crate::format::omexml::text;
use crate::model::{Element, Origin, Value};

/// Deepest nesting that is followed; the schema needs about 12.
const MAX_DEPTH: usize = 128;
/// Longest text of one element or attribute.
const MAX_TEXT: usize = 1 << 20;
/// Most bytes that the tree may take.
const MAX_HELD: usize = 64 << 20;
/// Attributes of one element; no element of any release has more than 30.
const MAX_ATTRIBUTES: usize = 64;
/// Planes that are kept, of all images together.
const MAX_PLANES: usize = 1 << 15;

/// What stands for pixels, or is told by the model of wells and regions.
fn is_skipped(parent: &str, name: &str) -> bool {
    matches!(
        (parent, name),
        ("Pixels", "TiffData" | "BinData") | ("Plate", "Well" | "PlateAcquisition") | ("OME" | "Image", "ROI")
    )
}

/// Reads a document. Prefixes and namespaces are dropped; comments, planes beyond a limit, pixels, wells and regions are left
/// out. The texts say what was noticed.
///
/// # Errors
/// `Malformed` for what is not well-formed or not OME-XML; `OverLimit` for depth and size; `Unsupported` for encodings.
pub fn read(bytes: &[u8]) -> Result<(Element, Vec<String>)> {
    let (text, _) = text::decode(bytes)?;
    let mut reader = quick_xml::Reader::from_str(&text);
    let mut builder = Builder::default();
    loop {
        let position = reader.buffer_position();
        let place = |e: Error| e.at(format!("OME-XML byte {position}"));
        let broken = |e: quick_xml::Error| place(Error::malformed(format!("OME-XML is not well-formed: {e:.200}")));
        match reader.read_event().map_err(broken)? {
            Event::Start(e) => builder.open(&e).map_err(place)?,
            Event::Empty(e) => {
                builder.open(&e).map_err(place)?;
                builder.close();
            }
            Event::End(_) => builder.close(),
            Event::Text(t) => builder.text(&t.xml10_content()).map_err(place)?,
            Event::CData(t) => builder.text(&t.xml10_content()).map_err(place)?,
            Event::GeneralRef(r) => match r.resolve_char_ref().map_err(broken)? {
                Some(c) => builder.text(c.encode_utf8(&mut [0; 4])).map_err(place)?,
                None => match quick_xml::escape::resolve_xml_entity(&r) {
                    Some(t) => builder.text(t).map_err(place)?,
                    None => return Err(place(Error::malformed(format!("entity {:.40} in OME-XML is refused", &*r)))),
                },
            },
            Event::DocType(d) if d.contains(['[', '%']) || d.contains("SYSTEM") || d.contains("PUBLIC") => {
                return Err(place(Error::malformed("OME-XML with a document type definition is refused")));
            }
            Event::Eof => return builder.finish(),
            Event::DocType(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

#[derive(Default)]
struct Builder {
    /// From the root to the element at hand.
    stack: Vec<Element>,
    /// Elements open below one that is left out.
    skipped: usize,
    root: Option<Element>,
    held: usize,
    planes: usize,
}

impl Builder {
    fn open(&mut self, e: &BytesStart<'_>) -> Result<()> {
        if self.stack.len() + self.skipped >= MAX_DEPTH {
            return Err(Error::over_limit(format!("elements nested deeper than {MAX_DEPTH}")));
        }
        let local = e.local_name();
        let name: &str = local.as_ref();
        let parent = self.stack.last().map(|p| &*p.name);
        let skip = match parent {
            None if self.root.is_some() => return Err(Error::malformed("a second root element")),
            None if name != "OME" => return Err(Error::malformed(format!("root element {name:.40} is not OME"))),
            None => false,
            Some("Pixels") if name == "Plane" => {
                self.planes += 1;
                self.planes > MAX_PLANES
            }
            Some(parent) => is_skipped(parent, name),
        };
        if self.skipped > 0 || skip {
            self.skipped += 1;
            return Ok(());
        }
        let mut element = Element::new(known(name));
        self.hold(size_of::<Element>() + name.len())?;
        // Without the check for duplicates, which is quadratic in their number.
        for attribute in e.attributes().with_checks(false) {
            let attribute = attribute.map_err(|e| Error::malformed(format!("broken attribute: {e}")))?;
            let is_namespace = attribute.key.as_namespace_binding().is_some();
            let local = attribute.key.local_name();
            let key: &str = local.as_ref();
            if is_namespace || key == "schemaLocation" || element.value(key).is_some() {
                continue;
            }
            if element.attributes.len() >= MAX_ATTRIBUTES {
                return Err(Error::over_limit(format!("{name:.40} has more than {MAX_ATTRIBUTES} attributes")));
            }
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|e| Error::malformed(format!("attribute {key:.40}: {e:.120}")))?;
            if value.len() > MAX_TEXT {
                return Err(Error::over_limit(format!("attribute {key:.40} exceeds {MAX_TEXT} bytes")));
            }
            self.hold(72 + key.len() + value.len())?;
            element.attributes.push((known(key), Value { text: value.into(), origin: Origin::OmeXml }));
        }
        self.stack.push(element);
        Ok(())
    }

    fn close(&mut self) {
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        let Some(mut element) = self.stack.pop() else { return };
        if element.text.as_ref().is_some_and(|t| t.text.trim().is_empty()) {
            element.text = None;
        }
        match self.stack.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, text: &str) -> Result<()> {
        if self.skipped > 0 {
            return Ok(());
        }
        let Some(element) = self.stack.last_mut() else { return Ok(()) };
        // Blanks between elements are no text.
        if element.text.is_none() && text.trim().is_empty() {
            return Ok(());
        }
        let mut all = element.text.take().map_or_else(String::new, |v| v.text.into());
        if all.len() + text.len() > MAX_TEXT {
            return Err(Error::over_limit(format!("text of one element exceeds {MAX_TEXT} bytes")));
        }
        all.push_str(text);
        element.text = Some(Value { text: all.into(), origin: Origin::OmeXml });
        self.hold(text.len())
    }

    fn hold(&mut self, bytes: usize) -> Result<()> {
        self.held = self.held.saturating_add(bytes);
        if self.held > MAX_HELD {
            return Err(Error::over_limit(format!("OME-XML that takes more than {MAX_HELD} bytes")));
        }
        Ok(())
    }

    fn finish(self) -> Result<(Element, Vec<String>)> {
        if !self.stack.is_empty() || self.skipped > 0 {
            return Err(Error::malformed("OME-XML ends inside an element"));
        }
        let root = self.root.ok_or_else(|| Error::malformed("no OME element"))?;
        let mut warnings = Vec::new();
        if self.planes > MAX_PLANES {
            warnings.push(format!("times and places of {} planes, of which {MAX_PLANES} are kept", self.planes));
        }
        Ok((root, warnings))
    }
}

/// A name; the ones of long documents are not held once for each element.
fn known(name: &str) -> Cow<'static, str> {
    const MANY: &[&str] = &[
        "ID",
        "Name",
        "Plane",
        "TheZ",
        "TheC",
        "TheT",
        "DeltaT",
        "DeltaTUnit",
        "ExposureTime",
        "ExposureTimeUnit",
        "PositionX",
        "PositionXUnit",
        "PositionY",
        "PositionYUnit",
        "PositionZ",
        "PositionZUnit",
        "Image",
        "Pixels",
        "Channel",
        "M",
        "K",
        "AnnotationRef",
        "MapAnnotation",
        "Value",
    ];
    match MANY.iter().find(|n| **n == name) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(name.to_owned()),
    }
}
