//! The trees that ND2 metadata are made of, whichever way they are written: "lite variants" (binary) since version 3 of the
//! format, XML before.
//!
//! Names lose their prefix of type (`uiWidth` is `Width`), as the two ways do not always agree in it. Source: the layout
//! that the readers `nd2` (BSD) and `limnd2` (MIT, by the makers of the format) follow.

use std::io::Read;

use crate::codec::deflate;
use crate::error::{Error, Result};
use crate::format::xml::Element;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
    Level(Vec<Node>),
}

/// A name with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub name: String,
    pub value: Value,
}

/// Deepest nesting; files have about ten levels.
const MAX_DEPTH: usize = 48;
/// Most values in one tree.
const MAX_NODES: usize = 1 << 19;
/// Most bytes that a compressed tree unfolds to.
const MAX_UNPACKED: u64 = 32 << 20;

impl Node {
    /// Reads a tree of either kind.
    ///
    /// # Errors
    /// `Malformed`, `Truncated`, `OverLimit`.
    pub fn parse(data: &[u8]) -> Result<Node> {
        let start = data.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
        let data = data.get(start..).unwrap_or_default();
        if matches!(data, [b'<', ..] | [0xEF, 0xBB, 0xBF, ..] | [0xFF, 0xFE, ..]) {
            return Ok(from_xml(&Element::parse(data)?));
        }
        let mut left = MAX_NODES;
        let children = records(&mut Bytes(data), 1, &mut left, MAX_DEPTH)?;
        Ok(Node { name: String::new(), value: Value::Level(children) })
    }

    /// What is directly inside.
    pub fn children(&self) -> &[Node] {
        if let Value::Level(children) = &self.value { children } else { &[] }
    }

    /// The first child of a name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.children().iter().find(|c| c.name == name)
    }

    /// The node that has such a child: this one, else the first below, down to a few levels.
    pub fn holding(&self, name: &str) -> Option<&Node> {
        self.holding_within(name, 5)
    }

    fn holding_within(&self, name: &str, depth: usize) -> Option<&Node> {
        if self.get(name).is_some() {
            return Some(self);
        }
        let deeper = depth.checked_sub(1)?;
        self.children().iter().find_map(|c| c.holding_within(name, deeper))
    }

    /// The elements of a list, in the order of the numbers in their names.
    pub fn items(&self) -> Vec<&Node> {
        let mut items: Vec<&Node> = self.children().iter().collect();
        let number = |n: &Node| {
            let digits = n.name.len() - n.name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            n.name.get(n.name.len() - digits..).and_then(|d| d.parse::<u64>().ok())
        };
        if items.iter().all(|n| number(n).is_some()) {
            items.sort_by_key(|n| number(n));
        }
        items
    }

    /// A child that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.as_number().filter(|v| v.is_finite())
    }

    /// A child that is a count.
    pub fn count(&self, name: &str) -> Option<u64> {
        match &self.get(name)?.value {
            Value::Int(v) => u64::try_from(*v).ok(),
            Value::Text(t) => t.trim().parse().ok(),
            _ => None,
        }
    }

    /// A child that is a text with something in it.
    pub fn text(&self, name: &str) -> Option<&str> {
        match &self.get(name)?.value {
            Value::Text(t) => Some(t.trim()).filter(|t| !t.is_empty()),
            _ => None,
        }
    }

    /// This value as a number.
    pub fn as_number(&self) -> Option<f64> {
        match &self.value {
            Value::Int(v) => Some(*v as f64),
            Value::Real(v) => Some(*v),
            Value::Text(t) => t.trim().parse().ok(),
            _ => None,
        }
    }

    /// A list of flags, however it is written.
    pub fn flags(&self) -> Vec<bool> {
        match &self.value {
            Value::Bytes(bytes) => bytes.iter().map(|b| *b != 0).collect(),
            Value::Level(_) => self.items().iter().map(|n| n.as_number().is_some_and(|v| v != 0.0)).collect(),
            _ => Vec::new(),
        }
    }
}

/// A name without its prefix of type.
fn bare(name: &str) -> String {
    let rest = name.trim_start_matches(|c: char| c == '_' || c.is_ascii_lowercase());
    if rest.is_empty() { name.to_owned() } else { rest.to_owned() }
}

