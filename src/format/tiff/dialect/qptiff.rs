//! Akoya (PerkinElmer) QPTIFF: each page says in XML what it is (Akoya, "PhenoImager QPTIFF file format"). A page for each
//! channel at full resolution, an RGB thumbnail, pages for each channel at each lower resolution, then overview and label.

use super::pictures::{Picture, Pictures, runs};
use super::{Dialect, Opening, tag_details};
use crate::error::Result;
use crate::format::ImageSource;
use crate::format::details::{About as Place, BINNING, Details, Form, Key, key, number};
use crate::format::omexml::DimensionOrder;
use crate::format::tiff::page::Page;
use crate::format::tiff::series::{date_time, resolution};
use crate::format::xml::Element;
use crate::model::{Objective, Physical, Quantity, Rgb, Role};
use crate::sync::Arc;

/// Name of the verbatim document: that of the first page.
const DOCUMENT: &str = "source.qptiff.xml";
/// A scan profile may be long.
const MAX_DESCRIPTION: u64 = 4 << 20;

/// What a page says of itself, by the path of its elements.
const PLACES: &[Key] = &[
    key("OperatorName", "Experimenter/@UserName", Form::Text),
    key("InstrumentType", "Instrument/Microscope/@Model", Form::Text),
    key("CameraName", "Instrument/Detector/@Model", Form::Text),
    key("CameraSettings/Gain", "Image/Pixels/Channel/DetectorSettings/@Gain", Form::Number),
    key("CameraSettings/OffsetCounts", "Image/Pixels/Channel/DetectorSettings/@Offset", Form::Number),
    key("CameraSettings/Binning", "Image/Pixels/Channel/DetectorSettings/@Binning", BINNING),
    key("Name", "Image/Pixels/Channel/@Fluor", Form::Text),
    key("LampType", "Instrument/GenericExcitationSource/@Model", Form::Text),
    key("ExcitationFilter/Manufacturer", "Instrument/ExcitationFilter/@Manufacturer", Form::Text),
    key("ExcitationFilter/PartNo", "Instrument/ExcitationFilter/@Model", Form::Text),
    key("ExcitationFilter/Bands/Band/Cuton", "Instrument/ExcitationFilter/TransmittanceRange/@CutIn", Form::In("nm")),
    key("ExcitationFilter/Bands/Band/Cutoff", "Instrument/ExcitationFilter/TransmittanceRange/@CutOut", Form::In("nm")),
    key("EmissionFilter/Manufacturer", "Instrument/EmissionFilter/@Manufacturer", Form::Text),
    key("EmissionFilter/PartNo", "Instrument/EmissionFilter/@Model", Form::Text),
    key("EmissionFilter/Bands/Band/Cuton", "Instrument/EmissionFilter/TransmittanceRange/@CutIn", Form::In("nm")),
    key("EmissionFilter/Bands/Band/Cutoff", "Instrument/EmissionFilter/TransmittanceRange/@CutOut", Form::In("nm")),
];
/// What has no place.
const KEPT: &[&str] = &["AcquisitionSoftware", "ComputerName", "SlideID", "Barcode", "StudyName", "Biomarker"];

/// The dialect.
pub(super) struct Qptiff;

impl Dialect for Qptiff {
    fn name(&self) -> &'static str {
        "QPTIFF XML"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        opening.mentions(ROOT.as_bytes()) || opening.made_by("PerkinElmer-QPI")
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let index = opening.slide_index()?;
        let mut pictures = Pictures::new(opening, Arc::clone(&index));
        let mut slide = Slide::default();
        for ifd in 0..index.offsets.len() as u64 {
            let Some(page) = pictures.page_if_readable(ifd)? else { continue };
            slide.sort(ifd, &page);
        }
        slide.add(&mut pictures)?;
        tag_details(&opening.first, &mut pictures.details, false);
        let document = opening.description.clone().unwrap_or_default();
        Ok(Arc::new(pictures.finish(Some((DOCUMENT, document.into())))?))
    }
}

/// Name of the document's root.
const ROOT: &str = "PerkinElmer-QPI-ImageDescription";

/// What one page says of itself.
#[derive(Default)]
struct About {
    name: Option<String>,
    color: Option<Rgb>,
    /// Micrometres, of the scan as a whole.
    pixel_size: Option<f64>,
    objective: Option<Objective>,
    acquired: Option<String>,
    physical: Physical,
    root: Option<Element>,
}

