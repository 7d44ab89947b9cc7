//! The group `DataSetInfo`: names, colours, calibration, times.

use super::volumes::Volumes;
use crate::error::Result;
use crate::format::details::{About, Details, Form, Key, key, number};
use crate::format::hdf5::{Attributes, Hdf5};
use crate::io::Watch;
use crate::model::{Channel, Element, Objective, Quantity, Rgb, Series, Unit};

/// Channels that are described.
const MOST_CHANNELS: u64 = 1 << 10;

/// What is said of the image.
const IMAGE: &[Key] = &[
    key("LensPower", "Instrument/Objective/@NominalMagnification", Form::Number),
    key("NumericalAperture", "Instrument/Objective/@LensNA", Form::Number),
    key("ManufactorString", "Instrument/Microscope/@Manufacturer", Form::Text),
    key("ManufactorType", "Instrument/Microscope/@Model", Form::Text),
];

/// What is said of a channel.
const CHANNEL: &[Key] = &[
    key(
        "MicroscopyMode",
        "Image/Pixels/Channel/@AcquisitionMode",
        Form::Words(&[
            ("widefield", "WideField"),
            ("confocal", "LaserScanningConfocalMicroscopy"),
            ("laserscanningconfocalmicroscopy", "LaserScanningConfocalMicroscopy"),
            ("nipkow", "SpinningDiskConfocal"),
            ("spinningdiskconfocal", "SpinningDiskConfocal"),
            ("multiphoton", "MultiPhotonMicroscopy"),
            ("multiphotonmicroscopy", "MultiPhotonMicroscopy"),
        ]),
    ),
    key("PinholeRadius", "Image/Pixels/Channel/@PinholeSize", Form::Times(2.0)),
];

/// Attributes that go to the series, or that say how Imaris shows it.
const USED: &[&str] = &[
    "X",
    "Y",
    "Z",
    "Noc",
    "Unit",
    "Name",
    "Description",
    "RecordingDate",
    "Color",
    "ColorMode",
    "ColorRange",
    "ColorOpacity",
    "ColorTable",
    "ColorTableLength",
    "GammaCorrection",
    "LSMEmissionWavelength",
    "LSMExcitationWavelength",
    "ExtMin0",
    "ExtMin1",
    "ExtMin2",
    "ExtMax0",
    "ExtMax1",
    "ExtMax2",
    "ImageSizeInMB",
    "ResampleDimensionX",
    "ResampleDimensionY",
    "ResampleDimensionZ",
];

/// What the group says.
#[derive(Debug, Default)]
pub(super) struct Facts {
    image: Attributes,
    channels: Vec<Attributes>,
    times: Attributes,
}

impl Facts {
    /// Reads it; what is damaged of it is a warning.
    ///
    /// # Errors
    /// Failures of the disk; `Interrupted`.
    pub fn read(hdf: &Hdf5, volumes: &Volumes, watch: &Watch, warnings: &mut Vec<String>) -> Result<Self> {
        let mut facts = Facts::default();
        let Some(info) = volumes.info else { return Ok(facts) };
        match facts.fill(hdf, info, volumes.channels, watch) {
            Err(e) if e.about_content() => warnings.push(format!("DataSetInfo not read: {}", e.reason())),
            other => other?,
        }
        Ok(facts)
    }

    fn fill(&mut self, hdf: &Hdf5, info: u64, channels: u64, watch: &Watch) -> Result<()> {
        let links = hdf.links(&hdf.object(info)?, watch)?;
        let attributes = |name: &str| match links.get(name) {
            Some(address) => hdf.attributes(&hdf.object(*address)?, watch).map_err(|e| e.at(name.to_owned())),
            None => Ok(Attributes::new()),
        };
        self.image = attributes("Image")?;
        self.times = attributes("TimeInfo")?;
        for c in 0..channels.min(MOST_CHANNELS) {
            self.channels.push(attributes(&format!("Channel {c}"))?);
        }
        Ok(())
    }

    /// Tells a series, and gives what has its place elsewhere.
    pub fn describe(&self, series: &mut Series) -> Option<Element> {
        let mut details = Details::default();
        let text = |name: &str| said(&self.image, name);
        series.name = text("Name").unwrap_or_default();
        series.description = text("Description");
        series.acquired = text("RecordingDate").and_then(|date| Moment::parse(&date)).map(|m| m.iso());
        self.calibrate(series);
        let lens = Objective {
            magnification: positive(text("LensPower")),
            na: positive(text("NumericalAperture")),
            model: None,
        };
        series.objective = Some(lens).filter(|l| l.magnification.is_some() || l.na.is_some());
        for (about, channel) in self.channels.iter().zip(&mut series.channels) {
            *channel = of_channel(about);
        }
        details.apply(IMAGE, About::default(), |name| said(&self.image, name));
        keep(&mut details, IMAGE, &self.image, "");
        for (c, about) in self.channels.iter().enumerate() {
            let channel = About { image: 0, channel: Some(c) };
            details.apply(CHANNEL, channel, |name| said(about, name));
            if said(about, "PinholeRadius").is_some() {
                details.put("Image/Pixels/Channel/@PinholeSizeUnit", Form::Text, channel, "µm");
            }
            keep(&mut details, CHANNEL, about, &format!("Channel {c} "));
        }
        let moments = self.moments(series.shape().t);
        if let (Some(Some(first)), true) = (moments.first(), moments.len() > 1) {
            for (t, moment) in (0_u64..).zip(&moments) {
                if let Some(moment) = moment {
                    let seconds = moment.seconds() - first.seconds();
                    (0..series.shape().c).for_each(|c| details.plane(0, (0, c, t), &[("DeltaT", Some(seconds), "s")]));
                }
            }
        }
        details.finish()
    }

