//! What the texts say of an acquisition: channels, calibration, the instrument.

use super::axes::{Axes, Axis};
use super::ini::Ini;
use crate::format::details::{About, Details, Form, Key, key, lens};
use crate::model::{Channel, Objective, Quantity, Rgb, Series};

/// Channels that are described.
const MAX_CHANNELS: u64 = 64;

/// Keys of a channel's section.
const CHANNEL: &[Key] = &[
    key("DyeName", "Image/Pixels/Channel/@Fluor", Form::Text),
    key("AnalogPMTVoltage", "Image/Pixels/Channel/DetectorSettings/@Voltage", Form::In("V")),
    key("BF Name", "Instrument/EmissionFilter/@Model", Form::Text),
    key("ExcitationDM Name", "Instrument/Dichroic/@Model", Form::Text),
    key("ExcitationWavelength", "Instrument/Laser/@Wavelength", Form::In("nm")),
];

/// How light is told.
const CONTRAST: Form = Form::Words(&[("fluorescence", "Fluorescence"), ("transmitted light", "Brightfield")]);

/// Keys of the first plane's text, in its section of the acquisition.
const PLANE: &[Key] = &[
    key("Magnification", "Instrument/Objective/@NominalMagnification", Form::Number),
    key("ObjectiveLens NAValue", "Instrument/Objective/@LensNA", Form::Number),
    key("ObjectiveLens Name", "Instrument/Objective/@Model", Form::Text),
];

/// Settings without a place in the schema, of the main text.
const KEPT: &[&str] = &[
    "Acquisition Device",
    "ScanMode",
    "ScanDirection",
    "SequentialMode",
    "IntegrationType",
    "IntegrationCount",
    "SamplingClock",
    "ZoomValue",
];

/// Those of the first plane's text.
const KEPT_OF_PLANE: &[&str] =
    &["PinholeDiameter", "ScanSpeed", "Time Per Pixel", "Time Per Line", "Time Per Frame", "RotationValue"];

/// A number with a unit as FluoView writes it.
fn quantity(value: f64, unit: &str) -> Option<Quantity> {
    let micro = match unit.trim() {
        "nm" => 1e-3,
        "um" | "µm" => 1.0,
        "mm" => 1e3,
        "ms" => return Quantity::checked(value / 1e3, Quantity::second(1.0).unit),
        "s" | "sec" => return Quantity::checked(value, Quantity::second(1.0).unit),
        _ => return None,
    };
    // Twelve digits: half of a thousand nanometres is half a micrometre, and not the nearest double below it.
    let tidy = format!("{:.11e}", value * micro).parse().unwrap_or(value * micro);
    Quantity::checked(tidy, Quantity::micrometer(1.0).unit)
}

/// From a step to the next: as it was measured, else as it was set.
fn step(axis: &Axis, measured_first: bool) -> Option<Quantity> {
    let steps = axis.count.saturating_sub(1);
    let ends = axis.start.zip(axis.end).filter(|_| steps > 0).map(|(a, b)| (b - a).abs() / steps as f64);
    let set = axis.interval.map(f64::abs);
    let both = if measured_first { [ends, set] } else { [set, ends] };
    both.into_iter().flatten().find_map(|v| quantity(v, &axis.unit))
}

