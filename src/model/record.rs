//! What is known about a dataset beside its pixels: elements named as in OME-XML 2016-06, and where each value came from.

use std::borrow::Cow;
use std::sync::Arc;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The source's own OME-XML.
    OmeXml,
    /// The vendor's metadata in the source.
    Vendor,
    /// Worked out: sizes and types as mounted, a term mapped from a value.
    Derived,
    /// A sidecar, by its path beneath SOURCE.
    Sidecar(Arc<str>),
    /// Nobody said; what the documents take then.
    Default,
}

impl Origin {
    /// The word that documents use: `ome-xml`, `vendor`, `derived`, `sidecar:<path>`, `default`.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Origin::Sidecar(path) => Cow::Owned(format!("sidecar:{path}")),
            other => Cow::Borrowed(other.kind()),
        }
    }

    /// The word without the path.
    pub fn kind(&self) -> &'static str {
        match self {
            Origin::OmeXml => "ome-xml",
            Origin::Vendor => "vendor",
            Origin::Derived => "derived",
            Origin::Sidecar(_) => "sidecar",
            Origin::Default => "default",
        }
    }
}

/// A text with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// As OME-XML writes it.
    pub text: Box<str>,
    /// Where it came from.
    pub origin: Origin,
}

/// An element with its attributes, text and children. Names are local ones, without prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// "Image".
    pub name: Cow<'static, str>,
    /// In the order given; no name twice.
    pub attributes: Vec<(Cow<'static, str>, Value)>,
    /// The text of an element that has one.
    pub text: Option<Value>,
    /// In the order given.
    pub children: Vec<Element>,
}

impl Element {
    /// An empty element.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Element { name: name.into(), ..Element::default() }
    }

    /// Text of an attribute.
    pub fn get(&self, attribute: &str) -> Option<&str> {
        self.value(attribute).map(|v| &*v.text)
    }

    /// An attribute.
    pub fn value(&self, attribute: &str) -> Option<&Value> {
        self.attributes.iter().find(|(name, _)| name == attribute).map(|(_, v)| v)
    }

    /// Sets an attribute, whatever it was.
    pub fn set(&mut self, attribute: impl Into<Cow<'static, str>>, text: impl Into<Box<str>>, origin: Origin) {
        let (attribute, value) = (attribute.into(), Value { text: text.into(), origin });
        match self.attributes.iter_mut().find(|(name, _)| *name == attribute) {
            Some((_, old)) => *old = value,
            None => self.attributes.push((attribute, value)),
        }
    }

    /// The first child of a name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// The first child of a name, made where there is none.
    pub fn child_mut(&mut self, name: &'static str) -> &mut Element {
        let at = self.children.iter().position(|c| c.name == name).unwrap_or_else(|| {
            self.children.push(Element::new(name));
            self.children.len() - 1
        });
        &mut self.children[at]
    }

    /// All children of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// Text of the first child of a name.
    pub fn text_of(&self, child: &str) -> Option<&str> {
        self.child(child)?.text.as_ref().map(|v| &*v.text)
    }

    /// Bytes held, about.
    pub fn heap_bytes(&self) -> u64 {
        let texts: usize = self.attributes.iter().map(|(n, v)| 72 + n.len() + v.text.len()).sum();
        let own = (size_of::<Element>() + texts + self.text.as_ref().map_or(0, |v| v.text.len())) as u64;
        own + self.children.iter().map(Element::heap_bytes).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_there_once_and_origins_have_names() {
        let mut image = Element::new("Image");
        image.set("Name", "a", Origin::OmeXml);
        image.set("Name", "b", Origin::Sidecar("x/dataset.meta.yaml".into()));
        image.child_mut("Pixels").set("SizeX", "3", Origin::Derived);
        assert_eq!((image.get("Name"), image.attributes.len()), (Some("b"), 1));
        assert_eq!(image.value("Name").unwrap().origin.name(), "sidecar:x/dataset.meta.yaml");
        assert_eq!(image.child("Pixels").and_then(|p| p.get("SizeX")), Some("3"));
        assert!(image.heap_bytes() > 100);
    }
}
