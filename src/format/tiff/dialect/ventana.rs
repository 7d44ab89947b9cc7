//! Ventana (Roche) BIF: frames of the camera as tiles, with the overlap of neighbours in XML (Roche, "BIF whole slide image
//! file format", white paper). The first page is the label with the iScan metadata; the pages of the slide are named
//! `level=0 mag=20 quality=90`, and the XMP of the first of them says how frames are stitched.

use super::pictures::{Fit, Picture, Pictures};
use super::{Dialect, Opening, latin_or_utf8, tag_details};
use crate::error::{Error, Result};
use crate::format::ImageSource;
use crate::format::details::{About, Details, Form, Key, key};
use crate::format::tiff::mosaic::{Area, Mosaic};
use crate::format::tiff::page::Page;
use crate::format::tiff::series::{about_content, date_time};
use crate::format::tiff::tags::tag;
use crate::format::xml::Element;
use crate::model::{Objective, Physical, Quantity, Role, Series};
use crate::sync::Arc;

/// Name of the verbatim document: how the slide is stitched.
const DOCUMENT: &str = "source.bif.xml";
/// A slide of 10,000 frames has some megabytes of joints.
const MAX_XMP: u64 = 32 << 20;

/// What the attributes of `iScan` say.
const PLACES: &[Key] = &[
    key("UserName", "Experimenter/@UserName", Form::Text),
    key("ScannerModel", "Instrument/Microscope/@Model", Form::Text),
    key("UnitNumber", "Instrument/Microscope/@SerialNumber", Form::Text),
];
/// What has no place.
const KEPT: &[&str] =
    &["SlideAnnotation", "ShowLabel", "LabelBoundary", "BuildVersion", "BuildDate", "Barcode1D", "Barcode2D", "Mode"];

/// The dialect.
pub(super) struct Ventana;

impl Dialect for Ventana {
    fn name(&self) -> &'static str {
        "Ventana XML"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        let Ok(Some(xmp)) = opening.first.bytes(tag::XMP, 4096) else { return false };
        let says = |word: &[u8]| xmp.windows(word.len()).any(|w| w == word);
        says(b"<iScan") || says(b"<EncodeInfo") || opening.made_by("ScanOutputManager") || opening.made_by("Ventana")
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let index = opening.slide_index()?;
        let mut pictures = Pictures::new(opening, Arc::clone(&index));
        let mut levels: Vec<(u64, u64)> = Vec::new();
        let mut associated: Vec<(&str, u64)> = Vec::new();
        let mut scan = None;
        for ifd in 0..index.offsets.len() as u64 {
            let Some(page) = pictures.page_if_readable(ifd)? else { continue };
            let text = latin_or_utf8(&page.ifd.bytes(tag::IMAGE_DESCRIPTION, 256).ok().flatten().unwrap_or_default());
            match text.strip_prefix("level=") {
                Some(rest) => {
                    let number = rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok());
                    let number = number.ok_or_else(|| Error::malformed(format!("level={rest:.20}")))?;
                    levels.push((number, ifd));
                }
                None => associated.push((name(&text), ifd)),
            }
            if scan.is_none() {
                scan = xmp(opening, &index, ifd)?.and_then(|(_, root)| find(&root, "iScan").map(Scan::read));
            }
        }
        levels.sort_unstable();
        let Some((base, first)) = levels.first().copied() else { return Err(Error::malformed("no page is a level")) };
        let main = pictures.page(first)?;
        let (document, stitched) = match xmp(opening, &index, first)? {
            Some((document, root)) => (Some((DOCUMENT, document.into())), Stitching::read(&root, &main)?),
            None => (None, Stitching::plain(&main)),
        };
        let mut fits = Vec::with_capacity(levels.len());
        for (number, ifd) in &levels {
            fits.push(stitched.fit(number - base, &pictures.page(*ifd)?)?);
        }
        let acquired = date_time(&main);
        let ifds: Vec<u64> = levels.iter().map(|(_, ifd)| *ifd).collect();
        let one = pictures.add_fitted(Picture::single(Role::Image, "", &ifds), &fits)?;
        one.acquired = acquired;
        let scan = scan.unwrap_or_default();
        describe(one, &scan);
        scan.details(&mut pictures.details);
        tag_details(&opening.first, &mut pictures.details, true);
        for (name, ifd) in associated {
            pictures.add(Picture::single(Role::Associated(name.to_owned()), name, &[ifd]))?;
        }
        Ok(Arc::new(pictures.finish(document)?))
    }
}

