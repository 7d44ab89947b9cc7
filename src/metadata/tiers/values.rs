//! Where OME-XML holds the fields of NBO (tiered-metadata, section 6).
//!
//! Not taken: the power set for an image as source power times (1 - attenuation), for it is rarely trustworthy; and what nobody
//! said (`Origin::Default`).

use super::parts::Part;
use super::report::Known;
use super::scene::Scene;
use super::software;
use crate::metadata::tables::{NboField, mode, mode_by_contrast, nbo_value};
use crate::model::{Element, Origin, Value};

/// The value of a field in the file.
pub(super) fn of_file(scene: &Scene<'_>, part: &Part<'_>, field: &'static NboField) -> Option<Known> {
    let own = part.own.first().copied();
    let special = match (part.spec.name, field.name) {
        ("Plane", _) => return of_planes(&part.own, field.ome?),
        ("UprightMicroscopeStand" | "InvertedMicroscopeStand", "Type") => said(own, "Type"),
        ("Laser", "Pulse") => return worked_out(said(own, "Pulse")?, |pulse| (pulse != "CW").to_string()),
        ("Laser", "IsPumped" | "IsPump") => return pumping(scene, own?, field.name == "IsPumped"),
        ("IlluminationWavelengthRange" | "LEDModule", "PeakWavelength") => {
            said(part.hardware, "Wavelength").or_else(|| said(own, "Wavelength"))
        }
        ("IlluminationWavelengthRange" | "LEDModule", "IlluminationPower") => said(part.hardware, "Power"),
        ("TransmittanceRange", "Wavelength") => return range(own?, |from, to| (from + to) / 2.0),
        ("TransmittanceRange", "FWHMBandwidth") => return range(own?, |from, to| to - from),
        ("AcquisitionSoftware", name) => return software::said(scene, name),
        (_, "EffectiveBitDepth") => bits(scene.pixels?),
        (_, "AmplificationGain") => said(part.hardware, "AmplificationGain"),
        // An element may stand for settings that it does not hold: the light source's for the wavelengths.
        (_, name) => said(own, field.ome.unwrap_or(name)).filter(|_| field.ome.is_some()),
    };
    let value = special?;
    Some(mapped(part, field, value))
}

/// An attribute that somebody said.
fn said<'a>(element: Option<&'a Element>, attribute: &str) -> Option<&'a Value> {
    element?.value(attribute).filter(|v| v.origin != Origin::Default && !v.text.trim().is_empty())
}

/// The bits that count: what the source says, or what was seen to be fewer than the type has. That the type has so many says
/// nothing of the detector.
fn bits(pixels: &Element) -> Option<&Value> {
    let bits = said(Some(pixels), "SignificantBits")?;
    let width = pixels.get("Type").and_then(|t| t.trim_start_matches(|c: char| c.is_ascii_alphabetic()).parse().ok());
    let narrower = || bits.text.trim().parse::<u32>().ok().zip(width).is_some_and(|(bits, width)| bits < width);
    (bits.origin != Origin::Derived || narrower()).then_some(bits)
}

/// The value as NBO writes it, beside that of OME-XML where they differ.
fn mapped(part: &Part<'_>, field: &'static NboField, value: &Value) -> Known {
    let ome = value.text.trim();
    let first = |table| nbo_value(table, ome).and_then(|(value, _)| value);
    let nbo = match (part.spec.name, field.name) {
        ("Channel", "IlluminationType") => mode(ome).and_then(|m| m.nbo),
        ("Channel", "ContrastMethod") => mode_by_contrast(ome).and_then(|m| m.nbo),
        (_, "ImmersionType") => first("objective_immersion"),
        (_, "EffectiveBitDepth") => field.values.iter().find(|v| v.strip_suffix("bit") == Some(ome)).copied(),
        ("UprightMicroscopeStand" | "InvertedMicroscopeStand", "Type") => {
            nbo_value("microscope_type", ome).and_then(|v| v.1)
        }
        (_, "Type") if part.spec.name.ends_with("Filter") => first("filter_type"),
        _ => None,
    };
    let nbo = nbo.filter(|nbo| *nbo != ome && field.values.contains(nbo));
    Known { value: nbo.unwrap_or(ome).to_string(), ome: nbo.map(|_| ome.to_string()), origin: value.origin.clone() }
}

fn worked_out(value: &Value, by: impl FnOnce(&str) -> String) -> Option<Known> {
    let ome = value.text.trim();
    Some(Known { value: by(ome), ome: Some(ome.to_string()), origin: value.origin.clone() })
}

/// Whether another laser pumps this one, or this one another: known where the instrument says who pumps whom.
fn pumping(scene: &Scene<'_>, laser: &Element, pumped: bool) -> Option<Known> {
    if !scene.rig.is_some_and(|r| r.pumping) {
        return None;
    }
    let value = if pumped { laser.child("Pump").is_some() } else { scene.index.is_pump(laser) };
    let origin = laser.attributes.first().map_or(Origin::Derived, |(_, v)| v.origin.clone());
    Some(Known { value: value.to_string(), ome: None, origin })
}

/// What a filter lets through, from the edges that OME-XML has.
fn range(element: &Element, by: impl FnOnce(f64, f64) -> f64) -> Option<Known> {
    let (from, to) = (said(Some(element), "CutIn")?, said(Some(element), "CutOut")?);
    let (low, high): (f64, f64) = (from.text.trim().parse().ok()?, to.text.trim().parse().ok()?);
    let value = Some(by(low, high)).filter(|v| v.is_finite() && *v > 0.0)?;
    let ome = format!("{} - {}", from.text.trim(), to.text.trim());
    Some(Known { value: value.to_string(), ome: Some(ome), origin: from.origin.clone() })
}

/// An attribute that every plane has; first and last value where they differ.
fn of_planes(planes: &[&Element], attribute: &str) -> Option<Known> {
    let first = said(planes.first().copied(), attribute)?;
    let mut last = first;
    for plane in planes {
        last = said(Some(plane), attribute)?;
    }
    let (from, to) = (first.text.trim(), last.text.trim());
    let value = if from == to { from.to_string() } else { format!("{from} - {to}") };
    Some(Known { value, ome: None, origin: first.origin.clone() })
}
