//! Hamamatsu NDPI: the resolutions of a slide, its focal planes, a macro image and a map, told by tags of their own.
//!
//! No specification is published; the tags are those that free readers agree on. Offsets beyond 4 GiB are the matter of
//! [`crate::format::tiff::header`] and [`crate::format::tiff::ifd`], the strips that of [`crate::format::tiff::restart`].

use super::pictures::{Picture, Pictures, runs};
use super::{Dialect, Opening, tag_details};
use crate::error::{Error, Result};
use crate::format::ImageSource;
use crate::format::details::{About, Details, Form, Key, key};
use crate::format::omexml::{Axis, DimensionOrder};
use crate::format::tiff::ifd::Ifd;
use crate::format::tiff::series::{date_time, resolution, sample_channels};
use crate::format::tiff::tags::tag;
use crate::model::{Channel, Objective, Quantity, Role};
use crate::sync::Arc;

/// What the lines of properties say.
const PLACES: &[Key] = &[
    key("Product", "Instrument/Microscope/@Model", Form::Text),
    key("Objective.Lens.Magnificant", "Instrument/Objective/@NominalMagnification", Form::Number),
];

/// Hamamatsu's slides.
pub(super) struct Ndpi;

/// What a directory says of its place in the slide.
struct Sheet {
    ifd: u64,
    size: (u64, u64),
    /// Magnification of the objective; negative for what is no part of the slide.
    lens: f64,
    /// Nanometres from the slide's centre.
    z: i64,
    fluorescence: Option<String>,
}

/// More focal planes and resolutions than any scanner makes.
const MAX_SHEETS: usize = 65_536;

impl Dialect for Ndpi {
    fn name(&self) -> &'static str {
        "NDPI"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        opening.tiff.ndpi
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let index = opening.index()?;
        let mut sheets = Vec::new();
        for (offset, ifd) in index.offsets.iter().zip(0..) {
            if sheets.len() >= MAX_SHEETS {
                return Err(Error::over_limit(format!("more than {MAX_SHEETS} images in an NDPI file")));
            }
            sheets.push(Sheet::read(&Ifd::read(&index.tiff, *offset)?, ifd)?);
            opening.watch.tick();
        }
        let mut pictures = Pictures::new(opening, index);
        let (slides, rest) = slides(sheets);
        for slide in &slides {
            add_slide(&mut pictures, slide)?;
        }
        for (number, sheet) in rest.iter().enumerate() {
            let (name, title) = match sheet.lens {
                -1.0 => ("macro".to_owned(), "Macro"),
                -2.0 => ("map".to_owned(), "Map"),
                lens => (format!("image{lens}"), ""),
            };
            let same = rest[..number].iter().filter(|s| s.lens == sheet.lens).count();
            let name = if same == 0 { name } else { format!("{name}{}", same + 1) };
            // Other readers give a picture the pixel size of the directory that has its number among the pictures, and not its
            // own; fuzarr is compared with them.
            let like = (slides.len() + number) as u64;
            let physical = pictures.page(like).map(|page| resolution(&page)).unwrap_or_default();
            let one = pictures.add(Picture::single(Role::Associated(name), title, &[sheet.ifd]))?;
            one.physical = physical;
        }
        details(&opening.first, &mut pictures.details, slides.iter().map(|s| s.levels.first()));
        Ok(Arc::new(pictures.finish(None)?))
    }
}

/// The scanner, its filter sets, and whatever else it says of the slide.
fn details<'s>(first: &Ifd, details: &mut Details, mains: impl Iterator<Item = Option<&'s Vec<Sheet>>>) {
    tag_details(first, details, true);
    if let Some(serial) = text(first, tag::NDPI_SERIAL) {
        details.put("Instrument/Microscope/@SerialNumber", Form::Text, About::default(), &serial);
    }
    let properties = text(first, tag::NDPI_PROPERTIES).unwrap_or_default();
    let pairs: Vec<(&str, &str)> = properties.lines().take(256).filter_map(|line| line.split_once('=')).collect();
    details.apply(PLACES, About::default(), |key| pairs.iter().find(|(k, _)| k.trim() == key).map(|(_, v)| *v));
    for (name, value) in pairs {
        details.keep("ndpi", 0, name, value);
    }
    for (image, main) in mains.enumerate() {
        for (channel, name) in main.map(|level| channels(level)).unwrap_or_default().iter().enumerate() {
            let about = About { image, channel: Some(channel) };
            details.put("Instrument/FilterSet/@Model", Form::Text, about, name);
        }
    }
}

