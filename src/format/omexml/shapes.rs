//! One shape element: its attributes, in any spelling of any release, as a figure.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;

use super::bindata::BinData;
use crate::model::{Affine, Figure, Rgba, RoiShape};

/// Attributes looked at; all others are skipped unread.
const WANTED: &[&str] = &[
    "ID",
    "Name",
    "X",
    "Y",
    "Width",
    "Height",
    "RadiusX",
    "RadiusY",
    "Cx",
    "Cy",
    "R",
    "Rx",
    "Ry",
    "X1",
    "Y1",
    "X2",
    "Y2",
    "Points",
    "Closed",
    "TheZ",
    "TheC",
    "TheT",
    "StrokeColor",
    "FillColor",
    "Stroke",
    "Fill",
    "Text",
    "Transform",
    "A00",
    "A10",
    "A01",
    "A11",
    "A02",
    "A12",
    "Compression",
    "ExtendedPixelType",
    "Type",
    "SizeX",
    "SizeY",
];

/// Attributes of one element. Names are compared without case: "x" before 2010, "X" since.
#[derive(Default)]
pub(super) struct Given<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl<'a> Given<'a> {
    pub fn of(e: &'a BytesStart<'_>) -> Result<Self, String> {
        let mut found = Vec::new();
        for attribute in e.attributes().with_checks(false) {
            let attribute = attribute.map_err(|e| format!("broken attribute: {e:.80}"))?;
            let local = attribute.key.local_name();
            let known = WANTED.iter().find(|w| w.eq_ignore_ascii_case(local.as_ref()));
            if let Some(known) = known.filter(|_| found.len() < WANTED.len()) {
                let value = attribute.normalized_value(XmlVersion::Implicit1_0);
                found.push((*known, value.map_err(|e| format!("attribute {known}: {e:.80}"))?));
            }
        }
        Ok(Given(found))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| v.trim())
    }

    /// A text that is not empty.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).filter(|t| !t.is_empty()).map(str::to_owned)
    }

    /// A finite number.
    pub fn number(&self, name: &str) -> Result<f64, String> {
        let text = self.get(name).ok_or_else(|| format!("no {name}"))?;
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(format!("{name} {text:.40}")),
        }
    }

    /// A number under its name or the one it had before 2010-04.
    fn either(&self, name: &str, old: &str) -> Result<f64, String> {
        if self.get(name).is_none() && self.get(old).is_some() { self.number(old) } else { self.number(name) }
    }

    /// Index of a plane; one below zero means every plane.
    fn plane(&self, name: &str) -> Result<Option<u32>, String> {
        let Some(text) = self.get(name).filter(|t| !t.is_empty()) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(n) if n < 0 => Ok(Some(RoiShape::ANY)),
            Ok(n) => Ok(Some(u32::try_from(n).unwrap_or(u32::MAX).min(RoiShape::ANY - 1))),
            Err(_) => Err(format!("{name} {text:.40}")),
        }
    }

    /// Signed or unsigned 32 bits, red first; before 2010 maybe `#rrggbb`.
    fn color(&self, name: &str) -> Option<Rgba> {
        let text = self.get(name)?;
        if let Some(hex) = text.strip_prefix('#').filter(|h| h.len() == 6) {
            let [_, r, g, b] = u32::from_str_radix(hex, 16).ok()?.to_be_bytes();
            return Some(Rgba([r, g, b, 255]));
        }
        let value: i64 = text.parse().ok()?;
        let bits = i32::try_from(value).map(i32::cast_unsigned).or_else(|_| u32::try_from(value)).ok()?;
        Some(Rgba(bits.to_be_bytes()))
    }

    /// What every shape may say; what it does not say it takes from `outer`.
    pub fn common(&self, outer: &Common) -> Result<Common, String> {
        let transform = match self.get("Transform") {
            Some(text) => transform_text(text)?.map(Box::new),
            None => outer.transform.clone(),
        };
        Ok(Common {
            z: self.plane("TheZ")?.unwrap_or(outer.z),
            c: self.plane("TheC")?.unwrap_or(outer.c),
            t: self.plane("TheT")?.unwrap_or(outer.t),
            stroke: self.color("StrokeColor").or_else(|| self.color("Stroke")).or(outer.stroke),
            fill: self.color("FillColor").or_else(|| self.color("Fill")).or(outer.fill),
            text: self.text("Text").map(Into::into).or_else(|| outer.text.clone()),
            transform,
        })
    }
}

