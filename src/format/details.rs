//! From a vendor's words to the tree of OME-XML: one table a dialect, one way to apply it.
//!
//! A row says where the value of a key belongs. Instruments, and what links images to them, are made as they are needed. What has
//! no place in the schema is kept as a list of keys and values beside the image.

use crate::model::{Element, Origin, Value};

/// Where a key of the vendor's belongs.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The vendor's name for it.
    pub name: &'static str,
    /// The place: elements from `OME` downwards and an attribute, `Image/Pixels/Channel/@Name`; without one, the element's
    /// text.
    pub place: &'static str,
    /// How the vendor writes it.
    pub form: Form,
}

/// How a vendor writes a value.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// Words.
    Text,
    /// A number, whatever follows it.
    Number,
    /// A number in this unit of OME-XML, which goes to the attribute beside it (`...Unit`).
    In(&'static str),
    /// A number, to be multiplied by this.
    Times(f64),
    /// Words of the vendor (lower case) and what OME-XML has for them; others are left out.
    Words(&'static [(&'static str, &'static str)]),
}

/// Pixels of a camera read as one: "2", "2x2" or "2 x 2".
pub const BINNING: Form = Form::Words(&[
    ("1", "1x1"),
    ("1x1", "1x1"),
    ("1 x 1", "1x1"),
    ("2", "2x2"),
    ("2x2", "2x2"),
    ("2 x 2", "2x2"),
    ("4", "4x4"),
    ("4x4", "4x4"),
    ("4 x 4", "4x4"),
    ("8", "8x8"),
    ("8x8", "8x8"),
    ("8 x 8", "8x8"),
]);

/// Short for a [`Key`].
pub const fn key(name: &'static str, place: &'static str, form: Form) -> Key {
    Key { name, place, form }
}

/// Which image and channel a value is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct About {
    /// Index of the series.
    pub image: usize,
    /// Index of the channel; elements of the instrument that are said of a channel are its own.
    pub channel: Option<usize>,
}

/// Collects what a vendor says.
#[derive(Debug, Clone, Default)]
pub struct Details {
    ome: Element,
    pairs: usize,
    planes: usize,
}

/// Images that are described.
const MAX_IMAGES: usize = 1 << 12;
/// Channels that are described of one image.
const MAX_CHANNELS: usize = 1 << 10;
/// Keys and values without a place, of all images together.
const MAX_PAIRS: usize = 1 << 10;
/// Longest key or value that is kept.
const MAX_TEXT: usize = 4 << 10;
/// Planes whose times and places are kept.
const MAX_PLANES: usize = 1 << 14;

/// Parts of an instrument: name, what an image (`false`) or channel (`true`) links to it with, and below which element.
const PARTS: &[(&str, &str, bool, Option<&str>)] = &[
    ("Objective", "ObjectiveSettings", false, None),
    ("Detector", "DetectorSettings", true, None),
    ("Laser", "LightSourceSettings", true, None),
    ("Arc", "LightSourceSettings", true, None),
    ("Filament", "LightSourceSettings", true, None),
    ("LightEmittingDiode", "LightSourceSettings", true, None),
    ("GenericExcitationSource", "LightSourceSettings", true, None),
    ("FilterSet", "FilterSetRef", true, None),
    ("ExcitationFilter", "ExcitationFilterRef", true, Some("LightPath")),
    ("EmissionFilter", "EmissionFilterRef", true, Some("LightPath")),
    ("Dichroic", "DichroicRef", true, Some("LightPath")),
];

impl Details {
    /// Applies a table: `get` gives the vendor's value of a key.
    pub fn apply<V: AsRef<str>>(&mut self, table: &[Key], about: About, get: impl Fn(&str) -> Option<V>) {
        for row in table {
            if let Some(value) = get(row.name) {
                self.put(row.place, row.form, about, value.as_ref());
            }
        }
    }

