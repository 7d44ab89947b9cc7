//! What the metadata say beyond the series, as OME names it: the instrument, settings of channels, where the stage was.

use std::collections::BTreeMap;

use super::scenes::Plan;
use crate::format::xml;
use crate::model::{Element, Origin};

/// As far as a document says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Details {
    instrument: Option<Element>,
    /// References of an image to parts of the instrument.
    references: Vec<Element>,
    /// By the order of the document: the channel, and seconds of exposure.
    channels: Vec<(Element, Option<f64>)>,
    /// Names and micrometres of scenes by number.
    stages: BTreeMap<i32, Element>,
}

/// More planes are not described one by one.
const MAX_PLANES: u64 = 1 << 12;

impl Details {
    /// From the elements `Information` and its `Image`.
    pub fn of(information: &xml::Element, image: &xml::Element) -> Self {
        let empty = xml::Element::default();
        let dimensions = image.child("Dimensions").unwrap_or(&empty);
        let instrument = information.child("Instrument").map(instrument).filter(|i| !i.children.is_empty());
        let references = if instrument.is_some() { references(image) } else { Vec::new() };
        let channels = dimensions.child("Channels").map_or(Vec::new(), |c| c.all("Channel").map(channel).collect());
        let scenes = dimensions.path(&["S", "Scenes"]);
        let stages = scenes.map_or(BTreeMap::new(), |s| s.all("Scene").filter_map(stage).collect());
        Details { instrument, references, channels, stages }
    }

    /// `OME` with an `Image` for each plan, in this order; `stored` are the numbers of all channels in the file.
    pub fn tree(&self, plans: &[&Plan], stored: &[i32]) -> Option<Element> {
        if *self == Details::default() {
            return None;
        }
        let mut ome = Element::new("OME");
        if let Some(instrument) = &self.instrument {
            ome.children.push(instrument.clone());
        }
        for (number, plan) in plans.iter().enumerate() {
            let mut image = Element::new("Image");
            put(&mut image, "ID", Some(&format!("Image:{number}")));
            image.children.extend(self.references.iter().cloned());
            // Without numbers there is one scene.
            image.children.extend(self.stages.get(&plan.scene.unwrap_or(0)).cloned());
            image.children.push(self.pixels(number, plan, stored));
            ome.children.push(image);
        }
        Some(ome)
    }

    fn pixels(&self, number: usize, plan: &Plan, stored: &[i32]) -> Element {
        let mut pixels = Element::new("Pixels");
        put(&mut pixels, "ID", Some(&format!("Pixels:{number}")));
        let mut exposures = Vec::new();
        for (group, at) in plan.channels.iter().enumerate() {
            let rank = stored.iter().position(|c| *c == at.c).unwrap_or(0);
            let listed = if self.channels.len() > stored.len() { usize::try_from(at.c).unwrap_or(rank) } else { rank };
            let said = self.channels.get(listed);
            let mut channel = said.map_or_else(|| Element::new("Channel"), |(channel, _)| channel.clone());
            put(&mut channel, "ID", Some(&format!("Channel:{number}:{group}")));
            put(&mut channel, "SamplesPerPixel", Some(&plan.pixel.samples.to_string()));
            pixels.children.push(channel);
            exposures.extend(said.and_then(|(_, seconds)| *seconds).map(|seconds| (group, seconds)));
        }
        let Some(shape) = plan.levels.first().map(|l| l.shape.shape) else { return pixels };
        if shape.t.saturating_mul(shape.z).saturating_mul(plan.channels.len() as u64) > MAX_PLANES {
            return pixels;
        }
        for (group, seconds) in exposures {
            for (t, z) in (0..shape.t).flat_map(|t| (0..shape.z).map(move |z| (t, z))) {
                let mut plane = Element::new("Plane");
                put(&mut plane, "TheZ", Some(&z.to_string()));
                put(&mut plane, "TheT", Some(&t.to_string()));
                put(&mut plane, "TheC", Some(&group.to_string()));
                put(&mut plane, "ExposureTime", Some(&seconds.to_string()));
                put(&mut plane, "ExposureTimeUnit", Some("s"));
                pixels.children.push(plane);
            }
        }
        pixels
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        let channels = self.channels.iter().map(|(c, _)| c);
        let all = self.instrument.iter().chain(&self.references).chain(channels).chain(self.stages.values());
        all.map(Element::heap_bytes).sum()
    }
}

