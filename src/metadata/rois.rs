//! `ROI` elements: every region whose shapes can be read, under the number that it has as a label less one.

use std::fmt::Write;
use std::io;

use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};

use super::omexml::{Out, attribute};
use crate::codec::base64;
use crate::model::{Affine, Figure, Mask, Rgba, RoiShape, Rois, Series};

/// Which regions are written: the schema wants at least one shape.
pub(super) fn written(rois: &Rois) -> Vec<bool> {
    rois.all.iter().map(|roi| roi.shapes.iter().any(|s| s.figure.name().is_some())).collect()
}

/// `ROIRef`s of one series.
pub(super) fn references(out: &mut Out, rois: &Rois, written: &[bool], series: u32) -> io::Result<()> {
    for (index, _) in rois.of(series).filter(|(index, _)| written.get(*index as usize) == Some(&true)) {
        let mut element = BytesStart::new("ROIRef");
        element.push_attribute(("ID", format!("ROI:{index}").as_str()));
        out.write_event(Event::Empty(element))?;
    }
    Ok(())
}

/// All regions.
pub(super) fn regions(out: &mut Out, rois: &Rois, written: &[bool], series: &[Series]) -> io::Result<()> {
    // Here every sample of an RGB pixel is a channel, and shapes count channels before they are split.
    let mut split = vec![false; rois.all.len()];
    for (number, _) in (0u32..).zip(series).filter(|(_, s)| s.samples > 1) {
        for (index, _) in rois.of(number) {
            if let Some(split) = split.get_mut(index as usize) {
                *split = true;
            }
        }
    }
    for (index, (roi, split)) in rois.all.iter().zip(split).enumerate().filter(|(i, _)| written.get(*i) == Some(&true))
    {
        let mut element = BytesStart::new("ROI");
        element.push_attribute(("ID", format!("ROI:{index}").as_str()));
        if let Some(name) = &roi.name {
            element.push_attribute(("Name", attribute(name).as_str()));
        }
        out.write_event(Event::Start(element))?;
        out.write_event(Event::Start(BytesStart::new("Union")))?;
        for (number, one) in roi.shapes.iter().enumerate() {
            shape(out, one, &format!("Shape:{index}:{number}"), !split)?;
        }
        out.write_event(Event::End(BytesEnd::new("Union")))?;
        out.write_event(Event::End(BytesEnd::new("ROI")))?;
    }
    Ok(())
}

fn shape(out: &mut Out, shape: &RoiShape, id: &str, with_channel: bool) -> io::Result<()> {
    let Some(name) = shape.figure.name() else { return Ok(()) };
    let mut element = BytesStart::new(name);
    element.push_attribute(("ID", id));
    for (key, color) in [("FillColor", shape.fill), ("StrokeColor", shape.stroke)] {
        if let Some(Rgba(rgba)) = color {
            element.push_attribute((key, i32::from_be_bytes(rgba).to_string().as_str()));
        }
    }
    if let Some(text) = &shape.text {
        element.push_attribute(("Text", attribute(text).as_str()));
    }
    let channel = if with_channel { shape.c } else { RoiShape::ANY };
    for (key, plane) in [("TheZ", shape.z), ("TheC", channel), ("TheT", shape.t)] {
        // The schema has signed 32-bit integers; no image has so many planes.
        if let Some(plane) = i32::try_from(plane).ok().filter(|_| plane != RoiShape::ANY) {
            element.push_attribute((key, plane.to_string().as_str()));
        }
    }
    let mut numbers = |all: &[(&str, f64)]| {
        for (key, value) in all {
            element.push_attribute((*key, value.to_string().as_str()));
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
            element.push_attribute(("Points", text.as_str()));
        }
        Figure::Unreadable(_) => return Ok(()),
    }
    out.write_event(Event::Start(element))?;
    if let Some(t) = &shape.transform {
        transform(out, t)?;
    }
    if let Figure::Mask(mask) = &shape.figure {
        bits(out, mask)?;
    }
    out.write_event(Event::End(BytesEnd::new(name)))
}

fn transform(out: &mut Out, Affine([a00, a01, a02, a10, a11, a12]): &Affine) -> io::Result<()> {
    let mut element = BytesStart::new("Transform");
    for (key, value) in [("A00", a00), ("A10", a10), ("A01", a01), ("A11", a11), ("A02", a02), ("A12", a12)] {
        element.push_attribute((key, value.to_string().as_str()));
    }
    out.write_event(Event::Empty(element))
}

fn bits(out: &mut Out, mask: &Mask) -> io::Result<()> {
    let text = base64::encode(&mask.bits);
    let mut element = BytesStart::new("BinData");
    element.push_attribute(("BigEndian", "false"));
    element.push_attribute(("Length", text.len().to_string().as_str()));
    out.write_event(Event::Start(element))?;
    out.write_event(Event::Text(BytesText::from_escaped(text)))?;
    out.write_event(Event::End(BytesEnd::new("BinData")))
}