    /// Puts one value to its place; an empty one, or one that is not of its form, is left out. The first one counts.
    pub fn put(&mut self, place: &str, form: Form, about: About, value: &str) {
        let value = value.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if value.is_empty() || about.image >= MAX_IMAGES || about.channel.is_some_and(|c| c >= MAX_CHANNELS) {
            return;
        }
        let (text, unit) = match form {
            Form::Text => (shortened(value), None),
            Form::Number => match number(value) {
                Some(n) => (n.to_string(), None),
                None => return,
            },
            Form::In(unit) => match number(value) {
                Some(n) => (n.to_string(), Some(unit)),
                None => return,
            },
            Form::Times(factor) => match number(value) {
                // Twelve digits: a tenth of a thousand is a hundred, and not the nearest double below it.
                Some(n) => (tidy(n * factor).to_string(), None),
                None => return,
            },
            Form::Words(words) => {
                let lower = value.to_lowercase();
                match words.iter().find(|(word, _)| *word == lower) {
                    Some((_, meaning)) => ((*meaning).to_owned(), None),
                    None => return,
                }
            }
        };
        let (path, attribute) = match place.rsplit_once("/@") {
            Some((path, attribute)) => (path, Some(attribute)),
            None => (place, None),
        };
        let element = self.at(path, about);
        match attribute {
            Some(attribute) if element.value(attribute).is_none() => {
                element.set(attribute.to_owned(), text, Origin::Vendor);
                if let Some(unit) = unit {
                    element.set(format!("{attribute}Unit"), unit, Origin::Vendor);
                }
            }
            None if element.text.is_none() => element.text = Some(Value { text: text.into(), origin: Origin::Vendor }),
            _ => {}
        }
    }

    /// Keeps what has no place: a key with its value, beside an image.
    pub fn keep(&mut self, vendor: &str, image: usize, key: &str, value: &str) {
        let (key, value) = (key.trim(), value.trim_matches(|c: char| c.is_whitespace() || c == '\0'));
        if key.is_empty() || value.is_empty() || image >= MAX_IMAGES || self.pairs >= MAX_PAIRS {
            return;
        }
        self.pairs += 1;
        let id = format!("Annotation:vendor:{image}");
        let one = self.at("Image", About { image, channel: None });
        if !one.children.iter().any(|c| c.name == "AnnotationRef") {
            one.children.push(named("AnnotationRef", &id));
        }
        let all = self.ome.child_mut("StructuredAnnotations");
        let at = all.children.iter().position(|a| a.get("ID") == Some(&id)).unwrap_or_else(|| {
            let mut note = named("MapAnnotation", &id);
            note.set("Namespace", format!("urn:fuzarr:vendor:{vendor}"), Origin::Vendor);
            all.children.push(note);
            all.children.len() - 1
        });
        let mut pair = Element::new("M");
        pair.set("K", shortened(key), Origin::Vendor);
        pair.text = Some(Value { text: shortened(value).into(), origin: Origin::Vendor });
        all.children[at].child_mut("Value").children.push(pair);
    }

    /// The time or place of a plane (z, channel, time point): attributes with their values, each in the unit beside it.
    pub fn plane(
        &mut self,
        image: usize,
        (z, c, t): (u64, u64, u64),
        values: &[(&'static str, Option<f64>, &'static str)],
    ) {
        if self.planes >= MAX_PLANES || values.iter().all(|(_, value, _)| value.is_none()) {
            return;
        }
        self.planes += 1;
        let mut plane = Element::new("Plane");
        for (key, number) in [("TheZ", z), ("TheC", c), ("TheT", t)] {
            plane.set(key, number.to_string(), Origin::Vendor);
        }
        for (key, value, unit) in values {
            if let Some(value) = value.filter(|v| v.is_finite()) {
                plane.set(*key, tidy(value).to_string(), Origin::Vendor);
                plane.set(format!("{key}Unit"), *unit, Origin::Vendor);
            }
        }
        self.at("Image/Pixels", About { image, channel: None }).children.push(plane);
    }

