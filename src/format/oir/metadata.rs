//! What the XML of an OIR file says: sizes, channels, calibration, times.

use super::uid;
use crate::format::details::{About, Details, Form, lens};
use crate::format::strided::Taken;
use crate::format::xml::Element;
use crate::model::{Channel, Objective, Quantity, Series};

/// A frame: how its samples lie.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Frame {
    pub width: u64,
    pub height: u64,
    /// Bytes of a sample.
    pub depth: u64,
    /// Bits of it that can be set.
    pub bits: u64,
}

fn count(element: &Element, name: &str) -> u64 {
    element.text_of(name).and_then(|t| t.parse().ok()).unwrap_or(0)
}

fn number(element: &Element, name: &str) -> Option<f64> {
    element.text_of(name).and_then(|t| t.parse().ok()).filter(|v: &f64| v.is_finite())
}

fn first<'e>(root: &'e Element, name: &str) -> Option<&'e Element> {
    root.descendants().into_iter().find(|e| e.name == name)
}

impl Frame {
    /// From the XML of a frame.
    pub fn read(root: &Element) -> Option<Self> {
        let image = root.child("imageDefinition").or_else(|| first(root, "imageDefinition"))?;
        Self::of(image, image)
    }

    /// From the XML of the whole acquisition, which has the same in two places.
    pub fn of_acquisition(root: &Element) -> Option<Self> {
        Self::of(first(root, "imageInfo")?, first(root, "imageDefinition")?)
    }

    fn of(sizes: &Element, samples: &Element) -> Option<Self> {
        let frame = Frame {
            width: count(sizes, "width"),
            height: count(sizes, "height"),
            depth: count(samples, "depth"),
            bits: count(samples, "bitCounts"),
        };
        (frame.width > 0 && frame.height > 0 && frame.depth > 0).then_some(frame)
    }
}

/// When frames were taken, from the XML of each, for so many time points and focal planes from the first on.
pub(super) fn times(frames: &[Vec<u8>], shape: (u64, u64), base: (u32, u32)) -> Vec<Taken> {
    let time = |xml: &Vec<u8>| {
        // One after the other: as trees they take many times their bytes.
        let root = Element::parse(xml).ok()?;
        let (t, _, z) = uid::steps(first(&root, "general")?.text_of("name")?)?;
        let (t, z) = (t.checked_sub(base.0)?, z.checked_sub(base.1)?);
        let is_time = |value: &&Element| value.text_of("axisType") == Some("TIMELAPSE");
        let value = root.descendants().into_iter().filter(|e| e.name == "axisValue").find(is_time)?;
        // Milliseconds.
        let seconds = number(value, "position")? / 1000.0;
        (u64::from(t) < shape.0 && u64::from(z) < shape.1).then_some(Taken { series: 0, t, z, seconds })
    };
    frames.iter().filter_map(time).collect()
}

/// A channel of the acquisition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    /// Part of the names of its planes.
    pub id: String,
    pub order: i64,
    pub channel: Channel,
    size: [Option<Quantity>; 3],
}

/// The channels, in their order.
pub(super) fn channels(root: &Element) -> Vec<Said> {
    let mut all: Vec<Said> = Vec::new();
    for element in root.descendants().into_iter().filter(|e| e.name == "channel") {
        let Some(id) = element.attribute("id").map(str::trim).filter(|id| !id.is_empty()) else { continue };
        if all.iter().any(|c| c.id == id) || all.len() >= 1 << 10 {
            continue;
        }
        let inner = element.descendants();
        let said = |name: &str| inner.iter().find(|e| e.name == name).map(|e| e.text.trim()).filter(|t| !t.is_empty());
        let nm = |name: &str| said(name).and_then(|t| t.parse::<f64>().ok()).filter(|v| v.is_finite() && *v > 0.0);
        let channel = Channel {
            name: element.text_of("name").or_else(|| said("name")).map(str::to_owned),
            // The band of the detector: of its ends, other readers take one for each of the two.
            excitation_nm: nm("startWavelength"),
            emission_nm: nm("endWavelength"),
            fluor: said("dyeName").map(str::to_owned),
            ..Channel::default()
        };
        let length = inner.iter().find(|e| e.name == "length");
        let unit = inner.iter().find(|e| e.name == "pixelUnit");
        let size = ["x", "y", "z"].map(|axis| {
            let value = number(length?, axis)?;
            quantity(value, unit.and_then(|u| u.text_of(axis)).unwrap_or("um"))
        });
        let order = element.attribute("order").and_then(|o| o.trim().parse().ok()).unwrap_or(0);
        all.push(Said { id: id.to_owned(), order, channel, size });
    }
    all.sort_by_key(|c| c.order);
    all
}