/// Sets what is said and not empty.
fn put(element: &mut Element, name: &'static str, text: Option<&str>) {
    if let Some(text) = text.map(str::trim).filter(|t| !t.is_empty()) {
        element.set(name, text, Origin::Vendor);
    }
}

fn model(element: &xml::Element) -> Option<&str> {
    let maker = element.child("Manufacturer");
    maker.and_then(|m| m.text_of("Model")).or_else(|| element.text_of("System")).or_else(|| element.attribute("Name"))
}

fn instrument(said: &xml::Element) -> Element {
    let mut instrument = Element::new("Instrument");
    put(&mut instrument, "ID", Some("Instrument:0"));
    let list = |group: &str| said.child(group).map_or(&[][..], |g| &g.children[..]);
    if let Some(said) = list("Microscopes").first() {
        let mut microscope = Element::new("Microscope");
        put(&mut microscope, "Model", model(said));
        put(&mut microscope, "Type", said.text_of("Type"));
        instrument.children.push(microscope);
    }
    for said in list("Detectors").iter().filter(|d| d.name == "Detector") {
        let mut detector = Element::new("Detector");
        put(&mut detector, "ID", said.attribute("Id"));
        put(&mut detector, "Model", model(said));
        put(&mut detector, "Type", said.text_of("Type"));
        instrument.children.push(detector);
    }
    for said in list("Objectives").iter().filter(|o| o.name == "Objective") {
        let mut lens = Element::new("Objective");
        put(&mut lens, "ID", said.attribute("Id"));
        put(&mut lens, "Model", model(said));
        for name in ["NominalMagnification", "LensNA", "Immersion", "WorkingDistance"] {
            put(&mut lens, name, said.text_of(name));
        }
        if lens.get("WorkingDistance").is_some() {
            put(&mut lens, "WorkingDistanceUnit", Some("µm"));
        }
        instrument.children.push(lens);
    }
    instrument
}

fn references(image: &xml::Element) -> Vec<Element> {
    let mut instrument = Element::new("InstrumentRef");
    put(&mut instrument, "ID", Some("Instrument:0"));
    let mut all = vec![instrument];
    if let Some(said) = image.child("ObjectiveSettings")
        && let Some(id) = said.child("ObjectiveRef").and_then(|r| r.attribute("Id"))
    {
        let mut settings = Element::new("ObjectiveSettings");
        put(&mut settings, "ID", Some(id));
        put(&mut settings, "Medium", said.text_of("Medium"));
        put(&mut settings, "RefractiveIndex", said.text_of("RefractiveIndex"));
        all.push(settings);
    }
    all
}

/// A channel's settings, and its exposure, which the document counts in nanoseconds.
fn channel(said: &xml::Element) -> (Element, Option<f64>) {
    let mut channel = Element::new("Channel");
    for name in ["AcquisitionMode", "ContrastMethod", "IlluminationType"] {
        put(&mut channel, name, said.text_of(name));
    }
    if let Some(said) = said.child("DetectorSettings")
        && let Some(id) = said.child("Detector").and_then(|d| d.attribute("Id"))
    {
        let mut settings = Element::new("DetectorSettings");
        put(&mut settings, "ID", Some(id));
        put(&mut settings, "Binning", said.text_of("Binning").map(|b| b.replace(',', "x")).as_deref());
        put(&mut settings, "Gain", said.text_of("Gain"));
        channel.children.push(settings);
    }
    let exposure = said.text_of("ExposureTime").and_then(|t| t.parse::<f64>().ok());
    (channel, exposure.filter(|ns| ns.is_finite() && *ns > 0.0).map(|ns| ns * 1e-9))
}

