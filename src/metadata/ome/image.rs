//! One `Image` as mounted.

use super::mounted::text_element;
use super::plates::reference;
use super::values::is_date_time;
use crate::model::{Channel, Dtype, Element, Objective, Origin, Quantity, Rgb, Series};

/// What is known of an image beside its own element.
pub(super) struct Facts<'a> {
    /// Its number among the images of the document.
    pub index: usize,
    pub series: &'a Series,
    /// Its name, where the source gives none.
    pub name: &'a str,
    /// Where the series' values are from.
    pub base: &'a Origin,
}

/// `PositiveInt` of the schema is a signed 32-bit integer.
const LARGEST: u64 = i32::MAX as u64;

/// The image: what the source says of it (`said`), with what is mounted on top. Also gives how many planes it names that are
/// not there.
pub(super) fn image(said: Option<Element>, facts: &Facts<'_>) -> (Element, usize) {
    let Facts { index, series, base, .. } = facts;
    let mut image = said.unwrap_or_else(|| Element::new("Image"));
    image.set("ID", format!("Image:{index}"), Origin::Derived);
    if series.name.trim().is_empty() {
        image.set("Name", facts.name, Origin::Default);
    } else {
        agree(&mut image, "Name", &series.name, base);
    }
    if let Some(date) = series.acquired.as_deref().filter(|d| is_date_time(d)) {
        fill_text(&mut image, "AcquisitionDate", date, base);
    }
    if let Some(description) = &series.description {
        fill_text(&mut image, "Description", description, base);
    }
    // Regions are told anew, under numbers of their own.
    image.children.retain(|c| c.name != "ROIRef");
    let mut pixels = match image.children.iter().position(|c| c.name == "Pixels") {
        Some(at) => image.children.remove(at),
        None => Element::new("Pixels"),
    };
    let lost = fill_pixels(&mut pixels, facts);
    image.children.push(pixels);
    (image, lost)
}

/// Sets what the source may have said itself: the same words keep where they are from.
fn agree(element: &mut Element, key: &'static str, text: &str, origin: &Origin) {
    if element.get(key) != Some(text) {
        element.set(key, text, origin.clone());
    }
}

fn fill_text(element: &mut Element, name: &'static str, text: &str, origin: &Origin) {
    match element.children.iter().position(|c| c.name == name) {
        Some(at) if element.children[at].text.as_ref().is_some_and(|t| t.text.trim() == text.trim()) => {}
        Some(at) => element.children[at] = text_element(name, text, origin.clone()),
        None => element.children.push(text_element(name, text, origin.clone())),
    }
}

fn fill_pixels(pixels: &mut Element, facts: &Facts<'_>) -> usize {
    let Facts { index, series, base, .. } = facts;
    let shape = series.shape();
    let worked_out = |pixels: &mut Element, key: &'static str, text: String| pixels.set(key, text, Origin::Derived);
    worked_out(pixels, "ID", format!("Pixels:{index}"));
    worked_out(pixels, "DimensionOrder", "XYZCT".into());
    worked_out(pixels, "Type", pixel_type(series.dtype).into());
    let has_bits = series.dtype.is_integer() && !matches!(series.dtype, Dtype::I64 | Dtype::U64);
    pixels.attributes.retain(|(key, _)| key != "SignificantBits" || has_bits);
    if has_bits && series.significant_bits > 0 {
        agree(pixels, "SignificantBits", &series.significant_bits.to_string(), &Origin::Derived);
    }
    worked_out(pixels, "BigEndian", "false".into());
    worked_out(pixels, "Interleaved", "false".into());
    for (key, size) in
        [("SizeX", shape.x), ("SizeY", shape.y), ("SizeZ", shape.z), ("SizeC", shape.c), ("SizeT", shape.t)]
    {
        worked_out(pixels, key, size.min(LARGEST).to_string());
    }
    let p = &series.physical;
    quantity(pixels, "PhysicalSizeX", "PhysicalSizeXUnit", p.x.as_ref(), Some("pixel"), base);
    quantity(pixels, "PhysicalSizeY", "PhysicalSizeYUnit", p.y.as_ref(), Some("pixel"), base);
    quantity(pixels, "PhysicalSizeZ", "PhysicalSizeZUnit", p.z.as_ref(), Some("pixel"), base);
    quantity(pixels, "TimeIncrement", "TimeIncrementUnit", p.t.as_ref(), None, base);
    let (logical, mut rest): (Vec<_>, Vec<_>) =
        std::mem::take(&mut pixels.children).into_iter().partition(|c| c.name == "Channel");
    let (channels, starts) = split_channels(logical, facts);
    let before = rest.len();
    rest.retain_mut(|c| c.name != "Plane" || place(c, &starts, series));
    let lost = before - rest.len();
    pixels.children = channels;
    pixels.children.push(Element::new("MetadataOnly"));
    pixels.children.extend(rest.into_iter().filter(|c| !matches!(&*c.name, "MetadataOnly" | "TiffData" | "BinData")));
    lost
}

