//! Bruker (Prairie) Prairie View: a TIFF file for each plane, and one XML document beside them.
//!
//! `NAME_Cycle00001_Ch1_000001.tif` belongs to `NAME.xml`. A sequence is a focal series, and further sequences its time points;
//! or its frames are time points themselves. Files that carry OME-XML are read as that.

use std::collections::{BTreeMap, HashMap};

use super::frames::{About, FRAME_BYTES, Frame, Frames, Layout};
use super::{Dialect, Opening};
use crate::error::{Error, Kind, Result};
use crate::format::ImageSource;
use crate::format::details::{About as Place, BINNING, Details, Form, Key, key, lens};
use crate::format::tiff::files::safe_name;
use crate::format::xml::Element;
use crate::model::{Channel, Objective, Physical, Quantity};
use crate::sync::Arc;

/// Prairie View.
pub(super) struct Prairie;

impl Dialect for Prairie {
    fn name(&self) -> &'static str {
        "Prairie View"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        own_name(opening).and_then(dataset).is_some()
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let own = own_name(opening).unwrap_or_default();
        let document = format!("{}.xml", dataset(own).unwrap_or_default());
        let path = safe_name(&document)?;
        let file = (opening.place.open)(path).map_err(|e| {
            let e = if e.kind() == Kind::Missing { e.with_kind(Kind::Malformed) } else { e };
            e.at(document.clone())
        })?;
        if file.len() > opening.limits.index_bytes / 4 {
            return Err(Error::over_limit(format!("{document} of {} bytes", file.len())));
        }
        let bytes = file.read_vec(0, file.len())?;
        opening.watch.tick();
        let scan = Element::parse_without(&bytes, is_repeated).map_err(|e| e.at(document.clone()))?;
        drop(bytes);
        if scan.name != "PVScan" {
            return Err(Error::malformed(format!("{document} is no PVScan")));
        }
        let planes = planes(&scan);
        if !planes.iter().any(|p| p.file == own) {
            return Err(Error::malformed(format!("{document} does not name {own:.200}")));
        }
        if planes.len() as u64 * FRAME_BYTES > opening.limits.index_bytes {
            return Err(Error::over_limit(format!("{} planes", planes.len())));
        }
        let index = opening.index()?;
        let mut files = opening.files(&index);
        if planes.iter().all(|p| p.page == 0) {
            files = files.without_chains();
        }
        files.add_companion(path, file);
        let mut numbers: HashMap<&str, u32> = HashMap::from([(own, 0)]);
        let mut frames = Vec::with_capacity(planes.len());
        for plane in &planes {
            let file = match numbers.get(plane.file) {
                Some(number) => *number,
                None => {
                    let number = files.add(plane.file, opening.watch)?;
                    numbers.insert(plane.file, number);
                    number
                }
            };
            let (position, channel) = (0, plane.channel);
            frames.push(Frame { position, channel, z: plane.z, time: plane.time, file, at: plane.page });
        }
        let frames = Frames {
            layout: Layout::Number,
            frames,
            positions: BTreeMap::new(),
            about: about(&scan, &planes, dataset(own).unwrap_or_default()),
            warnings: Vec::new(),
            lost: None,
        };
        Ok(Arc::new(frames.assemble(opening, files)?))
    }
}

fn own_name<'a>(opening: &'a Opening<'_>) -> Option<&'a str> {
    opening.place.path.file_name().and_then(|n| n.to_str())
}

/// The dataset's name in that of a file: what stands before "_Cycle" and at least three digits.
fn dataset(name: &str) -> Option<&str> {
    let (dataset, rest) = name.split_once("_Cycle")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (digits >= 3 && !dataset.is_empty()).then_some(dataset)
}

/// A file's place in the scan.
#[derive(Debug, PartialEq, Eq)]
struct Plane<'a> {
    file: &'a str,
    page: u64,
    channel: i64,
    name: Option<&'a str>,
    z: i64,
    time: i64,
}

/// Every file that the scan names. Channels are those that occur, in the order of their numbers.
fn planes(scan: &Element) -> Vec<Plane<'_>> {
    let mut planes = Vec::new();
    let mut times = 0;
    for sequence in scan.all("Sequence") {
        let focal = sequence.attribute("type").is_some_and(|t| t.contains("ZSeries"));
        for (number, frame) in (0_i64..).zip(sequence.all("Frame")) {
            let (z, time) = if focal { (number, times) } else { (0, times + number) };
            for file in frame.all("File") {
                let Some(name) = file.attribute("filename") else { continue };
                let channel = file.count("channel").and_then(|c| i64::try_from(c).ok()).unwrap_or(1);
                let page = file.count("page").unwrap_or(1).saturating_sub(1);
                planes.push(Plane { file: name, page, channel, name: file.attribute("channelName"), z, time });
            }
        }
        times += if focal { 1 } else { sequence.all("Frame").count() as i64 };
    }
    let mut channels: Vec<i64> = planes.iter().map(|p| p.channel).collect();
    channels.sort_unstable();
    channels.dedup();
    for plane in &mut planes {
        plane.channel = channels.binary_search(&plane.channel).map_or(0, |at| at as i64);
    }
    planes
}