/// Sizes of pixels, and what else the main text says of the image.
pub(super) fn series(series: &mut Series, axes: &Axes, main: &Ini) {
    let of_image = |value: &str, unit: &str| {
        let section = "Reference Image Parameter";
        quantity(main.number(section, value)?, main.text(section, unit)?)
    };
    let axis = |code: char| axes.planes().iter().find(|a| a.code == code && a.count > 1);
    let (columns, rows) = (axes.all.first(), axes.all.get(1));
    series.physical.x = of_image("WidthConvertValue", "WidthUnit").or_else(|| columns.and_then(|a| step(a, true)));
    series.physical.y = match rows.map(|a| a.code) {
        Some('Y') => of_image("HeightConvertValue", "HeightUnit").or_else(|| rows.and_then(|a| step(a, true))),
        Some('Z') => rows.and_then(|a| step(a, false)),
        // Time along the rows is no length.
        _ => None,
    };
    // Readers expect a distance even of a single plane; one is what others take then.
    series.physical.z = axis('Z').and_then(|a| step(a, false)).or(Some(Quantity::micrometer(1.0)));
    series.physical.t = axis('T').and_then(|a| step(a, true)).or(Some(Quantity::second(1.0)));
    if let Some(bits) = main.count("Reference Image Parameter", "ValidBitCounts") {
        let all = series.dtype.size() as u32 * 8;
        series.significant_bits = u32::try_from(bits).ok().filter(|b| (1..=all).contains(b)).unwrap_or(all);
    }
    let date = main.text("Acquisition Parameters Common", "ImageCaputreDate");
    series.acquired = date.and_then(iso);
    series.description = main.text("File Info", "UserComment").map(str::to_owned);
}

/// "2012-07-26 15:13:35" with a T.
fn iso(date: &str) -> Option<String> {
    let bytes = date.as_bytes();
    let shape = "0000-00-00 00:00:00".as_bytes();
    let same = |(a, b): (&u8, &u8)| if *b == b'0' { a.is_ascii_digit() } else { a == b };
    (bytes.len() == shape.len() && bytes.iter().zip(shape).all(same)).then(|| date.replacen(' ', "T", 1))
}

/// When a plane was taken, in seconds since the first, from its text; the main text says which of its dimensions is time.
pub(super) fn seconds(plane: &Ini, main: &Ini) -> Option<f64> {
    let is_time = |n: &u32| main.text(&format!("Axis {n} Parameters Common"), "AxisCode") == Some("T");
    let section = format!("Axis {} Parameters", (0..16).find(is_time)?);
    let value = plane.number(&section, "AbsPositionValue")?;
    match plane.text(&section, "AbsPositionUnitName") {
        Some("ms") => Some(value / 1000.0),
        Some("s") => Some(value),
        _ => None,
    }
}

/// The objective, from the text of a plane.
pub(super) fn objective(plane: &Ini) -> Option<Objective> {
    let section = "Acquisition Parameters Common";
    let positive = |key: &str| plane.number(section, key).filter(|v| *v > 0.0);
    let model = plane.text(section, "ObjectiveLens Name");
    let objective = Objective {
        magnification: positive("Magnification"),
        na: positive("ObjectiveLens NAValue"),
        model: model.map(|m| m.split_whitespace().collect::<Vec<_>>().join(" ")),
    };
    Some(objective).filter(|o| *o != Objective::default())
}

/// The section of a channel, counted from one.
fn section(number: u64) -> String {
    format!("Channel {number} Parameters")
}

/// The channels of all groups; those of the further dimensions carry their step in the name. `colors` are those of the tables.
pub(super) fn channels(axes: &Axes, main: &Ini, colors: &[Option<Rgb>]) -> Vec<Channel> {
    let one = |number: u64| {
        let section = section(number);
        let nm = |key: &str| main.number(&section, key).filter(|v| *v > 0.0);
        let dye = main.text(&section, "DyeName").filter(|d| *d != "None");
        Channel {
            name: Some(main.text(&section, "CH Name").map_or_else(|| format!("CH{number}"), str::to_owned)),
            color: usize::try_from(number - 1).ok().and_then(|n| colors.get(n)).copied().flatten(),
            emission_nm: nm("EmissionWavelength"),
            excitation_nm: nm("ExcitationWavelength"),
            fluor: dye.map(str::to_owned),
            ..Channel::default()
        }
    };
    let further = |axis: &Axis, step: u64| {
        let position = axis.start.zip(axis.end).filter(|(a, b)| axis.code == 'L' && a != b);
        match position.filter(|_| axis.count > 1) {
            Some((a, b)) => {
                let at = a + (b - a) / (axis.count - 1) as f64 * step as f64;
                format!(" {at:.0} nm")
            }
            None => format!(" {}{}", axis.code, step + 1),
        }
    };
    let group = |group: u64| {
        let steps = axes.steps(0, group, 0);
        let mut channel = one(steps.iter().find(|s| s.0 == 'C').map_or(1, |s| s.1 + 1));
        for axis in axes.in_channels().filter(|a| a.code != 'C' && a.count > 1) {
            let step = steps.iter().find(|s| s.0 == axis.code).map_or(0, |s| s.1);
            if let Some(name) = &mut channel.name {
                name.push_str(&further(axis, step));
            }
        }
        channel
    };
    (0..axes.groups()).map(group).collect()
}

