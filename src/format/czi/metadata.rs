//! The metadata document: what it says of channels, scenes, sizes, times and the lens.

use std::collections::BTreeMap;

use super::details::Details;
use super::segment::{self, Fields, HEADER};
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::format::xml::Element;
use crate::io::ReadAt;
use crate::model::{Objective, Physical, Quantity, Rgb};

/// Name of the segment.
const ID: &str = "ZISRAWMETADATA";
/// Lengths and spare bytes in front of the document.
const DOCUMENT: u64 = 256;
/// Parts of the document that a series is described by. The rest is settings of hardware and experiment, often megabytes.
const KEPT: [&str; 3] = ["Information", "Scaling", "DisplaySetting"];

/// Reads the document.
///
/// # Errors
/// `OverLimit` if it may not be held in memory; `Malformed`, `Truncated`.
pub(super) fn read(file: &dyn ReadAt, position: u64, limits: &Limits) -> Result<Vec<u8>> {
    let place = |e: Error| e.at("metadata");
    let head = segment::read(file, position, ID, 8)?;
    let length = Fields(&head).count(0, "the length of the document").map_err(place)?;
    if length > limits.index_bytes / 2 {
        return Err(place(Error::over_limit(format!("a document of {length} bytes"))));
    }
    let mut document = file.read_vec(position + HEADER + DOCUMENT, length).map_err(place)?;
    // Some writers fill up with NUL.
    let end = document.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    document.truncate(end);
    Ok(document)
}

/// What is known of a channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ChannelFacts {
    pub name: Option<String>,
    pub color: Option<Rgb>,
    /// Display range as parts of the range of the pixel type.
    pub window: Option<(f64, f64)>,
    pub emission_nm: Option<f64>,
    pub excitation_nm: Option<f64>,
    pub fluor: Option<String>,
    /// Bits of a sample that the camera fills.
    pub bits: Option<u32>,
}

/// What is known of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Facts {
    /// In the order of the document.
    pub channels: Vec<ChannelFacts>,
    /// Names of scenes by number.
    pub scenes: BTreeMap<i32, String>,
    pub physical: Physical,
    pub acquired: Option<String>,
    pub description: Option<String>,
    pub objective: Option<Objective>,
    pub details: Details,
}

impl Facts {
    /// # Errors
    /// Those of the document as XML.
    pub fn parse(document: &[u8]) -> Result<Self> {
        let skip = |open: &[Element], name: &str| match open {
            [_, root, metadata] => root.name == "ImageDocument" && metadata.name == "Metadata" && !KEPT.contains(&name),
            [_, _, _, .., _] => matches!(name, "TimelineTracks" | "CustomAttributes" | "Processing"),
            _ => false,
        };
        let root = Element::parse_without(document, skip)?;
        let empty = Element::default();
        let metadata = root.child("Metadata").unwrap_or(&empty);
        let information = metadata.child("Information").unwrap_or(&empty);
        let image = information.child("Image").unwrap_or(&empty);
        let dimensions = image.child("Dimensions").unwrap_or(&empty);
        Ok(Facts {
            channels: channels(metadata, image),
            scenes: scenes(dimensions),
            physical: physical(metadata, dimensions),
            acquired: acquired(image),
            description: information.child("Document").and_then(|d| d.text_of("Description")).map(str::to_owned),
            objective: objective(information, image),
            details: Details::of(information, image),
        })
    }

    /// What is known of channel `c`, which is the `rank`th that is stored: documents of cropped files list the channels
    /// that are left, or all there were.
    pub fn channel(&self, c: i32, rank: usize, count: usize) -> ChannelFacts {
        let at = if self.channels.len() > count { usize::try_from(c).unwrap_or(rank) } else { rank };
        self.channels.get(at).cloned().unwrap_or_default()
    }
}