    /// When time points were: numbered from 1.
    fn moments(&self, count: u64) -> Vec<Option<Moment>> {
        let at = |t: u64| self.times.get(&format!("TimePoint{}", t + 1)).and_then(|text| Moment::parse(text));
        let named = count.min(self.times.len() as u64);
        (0..named).map(at).collect()
    }

    fn calibrate(&self, series: &mut Series) {
        let unit = said(&self.image, "Unit").map_or_else(|| Some(Unit("µm".into())), |unit| Unit::parse(&unit));
        let real = |name: String| self.image.get(&name).and_then(|text| text.trim().parse::<f64>().ok());
        let shape = series.shape();
        let [x, y, z] = [("X", shape.x), ("Y", shape.y), ("Z", shape.z)].map(|(name, size)| {
            let axis = ["X", "Y", "Z"].iter().position(|n| *n == name).unwrap_or(0);
            let length = real(format!("ExtMax{axis}"))? - real(format!("ExtMin{axis}"))?;
            let count = real(name.to_owned()).filter(|n| *n >= 1.0).unwrap_or(size as f64);
            Quantity::checked(length / count, unit.clone())
        });
        (series.physical.x, series.physical.y, series.physical.z) = (x, y, z);
        let moments = self.moments(shape.t);
        if let (Some(Some(first)), Some(Some(last)), true) =
            (moments.first(), moments.last(), moments.len() as u64 == shape.t && shape.t > 1)
        {
            let step = (last.seconds() - first.seconds()) / (shape.t - 1) as f64;
            series.physical.t = Quantity::checked(step, Quantity::second(1.0).unit);
        }
    }
}

/// A value, unless it is empty or says that it was not given.
fn said(attributes: &Attributes, name: &str) -> Option<String> {
    let text = attributes.get(name)?.trim();
    let nothing = text.is_empty() || text.starts_with('(') && text.ends_with("not specified)");
    (!nothing).then(|| text.to_owned())
}

fn positive(text: Option<String>) -> Option<f64> {
    number(&text?).filter(|v| *v > 0.0)
}

/// Keeps what has no other place.
fn keep(details: &mut Details, table: &[Key], attributes: &Attributes, prefix: &str) {
    for name in attributes.keys() {
        if !USED.contains(&name.as_str())
            && !table.iter().any(|k| k.name == name)
            && let Some(text) = said(attributes, name)
        {
            details.keep("imaris", 0, &format!("{prefix}{name}"), &text);
        }
    }
}

fn of_channel(about: &Attributes) -> Channel {
    let numbers = |name: &str| -> Vec<f64> {
        let text = said(about, name).unwrap_or_default();
        text.split_whitespace().map_while(|n| n.parse::<f64>().ok().filter(|v| v.is_finite())).collect()
    };
    let part = |v: f64| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    let color = match numbers("Color")[..] {
        [r, g, b] => Some(Rgb(part(r), part(g), part(b))),
        _ => None,
    };
    // With a table of colours, this one is not shown.
    let color = color.filter(|_| said(about, "ColorMode").is_none_or(|mode| mode == "BaseColor"));
    let window = match numbers("ColorRange")[..] {
        [low, high] if high > low => Some((low, high)),
        _ => None,
    };
    Channel {
        name: said(about, "Name"),
        color,
        window,
        emission_nm: positive(said(about, "LSMEmissionWavelength")),
        excitation_nm: positive(said(about, "LSMExcitationWavelength")),
        fluor: said(about, "DyeName").or_else(|| said(about, "Fluorophore")),
    }
}

/// A date and a time of the day.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Moment {
    date: (i64, i64, i64),
    seconds: f64,
}

impl Moment {
    /// "2026-01-02 03:04:05.678".
    fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.trim().split_once([' ', 'T'])?;
        let whole: Vec<i64> = date.split('-').map(|n| n.parse().ok()).collect::<Option<_>>()?;
        let parts: Vec<&str> = time.trim().split(':').collect();
        let (&[year, month, day], &[hour, minute, second]) = (&whole[..], &parts[..]) else { return None };
        let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
        let second: f64 = second.parse().ok()?;
        let known = (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        let clock = hour < 24 && minute < 60 && (0.0..61.0).contains(&second);
        (known && clock)
            .then(|| Moment { date: (year, month, day), seconds: f64::from(hour * 3600 + minute * 60) + second })
    }

    /// Seconds since some day long ago (civil calendar).
    fn seconds(&self) -> f64 {
        let (year, month, day) = self.date;
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days =
            365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day;
        days as f64 * 86_400.0 + self.seconds
    }

    fn iso(&self) -> String {
        let (year, month, day) = self.date;
        let whole = self.seconds.floor() as u64;
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_apart() {
        let at = |text| Moment::parse(text).unwrap();
        assert_eq!(at("2026-01-02 03:04:05.500").iso(), "2026-01-02T03:04:05");
        assert_eq!(at("2024-03-01 00:00:01.5").seconds() - at("2024-02-28 23:59:59").seconds(), 86_402.5);
        assert_eq!(at("2023-03-01 00:00:00").seconds() - at("2023-02-28 00:00:00").seconds(), 86_400.0);
        assert_eq!(at("2026-01-01 00:00:00").seconds() - at("2025-12-31 00:00:00").seconds(), 86_400.0);
        for bad in ["", "2026-01-02", "2026-13-02 00:00:00", "x 1:2:3", "2026-01-02 24:00:00"] {
            assert_eq!(Moment::parse(bad), None, "{bad}");
        }
    }
}
