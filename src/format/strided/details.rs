//! What is known of images beyond their series, as OME names it: where the stage was, and when planes were taken.

use crate::model::{Element, Origin};

/// Where the stage was: a name if it has one, micrometres along x, y, z.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stage {
    /// "A1", or an empty string.
    pub name: String,
    /// As far as they are known.
    pub position: [Option<f64>; 3],
}

/// When a plane was taken, in seconds since the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Taken {
    /// Series.
    pub series: u32,
    /// Time point.
    pub t: u32,
    /// Focal plane.
    pub z: u32,
    /// Seconds.
    pub seconds: f64,
}

/// Of a dataset; turned into elements when somebody asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Details {
    /// For each series.
    pub stages: Vec<Stage>,
    /// For each frame, all channels of which were taken at once.
    pub taken: Vec<Taken>,
    /// Seconds of exposure of each channel.
    pub exposures: Vec<Option<f64>>,
    /// What else is known: `OME` with images in the order of the series.
    pub known: Option<Element>,
}

/// Most planes that are described.
const MAX_PLANES: usize = 1 << 14;

impl Stage {
    fn is_known(&self) -> bool {
        !self.name.is_empty() || self.position.iter().any(Option::is_some)
    }

    fn element(&self, number: usize) -> Element {
        let mut label = Element::new("StageLabel");
        let name = if self.name.is_empty() { (number + 1).to_string() } else { self.name.clone() };
        label.set("Name", name, Origin::Vendor);
        for (axis, value) in ["X", "Y", "Z"].into_iter().zip(self.position) {
            if let Some(value) = value.filter(|v| v.is_finite()) {
                label.set(axis, value.to_string(), Origin::Vendor);
                label.set(format!("{axis}Unit"), "µm", Origin::Vendor);
            }
        }
        label
    }
}

impl Details {
    /// `OME` with an `Image` for each series; `None` if nothing is known.
    pub fn element(&self, series: usize) -> Option<Element> {
        let channels = self.exposures.len().max(1);
        let taken = if self.taken.len().saturating_mul(channels) > MAX_PLANES { &[] } else { self.taken.as_slice() };
        if taken.is_empty() && !self.stages.iter().any(Stage::is_known) {
            return self.known.clone();
        }
        let mut root = self.known.clone().unwrap_or_else(|| Element::new("OME"));
        let (known, others) = std::mem::take(&mut root.children).into_iter().partition(|c| c.name == "Image");
        let mut known = Vec::into_iter(known);
        for number in 0..series {
            let mut image = known.next().unwrap_or_else(|| Element::new("Image"));
            image.set("ID", format!("Image:{number}"), Origin::Vendor);
            if let Some(stage) = self.stages.get(number).filter(|s| s.is_known()) {
                image.children.push(stage.element(number));
            }
            root.children.push(image);
        }
        for plane in taken {
            if let Some(image) = root.children.get_mut(plane.series as usize) {
                let pixels = image.child_mut("Pixels");
                pixels.children.extend((0..channels).map(|c| self.plane(plane, c)));
            }
        }
        let others: Vec<Element> = others;
        root.children.extend(others);
        Some(root)
    }

    fn plane(&self, taken: &Taken, c: usize) -> Element {
        let mut plane = Element::new("Plane");
        let numbers = [("TheZ", u64::from(taken.z)), ("TheC", c as u64), ("TheT", u64::from(taken.t))];
        numbers.into_iter().for_each(|(name, n)| plane.set(name, n.to_string(), Origin::Vendor));
        let mut time = |name: &'static str, unit: &'static str, seconds: f64| {
            plane.set(name, seconds.to_string(), Origin::Vendor);
            plane.set(unit, "s", Origin::Vendor);
        };
        time("DeltaT", "DeltaTUnit", taken.seconds);
        if let Some(seconds) = self.exposures.get(c).copied().flatten() {
            time("ExposureTime", "ExposureTimeUnit", seconds);
        }
        plane
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        let stages: usize = self.stages.iter().map(|s| size_of::<Stage>() + s.name.len()).sum();
        let own = (stages + self.taken.capacity() * size_of::<Taken>() + self.exposures.len() * 16) as u64;
        own + self.known.as_ref().map_or(0, Element::heap_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_and_times_are_told_of_their_images() {
        assert_eq!(Details { stages: vec![Stage::default()], ..Details::default() }.element(1), None);
        let known = Stage { name: String::new(), position: [Some(1.5), None, Some(-2.0)] };
        let details = Details {
            stages: vec![Stage::default(), known],
            taken: vec![Taken { series: 1, t: 2, z: 3, seconds: 0.5 }],
            exposures: vec![None, Some(0.1)],
            known: None,
        };
        let root = details.element(2).unwrap();
        assert_eq!((root.children.len(), root.children[0].children.len()), (2, 0));
        let label = root.children[1].child("StageLabel").unwrap();
        assert_eq!((label.get("Name"), label.get("X"), label.get("Y")), (Some("2"), Some("1.5"), None));
        assert_eq!(label.get("ZUnit"), Some("µm"));
        let planes: Vec<_> = root.children[1].child("Pixels").unwrap().all("Plane").collect();
        let about = |i: usize| ["TheZ", "TheC", "TheT", "DeltaT", "ExposureTime"].map(|name| planes[i].get(name));
        assert_eq!(about(0), [Some("3"), Some("0"), Some("2"), Some("0.5"), None]);
        assert_eq!(about(1), [Some("3"), Some("1"), Some("2"), Some("0.5"), Some("0.1")]);
    }
}
