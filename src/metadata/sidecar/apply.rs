//! What sidecars say, put into the tree of a dataset.
//!
//! What people know (names, descriptions) goes before what the file says. What an instrument measures fills gaps, and replaces
//! a value of the file only where the sidecar says `override` (tiered-metadata, section 2).

use serde_json::{Map, Value as Json};

use super::{Facts, Found, Sidecars};
use crate::metadata::{Mounted, Record};
use crate::model::{Element, Origin, Value};

/// Puts what the record's sidecars say of its images into their elements.
pub fn apply(record: &mut Record) {
    if record.sidecars.files.is_empty() {
        return;
    }
    let Record { ome, images, sidecars, warnings, .. } = record;
    let alone = images.len() == 1;
    let elements = ome.children.iter_mut().filter(|c| c.name == "Image");
    for (image, mounted) in elements.zip(images.iter()) {
        let facts = sidecars.series(mounted.series);
        let about = About { sidecars, facts: &facts, mounted, alone };
        about.words(image);
        about.date(image, warnings);
        if let Some(pixels) = image.children.iter_mut().find(|c| c.name == "Pixels") {
            about.calibration(pixels);
            about.channels(pixels, warnings);
        }
    }
}

/// The sidecars' words on one image.
struct About<'a> {
    sidecars: &'a Sidecars,
    facts: &'a Facts,
    mounted: &'a Mounted,
    /// Whether it is the only one.
    alone: bool,
}

impl About<'_> {
    /// Whether a value speaks of this very image, and not of everything in a folder or of all images of a file.
    fn own(&self, key: &str, origin: &Origin) -> bool {
        let series = self.mounted.series.to_string();
        let by_number = self.sidecars.dataset.get(&["images", &series, key]).is_some();
        by_number || (self.alone && is_of_one_file(origin))
    }

    /// Name and description. What a folder says of all that lies in it names no image, and describes only what has no
    /// description.
    fn words(&self, image: &mut Element) {
        if let Some((text, origin)) = said(self.facts, &["name"])
            && self.own("name", origin)
        {
            image.set("Name", text, origin.clone());
        }
        if let Some((text, origin)) = said(self.facts, &["description"]) {
            let empty = image.text_of("Description").is_none_or(|t| t.trim().is_empty());
            if empty || self.own("description", origin) {
                image.child_mut("Description").text = Some(Value { text: text.into(), origin: origin.clone() });
            }
        }
    }

    /// Whether a measured value may be set where the file has `old`.
    fn may(&self, old: Option<&Value>, origin: &Origin) -> bool {
        let gap = old.is_none_or(|old| old.text.trim().is_empty() || old.origin == Origin::Default);
        gap || self.sidecars.replaces(origin, self.mounted.series)
    }

    fn date(&self, image: &mut Element, warnings: &mut Vec<String>) {
        let Some((date, origin)) = said(self.facts, &["acquisition", "date"]) else { return };
        if !self.may(image.child("AcquisitionDate").and_then(|d| d.text.as_ref()), origin) {
            return;
        }
        let text = match date.split_once('T') {
            Some((day, time)) => format!("{day}T{}", with_seconds(time)),
            None => {
                warnings.push("acquisition.date has no time of day: 00:00:00 is written".into());
                format!("{date}T00:00:00")
            }
        };
        image.child_mut("AcquisitionDate").text = Some(Value { text: text.into(), origin: origin.clone() });
    }

    fn calibration(&self, pixels: &mut Element) {
        let sizes = [
            ("x", "PhysicalSizeX", "PhysicalSizeXUnit"),
            ("y", "PhysicalSizeY", "PhysicalSizeYUnit"),
            ("z", "PhysicalSizeZ", "PhysicalSizeZUnit"),
        ];
        for (axis, key, unit_key) in sizes {
            self.quantity(
                pixels,
                &["image", "pixel_size", axis],
                &["image", "pixel_size", "unit"],
                "µm",
                (key, unit_key),
            );
        }
        let time = ["value", "unit"].map(|key| ["image", "time_increment", key]);
        self.quantity(pixels, &time[0], &time[1], "s", ("TimeIncrement", "TimeIncrementUnit"));
    }

    fn quantity(
        &self,
        pixels: &mut Element,
        value: &[&str],
        unit: &[&str],
        usual: &str,
        (key, unit_key): (&'static str, &'static str),
    ) {
        let Some(found) = self.facts.get(value) else { return };
        let Some(number) = found.value.as_f64().filter(|v| v.is_finite() && *v > 0.0) else { return };
        // A size in pixels is none.
        let pixel = pixels.get(unit_key).is_some_and(|u| u == "pixel");
        let old = pixels.value(key).filter(|_| !pixel);
        if self.may(old, found.origin) {
            let unit = self.facts.text(unit).unwrap_or_else(|| usual.to_owned());
            pixels.set(key, number.to_string(), found.origin.clone());
            pixels.set(unit_key, symbol(&unit), found.origin.clone());
        }
    }

    fn channels(&self, pixels: &mut Element, warnings: &mut Vec<String>) {
        let mut channels: Vec<&mut Element> = pixels.children.iter_mut().filter(|c| c.name == "Channel").collect();
        for (key, attribute) in [("mode", "AcquisitionMode"), ("contrast", "ContrastMethod")] {
            let Some((text, origin)) = said(self.facts, &["acquisition", key]) else { continue };
            for channel in &mut channels {
                if self.may(channel.value(attribute), origin) {
                    channel.set(attribute, &*text, origin.clone());
                }
            }
        }
        let Some(found) = self.facts.get(&["specimen", "channels"]) else { return };
        for (position, item) in found.items().iter().enumerate() {
            let Some(item) = item.as_object() else { continue };
            let index = item.get("index").and_then(Json::as_u64).map_or(Some(position), |n| usize::try_from(n).ok());
            match index.and_then(|index| channels.get_mut(index)) {
                Some(channel) => self.channel(channel, item, found),
                None => warnings.push(format!(
                    "specimen.channels[{position}]: image {} has {} channels",
                    self.mounted.series,
                    channels.len()
                )),
            }
        }
    }

    fn channel(&self, channel: &mut Element, item: &Map<String, Json>, found: Found<'_>) {
        let text = |key: &str| item.get(key).and_then(Json::as_str).filter(|t| !t.trim().is_empty());
        if let Some(name) = text("name").or_else(|| text("label")) {
            channel.set("Name", name, found.origin.clone());
        }
        if let Some(fluor) = text("fluorophore").filter(|_| self.may(channel.value("Fluor"), found.origin)) {
            channel.set("Fluor", fluor, found.origin.clone());
        }
        let waves = [
            ("excitation", "ExcitationWavelength", "ExcitationWavelengthUnit"),
            ("emission", "EmissionWavelength", "EmissionWavelengthUnit"),
        ];
        for (key, attribute, unit) in waves {
            let Some(number) = item.get(key).and_then(Json::as_f64).filter(|v| *v > 0.0) else { continue };
            if self.may(channel.value(attribute), found.origin) {
                channel.set(attribute, number.to_string(), found.origin.clone());
                channel.set(unit, "nm", found.origin.clone());
            }
        }
    }
}

