//! Vendors' XML as a tree: documents whose elements are looked up by name.
//!
//! Names are local (no prefix), nothing is expanded beyond the five entities and character references, nothing fetched.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use crate::error::{Error, Result};
use crate::format::omexml::text;

/// An element.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Element {
    /// Local name.
    pub name: String,
    /// All text directly inside.
    pub text: String,
    /// Elements inside, in order.
    pub children: Vec<Element>,
    attributes: Vec<(String, String)>,
}

/// Deepest nesting; vendors need about ten.
const MAX_DEPTH: usize = 64;
/// Most elements and attributes: a slide of 150 x 150 stitched tiles has 45,000 joints of nine attributes.
const MAX_ITEMS: usize = 1 << 19;

impl Element {
    /// Parses a document and gives its root.
    ///
    /// # Errors
    /// `Malformed` for what is not well-formed, `OverLimit` for depth and counts, `Unsupported` for foreign encodings.
    pub fn parse(document: &[u8]) -> Result<Self> {
        Self::parse_without(document, |_, _| false)
    }

    /// As [`Element::parse`], without the elements that `skip` says, given those around it (the outermost holds the root)
    /// and its name; what is inside of them is not counted either.
    ///
    /// # Errors
    /// As [`Element::parse`].
    pub fn parse_without(document: &[u8], skip: impl Fn(&[Element], &str) -> bool) -> Result<Self> {
        Self::parse_some(document, skip, |_, _| true)
    }

    /// As [`Element::parse_without`], with only those attributes that `keep` says, given the names of element and attribute.
    ///
    /// # Errors
    /// As [`Element::parse`].
    pub fn parse_some(
        document: &[u8],
        skip: impl Fn(&[Element], &str) -> bool,
        keep: impl Fn(&str, &str) -> bool,
    ) -> Result<Self> {
        let (text, _) = text::decode(document)?;
        let mut reader = quick_xml::Reader::from_str(&text);
        // The element that holds the root lies at the bottom.
        let mut open = vec![Element::default()];
        let mut items = 0;
        // Open elements that are not kept.
        let mut skipped = 0_usize;
        loop {
            let at = reader.buffer_position();
            let place = |e: Error| e.at(format!("XML byte {at}"));
            let broken = |e: &dyn std::fmt::Display| Error::malformed(format!("not well-formed: {e:.200}"));
            match reader.read_event().map_err(|e| place(broken(&e)))? {
                Event::Start(e) if skipped > 0 || skip(&open, e.local_name().as_ref()) => skipped += 1,
                Event::End(_) if skipped > 0 => skipped -= 1,
                Event::Empty(e) if skipped > 0 || skip(&open, e.local_name().as_ref()) => {}
                Event::Text(_) | Event::CData(_) if skipped > 0 => {}
                Event::Start(e) => {
                    if open.len() > MAX_DEPTH {
                        return Err(place(Error::over_limit(format!("more than {MAX_DEPTH} levels of elements"))));
                    }
                    open.push(Self::read(&e, &mut items, &keep).map_err(place)?);
                }
                Event::Empty(e) => {
                    let element = Self::read(&e, &mut items, &keep).map_err(place)?;
                    push_child(&mut open, element);
                }
                Event::End(_) => {
                    if open.len() > 1 {
                        let element = open.pop().unwrap_or_default();
                        push_child(&mut open, element);
                    }
                }
                Event::Text(t) => push_text(&mut open, &t.xml10_content()),
                Event::CData(t) => push_text(&mut open, &t.xml10_content()),
                Event::GeneralRef(_) if skipped > 0 => {}
                Event::GeneralRef(r) => match r.resolve_char_ref().map_err(|e| place(broken(&e)))? {
                    Some(c) => push_text(&mut open, c.encode_utf8(&mut [0; 4])),
                    None => match quick_xml::escape::resolve_xml_entity(&r) {
                        Some(t) => push_text(&mut open, t),
                        None => return Err(place(Error::malformed(format!("entity {:.40} is refused", &*r)))),
                    },
                },
                Event::DocType(d) if d.contains(['[', '%']) || d.contains("SYSTEM") || d.contains("PUBLIC") => {
                    return Err(place(Error::malformed("a document type definition is refused")));
                }
                Event::Eof => break,
                Event::DocType(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
        if open.len() != 1 || skipped > 0 {
            return Err(Error::malformed("XML ends inside an element"));
        }
        open.pop().and_then(|d| d.children.into_iter().next()).ok_or_else(|| Error::malformed("XML without an element"))
    }

    fn read(start: &BytesStart<'_>, items: &mut usize, keep: &impl Fn(&str, &str) -> bool) -> Result<Self> {
        let mut element = Element { name: local(start.local_name().as_ref()), ..Element::default() };
        // Without checks: looking for duplicates is quadratic in their number.
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|e| Error::malformed(format!("attribute: {e}")))?;
            if !keep(&element.name, attribute.key.local_name().as_ref()) {
                continue;
            }
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|e| Error::malformed(format!("attribute: {e:.100}")))?;
            element.attributes.push((local(attribute.key.local_name().as_ref()), value.into_owned()));
            *items += 1;
        }
        *items += 1;
        if *items > MAX_ITEMS {
            return Err(Error::over_limit(format!("more than {MAX_ITEMS} elements and attributes")));
        }
        Ok(element)
    }

