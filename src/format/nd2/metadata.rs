//! What the metadata of the first frame say of all: channels, calibration, objective, time.

use super::experiment::{Kind, Loop};
use super::variant::Node;
use crate::format::dates;
use crate::format::strided::Stage;
use crate::model::{Channel, Objective, Quantity, Rgb, Series};

/// A picture plane: what users call a channel.
#[derive(Debug, Clone, Default, PartialEq)]
struct Plane {
    channel: Channel,
    /// Samples of a pixel that belong to it: three of a colour camera.
    components: usize,
    /// Seconds.
    exposure: Option<f64>,
}

/// The metadata of a frame.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    planes: Vec<Plane>,
    /// Micrometres of a pixel.
    calibration: Option<f64>,
    objective: Option<Objective>,
    acquired: Option<String>,
    stage: Stage,
}

/// Channels of a colour camera lie in this order.
const COLORS: [(&str, Rgb); 3] = [("B", Rgb(0, 0, 255)), ("G", Rgb(0, 255, 0)), ("R", Rgb(255, 0, 0))];

impl Picture {
    /// Reads a tree (`ImageMetadataSeq`, `VIMD`).
    pub fn read(tree: &Node) -> Self {
        let Some(node) = tree.holding("PicturePlanes") else { return Picture::default() };
        let planes = node.get("PicturePlanes").and_then(|p| {
            ["PlaneNew", "Plane"].iter().find_map(|name| p.get(name).filter(|list| !list.children().is_empty()))
        });
        let positive = |name: &str| node.number(name).filter(|v| *v > 0.0);
        let model = node.text("ObjectiveName").map(str::to_owned);
        let objective = Objective { magnification: positive("ObjectiveMag"), na: positive("ObjectiveNA"), model };
        let settings =
            node.get("PicturePlanes").and_then(|p| p.get("SampleSetting")).map(Node::items).unwrap_or_default();
        let exposure = |plane: &Node| {
            let index = plane.count("SampleIndex").and_then(|i| usize::try_from(i).ok()).unwrap_or(0);
            settings.get(index)?.number("ExposureTime").filter(|ms| *ms > 0.0).map(|ms| ms / 1000.0)
        };
        let read = |node: &Node| Plane { exposure: exposure(node), ..plane(node) };
        Picture {
            planes: planes.map(|list| list.items().into_iter().map(read).collect()).unwrap_or_default(),
            calibration: positive("Calibration"),
            objective: Some(objective).filter(|o| *o != Objective::default()),
            acquired: node.number("TimeAbsolute").and_then(dates::from_julian_days),
            // Zeros stand for a stage without an encoder.
            stage: Stage {
                name: String::new(),
                position: ["XPos", "YPos", "ZPos"].map(|name| node.number(name).filter(|v| *v != 0.0)),
            },
        }
    }

    /// Planes, and with them the frames of old files that store each by itself.
    pub fn planes(&self) -> usize {
        self.planes.len()
    }

    /// Components of all planes.
    pub fn components(&self) -> usize {
        self.planes.iter().map(|p| p.components).sum()
    }

    /// Describes a series; `extra` names what a channel is repeated for.
    pub fn describe(&self, series: &mut Series, components: usize, extra: &[String]) {
        let channels = self.channels(components);
        series.channels = match extra {
            [] => channels,
            names => names.iter().flat_map(|name| channels.iter().map(|c| joined(c, name))).collect(),
        };
        // An axis that is not calibrated counts one micrometre, as in the format's own software.
        let side = Some(Quantity::micrometer(self.calibration.unwrap_or(1.0)));
        series.physical.x.clone_from(&side);
        series.physical.y = side;
        series.objective.clone_from(&self.objective);
        series.acquired.clone_from(&self.acquired);
    }

    /// Seconds of exposure of each component.
    pub fn exposures(&self, components: usize) -> Vec<Option<f64>> {
        let fits = self.components() == components;
        let of_plane = |p: &Plane| std::iter::repeat_n(p.exposure, p.components);
        if fits { self.planes.iter().flat_map(of_plane).collect() } else { vec![None; components] }
    }

    /// Where the stage was for each of `count` positions.
    pub fn stages(&self, loops: &[Loop], count: u64) -> Vec<Stage> {
        let known = loops.iter().find(|l| l.kind == Kind::Position).map(|l| l.stages.as_slice()).unwrap_or_default();
        let stage = |i: u64| match usize::try_from(i).ok().and_then(|i| known.get(i)) {
            Some(stage) => stage.clone(),
            None if count == 1 => self.stage.clone(),
            None => Stage::default(),
        };
        (0..count).map(stage).collect()
    }

    /// One for each component.
    fn channels(&self, components: usize) -> Vec<Channel> {
        if self.components() != components {
            let alone = |i: usize| self.planes.get(i).map(|p| p.channel.clone()).unwrap_or_default();
            let fits = self.planes.len() == components;
            return (0..components).map(|i| if fits { alone(i) } else { Channel::default() }).collect();
        }
        self.planes.iter().flat_map(spread).collect()
    }
}

/// The channels of a plane.
fn spread(plane: &Plane) -> Vec<Channel> {
    if plane.components == 1 {
        return vec![plane.channel.clone()];
    }
    let of_component = |i: usize| {
        let known = COLORS.get(i).filter(|_| plane.components == COLORS.len());
        let letter = known.map_or_else(|| i.to_string(), |(letter, _)| (*letter).to_owned());
        let channel =
            Channel { color: known.map(|(_, color)| *color).or(plane.channel.color), ..plane.channel.clone() };
        joined(&channel, &letter)
    };
    (0..plane.components).map(of_component).collect()
}