/// What a page beside the slide is, by its description.
fn name(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    match () {
        () if text.starts_with("label") => "macro",
        () if text.starts_with("thumbnail") => "thumbnail",
        () if text.starts_with("probability") => "probability",
        () => "image",
    }
}

/// The XMP of a page, as stored and as a tree; what is not XML is none.
fn xmp(
    opening: &Opening<'_>,
    index: &crate::format::tiff::files::Indexed,
    ifd: u64,
) -> Result<Option<(Vec<u8>, Element)>> {
    let page = crate::format::tiff::ifd::Ifd::read(&opening.tiff, index.offset(ifd)?)?;
    let Some(text) = page.text(tag::XMP, MAX_XMP)? else { return Ok(None) };
    match Element::parse(&text) {
        Ok(root) => Ok(Some((text, root))),
        Err(e) if about_content(&e) && e.kind() != crate::Kind::OverLimit => Ok(None),
        Err(e) => Err(e),
    }
}

fn find<'e>(root: &'e Element, name: &str) -> Option<&'e Element> {
    root.descendants().into_iter().find(|e| e.name == name)
}

/// The attributes of `iScan`.
#[derive(Default)]
struct Scan {
    /// Micrometres between pixels.
    resolution: Option<f64>,
    magnification: Option<f64>,
    /// All of them.
    said: Vec<(String, String)>,
}

impl Scan {
    fn read(element: &Element) -> Self {
        let said = element.attributes().iter().take(64).cloned().collect();
        Scan { resolution: element.number("ScanRes"), magnification: element.number("Magnification"), said }
    }

    fn details(&self, details: &mut Details) {
        let said = |key: &str| self.said.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        details.apply(PLACES, About::default(), said);
        for name in KEPT {
            if let Some(value) = said(name) {
                details.keep("bif", 0, name, value);
            }
        }
    }
}

fn describe(one: &mut Series, scan: &Scan) {
    let size = scan.resolution.and_then(|r| Quantity::checked(r, None)).map(|q| Quantity::micrometer(q.value));
    one.physical = Physical { x: size.clone(), y: size, ..Physical::default() };
    let magnification = scan.magnification.filter(|m| *m > 0.0);
    one.objective = magnification.map(|m| Objective { magnification: Some(m), ..Objective::default() });
}

/// How frames become the slide.
struct Stitching {
    areas: Vec<Area>,
    frame: (u64, u64),
    advance: (f64, f64),
    /// The page of the full resolution.
    page: (u64, u64),
}

impl Stitching {
    /// Pages as they are.
    fn plain(page: &Page) -> Self {
        let size = (page.layout.width, page.layout.height);
        Stitching { areas: Vec::new(), frame: (1, 1), advance: (1.0, 1.0), page: size }
    }

    /// `ImageInfo` describes an area: frames (`NumCols`, `NumRows`), its lower left corner on the slide (`Pos-X`, `Pos-Y`, upwards)
    /// and the overlap of neighbours. `AoiOrigin` says where its frames begin in the pages. Overlaps differ by single pixels;
    /// one step for the whole slide, the mean of all joints by their confidence, keeps every level consistent.
    fn read(root: &Element, page: &Page) -> Result<Self> {
        let Some(tile) = page.native_tile() else { return Ok(Self::plain(page)) };
        let frame = (tile.x, tile.y);
        let origin = find(root, "AoiOrigin");
        let mut areas: Vec<(Area, f64)> = Vec::new();
        let mut overlap = (Mean::default(), Mean::default());
        for info in root.descendants().into_iter().filter(|e| e.name == "ImageInfo") {
            if info.attribute("AOIScanned") == Some("0") {
                continue;
            }
            let need = |name: &str| info.count(name).ok_or_else(|| Error::malformed(format!("an area without {name}")));
            let (columns, rows) = (need("NumCols")?, need("NumRows")?);
            let stated = (need("Width")?, need("Height")?);
            if stated != frame {
                let text = format!("frames of {} x {} in tiles of {} x {}", stated.0, stated.1, frame.0, frame.1);
                return Err(Error::malformed(text));
            }
            let index = info.count("AOIIndex").unwrap_or(areas.len() as u64);
            let start = origin.and_then(|o| o.child(&format!("AOI{index}")));
            let start = |name: &str| start.and_then(|s| s.count(name)).unwrap_or(0);
            let (column, row) = (start("OriginX") / frame.0, start("OriginY") / frame.1);
            let (down, across) = page.layout.blocks();
            if columns == 0 || rows == 0 || column.saturating_add(columns) > across || row.saturating_add(rows) > down {
                return Err(Error::malformed(format!(
                    "an area of {columns} x {rows} frames in {across} x {down} tiles"
                )));
            }
            let x = info.number("Pos-X").unwrap_or(0.0).max(0.0) as u64;
            let bottom = info.number("Pos-Y").unwrap_or(0.0);
            for joint in info.all("TileJointInfo").filter(|j| j.attribute("FlagJoined") != Some("0")) {
                let weight = joint.number("Confidence").unwrap_or(1.0);
                match joint.attribute("Direction") {
                    Some("RIGHT" | "LEFT") => overlap.0.add(joint.number("OverlapX"), weight),
                    Some("UP" | "DOWN") => overlap.1.add(joint.number("OverlapY"), weight),
                    _ => {}
                }
            }
            areas.push((Area { x, y: 0, column, row, columns, rows }, bottom));
        }
        #[allow(clippy::cast_precision_loss)]
        let advance = (frame.0 as f64 - overlap.0.value(), frame.1 as f64 - overlap.1.value());
        let mut stitching = Self::plain(page);
        (stitching.frame, stitching.advance) = (frame, advance);
        stitching.place(areas);
        Ok(stitching)
    }