/// A text that is not empty, with its origin.
fn said<'a>(facts: &'a Facts, path: &[&str]) -> Option<(String, &'a Origin)> {
    let found = facts.get(path)?;
    found.text().filter(|t| !t.trim().is_empty()).map(|text| (text, found.origin))
}

/// Whether a value comes from a sidecar of one file (or its row of a table), and not from one of a whole folder.
pub fn is_of_one_file(origin: &Origin) -> bool {
    let Origin::Sidecar(path) = origin else { return false };
    let name = path.rsplit('/').next().unwrap_or(path);
    !super::gather::is_of_folder(name)
}

/// The symbol of OME-XML for a unit as people type it.
fn symbol(unit: &str) -> &str {
    match unit {
        "um" => "µm",
        "us" => "µs",
        other => other,
    }
}

/// `09:30+01:00` as `09:30:00+01:00`, which the schema wants.
fn with_seconds(time: &str) -> String {
    let (clock, zone) = time.split_at(time.find(['Z', '+', '-']).unwrap_or(time.len()));
    match clock.matches(':').count() {
        1 => format!("{clock}:00{zone}"),
        _ => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FOLDER: &str = "x/dataset.meta.yaml";
    const FILE: &str = "x/a.tif.meta.yaml";

    /// A record of two channels and this many images, with facts of a sidecar.
    fn record(images: u32, sidecars: &[(&str, Json)]) -> Record {
        let mut record = Record { ome: Element::new("OME"), ..Record::default() };
        for series in 0..images {
            let mut image = Element::new("Image");
            image.set("Name", "said", Origin::OmeXml);
            let pixels = image.child_mut("Pixels");
            pixels.set("PhysicalSizeX", "0.5", Origin::OmeXml);
            pixels.set("PhysicalSizeXUnit", "µm", Origin::OmeXml);
            pixels.set("PhysicalSizeY", "1", Origin::OmeXml);
            pixels.set("PhysicalSizeYUnit", "pixel", Origin::OmeXml);
            for name in ["A", "B"] {
                let mut channel = Element::new("Channel");
                channel.set("Name", name, Origin::OmeXml);
                channel.set("EmissionWavelength", "500", Origin::OmeXml);
                pixels.children.push(channel);
            }
            record.ome.children.push(image);
            record.images.push(Mounted { series, path: String::new() });
        }
        for (path, values) in sidecars {
            let origin = Origin::Sidecar((*path).into());
            if values.get("override") == Some(&json!(true)) {
                record.sidecars.overrides.push((origin.clone(), None));
            }
            record.sidecars.dataset.overlay(Facts::of(values.clone(), &origin));
            record.sidecars.files.push((*path).into());
        }
        apply(&mut record);
        record
    }

    fn image(record: &Record, index: usize) -> &Element {
        &record.ome.children[index]
    }

    #[test]
    fn names_are_those_of_the_image_itself() {
        let names = |count, sidecars: &[(&str, Json)]| {
            let record = record(count, sidecars);
            (0..count as usize).map(|n| image(&record, n).get("Name").unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(1, &[(FOLDER, json!({"name": "all"}))]), ["said"]);
        assert_eq!(names(1, &[(FILE, json!({"name": "this"}))]), ["this"]);
        assert_eq!(names(2, &[(FILE, json!({"name": "this"}))]), ["said", "said"]);
        assert_eq!(
            names(2, &[(FOLDER, json!({"name": "all", "images": {"1": {"name": "second"}}}))]),
            ["said", "second"]
        );
        assert_eq!(names(1, &[("dataset.meta.csv", json!({"name": "row"}))]), ["row"]);
    }

    #[test]
    fn a_folder_describes_what_has_no_description() {
        let mut record = record(2, &[(FOLDER, json!({"description": "all", "images": {"1": {"description": "own"}}}))]);
        assert_eq!(image(&record, 0).text_of("Description"), Some("all"));
        assert_eq!(image(&record, 1).text_of("Description"), Some("own"));
        record.ome.children[0].child_mut("Description").text =
            Some(Value { text: "said".into(), origin: Origin::OmeXml });
        apply(&mut record);
        assert_eq!(image(&record, 0).text_of("Description"), Some("said"));
    }

    #[test]
    fn measured_values_fill_gaps_and_replace_by_override() {
        let values = json!({
            "image": {"pixel_size": {"x": 0.25, "y": 0.3, "z": 2, "unit": "um"}, "time_increment": {"value": 5}},
            "acquisition": {"mode": "SPIM", "date": "2026-11-03T09:30Z"},
            "specimen": {"channels": [{"index": 1, "name": "GFP", "emission": 520, "excitation": 488.5}, {"index": 7}]},
        });
        let get = |record: &Record, key: &str| {
            let value = image(record, 0).child("Pixels").unwrap().value(key).unwrap();
            (value.text.to_string(), value.origin.kind())
        };
        let plain = record(1, &[(FOLDER, values.clone())]);
        assert_eq!(get(&plain, "PhysicalSizeX"), ("0.5".into(), "ome-xml"));
        assert_eq!(get(&plain, "PhysicalSizeY"), ("0.3".into(), "sidecar"));
        assert_eq!(get(&plain, "PhysicalSizeYUnit"), ("µm".into(), "sidecar"));
        assert_eq!(get(&plain, "PhysicalSizeZ"), ("2".into(), "sidecar"));
        assert_eq!(get(&plain, "TimeIncrementUnit"), ("s".into(), "sidecar"));
        assert_eq!(image(&plain, 0).text_of("AcquisitionDate"), Some("2026-11-03T09:30:00Z"));
        assert_eq!(plain.warnings, ["specimen.channels[1]: image 0 has 2 channels"]);
        let channels: Vec<&Element> = image(&plain, 0).child("Pixels").unwrap().all("Channel").collect();
        assert_eq!((channels[0].get("Name"), channels[1].get("Name")), (Some("A"), Some("GFP")));
        assert_eq!(channels[1].get("EmissionWavelength"), Some("500"));
        assert_eq!(channels[1].get("ExcitationWavelength"), Some("488.5"));
        assert_eq!(
            (channels[0].get("AcquisitionMode"), channels[1].get("AcquisitionMode")),
            (Some("SPIM"), Some("SPIM"))
        );
        let strong =
            record(1, &[(FOLDER, values), (FILE, json!({"override": true, "image": {"pixel_size": {"x": 0.75}}}))]);
        assert_eq!(get(&strong, "PhysicalSizeX"), ("0.75".into(), "sidecar"));
        assert_eq!(
            image(&strong, 0).child("Pixels").unwrap().all("Channel").nth(1).unwrap().get("EmissionWavelength"),
            Some("500")
        );
    }
}