/// Settings that every frame states again: of all but the first one, its files alone count. A scan has tens of thousands.
fn is_repeated(around: &[Element], name: &str) -> bool {
    match around {
        [_, scan, sequence, frame] if frame.name == "Frame" && name != "File" => {
            scan.child("Sequence").is_some() || sequence.child("Frame").is_some()
        }
        _ => false,
    }
}

/// Settings: those of the whole scan count before those of a frame.
struct State<'a>(Vec<&'a Element>);

impl<'a> State<'a> {
    fn new(scan: &'a Element) -> Self {
        let first = scan.path(&["Sequence", "Frame"]);
        let shards = [Some(scan), scan.child("Sequence"), first].into_iter().flatten();
        State(shards.filter_map(|e| e.child("PVStateShard")).collect())
    }

    /// A value, by its key and, where it has several, their index. Versions before 5.2 join both by an underscore.
    fn value(&self, key: &str, index: Option<&str>) -> Option<&'a str> {
        let joined = index.map(|i| format!("{key}_{i}"));
        self.0.iter().flat_map(|shard| &shard.children).find_map(|entry| {
            let name = entry.attribute("key")?;
            if Some(name) == joined.as_deref() || name == key && index.is_none() {
                return entry.attribute("value");
            }
            let index = index.filter(|_| name == key)?;
            entry.all("IndexedValue").find(|v| v.attribute("index") == Some(index))?.attribute("value")
        })
    }

    fn number(&self, key: &str, index: Option<&str>) -> Option<f64> {
        self.value(key, index)?.trim().parse().ok().filter(|v: &f64| v.is_finite() && *v > 0.0)
    }
}

/// Settings without an index, for every channel.
const PLACES: &[Key] = &[
    key("opticalZoom", "Image/Pixels/Channel/DetectorSettings/@Zoom", Form::Number),
    key("camera_binFactor", "Image/Pixels/Channel/DetectorSettings/@Binning", BINNING),
];
/// What has no place.
const KEPT: &[&str] = &["activeMode", "dwellTime", "framePeriod", "bitDepth", "systemType"];

/// The microscope, and the times of planes.
fn details(scan: &Element, state: &State<'_>, planes: &[Plane<'_>]) -> Details {
    let mut details = Details::default();
    let mut channels: Vec<i64> = planes.iter().map(|p| p.channel).collect();
    channels.sort_unstable();
    channels.dedup();
    for channel in channels.into_iter().filter_map(|c| usize::try_from(c).ok()) {
        let about = Place { image: 0, channel: Some(channel) };
        details.apply(PLACES, about, |name| state.value(name, None));
        let index = channel.to_string();
        for (name, place, form) in [
            ("pmtGain", "Image/Pixels/Channel/DetectorSettings/@Gain", Form::Number),
            ("laserWavelength", "Instrument/Laser/@Wavelength", Form::In("nm")),
        ] {
            // One laser serves all channels; gains are counted as channels are.
            let index = if name == "laserWavelength" { "0" } else { &index };
            if let Some(value) = state.value(name, Some(index)) {
                details.put(place, form, about, value);
            }
        }
    }
    if let Some(name) = state.value("objectiveLens", None) {
        lens(&mut details, Place::default(), name);
    }
    let mut times = 0;
    for sequence in scan.all("Sequence") {
        let focal = sequence.attribute("type").is_some_and(|t| t.contains("ZSeries"));
        for (number, frame) in (0u64..).zip(sequence.all("Frame")) {
            let (z, t) = if focal { (number, times) } else { (0, times + number) };
            details.plane(0, (z, 0, t), &[("DeltaT", frame.number("relativeTime").filter(|s| *s >= 0.0), "s")]);
        }
        times += if focal { 1 } else { sequence.all("Frame").count() as u64 };
    }
    for name in KEPT {
        if let Some(value) = state.value(name, None) {
            details.keep("prairie", 0, name, value);
        }
    }
    if let Some(version) = scan.attribute("version") {
        details.keep("prairie", 0, "Prairie View version", version);
    }
    details
}