/// The middle of a scene, or its only position.
fn stage(said: &xml::Element) -> Option<(i32, Element)> {
    let index: i32 = said.attribute("Index")?.trim().parse().ok()?;
    let mut label = Element::new("StageLabel");
    let number = (i64::from(index) + 1).to_string();
    put(&mut label, "Name", said.attribute("Name").filter(|n| !n.trim().is_empty()).or(Some(&number)));
    let only = said.child("Positions").filter(|p| p.all("Position").count() == 1).and_then(|p| p.child("Position"));
    let [x, y, z] = match (said.text_of("CenterPosition").and_then(|t| t.split_once(',')), only) {
        (Some((x, y)), _) => [Some(x), Some(y), None],
        (None, Some(position)) => ["X", "Y", "Z"].map(|axis| position.attribute(axis)),
        (None, None) => [None; 3],
    };
    for (axis, unit, value) in [("X", "XUnit", x), ("Y", "YUnit", y), ("Z", "ZUnit", z)] {
        if let Some(value) = value.map(str::trim).filter(|v| v.parse().is_ok_and(f64::is_finite)) {
            put(&mut label, axis, Some(value));
            put(&mut label, unit, Some("µm"));
        }
    }
    Some((index, label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::czi::pixels::PixelType;
    use crate::format::czi::scenes::ChannelAt;

    #[test]
    fn a_document_becomes_ome() {
        let document = r#"<Information><Image><Dimensions>
            <Channels><Channel Id="Channel:0"><AcquisitionMode>WideField</AcquisitionMode><ExposureTime>75000000</ExposureTime>
              <DetectorSettings><Binning>4,4</Binning><Detector Id="Detector:Cam"/></DetectorSettings></Channel></Channels>
            <S><Scenes><Scene Index="1" Name="D7"><CenterPosition>58500,-35.5</CenterPosition></Scene></Scenes></S>
          </Dimensions><ObjectiveSettings><Medium>Air</Medium><ObjectiveRef Id="Objective:1"/></ObjectiveSettings></Image>
          <Instrument><Microscopes><Microscope Id="Microscope:1" Name="Axio"><Type>Inverted</Type></Microscope></Microscopes>
            <Detectors><Detector Id="Detector:Cam"><Manufacturer><Model>HD</Model></Manufacturer></Detector></Detectors>
            <Objectives><Objective Id="Objective:1" Name="10x"><LensNA>0.45</LensNA><WorkingDistance>2100</WorkingDistance>
            </Objective></Objectives></Instrument></Information>"#;
        let root = xml::Element::parse(document.as_bytes()).unwrap();
        let details = Details::of(&root, root.child("Image").unwrap());
        let channels = vec![ChannelAt { c: 0, extra: [0; 5] }];
        let plan = |scene| Plan::new(Some(scene), PixelType::new(1).unwrap(), channels.clone());
        let (first, second) = (plan(0), plan(1));
        let ome = details.tree(&[&first, &second], &[0]).unwrap();
        let instrument = ome.child("Instrument").unwrap();
        assert_eq!(instrument.child("Microscope").and_then(|m| m.get("Type")), Some("Inverted"));
        let lens = instrument.child("Objective").unwrap();
        assert_eq!(
            (lens.get("Model"), lens.get("LensNA"), lens.get("WorkingDistanceUnit")),
            (Some("10x"), Some("0.45"), Some("µm"))
        );
        assert_eq!(instrument.child("Detector").and_then(|d| d.get("Model")), Some("HD"));
        let images: Vec<&Element> = ome.all("Image").collect();
        assert!(images.len() == 2 && images[0].child("StageLabel").is_none());
        let stage = images[1].child("StageLabel").unwrap();
        assert_eq!(
            (stage.get("Name"), stage.get("X"), stage.get("Y"), stage.get("Z")),
            (Some("D7"), Some("58500"), Some("-35.5"), None)
        );
        assert_eq!(images[1].child("ObjectiveSettings").and_then(|s| s.get("Medium")), Some("Air"));
        let channel = images[0].child("Pixels").and_then(|p| p.child("Channel")).unwrap();
        assert_eq!((channel.get("AcquisitionMode"), channel.get("SamplesPerPixel")), (Some("WideField"), Some("1")));
        assert_eq!(channel.child("DetectorSettings").and_then(|s| s.get("Binning")), Some("4x4"));
        assert_eq!(Details::default().tree(&[&first], &[0]), None);
    }
}