/// Does a plane lie in the image? Its channel is counted in samples from here on.
fn place(plane: &mut Element, starts: &[u64], series: &Series) -> bool {
    let shape = series.shape();
    let number = |key: &str| plane.get(key)?.trim().parse::<u64>().ok();
    let (Some(z), Some(c), Some(t)) = (number("TheZ"), number("TheC"), number("TheT")) else { return false };
    let start = match starts.get(usize::try_from(c).unwrap_or(usize::MAX)) {
        Some(start) => *start,
        None => c,
    };
    if start != c
        && let Some(value) = plane.value("TheC").cloned()
    {
        plane.set("TheC", start.to_string(), value.origin);
    }
    z < shape.z && start < shape.c && t < shape.t
}

/// One `Channel` for each of the array: those of several samples are given once for each, because readers take them for
/// channels of the array. Also gives the first sample of each channel said.
fn split_channels(logical: Vec<Element>, facts: &Facts<'_>) -> (Vec<Element>, Vec<u64>) {
    let count = facts.series.channels.len();
    let samples = |c: &Element| {
        c.get("SamplesPerPixel")
            .and_then(|t| t.trim().parse::<usize>().ok())
            .filter(|n| *n > 0 && *n <= count)
            .unwrap_or(1)
    };
    let all: usize = logical.iter().map(samples).fold(0, usize::saturating_add);
    // Writers forget the samples, or count them twice: then channels are channels, or share the samples alike.
    let each = |c: &Element| match logical.len() {
        _ if all == count => samples(c),
        n if n > 0 && n < count && count.is_multiple_of(n) && facts.series.samples as usize == count / n => count / n,
        _ => 1,
    };
    let sizes: Vec<usize> = logical.iter().map(each).collect();
    let mut said: Vec<Option<(Element, bool)>> = Vec::with_capacity(count);
    let mut starts = Vec::with_capacity(sizes.len());
    for (channel, size) in logical.into_iter().zip(sizes) {
        starts.push(said.len() as u64);
        for _ in 1..size {
            said.push(Some((channel.clone(), true)));
        }
        said.push(Some((channel, size > 1)));
    }
    said.resize_with(count, || None);
    let all = said.into_iter().zip(&facts.series.channels).enumerate();
    let channels = all.map(|(number, (said, channel))| {
        let (element, split) = said.unwrap_or_else(|| (Element::new("Channel"), false));
        one_channel(element, split, (facts.index, number), channel, facts.base)
    });
    (channels.collect(), starts)
}

fn one_channel(
    mut element: Element,
    split: bool,
    (index, number): (usize, usize),
    channel: &Channel,
    base: &Origin,
) -> Element {
    element.set("ID", format!("Channel:{index}:{number}"), Origin::Derived);
    // What splitting gives each sample is worked out.
    let own = if split { &Origin::Derived } else { base };
    if let Some(name) = &channel.name {
        agree(&mut element, "Name", name, own);
    }
    element.set("SamplesPerPixel", "1", Origin::Derived);
    fill_color(&mut element, channel.color, own);
    let waves = [
        ("ExcitationWavelength", "ExcitationWavelengthUnit", channel.excitation_nm),
        ("EmissionWavelength", "EmissionWavelengthUnit", channel.emission_nm),
    ];
    for (key, unit, value) in waves {
        if element.value(key).is_none()
            && let Some(v) = value.filter(|v| is_positive(*v))
        {
            element.set(key, v.to_string(), base.clone());
            element.set(unit, "nm", base.clone());
        }
    }
    if let Some(fluor) = channel.fluor.as_ref().filter(|_| element.value("Fluor").is_none()) {
        element.set("Fluor", fluor.as_str(), base.clone());
    }
    element
}

/// Red, green, blue and opacity as one signed number; the source's own opacity stays. Old writers have unsigned ones.
fn fill_color(element: &mut Element, color: Option<Rgb>, origin: &Origin) {
    let said = element.get("Color").and_then(|t| t.trim().parse::<i64>().ok());
    let said = said.and_then(|v| i32::try_from(v).map(i32::cast_unsigned).or_else(|_| u32::try_from(v)).ok());
    let same = said.filter(|v| {
        let [r, g, b, _] = v.to_be_bytes();
        color == Some(Rgb(r, g, b))
    });
    match (same, color) {
        (Some(v), _) => {
            let origin = element.value("Color").map_or_else(|| origin.clone(), |c| c.origin.clone());
            element.set("Color", v.cast_signed().to_string(), origin);
        }
        (None, Some(Rgb(r, g, b))) => {
            element.set("Color", i32::from_be_bytes([r, g, b, 0xFF]).to_string(), origin.clone());
        }
        (None, None) => element.attributes.retain(|(key, _)| key != "Color"),
    }
}