fn quantity(value: f64, unit: &str) -> Option<Quantity> {
    let micro = match unit {
        "nm" => 1e-3,
        "um" | "µm" => 1.0,
        "mm" => 1e3,
        _ => return None,
    };
    Quantity::checked(value * micro, Quantity::micrometer(1.0).unit)
}

/// The step of a dimension that was scanned.
fn step(root: &Element, name: &str) -> Option<f64> {
    let is_it = |e: &&Element| e.attribute("enable") == Some("true") && e.text_of("axis") == Some(name);
    let axis = root.descendants().into_iter().filter(|e| e.name == "axis").find(is_it)?;
    number(axis, "step").map(f64::abs).filter(|v| *v > 0.0)
}

/// The wavelength at a step of a spectral scan, in nanometres.
pub(super) fn wavelength(root: &Element, index: u64) -> Option<f64> {
    let is_it = |e: &&Element| e.attribute("enable") == Some("true") && e.text_of("axis") == Some("LAMBDA");
    let axis = root.descendants().into_iter().filter(|e| e.name == "axis").find(is_it)?;
    let nm = number(axis, "startPosition")? + number(axis, "step")? * index as f64;
    (nm > 0.0).then_some(nm)
}

/// Calibration, date and objective.
pub(super) fn describe(series: &mut Series, root: &Element, channels: &[Said], taken: &[Taken]) {
    let [x, y, z] = channels.first().map(|c| c.size.clone()).unwrap_or_default();
    let scanned = step(root, "ZSTACK").and_then(|v| quantity(v, "um"));
    (series.physical.x, series.physical.y, series.physical.z) = (x, y, scanned.or(z));
    let count = series.shape().t;
    let at = |t: u64| taken.iter().find(|p| u64::from(p.t) == t && p.z == 0).map(|p| p.seconds);
    let measured = (count > 1).then(|| Some((at(count - 1)? - at(0)?) / (count - 1) as f64)).flatten();
    let second = || Quantity::second(1.0).unit;
    let set = step(root, "TIMELAPSE").filter(|_| count > 1).map(|v| v / 1000.0);
    series.physical.t =
        measured.and_then(|v| Quantity::checked(v, second())).or(set.and_then(|v| Quantity::checked(v, second())));
    let date = first(root, "creationDateTime").map(|e| e.text.trim());
    series.acquired = date.and_then(|d| d.get(..19)).filter(|d| d.as_bytes().get(10) == Some(&b'T')).map(str::to_owned);
    series.objective = objective(root).map(|(o, _)| o);
}

fn objective(root: &Element) -> Option<(Objective, &Element)> {
    let element = first(root, "objectiveLens")?;
    let positive = |name: &str| number(element, name).filter(|v| *v > 0.0);
    let objective = Objective {
        magnification: positive("magnification"),
        na: positive("naValue"),
        model: element.text_of("name").map(|n| n.split_whitespace().collect::<Vec<_>>().join(" ")),
    };
    Some((objective, element)).filter(|(o, _)| *o != Objective::default())
}

/// The instrument.
pub(super) fn details(root: &Element, information: Option<&Element>) -> Details {
    let mut details = Details::default();
    let about = About::default();
    details.put("Instrument/Microscope/@Manufacturer", Form::Text, about, "Olympus");
    if let Some(name) = information.and_then(|i| first(i, "systemName")) {
        details.put("Instrument/Microscope/@Model", Form::Text, about, &name.text);
    }
    for text in information.into_iter().chain([root]) {
        if let Some(author) = first(text, "author").or_else(|| first(text, "userName")) {
            details.put("Experimenter/@UserName", Form::Text, about, &author.text);
        }
    }
    if let Some((said, element)) = objective(root) {
        let text = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
        details.put("Instrument/Objective/@NominalMagnification", Form::Number, about, &text(said.magnification));
        details.put("Instrument/Objective/@LensNA", Form::Number, about, &text(said.na));
        details.put("Instrument/Objective/@Immersion", IMMERSION, about, element.text_of("immersion").unwrap_or(""));
        if let Some(name) = &said.model {
            lens(&mut details, about, name);
        }
    }
    if let Some(version) = information.and_then(|i| i.text_of("version")) {
        details.keep("olympus", 0, "FileVersion", version);
    }
    for key in ["scannerType", "speed", "roundtrip", "pixelSpeed", "lineSpeed", "frameSpeed", "seriesInterval"] {
        if let Some(value) = first(root, key) {
            details.keep("olympus", 0, key, &value.text);
        }
    }
    details
}

const IMMERSION: Form = Form::Words(&[
    ("dry", "Air"),
    ("air", "Air"),
    ("oil", "Oil"),
    ("water", "Water"),
    ("glycerin", "Glycerol"),
    ("glycerol", "Glycerol"),
    ("silicone", "Other"),
    ("silicon", "Other"),
]);