/// `<uiWidth runtype="lx_uint32" value="52"/>`; lists have elements `no_name` or numbered ones.
fn from_xml(element: &Element) -> Node {
    let name = bare(&element.name);
    let kind = element.attribute("runtype").unwrap_or_default();
    let text = element
        .attribute("value")
        .or_else(|| Some(element.text.trim()).filter(|t| element.children.is_empty() && !t.is_empty()));
    let Some(text) = text else {
        return Node { name, value: Value::Level(element.children.iter().map(from_xml).collect()) };
    };
    let written = || Value::Text(text.to_owned());
    let value = match kind {
        "bool" => Value::Int(i64::from(text.eq_ignore_ascii_case("true") || text == "1")),
        "double" | "float" => text.trim().parse().map_or_else(|_| written(), Value::Real),
        kind if kind.starts_with("lx_") => match text.trim().parse::<i64>() {
            Ok(v) => Value::Int(v),
            Err(_) => text.trim().parse().map_or_else(|_| written(), Value::Real),
        },
        _ => written(),
    };
    Node { name, value }
}

/// Bytes read from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let count = usize::try_from(count).ok().filter(|n| *n <= self.0.len());
        let count = count.ok_or_else(|| Error::truncated("ND2 metadata end inside a value"))?;
        let (now, later) = self.0.split_at(count);
        self.0 = later;
        Ok(now)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    /// UTF-16 up to a zero.
    fn string(&mut self) -> String {
        let units = self.0.as_chunks::<2>().0;
        let length = units.iter().position(|u| *u == [0, 0]).unwrap_or(units.len());
        let text = utf16(self.0.get(..2 * length).unwrap_or_default());
        self.0 = self.0.get(2 * length + 2..).unwrap_or_default();
        text
    }
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.as_chunks().0.iter().map(|u| u16::from_le_bytes(*u)).collect();
    String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned()
}