/// What every shape may say.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub transform: Option<Box<Affine>>,
    pub z: u32,
    pub c: u32,
    pub t: u32,
    pub stroke: Option<Rgba>,
    pub fill: Option<Rgba>,
    pub text: Option<Box<str>>,
}

impl Default for Common {
    fn default() -> Self {
        let any = RoiShape::ANY;
        Common { transform: None, z: any, c: any, t: any, stroke: None, fill: None, text: None }
    }
}

/// The figure of an element; `most`: points that may be kept.
pub(super) fn figure(name: &str, given: &Given<'_>, most: usize) -> Result<Figure, String> {
    let n = |name: &str| given.number(name);
    Ok(match name {
        "Rectangle" | "Rect" => Figure::Rectangle { x: n("X")?, y: n("Y")?, width: n("Width")?, height: n("Height")? },
        "Ellipse" => Figure::Ellipse {
            x: given.either("X", "Cx")?,
            y: given.either("Y", "Cy")?,
            radius_x: given.either("RadiusX", "Rx")?,
            radius_y: given.either("RadiusY", "Ry")?,
        },
        "Circle" => {
            let r = n("R")?;
            Figure::Ellipse { x: given.either("X", "Cx")?, y: given.either("Y", "Cy")?, radius_x: r, radius_y: r }
        }
        "Point" => Figure::Point { x: given.either("X", "Cx")?, y: given.either("Y", "Cy")? },
        "Line" => Figure::Line { x1: n("X1")?, y1: n("Y1")?, x2: n("X2")?, y2: n("Y2")? },
        "Label" | "Text" => Figure::Label { x: n("X")?, y: n("Y")? },
        "Polygon" => Figure::Polygon(points(given, most)?),
        "Polyline" if given.get("Closed").is_some_and(|c| c == "true" || c == "1") => {
            Figure::Polygon(points(given, most)?)
        }
        "Polyline" => Figure::Polyline(points(given, most)?),
        other => return Err(format!("a shape of kind {other:.40}")),
    })
}

/// "x,y x,y", with any white space or commas between the numbers; OMERO once wrote this inside "points[...]".
fn points(given: &Given<'_>, most: usize) -> Result<Box<[[f64; 2]]>, String> {
    let text = given.get("Points").ok_or("no Points")?;
    let text = match text.split_once("points[") {
        Some((_, rest)) => rest.split(']').next().unwrap_or_default(),
        None => text,
    };
    let mut all = Vec::new();
    let mut first = None;
    for word in text.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|w| !w.is_empty()) {
        let value = word.parse::<f64>().ok().filter(|v| v.is_finite());
        let value = value.ok_or_else(|| format!("Points with {word:.40} among them"))?;
        match first.take() {
            None => first = Some(value),
            Some(x) if all.len() < most => all.push([x, value]),
            Some(_) => return Err("too many points".into()),
        }
    }
    if first.is_some() {
        return Err("Points with an odd number of coordinates".into());
    }
    Ok(all.into())
}

