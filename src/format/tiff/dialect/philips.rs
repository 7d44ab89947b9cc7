//! Philips TIFF: the export of an iSyntax slide. Pages are as large as all their tiles; the XML of the first one (DICOM names and
//! Philips's own) gives the spacing of each level, and with it the size that counts. Label and macro are pages, or JPEG streams
//! inside the XML.

use super::embedded::jpeg_page;
use super::pictures::{Fit, Picture, Pictures};
use super::{Dialect, Opening, latin_or_utf8};
use crate::error::Result;
use crate::format::ImageSource;
use crate::format::details::{About, Form, Key, key};
use crate::format::tiff::series::{about_content, warn};
use crate::format::tiff::tags::tag;
use crate::format::xml::Element;
use crate::model::{Physical, Quantity, Role};
use crate::sync::Arc;

/// Name of the verbatim document.
const DOCUMENT: &str = "source.philips.xml";

/// What the attributes of the import and of the scan say.
const PLACES: &[Key] = &[
    key("DICOM_MANUFACTURER", "Instrument/Microscope/@Manufacturer", Form::Text),
    key("DICOM_MANUFACTURERS_MODEL_NAME", "Instrument/Microscope/@Model", Form::Text),
    key("DICOM_DEVICE_SERIAL_NUMBER", "Instrument/Microscope/@SerialNumber", Form::Text),
    key("PIIM_DP_SCANNER_OPERATOR_ID", "Experimenter/@UserName", Form::Text),
];
/// What has no place.
const KEPT: &[&str] =
    &["DICOM_SOFTWARE_VERSIONS", "DICOM_DATE_OF_LAST_CALIBRATION", "PIM_DP_UFS_BARCODE", "PIIM_DP_SCANNER_RACK_NUMBER"];

/// The dialect.
pub(super) struct Philips;

impl Dialect for Philips {
    fn name(&self) -> &'static str {
        "Philips XML"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        opening.mentions(b"DPUfsImport")
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let document = opening.description.clone().unwrap_or_default();
        let root = Element::parse(&document)?;
        let slide = Slide::read(&root);
        let index = opening.slide_index()?;
        let mut pictures = Pictures::new(opening, Arc::clone(&index));
        let mut levels: Vec<(u64, (u64, u64))> = Vec::new();
        let mut associated: Vec<(String, u64)> = Vec::new();
        for ifd in 0..index.offsets.len() as u64 {
            let Some(page) = pictures.page_if_readable(ifd)? else { continue };
            let text = latin_or_utf8(&page.ifd.bytes(tag::IMAGE_DESCRIPTION, 64).ok().flatten().unwrap_or_default())
                .to_lowercase();
            let named = ["label", "macro"].into_iter().find(|n| text.starts_with(n));
            match named {
                Some(name) => associated.push((name.to_owned(), ifd)),
                None if page.layout.tiled => levels.push((ifd, (page.layout.width, page.layout.height))),
                None => associated.push(("image".to_owned(), ifd)),
            }
        }
        let fits = slide.fits(&levels);
        let ifds: Vec<u64> = levels.iter().map(|(ifd, _)| *ifd).collect();
        let one = pictures.add_fitted(Picture::single(Role::Image, "", &ifds), &fits)?;
        one.physical = slide.physical();
        one.acquired = slide.acquired;
        let said = |key: &str| text(&root, key).map(|t| t.trim().trim_matches('"'));
        pictures.details.apply(PLACES, About::default(), said);
        for name in KEPT {
            if let Some(value) = said(name) {
                pictures.details.keep("philips", 0, name, value);
            }
        }
        for (name, ifd) in &associated {
            pictures.add(Picture::single(Role::Associated(name.clone()), name, &[*ifd]))?;
        }
        let mut warnings = Vec::new();
        for (name, base64) in &slide.embedded {
            if associated.iter().any(|(n, _)| n == name) {
                continue;
            }
            match jpeg_page(base64, opening.limits) {
                Ok(page) => {
                    pictures.add_held(Role::Associated(name.clone()), name, page)?;
                }
                Err(e) if about_content(&e) => warn(&mut warnings, format!("{name} left out: {}", e.reason())),
                Err(e) => return Err(e),
            }
        }
        warnings.into_iter().for_each(|w| pictures.warn(w));
        Ok(Arc::new(pictures.finish(Some((DOCUMENT, document.into())))?))
    }
}

/// What the XML says.
#[derive(Default)]
struct Slide {
    /// Millimetres between rows and between columns, largest level first.
    spacings: Vec<(f64, f64)>,
    /// The spacing of the scan, if the levels have none.
    spacing: Option<(f64, f64)>,
    acquired: Option<String>,
    /// Name and base64 of JPEG streams.
    embedded: Vec<(String, String)>,
}