fn joined(channel: &Channel, name: &str) -> Channel {
    let name = channel.name.as_ref().map_or_else(|| name.to_owned(), |n| format!("{n} {name}"));
    Channel { name: Some(name), ..channel.clone() }
}

fn plane(node: &Node) -> Plane {
    let components = node.count("CompCount").and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=4096).contains(n));
    let components = components.unwrap_or(1);
    let probe = node.get("FluorescentProbe");
    let filter = node.get("FilterPath").and_then(|f| f.get("Filter")).and_then(|f| f.items().first().copied());
    let wavelength = |spectrum: &str| [probe, filter].into_iter().flatten().find_map(|n| peak(n.get(spectrum)?));
    // Red in the lowest byte.
    let color = node.count("Color").map(|c| Rgb((c & 255) as u8, (c >> 8 & 255) as u8, (c >> 16 & 255) as u8));
    let gray = components == 1;
    let channel = Channel {
        name: node.text("Description").or_else(|| node.text("OpticalConfigName")).map(str::to_owned),
        color,
        window: None,
        emission_nm: wavelength("EmissionSpectrum").filter(|_| gray),
        excitation_nm: wavelength("ExcitationSpectrum").filter(|_| gray),
        fluor: probe.and_then(|p| p.text("Name")).map(str::to_owned),
    };
    Plane { channel, components, exposure: None }
}

/// The wavelength of the highest point of a spectrum.
fn peak(spectrum: &Node) -> Option<f64> {
    let points = spectrum.get("Point")?.items();
    let value = |p: &Node| p.number("TValue").unwrap_or(0.0);
    let highest = points.into_iter().reduce(|a, b| if value(b) > value(a) { b } else { a })?;
    highest.number("Wavelength").filter(|nm| *nm > 0.0)
}

/// The user's description, and what the acquisition was, in the words of the software (`ImageTextInfo`).
pub(super) fn description(tree: &Node) -> Option<String> {
    let node = tree.holding("TextInfoItem_5").or_else(|| tree.holding("TextInfoItem_0"))?;
    node.text("TextInfoItem_5").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::variant::tests::{f64, level, text, u32};
    use super::*;
    use crate::codec::raster::Number;
    use crate::format::Limits;
    use crate::format::strided::Layout;

    fn spectrum(name: &str, points: &[(f64, f64)]) -> Vec<u8> {
        let point = |(nm, value): &(f64, f64)| level("", &[f64("dWavelength", *nm), f64("dTValue", *value)]);
        level(name, &[level("pPoint", &points.iter().map(point).collect::<Vec<_>>())])
    }

    fn tree(planes: &[Vec<u8>]) -> Node {
        Node::parse(&level(
            "SLxPictureMetadata",
            &[
                f64("dTimeAbsolute", 2_440_588.0),
                level("sPicturePlanes", &[level("sPlaneNew", planes)]),
                f64("dCalibration", 0.25),
                f64("dObjectiveMag", 60.0),
                f64("dObjectiveNA", -1.0),
            ],
        ))
        .unwrap()
    }

    #[test]
    fn planes_become_channels() {
        let probe = level(
            "pFluorescentProbe",
            &[text("m_sName", "Alexa"), spectrum("m_EmissionSpectrum", &[(500.0, 0.1), (519.0, 0.9)])],
        );
        let gray =
            level("a0", &[u32("uiCompCount", 1), text("sDescription", "GFP"), u32("uiColor", 0x0000_ff00), probe]);
        let color = level("a1", &[u32("uiCompCount", 3), text("sDescription", "Bright")]);
        let picture = Picture::read(&tree(&[gray, color]));
        let layout = Layout::chunky(4, 4, 4, 8, Number::Unsigned);
        let mut series = layout.series((1, 1, 1), &Limits::default());
        picture.describe(&mut series, 4, &[]);
        let names: Vec<_> = series.channels.iter().map(|c| c.name.clone().unwrap()).collect();
        assert_eq!(names, ["GFP", "Bright B", "Bright G", "Bright R"]);
        assert_eq!(series.channels[0].color, Some(Rgb(0, 255, 0)));
        assert_eq!(series.channels[3].color, Some(Rgb(255, 0, 0)));
        assert_eq!((series.channels[0].emission_nm, series.channels[0].fluor.as_deref()), (Some(519.0), Some("Alexa")));
        assert_eq!(series.physical.y, Some(Quantity::micrometer(0.25)));
        assert_eq!(series.acquired.as_deref(), Some("1970-01-01T12:00:00"));
        assert_eq!(series.objective, Some(Objective { magnification: Some(60.0), na: None, model: None }));
        picture.describe(&mut series, 4, &["1".into(), "2".into()]);
        assert_eq!((series.channels.len(), series.channels[4].name.as_deref()), (8, Some("GFP 2")));
    }

    #[test]
    fn channels_are_there_whatever_the_metadata_say() {
        let picture = Picture::read(&tree(&[]));
        assert_eq!(picture.channels(2), vec![Channel::default(); 2]);
        assert_eq!(Picture::default().channels(1).len(), 1);
    }
}
