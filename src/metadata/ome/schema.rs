//! What the schema of 2016-06 allows, from the table that `scripts/gen-schema` makes of the XSD.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The table, parsed once.
static SCHEMA: LazyLock<HashMap<&'static str, Rule>> =
    LazyLock::new(|| parse(include_str!("../tables/ome-2016-06.txt")));

/// What the text of an element may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// None.
    Empty,
    /// None, and a child of any kind is needed.
    NeedsChild,
    /// Elements of any kind.
    Any,
    /// Text of this type.
    Text(Type),
}

/// The type of a text or attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub(super) enum Type {
    String,
    Float,
    PositiveFloat,
    NonNegativeFloat,
    /// 0 to 1.
    Fraction,
    Double,
    /// 32 bits signed, from this on.
    Int(i32),
    Long(i64),
    Boolean,
    DateTime,
    Uri,
    Uuid,
    /// 20 bytes as hexadecimal digits.
    Hex40,
    Base64,
    /// The identifier that an element of this class goes by.
    Id(&'static str),
    /// The identifier of another element.
    Ref(&'static str),
    /// One of these, parted by `|`; `_` stands for a space.
    OneOf(&'static str),
    /// Any of these, parted by spaces.
    ListOf(&'static str),
}

/// What an element may hold.
#[derive(Debug)]
pub(super) struct Rule {
    pub content: Content,
    /// Name, type, whether it must be there.
    pub attributes: Vec<(&'static str, Type, bool)>,
    pub children: Vec<ChildRule>,
}

/// One kind of child.
#[derive(Debug)]
pub(super) struct ChildRule {
    pub name: &'static str,
    /// Its place among the others.
    pub rank: usize,
    pub required: bool,
    pub repeats: bool,
}

impl Rule {
    /// Of an element in its parent; `None` for one that the schema does not know.
    pub fn of(parent: &str, name: &str) -> Option<&'static Rule> {
        SCHEMA.get(name).or_else(|| SCHEMA.get(format!("{parent}/{name}").as_str()))
    }

    /// The class of the identifier that the element goes by, such as `LightSource`.
    pub fn class(&self) -> Option<&'static str> {
        self.attributes.iter().find_map(|(name, kind, _)| match kind {
            Type::Id(class) if *name == "ID" => Some(*class),
            _ => None,
        })
    }

    /// The attributes that name other elements, with the class of those.
    pub fn references(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.attributes.iter().filter_map(|(name, kind, _)| match kind {
            Type::Ref(class) => Some((*name, *class)),
            _ => None,
        })
    }

    pub fn child(&self, name: &str) -> Option<&ChildRule> {
        self.children.iter().find(|c| c.name == name)
    }
}

/// Lines that do not fit the form are left out: the table is part of the program, and a test reads it.
fn parse(text: &'static str) -> HashMap<&'static str, Rule> {
    let mut all: HashMap<&'static str, Rule> = HashMap::new();
    let mut name = "";
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let Some(inner) = line.strip_prefix("  ") else {
            let (element, content) = line.split_once(' ').unwrap_or((line, "-"));
            name = element;
            let content = match content {
                "-" => Content::Empty,
                "+" => Content::NeedsChild,
                "any" => Content::Any,
                kind => Content::Text(type_of(kind)),
            };
            all.insert(name, Rule { content, attributes: Vec::new(), children: Vec::new() });
            continue;
        };
        let Some(rule) = all.get_mut(name) else { continue };
        let (first, rest) = inner.split_once(' ').unwrap_or((inner, ""));
        if let Some(attribute) = first.strip_prefix('@') {
            let (kind, required) = match rest.strip_suffix(" !") {
                Some(kind) => (kind, true),
                None => (rest, false),
            };
            rule.attributes.push((attribute, type_of(kind), required));
        } else if let Ok(rank) = first.parse() {
            let mut parts = rest.split(' ');
            let child = parts.next().unwrap_or_default();
            let flags: Vec<&str> = parts.collect();
            let (required, repeats) = (flags.contains(&"!"), flags.contains(&"*"));
            rule.children.push(ChildRule { name: child, rank, required, repeats });
        }
    }
    all
}

fn type_of(text: &'static str) -> Type {
    match text {
        "float" => Type::Float,
        "float>0" => Type::PositiveFloat,
        "float>=0" => Type::NonNegativeFloat,
        "fraction" => Type::Fraction,
        "double" => Type::Double,
        "int" => Type::Int(i32::MIN),
        "int>0" => Type::Int(1),
        "int>=0" => Type::Int(0),
        "long" => Type::Long(i64::MIN),
        "long>=0" => Type::Long(0),
        "boolean" => Type::Boolean,
        "dateTime" => Type::DateTime,
        "uri" => Type::Uri,
        "uuid" => Type::Uuid,
        "hex40" => Type::Hex40,
        "base64" => Type::Base64,
        _ if text.starts_with("id:") => Type::Id(&text[3..]),
        _ if text.starts_with("ref:") => Type::Ref(&text[4..]),
        _ if text.starts_with("list ") => Type::ListOf(&text[5..]),
        _ if text.contains('|') => Type::OneOf(text),
        _ => Type::String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_the_schema_says() {
        let channel = Rule::of("Pixels", "Channel").unwrap();
        assert_eq!(channel.class(), Some("Channel"));
        let ranks: Vec<_> = channel.children.iter().map(|c| (c.name, c.rank)).collect();
        let wanted = ["LightSourceSettings", "DetectorSettings", "FilterSetRef", "AnnotationRef", "LightPath"];
        assert_eq!(ranks, wanted.into_iter().zip(0..).collect::<Vec<_>>());
        let instrument = Rule::of("OME", "Instrument").unwrap();
        assert_eq!(instrument.child("Laser").map(|c| (c.rank, c.repeats)), Some((1, true)));
        assert_eq!(instrument.child("Arc").map(|c| c.rank), Some(1));
        assert_eq!(Rule::of("Instrument", "Laser").unwrap().class(), Some("LightSource"));
        let settings = Rule::of("Channel", "DetectorSettings").unwrap();
        assert_eq!(settings.references().collect::<Vec<_>>(), [("ID", "Detector")]);
        assert_eq!(settings.class(), None);
        assert_eq!(Rule::of("LongAnnotation", "Value").unwrap().content, Content::Text(Type::Long(i64::MIN)));
        assert_eq!(Rule::of("XMLAnnotation", "Value").unwrap().content, Content::Any);
        assert_eq!(Rule::of("ROI", "Union").unwrap().content, Content::NeedsChild);
        let annotation = Rule::of("StructuredAnnotations", "CommentAnnotation").unwrap();
        assert_eq!(annotation.references().collect::<Vec<_>>(), [("Annotator", "Experimenter")]);
        assert!(Rule::of("OME", "OTF").is_none());
    }
}
