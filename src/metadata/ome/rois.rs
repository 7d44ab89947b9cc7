//! `ROI` elements: every region whose shapes can be read, under the number that it has as a label less one.

use std::fmt::Write;

use super::plates::reference;
use crate::codec::base64;
use crate::model::{Affine, Element, Figure, Mask, Origin, Rgba, RoiShape, Rois, Series};

/// Which regions are written: the schema wants at least one shape.
pub(super) fn written(rois: &Rois) -> Vec<bool> {
    rois.all.iter().map(|roi| roi.shapes.iter().any(|s| s.figure.name().is_some())).collect()
}

/// `ROIRef`s of one series.
pub(super) fn references(rois: &Rois, written: &[bool], series: u32) -> Vec<Element> {
    let own = rois.of(series).filter(|(index, _)| written.get(*index as usize) == Some(&true));
    own.map(|(index, _)| reference("ROIRef", format!("ROI:{index}"))).collect()
}

/// All regions.
pub(super) fn regions(rois: &Rois, written: &[bool], series: &[Series], origin: &Origin) -> Vec<Element> {
    // Here every sample of an RGB pixel is a channel, and shapes count channels before they are split.
    let mut split = vec![false; rois.all.len()];
    for (number, _) in (0u32..).zip(series).filter(|(_, s)| s.samples > 1) {
        for (index, _) in rois.of(number) {
            if let Some(split) = split.get_mut(index as usize) {
                *split = true;
            }
        }
    }
    let all = rois.all.iter().zip(split).enumerate().filter(|(i, _)| written.get(*i) == Some(&true));
    all.map(|(index, (roi, split))| {
        let mut element = reference("ROI", format!("ROI:{index}"));
        if let Some(name) = &roi.name {
            element.set("Name", &**name, origin.clone());
        }
        let mut union = Element::new("Union");
        let shapes = roi.shapes.iter().enumerate();
        union.children =
            shapes.filter_map(|(number, one)| shape(one, format!("Shape:{index}:{number}"), !split, origin)).collect();
        element.children.push(union);
        element
    })
    .collect()
}

fn shape(shape: &RoiShape, id: String, with_channel: bool, origin: &Origin) -> Option<Element> {
    let mut element = reference(shape.figure.name()?, id);
    for (key, color) in [("FillColor", shape.fill), ("StrokeColor", shape.stroke)] {
        if let Some(Rgba(rgba)) = color {
            element.set(key, i32::from_be_bytes(rgba).to_string(), origin.clone());
        }
    }
    if let Some(text) = &shape.text {
        element.set("Text", &**text, origin.clone());
    }
    let channel = if with_channel { shape.c } else { RoiShape::ANY };
    for (key, plane) in [("TheZ", shape.z), ("TheC", channel), ("TheT", shape.t)] {
        // The schema has signed 32-bit integers; no image has so many planes.
        if let Some(plane) = i32::try_from(plane).ok().filter(|_| plane != RoiShape::ANY) {
            element.set(key, plane.to_string(), origin.clone());
        }
    }
    let mut numbers = |all: &[(&'static str, f64)]| {
        for (key, value) in all {
            element.set(*key, value.to_string(), origin.clone());
        }
    };
    match &shape.figure {
        Figure::Rectangle { x, y, width, height } => {
            numbers(&[("X", *x), ("Y", *y), ("Width", *width), ("Height", *height)]);
        }
        Figure::Ellipse { x, y, radius_x, radius_y } => {
            numbers(&[("X", *x), ("Y", *y), ("RadiusX", *radius_x), ("RadiusY", *radius_y)]);
        }
        Figure::Point { x, y } | Figure::Label { x, y } => numbers(&[("X", *x), ("Y", *y)]),
        Figure::Line { x1, y1, x2, y2 } => numbers(&[("X1", *x1), ("Y1", *y1), ("X2", *x2), ("Y2", *y2)]),
        Figure::Mask(m) => numbers(&[("X", m.x), ("Y", m.y), ("Width", m.width), ("Height", m.height)]),
        Figure::Polyline(points) | Figure::Polygon(points) => {
            let mut text = String::new();
            for (i, [x, y]) in points.iter().enumerate() {
                // Writing into a string cannot fail.
                let _ = write!(text, "{}{x},{y}", if i > 0 { " " } else { "" });
            }
            element.set("Points", text, origin.clone());
        }
        Figure::Unreadable(_) => return None,
    }
    element.children.extend(shape.transform.as_ref().map(|t| transform(t, origin)));
    if let Figure::Mask(mask) = &shape.figure {
        element.children.push(bits(mask, origin));
    }
    Some(element)
}

fn transform(Affine([a00, a01, a02, a10, a11, a12]): &Affine, origin: &Origin) -> Element {
    let mut element = Element::new("Transform");
    for (key, value) in [("A00", a00), ("A10", a10), ("A01", a01), ("A11", a11), ("A02", a02), ("A12", a12)] {
        element.set(key, value.to_string(), origin.clone());
    }
    element
}

fn bits(mask: &Mask, origin: &Origin) -> Element {
    let text = base64::encode(&mask.bits);
    let mut element = Element::new("BinData");
    element.set("BigEndian", "false", Origin::Derived);
    element.set("Length", text.len().to_string(), Origin::Derived);
    element.text = Some(crate::model::Value { text: text.into(), origin: origin.clone() });
    element
}