    /// Gives further images what was said of the first but for its planes, name and date: positions of one acquisition.
    pub fn share(&mut self, images: usize) {
        let Some(first) = self.ome.child("Image").cloned() else { return };
        for image in 1..images.min(MAX_IMAGES) {
            let other = self.at("Image", About { image, channel: None });
            for child in &first.children {
                if other.child(&child.name).is_none() {
                    let mut child = child.clone();
                    child.children.retain(|c| c.name != "Plane");
                    other.children.push(child);
                }
            }
        }
    }

    /// The tree; nothing if nothing was said.
    pub fn finish(self) -> Option<Element> {
        (!self.ome.children.is_empty()).then(|| Element { name: "OME".into(), ..self.ome })
    }

    /// The element at a path, made where there is none.
    fn at(&mut self, path: &str, about: About) -> &mut Element {
        let mut steps = path.split('/').peekable();
        if steps.peek() == Some(&"Instrument") {
            steps.next();
            let Some(part) = steps.next() else { return self.instrument(about) };
            return descend(self.part(part, about), steps, about);
        }
        if steps.peek() == Some(&"Experimenter") {
            let image = self.image(about.image);
            if image.child("ExperimenterRef").is_none() {
                image.children.push(named("ExperimenterRef", "Experimenter:0"));
            }
            return of_id(&mut self.ome, "Experimenter", "Experimenter:0");
        }
        if steps.peek() == Some(&"Image") {
            steps.next();
            return descend(self.image(about.image), steps, about);
        }
        descend(&mut self.ome, steps, about)
    }

    fn image(&mut self, index: usize) -> &mut Element {
        nth(&mut self.ome, "Image", index)
    }

    fn instrument(&mut self, about: About) -> &mut Element {
        let image = self.image(about.image);
        if image.child("InstrumentRef").is_none() {
            image.children.push(named("InstrumentRef", "Instrument:0"));
        }
        of_id(&mut self.ome, "Instrument", "Instrument:0")
    }

    /// A part of the instrument, linked from the image or channel that it is said of.
    fn part(&mut self, name: &str, about: About) -> &mut Element {
        let known = PARTS.iter().find(|(n, ..)| *n == name);
        let kind = match name {
            "ExcitationFilter" | "EmissionFilter" => "Filter",
            other => other,
        };
        let class = match name {
            "Laser" | "Arc" | "Filament" | "LightEmittingDiode" | "GenericExcitationSource" => "LightSource",
            "Microscope" => "",
            other => other,
        };
        let id = match about.channel {
            Some(c) if known.is_some_and(|k| k.2) => format!(
                "{}:{}:{c}",
                class.replace("ExcitationFilter", "Filter:ex").replace("EmissionFilter", "Filter:em"),
                about.image
            ),
            _ => format!(
                "{}:{}",
                class.replace("ExcitationFilter", "Filter:ex").replace("EmissionFilter", "Filter:em"),
                about.image
            ),
        };
        if let Some((_, link, of_channel, below)) = known {
            let from = match about.channel.filter(|_| *of_channel) {
                Some(_) => Some(self.at("Image/Pixels/Channel", about)),
                None if *of_channel => None,
                None => Some(self.image(about.image)),
            };
            if let Some(mut from) = from {
                if let Some(below) = below {
                    from = from.child_mut(below);
                }
                match from.children.iter_mut().find(|c| c.name == *link) {
                    Some(settings) if settings.get("ID").is_none() => settings.set("ID", id.clone(), Origin::Derived),
                    Some(_) => {}
                    None => from.children.push(named(link, &id)),
                }
            }
        }
        let instrument = self.instrument(about);
        if class.is_empty() { instrument.child_mut("Microscope") } else { of_id(instrument, kind, &id) }
    }
}

