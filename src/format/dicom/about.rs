//! What the elements say of an image: sizes, channels, dates, and the equipment as OME names it.

use super::elements::DataSet;
use super::header::Header;
use super::pixel::{Photometric, colormap};
use super::slide::is_slide;
use super::source::expands;
use super::tags;
use super::text::iso;
use crate::format::Limits;
use crate::format::details::{About, Details, Form};
use crate::model::{Channel, Dtype, Element, Level, Objective, Physical, Quantity, Reduction, Rgb, Role, Series, Unit};

/// Most text of a description.
const MAX_TEXT: usize = 4 << 10;

/// Twelve digits, so that thousands of a thousandth are one.
pub(super) fn tidy(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

fn measures(header: &Header) -> Option<&DataSet> {
    let shared = header.set.item(tags::SHARED_GROUPS).and_then(|g| g.item(tags::PIXEL_MEASURES));
    shared.or_else(|| header.frames.first.as_ref().and_then(|f| f.item(tags::PIXEL_MEASURES)))
}

/// Millimetres from one plane to the next.
pub(super) fn slice_step(header: &Header) -> Option<f64> {
    let of = |set: &DataSet| {
        set.decimal(tags::SPACING_BETWEEN_SLICES)
            .filter(|s| *s > 0.0)
            .or_else(|| set.decimal(tags::SLICE_THICKNESS).filter(|s| *s > 0.0))
    };
    measures(header).and_then(of).or_else(|| of(&header.set))
}

/// Seconds from one frame to the next.
pub(super) fn frame_seconds(header: &Header) -> Option<Quantity> {
    let set = &header.set;
    let vector = set.decimals(tags::FRAME_TIME_VECTOR);
    let mean = (vector.len() > 1).then(|| vector.iter().skip(1).sum::<f64>() / (vector.len() - 1) as f64);
    let rate = set.decimal(tags::CINE_RATE).or_else(|| set.decimal(tags::RECOMMENDED_FRAME_RATE));
    let milliseconds = set.decimal(tags::FRAME_TIME).filter(|t| *t > 0.0).or(mean);
    let seconds = milliseconds.map(|ms| ms / 1000.0).or(rate.map(|r| 1.0 / r));
    seconds.and_then(|s| Quantity::checked(tidy(s), Some(Unit("s".into()))))
}

/// Size of a pixel along y and x, in millimetres.
fn spacing(header: &Header) -> Option<(f64, f64)> {
    let set = &header.set;
    let listed = [tags::PIXEL_SPACING, tags::IMAGER_PIXEL_SPACING, tags::NOMINAL_SCANNED_PIXEL_SPACING];
    let own = || listed.iter().map(|tag| set.decimals(*tag)).find(|v| v.len() == 2);
    let measured = measures(header).map(|m| m.decimals(tags::PIXEL_SPACING)).filter(|v| v.len() == 2);
    if let Some([y, x]) = measured.or_else(own).as_deref() {
        return Some((*y, *x));
    }
    let width = f64::from(set.float(tags::IMAGED_VOLUME_WIDTH)?);
    let columns = set.count(tags::TOTAL_COLUMNS).filter(|n| *n > 0)? as f64;
    Some((width / columns, width / columns))
}

/// A series with what a file says of it; channels have no names yet.
pub(super) fn series(header: &Header, levels: Vec<Level>, samples: u64, limits: &Limits) -> Series {
    let (set, pixel) = (&header.set, &header.pixel);
    let expanded = expands(pixel, limits);
    let palette = pixel.photometric == Photometric::Palette;
    let slide = is_slide(header);
    let (unit, factor) = if slide { ("µm", 1000.0) } else { ("mm", 1.0) };
    let length = |v: f64| Quantity::checked(tidy(v * factor), Some(Unit(unit.into())));
    let (y, x) = spacing(header).map_or((None, None), |(y, x)| (length(y), length(x)));
    let channels = levels.first().map_or(1, |l| l.shape.c).min(1 << 14) as usize;
    let dtype = if expanded { Dtype::U8 } else { pixel.dtype() };
    let date = |date, time| set.text(date).and_then(|d| iso(&d, set.text(time).as_deref()));
    let acquired = set.text(tags::ACQUISITION_DATE_TIME).and_then(|d| iso(&d, None));
    let acquired = acquired
        .or_else(|| date(tags::ACQUISITION_DATE, tags::ACQUISITION_TIME))
        .or_else(|| date(tags::CONTENT_DATE, tags::CONTENT_TIME))
        .or_else(|| date(tags::SERIES_DATE, tags::SERIES_TIME));
    let description = set.text(tags::SERIES_DESCRIPTION);
    let window = if samples == 1 { window(header) } else { None };
    let path = set.item(tags::OPTICAL_PATHS);
    let objective = path.and_then(|p| {
        let objective = Objective {
            magnification: p.decimal(tags::OBJECTIVE_POWER).filter(|v| *v > 0.0),
            na: p.decimal(tags::OBJECTIVE_NA).filter(|v| *v > 0.0),
            model: None,
        };
        (objective != Objective::default()).then_some(objective)
    });
    Series {
        name: description.clone().unwrap_or_default(),
        role: Role::Image,
        dtype,
        significant_bits: if expanded { 8 } else { pixel.stored },
        samples,
        rgb: samples == 3,
        levels,
        channels: vec![Channel { window, ..Channel::default() }; channels],
        physical: Physical { x, y, z: None, t: None },
        reduction: if palette && !expanded { Reduction::Nearest } else { Reduction::Mean },
        colormap: if palette && !expanded { colormap(set, pixel) } else { None },
        acquired,
        description: description.map(|d| d.chars().take(MAX_TEXT).collect()),
        objective,
    }
}

/// The display range as stored values.
fn window(header: &Header) -> Option<(f64, f64)> {
    let set = &header.set;
    let (center, width) = (set.decimal(tags::WINDOW_CENTER)?, set.decimal(tags::WINDOW_WIDTH)?);
    let slope = set.decimal(tags::RESCALE_SLOPE).filter(|s| *s > 0.0).unwrap_or(1.0);
    let intercept = set.decimal(tags::RESCALE_INTERCEPT).unwrap_or(0.0);
    let stored = |value: f64| (value - intercept) / slope;
    let (low, high) = (stored(center - width / 2.0), stored(center + width / 2.0));
    let known = header.pixel.photometric == Photometric::Gray && low.is_finite() && high.is_finite();
    (known && width > 0.0).then_some((low, high))
}

/// Names, colours and wavelengths of optical paths, by their identifiers.
pub(super) fn slide_channels(series: &mut Series, paths: &[&str], headers: &[&Header]) {
    let samples = series.samples.max(1) as usize;
    for (path, group) in paths.iter().zip(series.channels.chunks_mut(samples)) {
        let segment = || {
            let number = |s: &&DataSet| s.count(tags::SEGMENT_NUMBER).map(|n| n.to_string()).as_deref() == Some(*path);
            headers.iter().find_map(|h| h.set.items(tags::SEGMENTS).iter().find(number))
        };
        let is_path = |p: &&DataSet| p.text(tags::OPTICAL_PATH_IDENTIFIER).as_deref() == Some(*path);
        let said = headers.iter().find_map(|h| {
            let items = h.set.items(tags::OPTICAL_PATHS);
            items.iter().find(is_path).or_else(|| items.first().filter(|_| items.len() == 1 && path.is_empty()))
        });
        let name = match said {
            Some(said) => said.text(tags::OPTICAL_PATH_DESCRIPTION),
            None => segment().and_then(|s| s.text(tags::SEGMENT_LABEL)),
        };
        // A single path is called what it says, several are told apart by their identifiers at least.
        let name = name.or_else(|| (paths.len() > 1).then(|| (*path).to_owned()));
        let wavelength = said.and_then(|p| p.float(tags::ILLUMINATION_WAVELENGTH)).map(f64::from);
        let wavelength = wavelength.filter(|nm| samples == 1 && (100.0..10_000.0).contains(nm));
        let color = said
            .and_then(|p| p.item(tags::ILLUMINATION_COLOR))
            .and_then(|c| c.text(tags::CODE_MEANING))
            .and_then(|c| color(&c))
            .filter(|_| samples == 1);
        for channel in group {
            channel.name.clone_from(&name);
            channel.excitation_nm = wavelength;
            channel.color = color;
        }
    }
}

/// Colours of light by the names of their codes (CID 8122).
fn color(name: &str) -> Option<Rgb> {
    Some(match name.to_lowercase().as_str() {
        "blue" => Rgb(0, 0, 255),
        "green" => Rgb(0, 255, 0),
        "red" => Rgb(255, 0, 0),
        "yellow" => Rgb(255, 255, 0),
        "orange" => Rgb(255, 128, 0),
        "cyan" => Rgb(0, 255, 255),
        "violet" | "purple" => Rgb(128, 0, 255),
        _ => return None,
    })
}

/// The equipment and settings of images, each described by a file.
pub(super) fn details(headers: &[&Header], series: &[Series]) -> Option<Element> {
    let mut details = Details::default();
    for (image, (header, one)) in headers.iter().zip(series).enumerate() {
        let about = About { image, channel: None };
        let set = &header.set;
        let mut put = |place: &str, form: Form, value: Option<String>| {
            if let Some(value) = value {
                details.put(place, form, about, &value);
            }
        };
        put("Instrument/Microscope/@Manufacturer", Form::Text, set.text(tags::MANUFACTURER));
        put("Instrument/Microscope/@Model", Form::Text, set.text(tags::MODEL_NAME));
        put("Instrument/Microscope/@SerialNumber", Form::Text, set.text(tags::DEVICE_SERIAL_NUMBER));
        put("Experimenter/@UserName", Form::Text, set.text(tags::OPERATORS_NAME));
        put("Experimenter/@Institution", Form::Text, set.text(tags::INSTITUTION_NAME));
        let lens = one.objective.clone().unwrap_or_default();
        let number = |v: Option<f64>| v.map(|v| v.to_string());
        put("Instrument/Objective/@NominalMagnification", Form::Number, number(lens.magnification));
        put("Instrument/Objective/@LensNA", Form::Number, number(lens.na));
        let words = [
            ("Modality", set.text(tags::MODALITY)),
            ("ImageType", set.text(tags::IMAGE_TYPE)),
            ("SoftwareVersions", set.text(tags::SOFTWARE_VERSIONS)),
            ("RescaleSlope", set.text(tags::RESCALE_SLOPE)),
            ("RescaleIntercept", set.text(tags::RESCALE_INTERCEPT)),
        ];
        for (key, value) in words {
            if let Some(value) = value {
                details.keep("dicom", image, key, &value);
            }
        }
        let kind = set.item(tags::OPTICAL_PATHS).and_then(|p| p.item(tags::ILLUMINATION_TYPE));
        if let Some(kind) = kind.and_then(|k| k.text(tags::CODE_MEANING)) {
            details.keep("dicom", image, "IlluminationType", &kind);
        }
    }
    details.finish()
}

/// What a reader should know of the values.
pub(super) fn warnings(header: &Header) -> Vec<String> {
    let set = &header.set;
    let (slope, intercept) = (set.decimal(tags::RESCALE_SLOPE), set.decimal(tags::RESCALE_INTERCEPT));
    let mut said = Vec::new();
    if slope.is_some_and(|s| s != 1.0) || intercept.is_some_and(|i| i != 0.0) {
        let (slope, intercept) = (slope.unwrap_or(1.0), intercept.unwrap_or(0.0));
        said.push(format!(
            "values are as stored: RescaleSlope {slope} and RescaleIntercept {intercept} are not applied"
        ));
    }
    if header.pixel.photometric == Photometric::Inverted {
        said.push("MONOCHROME1: low values are meant to be bright; values are as stored".into());
    }
    said
}