/// Every point that says how far a figure reaches.
pub(super) fn figure_points(figure: &Figure) -> Box<dyn Iterator<Item = [f64; 2]> + '_> {
    let corners =
        |x: f64, y: f64, to_x: f64, to_y: f64| Box::new([[x, y], [to_x, y], [x, to_y], [to_x, to_y]].into_iter());
    match figure {
        Figure::Rectangle { x, y, width, height } => corners(*x, *y, x + width, y + height),
        Figure::Ellipse { x, y, radius_x: rx, radius_y: ry } => corners(x - rx, y - ry, x + rx, y + ry),
        Figure::Mask(m) => corners(m.x, m.y, m.x + m.width, m.y + m.height),
        Figure::Line { x1, y1, x2, y2 } => corners(*x1, *y1, *x2, *y2),
        Figure::Point { x, y } | Figure::Label { x, y } => Box::new(std::iter::once([*x, *y])),
        Figure::Polyline(points) | Figure::Polygon(points) => Box::new(points.iter().copied()),
        Figure::Unreadable(_) => Box::new(std::iter::empty()),
    }
}

/// `Transform` of 2012-06 and later.
pub(super) fn transform_element(given: &Given<'_>) -> Result<Affine, String> {
    let n = |name: &str| given.number(name);
    Ok(Affine([n("A00")?, n("A01")?, n("A02")?, n("A10")?, n("A11")?, n("A12")?]))
}

/// `@Transform` of earlier releases, in the words of SVG.
fn transform_text(text: &str) -> Result<Option<Affine>, String> {
    if text.is_empty() || text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let unknown = || format!("Transform {text:.60}");
    let (kind, rest) = text.strip_suffix(')').and_then(|t| t.split_once('(')).ok_or_else(unknown)?;
    let words = rest.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|w| !w.is_empty());
    let numbers: Option<Vec<f64>> = words.take(7).map(|w| w.parse().ok().filter(|v: &f64| v.is_finite())).collect();
    match (kind.trim(), &numbers.ok_or_else(unknown)?[..]) {
        ("matrix", [a, b, c, d, e, f]) => Ok(Some(Affine([*a, *c, *e, *b, *d, *f]))),
        ("translate", [x, y]) => Ok(Some(Affine([1.0, 0.0, *x, 0.0, 1.0, *y]))),
        ("scale", [x, y]) => Ok(Some(Affine([*x, 0.0, 0.0, 0.0, *y, 0.0]))),
        _ => Err(unknown()),
    }
}

/// Columns, rows and bits of a mask, packed as [`crate::model::Mask`] has them. The schema knows bits without gaps alone;
/// rows that begin with a byte each, and a byte for each pixel, are what some write, and their lengths tell them apart.
pub(super) fn bitmap(columns: f64, rows: f64, data: BinData, most: usize) -> Result<(u64, u64, Box<[u8]>), String> {
    let whole = |v: f64| (v.is_finite() && (0.5..4e9).contains(&v)).then(|| v.round());
    let (Some(w), Some(h)) = (whole(columns), whole(rows)) else { return Err(format!("a mask of {columns} x {rows}")) };
    // Both are between 1 and 4e9.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let (w, h) = (w as usize, h as usize);
    let pixels = w.checked_mul(h).filter(|n| n.div_ceil(8) <= most);
    let pixels = pixels.ok_or_else(|| format!("a mask of {w} x {h} takes too much memory"))?;
    let (packed, padded) = (pixels.div_ceil(8), h * w.div_ceil(8));
    let mut bytes = data.finish(pixels.min(most))?;
    let length = bytes.len();
    let mut bits = vec![0u8; packed];
    let mut set = |at: usize| bits[at / 8] |= 0x80 >> (at % 8);
    if length == pixels && pixels > packed && pixels != padded {
        bytes.iter().enumerate().filter(|(_, b)| **b != 0).for_each(|(at, _)| set(at));
    } else if length == padded && padded > packed {
        let row = w.div_ceil(8);
        for (at, y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y * w + x, y, x))) {
            if bytes[y * row + x / 8] >> (7 - x % 8) & 1 == 1 {
                set(at);
            }
        }
    } else if length >= packed {
        bytes.truncate(packed);
        bits = bytes;
    } else {
        return Err(format!("a mask of {w} x {h} pixels with {length} bytes of bits"));
    }
    #[allow(clippy::cast_lossless)]
    Ok((w as u64, h as u64, bits.into()))
}
