//! Zeiss scanning electron microscopes (SmartSEM): lines of text in tag 34118. A line in capitals names a value, the next one
//! shows it: `AP_IMAGE_PIXEL_SIZE`, then `Image Pixel Size = 2.303 nm`. Facts from files and from tifffile's reader.

use super::super::latin_or_utf8;
use super::{MAX_BYTES, Note, quantity};
use crate::error::Result;
use crate::format::dates;
use crate::format::details::{Form, Key, key};
use crate::format::tiff::ifd::Ifd;

const TAG: u16 = 34118;

const PLACES: &[Key] = &[
    key("DP_SEM", "Instrument/Microscope/@Model", Form::Text),
    key("SV_INSTRUMENT_ID", "Instrument/Microscope/@Model", Form::Text),
    key("SV_SERIAL_NUMBER", "Instrument/Microscope/@SerialNumber", Form::Text),
    key("DP_DETECTOR_CHANNEL", "Instrument/Detector/@Model", Form::Text),
    key("SV_USER_NAME", "Experimenter/@LastName", Form::Text),
];

/// The tag, if there is one.
///
/// # Errors
/// Whatever reading fails with.
pub(super) fn read(first: &Ifd) -> Result<Option<Note>> {
    let Some(bytes) = first.bytes(TAG, MAX_BYTES)? else { return Ok(None) };
    let text = latin_or_utf8(&bytes);
    let mut note = Note { name: "zeiss-sem", places: PLACES, ..Note::default() };
    let mut name: Option<&str> = None;
    for line in text.lines().map(str::trim) {
        let capitals = line.bytes().any(|b| b.is_ascii_uppercase()) && !line.bytes().any(|b| b.is_ascii_lowercase());
        if capitals && line.contains('_') && !line.contains([' ', '=', ':']) {
            name = Some(line);
        } else if let Some(name) = name.take()
            && let Some((_, value)) = line.split_once('=').or_else(|| line.split_once(':'))
        {
            note.pairs.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    let size = ["AP_IMAGE_PIXEL_SIZE", "AP_PIXEL_SIZE"].into_iter().find_map(|n| quantity(note.value(n)?));
    note.pixel = (size.clone(), size);
    note.acquired = note.value("AP_DATE").and_then(|date| iso(date, note.value("AP_TIME")?));
    Ok(Some(note))
}

/// "25 Mar 2016" and "09:59:51" as ISO 8601.
fn iso(date: &str, time: &str) -> Option<String> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let mut parts = date.split_whitespace();
    let day = parts.next()?.parse().ok()?;
    let name = parts.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|m| name.starts_with(m))? + 1;
    let year = parts.next()?.parse().ok()?;
    let clock: Vec<u32> = time.split(':').map(|t| t.trim().parse().ok()).collect::<Option<_>>()?;
    dates::civil([year, month as u32, day], clock.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn dates_are_iso() {
        assert_eq!(iso("25 Mar 2016", "09:59:51").as_deref(), Some("2016-03-25T09:59:51"));
        assert_eq!((iso("25 Foo 2016", "09:59:51"), iso("25 Mar 2016", "9h")), (None, None));
    }
}