/// What the pages are.
#[derive(Default)]
struct Slide {
    channels: Vec<(u64, About)>,
    /// Pages of each lower resolution.
    reduced: Vec<((u64, u64), Vec<u64>)>,
    /// Directory name, title, directory.
    associated: Vec<(String, String, u64, Physical)>,
    size: (u64, u64),
}

impl Slide {
    fn sort(&mut self, ifd: u64, page: &Page) {
        let text = page.description(MAX_DESCRIPTION).ok().flatten().unwrap_or_default();
        let root = Element::parse(&text).ok().filter(|r| r.name == ROOT);
        let kind = root.as_ref().and_then(|r| r.text_of("ImageType")).map(str::to_owned);
        let mut about = about(root.as_ref(), page);
        about.root = root.map(slim);
        let size = (page.layout.width, page.layout.height);
        // Without a word, pages like the first are channels, smaller ones with as many samples are resolutions.
        let like = self.channels.is_empty() || size == self.size;
        match kind.as_deref() {
            Some("FullResolution") if like => self.channel(ifd, size, about),
            Some("ReducedResolution") => self.reduce(ifd, size),
            Some(title) if title != "FullResolution" => {
                let name = if title == "Overview" { "macro".to_owned() } else { title.to_lowercase() };
                self.associated.push((name, title.to_owned(), ifd, beside(page)));
            }
            None if like => self.channel(ifd, size, about),
            None if page.layout.tiled => self.reduce(ifd, size),
            _ => self.associated.push(("thumbnail".into(), "Thumbnail".into(), ifd, beside(page))),
        }
    }

    fn channel(&mut self, ifd: u64, size: (u64, u64), about: About) {
        self.size = size;
        self.channels.push((ifd, about));
    }

    fn reduce(&mut self, ifd: u64, size: (u64, u64)) {
        match self.reduced.iter_mut().find(|(s, _)| *s == size) {
            Some((_, ifds)) => ifds.push(ifd),
            None => self.reduced.push((size, vec![ifd])),
        }
    }

    fn add(mut self, pictures: &mut Pictures<'_>) -> Result<()> {
        let count = self.channels.len();
        self.reduced.sort_by_key(|((x, y), _)| std::cmp::Reverse(x.saturating_mul(*y)));
        let mut levels = vec![runs(self.channels.iter().map(|(ifd, _)| *ifd))];
        for ((x, y), ifds) in self.reduced {
            if ifds.len() == count {
                levels.push(runs(ifds));
            } else {
                pictures.warn(format!("{} of {count} channels at {x} x {y} pixels: left out", ifds.len()));
            }
        }
        let sizes = (1, count as u64, 1);
        let order = DimensionOrder::default();
        let one = pictures.add(Picture { role: Role::Image, name: String::new(), order, sizes, levels })?;
        if let Some((_, first)) = self.channels.first() {
            let stated = first.pixel_size.and_then(|s| Quantity::checked(s, None));
            let stated = stated.map(|q| Quantity::micrometer(q.value));
            let pick = |tag: &Option<Quantity>| tag.clone().or_else(|| stated.clone());
            one.physical = Physical { x: pick(&first.physical.x), y: pick(&first.physical.y), ..Physical::default() };
            one.objective.clone_from(&first.objective);
            one.acquired.clone_from(&first.acquired);
        }
        let samples = one.samples;
        if samples == 1 {
            for (shown, (_, about)) in one.channels.iter_mut().zip(&self.channels) {
                shown.name.clone_from(&about.name);
                shown.color = about.color;
            }
        }
        for (channel, (_, about)) in self.channels.iter().enumerate() {
            if let Some(root) = &about.root {
                details(root, if samples == 1 { channel } else { 0 }, &mut pictures.details);
            }
        }
        for (name, title, ifd, physical) in self.associated {
            pictures.add(Picture::single(Role::Associated(name), &title, &[ifd]))?.physical = physical;
        }
        Ok(())
    }
}

fn about(root: Option<&Element>, page: &Page) -> About {
    let mut about = About { acquired: date_time(page), physical: resolution(page), ..About::default() };
    let Some(root) = root else { return about };
    about.name = root.text_of("Name").or_else(|| root.text_of("Biomarker")).map(str::to_owned);
    about.color = root.text_of("Color").and_then(color);
    about.pixel_size = pixel_size(root);
    about.objective = root.text_of("Objective").map(|text| {
        let number = text.trim_end_matches(['x', 'X']).trim().parse::<f64>().ok();
        let magnification = number.filter(|m| m.is_finite() && *m > 0.0);
        Objective { magnification, na: None, model: Some(text.to_owned()) }
    });
    about
}

