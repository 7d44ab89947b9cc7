//! Attributes of the elements that describe images.

use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;

use super::TiffData;
use super::parse::MAX_TEXT;
use crate::error::{Error, Result};
use crate::model::{Quantity, Unit};

/// Attributes that matter, by local name.
pub(super) struct Attributes(Vec<(String, String)>);

/// Every attribute name that is looked at; all others are skipped unread.
const WANTED: &[&str] = &[
    "ID",
    "UUID",
    "MetadataFile",
    "FileName",
    "Name",
    "DimensionOrder",
    "Type",
    "PixelType",
    "SizeX",
    "SizeY",
    "SizeZ",
    "SizeC",
    "SizeT",
    "SignificantBits",
    "PhysicalSizeX",
    "PhysicalSizeXUnit",
    "PhysicalSizeY",
    "PhysicalSizeYUnit",
    "PhysicalSizeZ",
    "PhysicalSizeZUnit",
    "TimeIncrement",
    "TimeIncrementUnit",
    "SamplesPerPixel",
    "Color",
    "EmissionWavelength",
    "EmissionWavelengthUnit",
    "ExcitationWavelength",
    "ExcitationWavelengthUnit",
    "EmWave",
    "ExWave",
    "Fluor",
    "IFD",
    "FirstZ",
    "FirstC",
    "FirstT",
    "PlaneCount",
    "NumPlanes",
];

pub(super) fn attributes(e: &BytesStart<'_>) -> Result<Attributes> {
    let mut found = Vec::new();
    // Without checks: looking for duplicates is quadratic in their number.
    for attribute in e.attributes().with_checks(false) {
        let attribute = attribute.map_err(|e| Error::malformed(format!("broken attribute: {e}")))?;
        let local = attribute.key.local_name();
        let name: &str = local.as_ref();
        if WANTED.contains(&name) && found.len() < WANTED.len() {
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|e| Error::malformed(format!("attribute {name}: {e:.120}")))?;
            if value.len() > MAX_TEXT {
                return Err(Error::over_limit(format!("attribute {name} exceeds {MAX_TEXT} bytes")));
            }
            found.push((name.to_owned(), value.into_owned()));
        }
    }
    Ok(Attributes(found))
}

impl Attributes {
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.iter_mut().find(|(n, _)| n == name).map(|(_, v)| std::mem::take(v))
    }

    /// A size: at least 1.
    pub fn size(&mut self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.take(name) else { return Ok(None) };
        match text.trim().parse::<u64>() {
            Ok(n) if n > 0 => Ok(Some(n)),
            _ => Err(Error::malformed(format!("{name} {text:.40}"))),
        }
    }

    /// A number of planes, channels or directories. What does not fit into 32 bits lies outside of any file.
    pub fn count(&mut self, name: &str) -> Result<Option<u32>> {
        let Some(text) = self.take(name) else { return Ok(None) };
        match text.trim().parse::<u64>() {
            Ok(n) => Ok(Some(u32::try_from(n).unwrap_or(u32::MAX).min(TiffData::NONE - 1))),
            Err(_) => Err(Error::malformed(format!("{name} {text:.40}"))),
        }
    }

    pub fn number(&mut self, name: &str) -> Option<f64> {
        self.take(name)?.trim().parse::<f64>().ok().filter(|v| v.is_finite())
    }

    /// A positive quantity; its unit is the one given, else the one that is the schema's default and was fixed before 2015-01.
    pub fn quantity(&mut self, name: &str, unit: &str, default: &str) -> Option<Quantity> {
        let value = self.number(name)?;
        let unit = match self.take(unit) {
            Some(text) => Unit::parse(&text),
            None => Unit::parse(default),
        };
        Quantity::checked(value, unit)
    }

    pub fn wavelength(&mut self, name: &str, unit: &str, old: &str) -> Option<f64> {
        let Some(value) = self.number(name) else { return self.number(old).filter(|v| *v > 0.0) };
        let factor = match self.take(unit) {
            Some(text) => Unit::parse(&text)?.factor() / 1e-9,
            None => 1.0,
        };
        // Rounded to a millionth, so that 0.488 micrometres are 488 nanometres.
        Some((value * factor * 1e6).round() / 1e6).filter(|v| *v > 0.0)
    }
}
