//! What Micro-Manager says of a whole acquisition.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::format::details::{About as Place, BINNING, Details, Form, Key, key, lens};
use crate::format::tiff::dialect::frames::About;
use crate::model::{Channel, Physical, Quantity, Rgb, Unit};

/// Properties of the acquisition and of its first plane; `{camera}` stands for the name of the camera.
const PLACES: &[Key] = &[
    key("UserName", "Experimenter/@UserName", Form::Text),
    key("Core-Camera", "Instrument/Detector/@Model", Form::Text),
    key("{camera}-CameraName", "Instrument/Detector/@Model", Form::Text),
    key("{camera}-CameraID", "Instrument/Detector/@SerialNumber", Form::Text),
    key("{camera}-Gain", "Image/Pixels/Channel/DetectorSettings/@Gain", Form::Number),
    key("{camera}-Offset", "Image/Pixels/Channel/DetectorSettings/@Offset", Form::Number),
    key("{camera}-Binning", "Image/Pixels/Channel/DetectorSettings/@Binning", BINNING),
    key("Binning", "Image/Pixels/Channel/DetectorSettings/@Binning", BINNING),
];
/// What has no place.
const KEPT: &[&str] =
    &["MicroManagerVersion", "MetadataVersion", "ComputerName", "Directory", "Source", "Comment", "ProfileName"];

/// Channels that are described.
const MAX_CHANNELS: usize = 1 << 12;

/// The summary, and where it is silent the metadata of a plane.
#[derive(Debug, Clone, Default)]
pub(super) struct Summary {
    fields: Vec<Value>,
}