/// Acquisition first, display second: names and colours may stand in either.
fn channels(metadata: &Element, image: &Element) -> Vec<ChannelFacts> {
    let list = |e: Option<&Element>| -> Vec<Element> { e.map_or(Vec::new(), |e| e.all("Channel").cloned().collect()) };
    let acquired = list(image.path(&["Dimensions", "Channels"]));
    let shown = list(metadata.path(&["DisplaySetting", "Channels"]));
    let all_bits = bits(image);
    let count = acquired.len().max(if acquired.is_empty() { shown.len() } else { 0 });
    let none = Element::default();
    let facts = |at: usize| {
        let one = acquired.get(at).unwrap_or(&none);
        let by_id = one.attribute("Id").and_then(|id| shown.iter().find(|s| s.attribute("Id") == Some(id)));
        // Some writers give the display's channels other names; those of another channel are not ours.
        let taken =
            |s: &&Element| s.attribute("Id").is_some_and(|id| acquired.iter().any(|a| a.attribute("Id") == Some(id)));
        let display = by_id.or_else(|| shown.get(at).filter(|s| !taken(s))).unwrap_or(&none);
        let name = |e: &Element| e.attribute("Name").map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned);
        let fluor = one.text_of("Fluor").or_else(|| one.text_of("DyeName")).map(str::to_owned);
        let number = |text: &str| one.text_of(text).and_then(positive);
        ChannelFacts {
            name: name(one).or_else(|| name(display)),
            color: color(display).or_else(|| color(one)),
            window: window(display),
            emission_nm: number("EmissionWavelength"),
            excitation_nm: number("ExcitationWavelength"),
            fluor,
            bits: bits(one).or(all_bits),
        }
    };
    (0..count).map(facts).collect()
}

fn positive(text: &str) -> Option<f64> {
    text.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0)
}

fn bits(element: &Element) -> Option<u32> {
    element.text_of("ComponentBitCount").and_then(|t| t.parse().ok()).filter(|b| *b > 0)
}

/// `#AARRGGBB` or `#RRGGBB`.
fn color(element: &Element) -> Option<Rgb> {
    let digits = element.text_of("Color")?.strip_prefix('#')?;
    let rgb = match digits.len() {
        6 => digits,
        8 => digits.get(2..)?,
        _ => return None,
    };
    let [_, r, g, b] = u32::from_str_radix(rgb, 16).ok()?.to_be_bytes();
    Some(Rgb(r, g, b))
}

/// An upper bound alone begins at nothing.
fn window(display: &Element) -> Option<(f64, f64)> {
    let part = |name: &str| display.text_of(name).and_then(|t| t.parse::<f64>().ok());
    let (low, high) = (part("Low").unwrap_or(0.0), part("High")?);
    (0.0 <= low && low < high && high <= 1.0).then_some((low, high))
}

fn scenes(dimensions: &Element) -> BTreeMap<i32, String> {
    let list = dimensions.path(&["S", "Scenes"]);
    let named = |scene: &Element| {
        let name = scene.attribute("Name").map(str::trim).filter(|n| !n.is_empty())?;
        Some((scene.attribute("Index")?.trim().parse().ok()?, name.to_owned()))
    };
    list.map_or(BTreeMap::new(), |l| l.all("Scene").filter_map(named).collect())
}

/// Distances are metres; the time between frames stands with the time axis.
fn physical(metadata: &Element, dimensions: &Element) -> Physical {
    let items = metadata.path(&["Scaling", "Items"]);
    let distance = |axis: &str| {
        let item = items?.all("Distance").find(|d| d.attribute("Id") == Some(axis))?;
        item.text_of("Value").and_then(positive).and_then(micrometers).map(Quantity::micrometer)
    };
    let interval = dimensions.path(&["T", "Positions", "Interval"]);
    let t = interval.and_then(|i| i.text_of("Increment")).and_then(positive).map(Quantity::second);
    Physical { x: distance("X"), y: distance("Y"), z: distance("Z"), t }
}