    /// Turns heights that count from below into such that count from the top of what was scanned. Columns count from the left
    /// edge of the slide, as other readers of this format have it.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn place(&mut self, areas: Vec<(Area, f64)>) {
        let height = |a: &Area| (a.rows - 1) as f64 * self.advance.1 + self.frame.1 as f64;
        let top = areas.iter().map(|(a, bottom)| bottom + height(a)).fold(f64::MIN, f64::max);
        let placed =
            areas.iter().map(|(a, bottom)| Area { y: (top - bottom - height(a)).round().max(0.0) as u64, ..*a });
        self.areas = placed.collect();
    }

    /// What is shown of the page of a level, `shift` halvings below the full resolution.
    fn fit(&self, shift: u64, page: &Page) -> Result<Fit> {
        let shift = u32::try_from(shift).ok().filter(|s| *s <= 30);
        let shift = shift.ok_or_else(|| Error::malformed("a level beyond 30 halvings"))?;
        let (width, height) = (page.layout.width, page.layout.height);
        let mosaic = match &self.areas[..] {
            [] => None,
            _ => Some(Mosaic::new(self.areas.clone(), self.frame, self.advance, shift)?),
        };
        #[allow(clippy::float_cmp, clippy::cast_precision_loss)]
        let seamless = self.advance == (self.frame.0 as f64, self.frame.1 as f64);
        match mosaic {
            // One area without overlap is what the page shows already, but for the empty rest of its last tiles.
            Some(mosaic) => match &self.areas[..] {
                [Area { column: 0, row: 0, .. }]
                    if seamless && mosaic.size().0 <= width && mosaic.size().1 <= height =>
                {
                    Ok(Fit::Cropped(mosaic.size().0, mosaic.size().1))
                }
                _ => Ok(Fit::Stitched(Arc::new(mosaic))),
            },
            None => {
                let size = |full: u64, page: u64| full.div_ceil(1 << shift).clamp(1, page);
                Ok(Fit::Cropped(size(self.page.0, width), size(self.page.1, height)))
            }
        }
    }
}

/// A weighted mean.
#[derive(Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>, weight: f64) {
        let Some(value) = value.filter(|_| weight > 0.0) else { return };
        self.sum += value * weight;
        self.weight += weight;
    }

    fn value(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_count_from_the_top() {
        let area = |x| Area { x, y: 0, column: 0, row: 0, columns: 2, rows: 3 };
        let mut stitching = Stitching { areas: vec![], frame: (100, 100), advance: (90.0, 90.0), page: (400, 600) };
        stitching.place(vec![(area(500), 0.0), (area(700), 1000.0)]);
        let at: Vec<_> = stitching.areas.iter().map(|a| (a.x, a.y)).collect();
        assert_eq!(at, [(500, 1000), (700, 0)]);
    }

    #[test]
    fn names_follow_descriptions() {
        assert_eq!(name("Label Image"), "macro");
        assert_eq!(name("Thumbnail"), "thumbnail");
        assert_eq!(name("Probability_Image"), "probability");
    }
}