    /// All attributes, in order.
    pub fn attributes(&self) -> &[(String, String)] {
        &self.attributes
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// An attribute that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.attribute(name)?.trim().parse().ok().filter(|v: &f64| v.is_finite())
    }

    /// An attribute that is a count or an index.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.attribute(name)?.trim().parse().ok()
    }

    /// The children of this name.
    pub fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// The first element that a path of names leads to.
    pub fn path(&self, names: &[&str]) -> Option<&Element> {
        names.iter().try_fold(self, |element, name| element.child(name))
    }

    /// Text of a child, trimmed; `None` if there is no such child or it is empty.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.trim()).filter(|t| !t.is_empty())
    }

    /// This element and all below, each before what is inside it.
    pub fn descendants(&self) -> Vec<&Element> {
        let mut all = Vec::new();
        let mut next = vec![self];
        while let Some(element) = next.pop() {
            all.push(element);
            next.extend(element.children.iter().rev());
        }
        all
    }
}

fn local(name: &str) -> String {
    name.to_owned()
}

fn push_child(open: &mut [Element], element: Element) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(element);
    }
}

fn push_text(open: &mut [Element], text: &str) {
    if let Some(parent) = open.last_mut() {
        parent.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_tree() {
        let root =
            Element::parse(b"<?xml version='1.0'?><p:a q:x='1&amp;2'><b> t&lt;&#65; </b><c/><b>u</b></p:a>").unwrap();
        assert_eq!((root.name.as_str(), root.attribute("x")), ("a", Some("1&2")));
        assert_eq!(root.text_of("b"), Some("t<A"));
        assert_eq!(root.all("b").count(), 2);
        assert_eq!(root.path(&["c"]).map(|c| c.children.len()), Some(0));
        let names: Vec<_> = root.descendants().iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "b"]);
    }

    #[test]
    fn elements_that_nobody_wants_are_not_kept() {
        let text = "<a><b><x><y/>t</x><z/></b><b><x><y/>t&lt;</x><z/><x/></b></a>";
        let later = |open: &[Element], name: &str| name == "x" && open[1].child("b").is_some();
        let root = Element::parse_without(text.as_bytes(), later).unwrap();
        let names: Vec<_> = root.descendants().iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "x", "y", "z", "b", "z"]);
        assert!(root.children.iter().all(|b| b.text.is_empty()));
        let many = format!("<a><b/>{}</a>", "<x k='1'/>".repeat(MAX_ITEMS));
        assert!(Element::parse(many.as_bytes()).is_err());
        assert!(Element::parse_without(many.as_bytes(), later).is_ok());
        assert!(Element::parse_without(b"<a><b/><x>", later).is_err());
        let some =
            Element::parse_some(b"<a k='1' l='2'><b l='3'/></a>", |_, _| false, |e, a| (e, a) != ("a", "l")).unwrap();
        assert_eq!((some.attribute("k"), some.attribute("l")), (Some("1"), None));
        assert_eq!(some.child("b").and_then(|b| b.attribute("l")), Some("3"));
    }

    #[test]
    fn broken_and_hostile_documents_are_errors() {
        for bad in [&b""[..], b"text", b"<a>", b"<a></b>", b"<a>&x;</a>", b"<!DOCTYPE a [<!ENTITY x 'y'>]><a/>"] {
            assert!(Element::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        let deep = "<a>".repeat(MAX_DEPTH + 2);
        assert_eq!(Element::parse(deep.as_bytes()).unwrap_err().kind(), crate::Kind::OverLimit);
    }
}