/// What a page says of the microscope, for its channel.
fn details(root: &Element, channel: usize, details: &mut Details) {
    let about = Place { image: 0, channel: Some(channel) };
    let said = |path: &str| {
        let names: Vec<&str> = path.split('/').collect();
        root.path(&names).map(|e| e.text.trim()).filter(|t| !t.is_empty())
    };
    details.apply(PLACES, about, said);
    let exposure = said("ExposureTime").and_then(number).filter(|us| *us > 0.0);
    details.plane(0, (0, channel as u64, 0), &[("ExposureTime", exposure, "µs")]);
    for name in KEPT {
        if let Some(value) = said(name) {
            details.keep("qptiff", 0, name, value);
        }
    }
}

/// Calibration of a page beside the scan: a resolution without a unit counts in micrometres there, as the readers of this
/// format take it.
fn beside(page: &Page) -> Physical {
    let Some((x, y, 1)) = page.resolution() else { return resolution(page) };
    let size = |pixels: f64| Quantity::checked(1.0 / pixels, None).map(|q| Quantity::micrometer(q.value));
    Physical { x: size(x), y: size(y), ..Physical::default() }
}

/// A description without the scan profile, which every page repeats.
fn slim(mut root: Element) -> Element {
    root.children.retain(|c| c.name != "ScanProfile");
    root
}

/// The scan profile gives the pixel size at some depth that varies by version.
fn pixel_size(root: &Element) -> Option<f64> {
    let found = root.descendants().into_iter().find(|e| e.name == "PixelSizeMicrons")?;
    found.text.trim().parse().ok()
}

/// "255,128,0"
fn color(text: &str) -> Option<Rgb> {
    let parts: Vec<u8> = text.split(',').map(|p| p.trim().parse().ok()).collect::<Option<_>>()?;
    let [r, g, b] = parts[..] else { return None };
    Some(Rgb(r, g, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_camera_and_filters() {
        let root = Element::parse(
            b"<PerkinElmer-QPI-ImageDescription><Name>DAPI</Name><OperatorName>ann</OperatorName><ExposureTime>5000</ExposureTime>\
            <CameraName>Orca</CameraName><CameraSettings><Gain>1.5</Gain><Binning>2</Binning></CameraSettings><EmissionFilter><PartNo>7\
            </PartNo><Bands><Band><Cuton>440</Cuton><Cutoff>460</Cutoff></Band></Bands></EmissionFilter>\
            </PerkinElmer-QPI-ImageDescription>",
        )
        .unwrap();
        let mut all = Details::default();
        details(&root, 1, &mut all);
        let ome = all.finish().unwrap();
        let pixels = ome.child("Image").unwrap().child("Pixels").unwrap();
        let channel = pixels.all("Channel").nth(1).unwrap();
        assert_eq!(channel.get("Fluor"), Some("DAPI"));
        let settings = channel.child("DetectorSettings").unwrap();
        assert_eq!((settings.get("Gain"), settings.get("Binning")), (Some("1.5"), Some("2x2")));
        let plane = pixels.child("Plane").unwrap();
        assert_eq!(
            (plane.get("TheC"), plane.get("ExposureTime"), plane.get("ExposureTimeUnit")),
            (Some("1"), Some("5000"), Some("µs"))
        );
        let instrument = ome.child("Instrument").unwrap();
        assert_eq!(instrument.child("Detector").unwrap().get("Model"), Some("Orca"));
        let filter = instrument.child("Filter").unwrap();
        let range = filter.child("TransmittanceRange").unwrap();
        assert_eq!(
            (filter.get("Model"), range.get("CutIn"), range.get("CutOutUnit")),
            (Some("7"), Some("440"), Some("nm"))
        );
        let link = channel.child("LightPath").unwrap().child("EmissionFilterRef").unwrap();
        assert_eq!(link.get("ID"), filter.get("ID"));
    }

    #[test]
    fn colours_are_three_numbers() {
        assert_eq!(color("255,128, 0"), Some(Rgb(255, 128, 0)));
        assert_eq!(color("255,128"), None);
        assert_eq!(color("256,0,0"), None);
    }
}