/// Reads `count` values. Each begins with its type and the length of its name in UTF-16 units.
fn records(bytes: &mut Bytes<'_>, count: u32, left: &mut usize, depth: usize) -> Result<Vec<Node>> {
    let depth = depth.checked_sub(1).ok_or_else(|| Error::over_limit("ND2 metadata nested too deep"))?;
    let mut nodes = Vec::new();
    for _ in 0..count {
        let length = bytes.0.len() as u64;
        if length == 0 {
            break;
        }
        *left = left.checked_sub(1).ok_or_else(|| Error::over_limit(format!("more than {MAX_NODES} ND2 metadata")))?;
        let [kind, units] = bytes.array()?;
        if kind == b'L' {
            // A whole tree, compressed, behind ten bytes that say so.
            bytes.take(10)?;
            let mut unpacked = Vec::new();
            let mut reader = deflate::reader(bytes.take(bytes.0.len() as u64)?).take(MAX_UNPACKED);
            reader.read_to_end(&mut unpacked).map_err(|e| crate::codec::stream_error(&e, "Deflate"))?;
            nodes.extend(records(&mut Bytes(&unpacked), 1, left, depth)?);
            break;
        }
        let name = bare(&utf16(bytes.take(2 * u64::from(units))?));
        let value = match kind {
            1 => Value::Int(i64::from(bytes.array::<1>()? != [0])),
            2 => Value::Int(i64::from(i32::from_le_bytes(bytes.array()?))),
            3 => Value::Int(i64::from(u32::from_le_bytes(bytes.array()?))),
            4 => Value::Int(i64::from_le_bytes(bytes.array()?)),
            5 | 7 => {
                let v = u64::from_le_bytes(bytes.array()?);
                i64::try_from(v).map_or(Value::Real(v as f64), Value::Int)
            }
            6 => Value::Real(f64::from_le_bytes(bytes.array()?)),
            8 => Value::Text(bytes.string()),
            9 => {
                let size = u64::from_le_bytes(bytes.array()?);
                Value::Bytes(bytes.take(size)?.to_vec())
            }
            11 => {
                let inside = u32::from_le_bytes(bytes.array()?);
                // From the beginning of this value to the end of what is inside.
                let whole = u64::from_le_bytes(bytes.array()?);
                let used = length - bytes.0.len() as u64;
                let size =
                    whole.checked_sub(used).ok_or_else(|| Error::malformed("an ND2 level shorter than its head"))?;
                let children = records(&mut Bytes(bytes.take(size)?), inside, left, depth)?;
                // Behind them, an offset for each.
                let offsets = 8 * u64::from(inside);
                bytes.take(offsets.min(bytes.0.len() as u64))?;
                Value::Level(children)
            }
            other => return Err(Error::malformed(format!("an ND2 value of type {other}"))),
        };
        nodes.push(Node { name, value });
    }
    Ok(nodes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Writes a value.
    pub fn record(kind: u8, name: &str, body: &[u8]) -> Vec<u8> {
        let units: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        [&[kind, (units.len() / 2) as u8], units.as_slice(), body].concat()
    }

    /// Writes a level.
    pub fn level(name: &str, children: &[Vec<u8>]) -> Vec<u8> {
        let inside: Vec<u8> = children.concat();
        let size = record(11, name, &[0; 12]).len() + inside.len();
        let body = [&(children.len() as u32).to_le_bytes()[..], &(size as u64).to_le_bytes(), &inside].concat();
        [record(11, name, &body), vec![0; 8 * children.len()]].concat()
    }

    pub fn u32(name: &str, value: u32) -> Vec<u8> {
        record(3, name, &value.to_le_bytes())
    }

    pub fn f64(name: &str, value: f64) -> Vec<u8> {
        record(6, name, &value.to_le_bytes())
    }

    pub fn text(name: &str, value: &str) -> Vec<u8> {
        record(8, name, &value.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>())
    }

    #[test]
    fn both_ways_to_write_a_tree_give_the_same() {
        let binary = level(
            "SLxImageAttributes",
            &[
                u32("uiWidth", 52),
                f64("dCalibration", 0.25),
                text("wsName", "Grün"),
                level("sPlane", &[u32("a1", 7), u32("a0", 8)]),
                record(9, "pItemValid", &[&3_u64.to_le_bytes()[..], &[1, 0, 1]].concat()),
            ],
        );
        let xml = "<?xml version=\"1.0\"?><variant version=\"1.0\"><no_name runtype=\"CLxListVariant\">\
            <uiWidth runtype=\"lx_uint32\" value=\"52\"/><dCalibration runtype=\"double\" value=\"0.25\"/>\
            <wsName runtype=\"CLxStringW\" value=\"Grün\"/>\
            <sPlane><a1 runtype=\"lx_uint32\" value=\"7\"/><a0 runtype=\"lx_uint32\" value=\"8\"/></sPlane>\
            <pItemValid><i0 runtype=\"bool\" value=\"true\"/><i1 runtype=\"bool\" value=\"false\"/>\
            <i2 runtype=\"bool\" value=\"1\"/></pItemValid></no_name></variant>";
        for data in [&binary[..], xml.as_bytes()] {
            let tree = Node::parse(data).unwrap();
            let root = tree.holding("Width").unwrap();
            assert_eq!((root.count("Width"), root.number("Calibration")), (Some(52), Some(0.25)));
            assert_eq!(root.text("Name"), Some("Grün"));
            let items: Vec<_> = root.get("Plane").unwrap().items().iter().map(|n| n.as_number()).collect();
            assert_eq!(items, [Some(8.0), Some(7.0)]);
            assert_eq!(root.get("ItemValid").unwrap().flags(), [true, false, true]);
        }
    }

    #[test]
    fn compressed_trees_unfold_and_cut_ones_are_errors() {
        use std::io::Write;
        let plain = level("SLxExperiment", &[u32("eType", 1), text("wsName", "a")]);
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&plain).unwrap();
        let packed = [&b"L\0"[..], &[0; 10], &encoder.finish().unwrap()].concat();
        assert_eq!(Node::parse(&packed).unwrap(), Node::parse(&plain).unwrap());
        for end in 1..plain.len() - 16 {
            assert!(Node::parse(&plain[..end]).is_err(), "{end}");
        }
        let deep = (0..MAX_DEPTH + 2).fold(u32("a", 1), |inside, _| level("l", &[inside]));
        assert_eq!(Node::parse(&deep).unwrap_err().kind(), crate::Kind::OverLimit);
        assert!(Node::parse(&[42, 0]).is_err());
    }
}
