//! FEI and Thermo Fisher electron microscopes: sections of `Key=Value` in tag 34680 (S-FEG) or 34682 (Helios and later). Pixel
//! sizes are in metres. Facts from files and from tifffile's reader.

use super::super::latin_or_utf8;
use super::{MAX_BYTES, Note};
use crate::error::Result;
use crate::format::dates;
use crate::format::details::{Form, Key, key};
use crate::format::tiff::ifd::Ifd;
use crate::model::{Quantity, Unit};

const TAGS: [u16; 2] = [34682, 34680];

const PLACES: &[Key] = &[
    key("System.Type", "Instrument/Microscope/@Model", Form::Text),
    key("System.SystemType", "Instrument/Microscope/@Model", Form::Text),
    key("System.Dnumber", "Instrument/Microscope/@SerialNumber", Form::Text),
    key("Detectors.Name", "Instrument/Detector/@Model", Form::Text),
    key("User.User", "Experimenter/@UserName", Form::Text),
];

/// The tag, if there is one.
///
/// # Errors
/// Whatever reading fails with.
pub(super) fn read(first: &Ifd) -> Result<Option<Note>> {
    let mut found = None;
    for tag in TAGS {
        found = found.or(first.bytes(tag, MAX_BYTES)?);
    }
    let Some(bytes) = found else { return Ok(None) };
    let text = latin_or_utf8(&bytes);
    let mut note = Note { name: "fei", places: PLACES, ..Note::default() };
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
        } else if let Some((name, value)) = line.split_once('=').filter(|(_, v)| !v.trim().is_empty()) {
            note.pairs.push((format!("{section}.{}", name.trim()), value.trim().to_owned()));
        }
    }
    let metres = |name: &str| {
        // The section is named after the beam that scanned: electrons, ions.
        let value = ["Scan", "EScan", "IScan"].into_iter().find_map(|s| note.value(&format!("{s}.{name}")))?;
        Quantity::checked(value.parse::<f64>().ok()? * 1e9, Unit::parse("nm"))
    };
    note.pixel = (metres("PixelWidth"), metres("PixelHeight"));
    note.acquired = note.value("User.Date").and_then(|date| iso(date, note.value("User.Time")?));
    Ok(Some(note))
}

/// "03/25/2016" (month first) and "09:59:51 AM" or "09:59:51" as ISO 8601.
fn iso(date: &str, time: &str) -> Option<String> {
    let date: Vec<u32> = date.split('/').map(|p| p.parse().ok()).collect::<Option<_>>()?;
    let [month, day, year] = date.try_into().ok()?;
    let (clock, half) = time.split_once(' ').map_or((time, None), |(clock, half)| (clock, Some(half)));
    let clock: Vec<u32> = clock.split(':').map(|p| p.parse().ok()).collect::<Option<_>>()?;
    let [hour, minute, second] = clock.try_into().ok()?;
    let hour = match half.map(str::trim) {
        Some("PM") => hour % 12 + 12,
        Some("AM") => hour % 12,
        _ => hour,
    };
    dates::civil([year, month, day], [hour, minute, second])
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn dates_are_iso() {
        assert_eq!(iso("03/25/2016", "09:59:51 PM").as_deref(), Some("2016-03-25T21:59:51"));
        assert_eq!(iso("03/25/2016", "12:59:51 AM").as_deref(), Some("2016-03-25T00:59:51"));
        assert_eq!(iso("25/03/2016", "09:59:51"), None);
    }
}
