//! Instruments that write plain TIFF and note in a tag of their own what they did: pages are as they always are, the first
//! picture is described better.
//!
//! An instrument is one file here and one line in [`INSTRUMENTS`].

mod fei;
mod zeiss;

use crate::error::Result;
use crate::format::details::{About, Details, Key};
use crate::format::tiff::ifd::Ifd;
use crate::format::tiff::series::tolerate;
use crate::model::{Physical, Quantity, Series, Unit};

/// What a tag says.
#[derive(Default)]
struct Note {
    /// Where it was found, for messages.
    name: &'static str,
    /// Pixel size along x and y.
    pixel: (Option<Quantity>, Option<Quantity>),
    /// ISO 8601.
    acquired: Option<String>,
    /// What the instrument calls a thing, and its value.
    pairs: Vec<(String, String)>,
    /// What of `pairs` has a place in OME-XML; the rest is kept beside the image.
    places: &'static [Key],
}

/// Reads the tag of an instrument, if the first page has it.
type Read = fn(&Ifd) -> Result<Option<Note>>;

/// Every instrument; the first whose tag is there describes the picture.
const INSTRUMENTS: &[Read] = &[zeiss::read, fei::read];

/// Longest tag that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Pairs that are kept.
const MAX_PAIRS: usize = 400;

/// Describes the first picture of a file by the tags of its first page.
///
/// # Errors
/// Failures of the disk.
pub(in crate::format::tiff) fn describe(
    first: &Ifd,
    one: &mut Series,
    details: &mut Details,
    warnings: &mut Vec<String>,
) -> Result<()> {
    for read in INSTRUMENTS {
        match read(first) {
            Ok(None) => {}
            Ok(Some(note)) => {
                note.put(one, details);
                return Ok(());
            }
            Err(e) => drop(tolerate::<()>(e, "the instrument's notes", warnings)?),
        }
    }
    Ok(())
}

impl Note {
    fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn put(self, one: &mut Series, details: &mut Details) {
        details.apply(self.places, About::default(), |name| self.value(name).map(str::to_owned));
        for (name, value) in self.pairs.iter().filter(|(n, _)| !self.places.iter().any(|p| p.name == n)).take(MAX_PAIRS)
        {
            details.keep(self.name, 0, name, value);
        }
        if let (Some(x), Some(y)) = self.pixel {
            one.physical = Physical { x: Some(x), y: Some(y), ..std::mem::take(&mut one.physical) };
        }
        one.acquired = self.acquired.or(one.acquired.take());
    }
}

/// "2.303 nm" as a quantity.
fn quantity(text: &str) -> Option<Quantity> {
    let (number, unit) = text.trim().split_once(|c: char| c.is_whitespace())?;
    Quantity::checked(number.parse().ok()?, Some(Unit::parse(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_units() {
        assert_eq!(quantity("2.303 nm"), Quantity::checked(2.303, Unit::parse("nm")));
        assert_eq!(quantity(" 0.5  \u{b5}m"), Quantity::checked(0.5, Unit::parse("\u{b5}m")));
        assert_eq!((quantity("3"), quantity("-1 nm"), quantity("4 V")), (None, None, None));
    }
}
