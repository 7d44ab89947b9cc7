//! Channels of old releases: `LogicalChannel` beside the pixels until 2009-09, second filters as attributes until 2010-04.

use std::borrow::Cow;

use super::upgrade::{reference, references_to_children, rename_attributes, take};
use crate::model::{Element, Origin};

/// Puts the channels of an image into its (first) `Pixels`, in the order of their samples.
pub(super) fn upgrade(image: &mut Element) {
    let is_logical = |c: &Element| matches!(&*c.name, "LogicalChannel" | "ChannelInfo");
    let mut logical: Vec<(u64, Element)> = Vec::new();
    let mut rest = Vec::with_capacity(image.children.len());
    let mut seen_pixels = false;
    for child in std::mem::take(&mut image.children) {
        if is_logical(&child) {
            let place = logical.len() as u64;
            logical.push(channel(child, place));
        } else if child.name == "Pixels" && std::mem::replace(&mut seen_pixels, true) {
            // Of several sets of pixels the first is the image.
        } else {
            rest.push(child);
        }
    }
    image.children = rest;
    logical.sort_by_key(|(first, _)| *first);
    let Some(pixels) = image.children.iter_mut().find(|c| c.name == "Pixels") else { return };
    if !pixels.children.iter().any(|c| c.name == "Channel") {
        let channels = logical.into_iter().map(|(_, channel)| channel);
        pixels.children = channels.chain(std::mem::take(&mut pixels.children)).collect();
    }
    for channel in pixels.children.iter_mut().filter(|c| c.name == "Channel") {
        second_filters(channel);
    }
}

/// A logical channel as one of today, with the index of its first component.
fn channel(mut old: Element, place: u64) -> (u64, Element) {
    old.name = Cow::Borrowed("Channel");
    rename_attributes(&mut old);
    for (key, child) in [
        ("FilterSet", "FilterSetRef"),
        ("FilterRef", "FilterSetRef"),
        ("DetectorRef", "DetectorSettings"),
        ("LightSourceRef", "LightSourceSettings"),
    ] {
        if old.child(child).is_none() {
            references_to_children(&mut old, &[(key, child)]);
        }
    }
    for child in &mut old.children {
        match &*child.name {
            "LightSourceRef" => child.name = Cow::Borrowed("LightSourceSettings"),
            "DetectorRef" => child.name = Cow::Borrowed("DetectorSettings"),
            "FilterRef" => child.name = Cow::Borrowed("FilterSetRef"),
            _ => {}
        }
    }
    let (components, rest): (Vec<_>, Vec<_>) =
        std::mem::take(&mut old.children).into_iter().partition(|c| c.name == "ChannelComponent");
    old.children = rest;
    let first = components.iter().filter_map(|c| c.get("Index")?.trim().parse().ok()).min();
    if components.len() > 1 && old.value("SamplesPerPixel").is_none() {
        old.set("SamplesPerPixel", components.len().to_string(), Origin::OmeXml);
    }
    // The colour of a sample became that of the channel.
    if old.value("Color").is_none()
        && let Some(color) = components.first().and_then(|c| c.value("Color"))
    {
        old.attributes.push(("Color".into(), color.clone()));
    }
    // What 2009-09 dropped.
    for key in ["PhotometricInterpretation", "OTFRef", "OTF", "AuxLightSource"] {
        take(&mut old, key);
    }
    (first.unwrap_or(place), old)
}

/// `SecondaryEmissionFilter` and its like, as attribute or as child, became a `LightPath`.
fn second_filters(channel: &mut Element) {
    const BOTH: &[(&str, &str)] =
        &[("SecondaryExcitationFilter", "ExcitationFilterRef"), ("SecondaryEmissionFilter", "EmissionFilterRef")];
    for (old, new) in BOTH {
        let mut ids: Vec<_> = take(channel, old).into_iter().collect();
        let children = std::mem::take(&mut channel.children);
        let (own, rest): (Vec<_>, Vec<_>) =
            children.into_iter().partition(|c| c.name == *old || c.name.strip_suffix("Ref") == Some(*old));
        channel.children = rest;
        ids.extend(own.iter().filter_map(|c| c.value("ID").cloned()));
        if !ids.is_empty() {
            channel.child_mut("LightPath").children.extend(ids.into_iter().map(|id| reference(new, id)));
        }
    }
}