fn descend<'e, 's>(
    mut element: &'e mut Element,
    steps: impl Iterator<Item = &'s str>,
    about: About,
) -> &'e mut Element {
    for step in steps {
        element = match step {
            "Channel" => nth(element, "Channel", about.channel.unwrap_or(0)),
            other => nth(element, other, 0),
        };
    }
    element
}

/// The child of a name with this number among those.
fn nth<'e>(element: &'e mut Element, name: &str, index: usize) -> &'e mut Element {
    let have = element.children.iter().filter(|c| c.name == name).count();
    for _ in have..=index {
        element.children.push(Element::new(name.to_owned()));
    }
    let at = element.children.iter().enumerate().filter(|(_, c)| c.name == name).nth(index).map_or(0, |(at, _)| at);
    &mut element.children[at]
}

/// The child of a name with this identifier.
fn of_id<'e>(element: &'e mut Element, name: &str, id: &str) -> &'e mut Element {
    let at = element.children.iter().position(|c| c.name == name && c.get("ID") == Some(id)).unwrap_or_else(|| {
        element.children.push(named(name, id));
        element.children.len() - 1
    });
    &mut element.children[at]
}

fn named(name: &str, id: &str) -> Element {
    let mut element = Element::new(name.to_owned());
    element.set("ID", id, Origin::Derived);
    element
}

fn shortened(text: &str) -> String {
    let end =
        text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_TEXT).last().unwrap_or(0);
    text[..end].to_owned()
}

/// The number that a text begins with, with a point or a comma; finite.
pub fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-.,eE".contains(c))).unwrap_or(text.len());
    // "63x" ends the number, and so does the "e" of "2 em".
    let head = text[..end].trim_end_matches(['e', 'E', '+', '-', ',', '.']);
    let plain =
        if head.matches(',').count() == 1 && !head.contains('.') { head.replace(',', ".") } else { head.to_owned() };
    plain.parse::<f64>().ok().filter(|v| v.is_finite())
}