fn about(scan: &Element, planes: &[Plane<'_>], name: &str) -> About {
    let state = State::new(scan);
    let length = |axis| state.number("micronsPerPixel", Some(axis)).map(Quantity::micrometer);
    // Frames carry their time; a scan of one sequence is as regular as its first two.
    let times: Vec<f64> = scan
        .child("Sequence")
        .filter(|s| !s.attribute("type").is_some_and(|t| t.contains("ZSeries")))
        .map(|s| s.all("Frame").filter_map(|f| f.number("relativeTime")).collect())
        .unwrap_or_default();
    let period = match times[..] {
        [first, .., last] => Some((last - first) / (times.len() as f64 - 1.0)),
        _ => None,
    };
    let objective = Objective {
        magnification: state.number("objectiveLensMag", None),
        na: state.number("objectiveLensNA", None),
        model: state.value("objectiveLens", None).map(str::to_owned).filter(|m| !m.is_empty()),
    };
    let mut channels: Vec<Channel> = Vec::new();
    for plane in planes {
        let at = usize::try_from(plane.channel).unwrap_or(0);
        if at < 1024 {
            channels.resize(channels.len().max(at + 1), Channel::default());
            channels[at].name = channels[at].name.take().or_else(|| plane.name.map(str::to_owned));
        }
    }
    About {
        name: name.to_owned(),
        acquired: scan.attribute("date").and_then(date),
        details: details(scan, &state, planes),
        description: scan.attribute("notes").map(str::to_owned).filter(|n| !n.is_empty()),
        physical: Physical {
            x: length("XAxis"),
            y: length("YAxis"),
            z: length("ZAxis"),
            t: period.and_then(|p| Quantity::checked(p, Quantity::second(1.0).unit)),
        },
        objective: (objective != Objective::default()).then_some(objective),
        channels,
    }
}

/// "2/1/2017 12:28:13 PM", month first, as ISO 8601.
fn date(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let numbers = |text: &str, mark: char| -> Option<[u32; 3]> {
        text.split(mark).map(|n| n.parse().ok()).collect::<Option<Vec<u32>>>()?.try_into().ok()
    };
    let [month, day, year] = numbers(words.next()?, '/')?;
    let [hour, minute, second] = numbers(words.next()?, ':')?;
    let hour = match words.next() {
        Some("PM") => hour % 12 + 12,
        Some("AM") => hour % 12,
        _ => hour,
    };
    let plausible = (1..=12).contains(&month) && (1..=31).contains(&day) && (1900..3000).contains(&year);
    (plausible && hour < 24 && minute < 60 && second < 60)
        .then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCAN: &[u8] = br#"<?xml version="1.0" encoding="utf-8"?>
        <PVScan version="5.3" date="2/1/2017 12:28:13 PM" notes="">
          <PVStateShard>
            <PVStateValue key="micronsPerPixel"><IndexedValue index="XAxis" value="0.5"/>
              <IndexedValue index="ZAxis" value="2"/></PVStateValue>
            <PVStateValue key="objectiveLensMag" value="20"/>
          </PVStateShard>
          <Sequence type="TSeries ZSeries Element" cycle="1">
            <Frame index="1"><File channel="2" channelName="Green" page="1" filename="a_1.tif"/>
              <File channel="4" channelName="Red" filename="b_1.tif"/></Frame>
            <Frame index="2"><File channel="2" channelName="Green" page="2" filename="a_1.tif"/></Frame>
          </Sequence>
          <Sequence type="TSeries ZSeries Element" cycle="2">
            <Frame index="1"><File channel="2" filename="a_2.tif"/></Frame>
          </Sequence>
        </PVScan>"#;

    #[test]
    fn files_have_their_places() {
        let scan = Element::parse(SCAN).unwrap();
        let planes = planes(&scan);
        let places: Vec<_> = planes.iter().map(|p| (p.file, p.page, p.channel, p.z, p.time)).collect();
        let want = [("a_1.tif", 0, 0, 0, 0), ("b_1.tif", 0, 1, 0, 0), ("a_1.tif", 1, 0, 1, 0), ("a_2.tif", 0, 0, 0, 1)];
        assert_eq!(places, want);
        let about = about(&scan, &planes, "a");
        assert_eq!(about.physical.x, Some(Quantity::micrometer(0.5)));
        assert_eq!((about.physical.y, about.physical.z), (None, Some(Quantity::micrometer(2.0))));
        assert_eq!(about.objective.and_then(|o| o.magnification), Some(20.0));
        assert_eq!(about.acquired.as_deref(), Some("2017-02-01T12:28:13"));
        let names: Vec<_> = about.channels.iter().map(|c| c.name.as_deref()).collect();
        assert_eq!(names, [Some("Green"), Some("Red")]);
    }

    #[test]
    fn settings_of_later_frames_are_passed_over() {
        let state = |v: u32| {
            format!(
                "<PVStateShard><Key key='objectiveLensMag' value='{v}'/><Key key='micronsPerPixel_XAxis' value='{v}'/></PVStateShard>"
            )
        };
        let frame = |n: u32| format!("<Frame><File channel='1' filename='{n}.tif'/>{}</Frame>", state(n + 1));
        let frames: String = (0..3).map(frame).collect();
        let xml =
            format!("<PVScan><Sequence type='TSeries'>{frames}</Sequence><Sequence>{}</Sequence></PVScan>", frame(3));
        let scan = Element::parse_without(xml.as_bytes(), is_repeated).unwrap();
        let planes = planes(&scan);
        assert_eq!(planes.iter().map(|p| p.time).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let about = about(&scan, &planes, "a");
        assert_eq!(about.physical.x, Some(Quantity::micrometer(1.0)));
        assert_eq!(scan.descendants().iter().filter(|e| e.name == "Key").count(), 2);
    }

    #[test]
    fn names_of_files_tell_the_document() {
        assert_eq!(dataset("ZSeries-01_Cycle00001_Ch1_000001.tif"), Some("ZSeries-01"));
        assert_eq!(dataset("Cell_Cycle.tif"), None);
        assert_eq!(dataset("_Cycle001.tif"), None);
    }
}