impl Slide {
    fn read(root: &Element) -> Self {
        let mut slide =
            Slide { acquired: text(root, "DICOM_ACQUISITION_DATETIME").and_then(date_time), ..Slide::default() };
        for object in root.descendants().into_iter().filter(|e| e.name == "DataObject") {
            match object.attribute("ObjectType") {
                Some("PixelDataRepresentation") => {
                    slide.spacings.extend(text(object, "DICOM_PIXEL_SPACING").and_then(spacing));
                }
                Some("DPScannedImage") => match text(object, "PIM_DP_IMAGE_TYPE").map(str::trim) {
                    Some("WSI") => slide.spacing = text(object, "DICOM_PIXEL_SPACING").and_then(spacing),
                    Some(kind @ ("LABELIMAGE" | "MACROIMAGE")) => {
                        let name = if kind == "LABELIMAGE" { "label" } else { "macro" };
                        let data = text(object, "PIM_DP_IMAGE_DATA").filter(|d| !d.trim().is_empty());
                        slide.embedded.extend(data.map(|d| (name.to_owned(), d.to_owned())));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        slide
    }

    fn physical(&self) -> Physical {
        let Some((y, x)) = self.spacings.first().copied().or(self.spacing) else { return Physical::default() };
        let size = |mm: f64| Quantity::checked(mm * 1000.0, None).map(|q| Quantity::micrometer(rounded(q.value)));
        Physical { x: size(x), y: size(y), ..Physical::default() }
    }

    /// The part of each page that shows the specimen: the size of the full resolution over the ratio of spacings.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn fits(&self, levels: &[(u64, (u64, u64))]) -> Vec<Fit> {
        let Some((_, (width, height))) = levels.first().copied() else { return Vec::new() };
        let stated = self.spacings.len() == levels.len();
        let fit = |(number, (_, page)): (usize, &(u64, (u64, u64)))| {
            let ratio = |of: fn(&(f64, f64)) -> f64| {
                let spacings = (self.spacings.first().map(of), self.spacings.get(number).map(of));
                match spacings {
                    (Some(first), Some(this)) if stated && (1.0..1e6).contains(&(this / first)) => {
                        (this / first).round() as u64
                    }
                    _ => 1 << number.min(32),
                }
            };
            let size = ((width / ratio(|s| s.1)).clamp(1, page.0), (height / ratio(|s| s.0)).clamp(1, page.1));
            Fit::Cropped(size.0, size.1)
        };
        levels.iter().enumerate().map(fit).collect()
    }
}

/// Text of the attribute of this name directly below a `DataObject`.
fn text<'e>(object: &'e Element, name: &str) -> Option<&'e str> {
    object.all("Attribute").find(|a| a.attribute("Name") == Some(name)).map(|a| a.text.as_str())
}

/// `"0.000250" "0.000250"`: rows, columns, in millimetres.
fn spacing(text: &str) -> Option<(f64, f64)> {
    let mut numbers = text.split(['"', ' ', '\\']).filter_map(|t| t.trim().parse::<f64>().ok());
    let (rows, columns) = (numbers.next()?, numbers.next()?);
    (rows > 0.0 && columns > 0.0 && rows.is_finite() && columns.is_finite()).then_some((rows, columns))
}

/// Decimal millimetres are not exact in binary; nobody states more than nine digits.
fn rounded(micrometers: f64) -> f64 {
    (micrometers * 1e9).round() / 1e9
}

/// "20111213141516.000000" as ISO 8601.
fn date_time(text: &str) -> Option<String> {
    let digits = text.trim().trim_matches('"').get(..14).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let (date, time) = ((part(0, 4), part(4, 6), part(6, 8)), (part(8, 10), part(10, 12), part(12, 14)));
    Some(format!("{}-{}-{}T{}:{}:{}", date.0, date.1, date.2, time.0, time.1, time.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read() {
        assert_eq!(spacing("\"0.000250\" \"0.000227\""), Some((0.00025, 0.000_227)));
        assert_eq!(spacing("\"0\" \"1\""), None);
        assert_eq!(date_time("20111213141516.000000").as_deref(), Some("2011-12-13T14:15:16"));
        assert_eq!(date_time("2011"), None);
    }

    #[test]
    fn sizes_follow_from_spacings() {
        let slide = Slide { spacings: vec![(0.25, 0.25), (0.5, 0.5), (1.0, 1.0)], ..Slide::default() };
        let fits = slide.fits(&[(0, (896, 640)), (1, (512, 384)), (2, (256, 256))]);
        let sizes: Vec<_> = fits.iter().map(|f| if let Fit::Cropped(x, y) = f { (*x, *y) } else { (0, 0) }).collect();
        assert_eq!(sizes, [(896, 640), (448, 320), (224, 160)]);
    }
}