/// Metres in micrometres, digit for digit: 1E-07 is 0.1, which a product is not.
fn micrometers(metres: f64) -> Option<f64> {
    let text = format!("{metres:e}");
    let (digits, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    positive(&format!("{digits}e{}", exponent + 6))
}

/// Writers that do not know give the first day of the calendar.
fn acquired(image: &Element) -> Option<String> {
    let start = || image.path(&["Dimensions", "T"]).and_then(|t| t.text_of("StartTime"));
    let known = |time: &&str| !time.starts_with("0001-");
    image.text_of("AcquisitionDateAndTime").filter(known).or_else(|| start().filter(known)).map(str::to_owned)
}

/// The lens that the image refers to, or the only one.
fn objective(information: &Element, image: &Element) -> Option<Objective> {
    let list: Vec<&Element> = information.path(&["Instrument", "Objectives"])?.all("Objective").collect();
    let wanted = image.path(&["ObjectiveSettings", "ObjectiveRef"]).and_then(|r| r.attribute("Id"));
    let by_id = wanted.and_then(|id| list.iter().find(|o| o.attribute("Id") == Some(id)));
    let lens = by_id.or_else(|| list.first().filter(|_| list.len() == 1))?;
    let model = lens.path(&["Manufacturer"]).and_then(|m| m.text_of("Model")).or_else(|| lens.attribute("Name"));
    let found = Objective {
        magnification: lens.text_of("NominalMagnification").and_then(positive),
        na: lens.text_of("LensNA").and_then(positive),
        model: model.map(str::trim).filter(|m| !m.is_empty()).map(str::to_owned),
    };
    (found != Objective::default()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r##"<ImageDocument><Metadata>
        <Experiment><Channels><Channel Name="no"/></Channels></Experiment>
        <Information>
          <Document><Description> two  cells </Description></Document>
          <Image>
            <AcquisitionDateAndTime>2023-01-06T10:42:50.6684413Z</AcquisitionDateAndTime>
            <ComponentBitCount>14</ComponentBitCount>
            <Dimensions>
              <Channels>
                <Channel Id="Channel:0" Name="AF488"><EmissionWavelength>517</EmissionWavelength>
                  <ExcitationWavelength>493</ExcitationWavelength><Fluor>Alexa 488</Fluor><Color>#FF00FF33</Color></Channel>
                <Channel Id="Channel:1"><ComponentBitCount>8</ComponentBitCount></Channel>
              </Channels>
              <T><Positions><Interval><Increment>2.5</Increment></Interval></Positions></T>
              <S><Scenes><Scene Index="1" Name="D7"/><Scene Index="0"/></Scenes></S>
            </Dimensions>
            <ObjectiveSettings><ObjectiveRef Id="Objective:2"/></ObjectiveSettings>
          </Image>
          <Instrument><Objectives><Objective Id="Objective:1"/>
            <Objective Id="Objective:2" Name="other"><LensNA>0.35</LensNA>
              <NominalMagnification>5</NominalMagnification><Manufacturer><Model>Plan 5x</Model></Manufacturer></Objective>
          </Objectives></Instrument>
        </Information>
        <Scaling><Items><Distance Id="X"><Value>1E-07</Value></Distance><Distance Id="Y"><Value>0</Value></Distance>
          <Pixel Id="Z"><Value>1</Value></Pixel></Items></Scaling>
        <DisplaySetting><Channels><Channel Id="Channel:1" Name="GFP"><Color>#0000FF</Color><High>0.25</High></Channel>
          <Channel Id="x" Name="y"/></Channels></DisplaySetting>
      </Metadata></ImageDocument>"##;

    #[test]
    fn a_document_describes_channels_scales_and_lens() {
        let facts = Facts::parse(DOCUMENT.as_bytes()).unwrap();
        let first = facts.channel(0, 0, 2);
        assert_eq!(
            (first.name.as_deref(), first.color, first.bits),
            (Some("AF488"), Some(Rgb(0, 255, 0x33)), Some(14))
        );
        assert_eq!((first.emission_nm, first.excitation_nm), (Some(517.0), Some(493.0)));
        assert_eq!(first.fluor.as_deref(), Some("Alexa 488"));
        let second = facts.channel(5, 1, 2);
        assert_eq!((second.name.as_deref(), second.color, second.bits), (Some("GFP"), Some(Rgb(0, 0, 255)), Some(8)));
        assert_eq!(second.window, Some((0.0, 0.25)));
        assert_eq!(facts.channel(1, 0, 1), second, "all channels are listed, one is left");
        assert_eq!(facts.scenes, BTreeMap::from([(1, "D7".to_owned())]));
        assert_eq!(facts.physical.x, Some(Quantity::micrometer(0.1)));
        assert_eq!((&facts.physical.y, &facts.physical.z), (&None, &None));
        assert_eq!(facts.physical.t, Some(Quantity::second(2.5)));
        assert_eq!(facts.acquired.as_deref(), Some("2023-01-06T10:42:50.6684413Z"));
        assert_eq!(facts.description.as_deref(), Some("two  cells"));
        let lens = Objective { magnification: Some(5.0), na: Some(0.35), model: Some("Plan 5x".into()) };
        assert_eq!(facts.objective, Some(lens));
    }

    #[test]
    fn names_may_stand_with_the_display_alone() {
        let document = r##"<ImageDocument><Metadata><DisplaySetting><Channels><Channel Id="Channel:0" Name="C1"/></Channels>
            </DisplaySetting></Metadata></ImageDocument>"##;
        let facts = Facts::parse(document.as_bytes()).unwrap();
        assert_eq!(facts.channel(0, 0, 1).name.as_deref(), Some("C1"));
        assert_eq!(Facts::parse(b"<other/>").unwrap(), Facts::default());
        assert!(Facts::parse(b"<ImageDocument><Metadata>").is_err());
    }
}