impl Sheet {
    fn read(ifd: &Ifd, number: u64) -> Result<Self> {
        let side = |tag| ifd.u64(tag).map(Option::unwrap_or_default);
        Ok(Sheet {
            ifd: number,
            size: (side(tag::IMAGE_WIDTH)?, side(tag::IMAGE_LENGTH)?),
            lens: ifd.f64(tag::NDPI_MAGNIFICATION).ok().flatten().filter(|m| m.is_finite()).unwrap_or(0.0),
            z: ifd.f64(tag::NDPI_Z_OFFSET).ok().flatten().unwrap_or(0.0) as i64,
            fluorescence: text(ifd, tag::NDPI_FLUORESCENCE),
        })
    }
}

/// A slide: for each resolution, largest first, the sheets of its planes.
struct Slide {
    levels: Vec<Vec<Sheet>>,
    /// Focal planes and channels.
    planes: (u64, u64),
}

/// Sheets of the slide by their size, and those that are something else. A resolution that has not as many planes as the
/// largest one is a slide of its own.
fn slides(sheets: Vec<Sheet>) -> (Vec<Slide>, Vec<Sheet>) {
    let (slide, rest): (Vec<_>, Vec<_>) = sheets.into_iter().partition(|s| s.lens >= 0.0);
    let mut levels: Vec<Vec<Sheet>> = Vec::new();
    for sheet in slide {
        match levels.iter_mut().find(|l| l[0].size == sheet.size) {
            Some(level) => level.push(sheet),
            None => levels.push(vec![sheet]),
        }
    }
    levels.sort_by_key(|l| std::cmp::Reverse(l[0].size.0.saturating_mul(l[0].size.1)));
    let mut slides: Vec<Slide> = Vec::new();
    for mut level in levels {
        // Channels are told by their filter sets, focal planes by their order in the file.
        level.sort_by_key(|s| (s.z, s.ifd));
        let channels = channels(&level).len().max(1) as u64;
        let count = level.len() as u64;
        let planes = if count.is_multiple_of(channels) { (count / channels, channels) } else { (count, 1) };
        match slides.iter_mut().find(|s| s.planes == planes) {
            Some(slide) => slide.levels.push(level),
            None => slides.push(Slide { levels: vec![level], planes }),
        }
    }
    (slides, rest)
}

/// The filter sets of a resolution, in the order of the file.
fn channels(level: &[Sheet]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for sheet in level {
        if let Some(name) = sheet.fluorescence.as_ref().filter(|n| !names.contains(n)) {
            names.push(name.clone());
        }
    }
    names
}

fn add_slide(pictures: &mut Pictures<'_>, slide: &Slide) -> Result<()> {
    let Some(main) = slide.levels.first() else { return Ok(()) };
    let (z, c) = slide.planes;
    let levels = slide.levels.iter().map(|level| runs(level.iter().map(|s| s.ifd))).collect();
    let page = pictures.page(main[0].ifd)?;
    let label = text(&page.ifd, tag::NDPI_SLIDE_LABEL);
    let one = pictures.add(Picture {
        role: Role::Image,
        name: label.unwrap_or_else(|| "Baseline".to_owned()),
        order: DimensionOrder([Axis::C, Axis::Z, Axis::T]),
        sizes: (z, c, 1),
        levels,
    })?;
    one.physical = resolution(&page);
    let step = main.windows(2).map(|w| w[1].z.abs_diff(w[0].z)).find(|d| *d > 0);
    if let Some(step) = step.filter(|_| z > 1) {
        one.physical.z = Some(Quantity::micrometer(step as f64 / 1000.0));
    }
    let logical: Vec<Channel> =
        channels(main).into_iter().map(|name| Channel { name: Some(name), ..Channel::default() }).collect();
    if !logical.is_empty() {
        one.channels = sample_channels(&page, c, &logical);
    }
    one.acquired = date_time(&page);
    let magnification = Some(main[0].lens).filter(|m| *m > 0.0);
    one.objective = magnification.is_some().then(|| Objective { magnification, ..Objective::default() });
    Ok(())
}

/// A short text field, if it says anything.
fn text(ifd: &Ifd, tag: u16) -> Option<String> {
    let bytes = ifd.text(tag, 4096).ok().flatten()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned()).filter(|t| !t.is_empty())
}