fn tidy(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// A lens by its name ("Plan-Apochromat 63x/1.40 Oil DIC M27"): what the words in it say.
pub fn lens(details: &mut Details, about: About, name: &str) {
    details.put("Instrument/Objective/@Model", Form::Text, about, name);
    let words: Vec<&str> = name.split([' ', '/', '_', '-', ';', '(', ')']).filter(|w| !w.is_empty()).collect();
    for (word, next) in words.iter().zip(words.iter().skip(1).map(Some).chain([None])) {
        if let Some(times) = word.strip_suffix(['x', 'X']).and_then(number_alone) {
            details.put("Instrument/Objective/@NominalMagnification", Form::Number, about, &times.to_string());
            let na = next.and_then(|n| number_alone(n)).filter(|na| (0.01..=1.7).contains(na));
            if let Some(na) = na {
                details.put("Instrument/Objective/@LensNA", Form::Number, about, &na.to_string());
            }
        }
        if let (true, Some(na)) = (word.eq_ignore_ascii_case("na"), next.and_then(|n| number_alone(n))) {
            details.put("Instrument/Objective/@LensNA", Form::Number, about, &na.to_string());
        }
        let lower = word.to_lowercase();
        let immersion = [
            ("oil", "Oil"),
            ("oel", "Oil"),
            ("öl", "Oil"),
            ("w", "Water"),
            ("water", "Water"),
            ("wasser", "Water"),
            ("dry", "Air"),
            ("air", "Air"),
            ("glyc", "Glycerol"),
            ("glycerol", "Glycerol"),
            ("multi", "Multi"),
            ("imm", "Multi"),
        ];
        if let Some((_, medium)) = immersion.iter().find(|(w, _)| *w == lower) {
            details.put("Instrument/Objective/@Immersion", Form::Text, about, medium);
        }
    }
    let whole = name.to_lowercase().replace([' ', '-'], "");
    let corrections = [
        ("planapo", "PlanApo"),
        ("planneofluar", "PlanNeofluar"),
        ("neofluar", "Neofluar"),
        ("planfluor", "PlanFluor"),
        ("superfluor", "SuperFluor"),
        ("sfluor", "SuperFluor"),
        ("fluotar", "Fluotar"),
        ("fluar", "Fluar"),
        ("achroplan", "Achromat"),
        ("achromat", "Achromat"),
        ("apochromat", "Apo"),
        ("uplsapo", "PlanApo"),
        ("plsapo", "PlanApo"),
    ];
    if let Some((_, correction)) = corrections.iter().find(|(w, _)| whole.contains(w)) {
        details.put("Instrument/Objective/@Correction", Form::Text, about, correction);
    }
}

fn number_alone(text: &str) -> Option<f64> {
    text.replace(',', ".").parse::<f64>().ok().filter(|v| v.is_finite() && *v > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_find_their_places_and_links() {
        let table = [
            key("Exposure", "Image/Pixels/Channel/DetectorSettings/@Gain", Form::Number),
            key("Camera", "Instrument/Detector/@Model", Form::Text),
            key("Power", "Instrument/Laser/@Power", Form::In("mW")),
            key("Stand", "Instrument/Microscope/@Type", Form::Words(&[("inv", "Inverted")])),
            key("User", "Experimenter/@UserName", Form::Text),
            key("Void", "Instrument/Detector/@Manufacturer", Form::Text),
        ];
        let said = [
            ("Exposure", "2,5 x"),
            ("Camera", "Zyla"),
            ("Power", "10 mW"),
            ("Stand", "INV"),
            ("User", "me"),
            ("Void", " \0"),
        ];
        let mut details = Details::default();
        let about = About { image: 0, channel: Some(1) };
        details.apply(&table, about, |key| said.iter().find(|(k, _)| *k == key).map(|(_, v)| *v));
        lens(&mut details, About::default(), "Plan-Apochromat 63x/1,40 Oil DIC M27");
        details.keep("test", 0, "Odd", "thing");
        details.plane(0, (0, 1, 0), &[("DeltaT", Some(0.1 + 0.2), "s"), ("PositionX", None, "µm")]);
        details.share(2);
        let ome = details.finish().unwrap();
        let image = ome.child("Image").unwrap();
        let pixels = image.child("Pixels").unwrap();
        let channel = pixels.all("Channel").nth(1).unwrap();
        let settings = channel.child("DetectorSettings").unwrap();
        assert_eq!((settings.get("Gain"), settings.get("ID")), (Some("2.5"), Some("Detector:0:1")));
        assert_eq!(channel.child("LightSourceSettings").unwrap().get("ID"), Some("LightSource:0:1"));
        assert_eq!(pixels.child("Plane").unwrap().get("DeltaT"), Some("0.3"));
        let instrument = ome.child("Instrument").unwrap();
        assert_eq!(instrument.child("Laser").unwrap().get("PowerUnit"), Some("mW"));
        assert_eq!(instrument.child("Microscope").unwrap().get("Type"), Some("Inverted"));
        let lens = instrument.child("Objective").unwrap();
        let lens = ["NominalMagnification", "LensNA", "Immersion", "Correction"].map(|key| lens.get(key));
        assert_eq!(lens, [Some("63"), Some("1.4"), Some("Oil"), Some("PlanApo")]);
        let other = ome.all("Image").nth(1).unwrap();
        assert!(other.child("ObjectiveSettings").is_some() && other.child("Pixels").unwrap().child("Plane").is_none());
        assert!(instrument.child("Detector").unwrap().get("Manufacturer").is_none());
    }

    #[test]
    fn numbers_begin_texts() {
        for (text, value) in [
            ("63x", Some(63.0)),
            ("0,3", Some(0.3)),
            ("-1.5e2 mV", Some(-150.0)),
            ("1e999", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
    }
}