/// The colour at the end of a table: blue, green, red and nothing, for each value of a sample.
pub(super) fn color(table: &[u8]) -> Option<Rgb> {
    let [blue, green, red, _] = *table.last_chunk()?;
    // A table of grey values is no colour.
    Some(Rgb(red, green, blue)).filter(|c| *c != Rgb(0, 0, 0))
}

/// The instrument and its settings.
pub(super) fn details(main: &Ini, plane: &Ini, channels: u64) -> Details {
    let mut details = Details::default();
    let image = About::default();
    let common = "Acquisition Parameters Common";
    details.put("Instrument/Microscope/@Manufacturer", Form::Text, image, "Olympus");
    if let Some(system) = main.text("Version Info", "SystemName") {
        details.put("Instrument/Microscope/@Model", Form::Text, image, system);
    }
    if let Some(user) = main.text("File Info", "UserName") {
        details.put("Experimenter/@UserName", Form::Text, image, user);
    }
    details.apply(PLANE, image, |key| plane.text(common, key));
    if let Some(name) = plane.text(common, "ObjectiveLens Name") {
        lens(&mut details, image, &name.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    for number in 1..=channels.min(MAX_CHANNELS) {
        let about = About { image: 0, channel: usize::try_from(number - 1).ok() };
        let section = section(number);
        let value = |key: &str| {
            let value = main.text(&section, key)?;
            // Nought and "None" say that there is none.
            let none = matches!(value, "None" | "(null)" | "0") || key.contains("Wave") && value.parse() == Ok(0.0);
            (!none).then_some(value)
        };
        details.apply(CHANNEL, about, value);
        if let Some(light) = main.text(&section, "LightType") {
            details.put("Image/Pixels/Channel/@ContrastMethod", CONTRAST, about, light);
        }
        if let Some(pinhole) = plane.number(common, "PinholeDiameter").filter(|v| *v > 0.0) {
            // The text counts in nanometres.
            let size = (pinhole / 1e3).to_string();
            details.put("Image/Pixels/Channel/@PinholeSize", Form::In("µm"), about, &size);
        }
    }
    for (text, keys) in [(main, KEPT), (plane, KEPT_OF_PLANE)] {
        for key in keys {
            if let Some(value) = text.text(common, key) {
                details.keep("olympus", 0, key, value);
            }
        }
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_dates_and_colours() {
        assert_eq!(quantity(500.0, "nm"), Some(Quantity::micrometer(0.5)));
        assert_eq!(quantity(840.0, "nm"), Some(Quantity::micrometer(0.84)));
        assert_eq!(quantity(2500.0, "ms"), Some(Quantity::second(2.5)));
        assert_eq!((quantity(0.0, "um"), quantity(3.0, "deg")), (None, None));
        assert_eq!(iso("2012-07-26 15:13:35").as_deref(), Some("2012-07-26T15:13:35"));
        assert_eq!((iso("2012-07-26"), iso("26-07-2012 15:13:35")), (None, None));
        assert_eq!(color(&[9, 9, 9, 0, 1, 2, 255, 0]), Some(Rgb(255, 2, 1)));
        assert_eq!((color(&[0; 8]), color(b"abc")), (None, None));
    }
}