/// A number that 32 bits can hold, above zero; Rust writes the shortest digits that read back the same.
fn is_positive(value: f64) -> bool {
    value >= f64::from(f32::MIN_POSITIVE) && value <= f64::from(f32::MAX)
}

/// `unitless` is what the schema calls a size without a real unit; `None`: such a value is left out.
fn quantity(
    element: &mut Element,
    key: &'static str,
    unit_key: &'static str,
    quantity: Option<&Quantity>,
    unitless: Option<&str>,
    base: &Origin,
) {
    let unit = quantity.and_then(|q| q.unit.as_ref().map(|u| u.0.as_str()).or(unitless));
    let (Some(q), Some(unit)) = (quantity.filter(|q| is_positive(q.value)), unit) else {
        element.attributes.retain(|(name, _)| name != key && name != unit_key);
        return;
    };
    let same = element.get(key).and_then(|t| t.trim().parse::<f64>().ok()) == Some(q.value);
    if !same {
        element.set(key, q.value.to_string(), base.clone());
    }
    agree(element, unit_key, unit, base);
}

/// The lens that a series names, in the instrument that its image is linked to; what is known of it already stays.
pub(super) fn lens(ome: &mut Element, index: usize, objective: &Objective, image: &mut Element) {
    let linked = |image: &Element, name: &str| image.child(name).and_then(|c| c.get("ID")).map(str::to_owned);
    let own = linked(image, "InstrumentRef").unwrap_or_else(|| {
        let id = format!("Instrument:{index}");
        image.children.push(reference("InstrumentRef", id.clone()));
        id
    });
    let id = linked(image, "ObjectiveSettings").unwrap_or_else(|| {
        let id = format!("Objective:{index}");
        image.children.push(reference("ObjectiveSettings", id.clone()));
        id
    });
    let lens = of_id(of_id(ome, "Instrument", &own), "Objective", &id);
    let mut fill = |key: &'static str, text: Option<String>| {
        if let Some(text) = text.filter(|_| lens.value(key).is_none()) {
            lens.set(key, text, Origin::Vendor);
        }
    };
    let number = |v: Option<f64>| v.filter(|v| is_positive(*v)).map(|v| v.to_string());
    fill("Model", objective.model.clone());
    fill("LensNA", number(objective.na));
    fill("NominalMagnification", number(objective.magnification));
}

/// The child of a name with this identifier, made where there is none.
fn of_id<'e>(parent: &'e mut Element, name: &'static str, id: &str) -> &'e mut Element {
    let at = parent.children.iter().position(|c| c.name == name && c.get("ID") == Some(id)).unwrap_or_else(|| {
        parent.children.push(reference(name, id.to_owned()));
        parent.children.len() - 1
    });
    &mut parent.children[at]
}

/// What the schema cannot say about an image: namespace, description, value.
pub(super) fn notes(series: &Series) -> Vec<(&'static str, &'static str, String)> {
    let mut all = Vec::new();
    if matches!(series.dtype, Dtype::F16 | Dtype::I64 | Dtype::U64) {
        let what = "Type of the mounted array; OME-XML has no such type, so Pixels/@Type names the nearest one";
        all.push(("urn:fuzarr:stored-type", what, series.dtype.name().to_owned()));
    }
    let s = series.shape();
    if s.tczyx().into_iter().any(|n| n > LARGEST) {
        let what = "Size of the mounted array; OME-XML has 32-bit sizes only";
        all.push(("urn:fuzarr:size", what, format!("x {}, y {}, z {}, c {}, t {}", s.x, s.y, s.z, s.c, s.t)));
    }
    all
}

/// The nearest type that OME-XML 2016-06 has (`PixelType`).
fn pixel_type(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::U8 => "uint8",
        Dtype::I8 => "int8",
        Dtype::U16 => "uint16",
        Dtype::I16 => "int16",
        Dtype::U32 => "uint32",
        Dtype::I32 => "int32",
        Dtype::F16 | Dtype::F32 => "float",
        Dtype::F64 | Dtype::I64 | Dtype::U64 => "double",
        Dtype::C64 => "complex",
        Dtype::C128 => "double-complex",
    }
}