impl Summary {
    /// From JSON; of several documents, the first that has a field counts.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn add(&mut self, json: &[u8]) -> Result<()> {
        let end = json.iter().rposition(|b| !matches!(b, 0 | b' ' | b'\n' | b'\r')).map_or(0, |at| at + 1);
        let value = serde_json::from_slice(&json[..end]).map_err(|e| Error::malformed(format!("JSON: {e}")))?;
        self.fields.push(value);
        Ok(())
    }

    /// A field that is there already parsed.
    pub fn push(&mut self, value: Value) {
        self.fields.push(value);
    }

    fn get(&self, keys: &[&str]) -> Option<&Value> {
        self.fields.iter().find_map(|f| keys.iter().find_map(|k| f.get(*k)).filter(|v| !v.is_null()))
    }

    fn number(&self, keys: &[&str]) -> Option<f64> {
        let value = self.get(keys)?;
        value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|v| v.is_finite())
    }

    fn text(&self, keys: &[&str]) -> Option<String> {
        self.get(keys)?.as_str().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned)
    }

    /// When it began ("2013-04-22 16:03:51 -0700"), as ISO 8601.
    fn acquired(&self) -> Option<String> {
        let text = self.text(&["StartTime", "Time"])?;
        let mut words = text.split_whitespace();
        let (date, time) = (words.next()?, words.next()?);
        let time = time.get(..8)?;
        let shape = |text: &str, mark: u8, marks: [usize; 2], size: usize| {
            text.len() == size
                && text
                    .bytes()
                    .enumerate()
                    .all(|(i, b)| if marks.contains(&i) { b == mark } else { b.is_ascii_digit() })
        };
        (shape(date, b'-', [4, 7], 10) && shape(time, b':', [2, 5], 8)).then(|| format!("{date}T{time}"))
    }

    /// Calibration; zeros mean that nobody calibrated.
    fn physical(&self) -> Physical {
        let length = |keys: &[&str]| {
            let value = self.number(keys)?.abs();
            Quantity::checked(value, Unit::parse("µm"))
        };
        let pixel = length(&["PixelSize_um", "PixelSizeUm"]);
        let aspect = self.number(&["PixelAspect"]).filter(|a| *a > 0.0).unwrap_or(1.0);
        let tall = pixel.clone().and_then(|p| Quantity::checked(p.value * aspect, p.unit));
        let interval = self.number(&["Interval_ms"]).and_then(|ms| Quantity::checked(ms / 1000.0, Unit::parse("s")));
        Physical { x: pixel, y: tall, z: length(&["z-step_um"]), t: interval }
    }

    /// Names and colours of the channels; `found` are names that the planes gave.
    fn channels(&self, found: &[Option<String>]) -> Vec<Channel> {
        let list = |key: &str| self.get(&[key]).and_then(Value::as_array);
        let (names, colors) = (list("ChNames"), list("ChColors"));
        let describe = |i: usize| {
            let given = names.and_then(|n| n.get(i)?.as_str()).map(str::to_owned);
            let name = found.get(i).cloned().flatten().or(given);
            // Java's: alpha, red, green, blue in a signed integer.
            let color = colors.and_then(|c| c.get(i)?.as_i64()).map(|v| Rgb((v >> 16) as u8, (v >> 8) as u8, v as u8));
            Channel { name: name.filter(|n| !n.is_empty()), color, ..Channel::default() }
        };
        let count = found.len().max(names.map_or(0, Vec::len)).max(colors.map_or(0, Vec::len));
        (0..count.min(MAX_CHANNELS)).map(describe).collect()
    }

    /// A property as words: a number or text, or an object whose `PropVal` is one.
    fn property(&self, name: &str) -> Option<String> {
        let value = self.get(&[name])?;
        let value = value.get("PropVal").unwrap_or(value);
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(n) => Some(n.to_string()),
            _ => None,
        }
    }

    /// The microscope, as far as properties tell, for each of the channels.
    fn details(&self, channels: usize) -> Details {
        let mut details = Details::default();
        let camera = self.property("Core-Camera").or_else(|| self.property("Camera")).unwrap_or_default();
        let said = |name: &str| self.property(&name.replace("{camera}", &camera));
        for channel in 0..channels.clamp(1, 64) {
            // One camera for all of them.
            details.apply(PLACES, Place { image: 0, channel: Some(channel) }, said);
        }
        let labels = self.fields.iter().filter_map(Value::as_object).flat_map(|o| o.keys());
        let turret = labels.clone().find(|k| {
            let lower = k.to_lowercase();
            lower.ends_with("-label") && (lower.contains("objective") || lower.contains("nosepiece"))
        });
        if let Some(name) = turret.and_then(|key| self.property(key)) {
            lens(&mut details, Place::default(), &name);
        }
        let number = |keys: &[&str]| self.number(keys);
        let position =
            |at: usize, key: &str| number(&[key]).or_else(|| self.get(&["StagePosition"])?.get(at)?.as_f64());
        details.plane(
            0,
            (0, 0, 0),
            &[
                ("ExposureTime", number(&["Exposure-ms", "Exposure"]).filter(|ms| *ms > 0.0), "ms"),
                ("DeltaT", number(&["ElapsedTime-ms"]).filter(|ms| *ms >= 0.0), "ms"),
                ("PositionX", position(0, "XPositionUm"), "µm"),
                ("PositionY", position(1, "YPositionUm"), "µm"),
                ("PositionZ", number(&["ZPositionUm"]), "µm"),
            ],
        );
        for name in KEPT {
            if let Some(value) = self.property(name) {
                details.keep("micromanager", 0, name, &value);
            }
        }
        details
    }

    /// All of it.
    pub fn about(&self, found: &[Option<String>]) -> About {
        let channels = self.channels(found);
        About {
            name: self.text(&["Prefix"]).unwrap_or_default(),
            acquired: self.acquired(),
            physical: self.physical(),
            details: self.details(channels.len()),
            channels,
            ..About::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_tell_the_microscope() {
        let mut summary = Summary::default();
        let json = br#"{"UserName": "ann", "Core-Camera": "Zyla", "Zyla-Binning": {"PropVal": "2x2"}, "Zyla-Gain": 3,
            "Exposure-ms": 20.5, "XPositionUm": -10.25, "TINosePiece-Label": "Plan Apo 60x/1.4 Oil", "ComputerName": "scope7"}"#;
        summary.add(json).unwrap();
        let ome = summary.details(1).finish().unwrap();
        let pixels = ome.child("Image").unwrap().child("Pixels").unwrap();
        let settings = pixels.child("Channel").unwrap().child("DetectorSettings").unwrap();
        assert_eq!((settings.get("Gain"), settings.get("Binning")), (Some("3"), Some("2x2")));
        let plane = pixels.child("Plane").unwrap();
        let said = ["ExposureTime", "ExposureTimeUnit", "PositionX", "DeltaT"].map(|key| plane.get(key));
        assert_eq!(said, [Some("20.5"), Some("ms"), Some("-10.25"), None]);
        let instrument = ome.child("Instrument").unwrap();
        assert_eq!(instrument.child("Detector").unwrap().get("Model"), Some("Zyla"));
        let lens = instrument.child("Objective").unwrap();
        let said = ["NominalMagnification", "LensNA", "Immersion", "Correction"].map(|key| lens.get(key));
        assert_eq!(said, [Some("60"), Some("1.4"), Some("Oil"), Some("PlanApo")]);
        assert_eq!(ome.child("Experimenter").unwrap().get("UserName"), Some("ann"));
    }

    #[test]
    fn a_summary_tells_channels_and_sizes() {
        let mut summary = Summary::default();
        let json =
            br#"{"ChNames":["DAPI","FITC"],"ChColors":[-16776961,-16711936],"PixelSize_um":0.325,"z-step_um":-1.5,
            "Interval_ms":"1000","StartTime":"2013-04-22 16:03:51 -0700","Prefix":"own"}"#;
        summary.add(json).unwrap();
        let about = summary.about(&[None, Some("GFP".into()), None]);
        let channels = about.channels;
        assert_eq!(channels[0].name.as_deref(), Some("DAPI"));
        assert_eq!(channels[0].color, Some(Rgb(0, 0, 255)));
        assert_eq!(channels[1].name.as_deref(), Some("GFP"));
        assert_eq!(channels[1].color, Some(Rgb(0, 255, 0)));
        assert_eq!(channels[2], Channel::default());
        assert_eq!(about.name, "own");
        let physical = about.physical;
        assert_eq!(physical.z, Some(Quantity::micrometer(1.5)));
        assert_eq!(physical.t, Some(Quantity::second(1.0)));
        assert_eq!(about.acquired.as_deref(), Some("2013-04-22T16:03:51"));
        assert!(summary.add(b"{\"a\": 1,").is_err());
    }
}
