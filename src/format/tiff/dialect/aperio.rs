//! Aperio SVS: the slide in tiles, a thumbnail in strips, smaller versions in tiles, then label and macro.
//!
//! After "Digital Slides and Third-Party Data Interchange" (Aperio, document MAN-0069) and what scanners write: the description is a
//! few lines about the pixels, then `|name = value` pairs.

use super::pictures::{Picture, Pictures, runs};
use super::{Dialect, Opening, latin_or_utf8, tag_details};
use crate::error::Result;
use crate::format::ImageSource;
use crate::format::details::{About, Details, Form, Key, key};
use crate::format::omexml::DimensionOrder;
use crate::format::tiff::page::Page;
use crate::format::tiff::tags::tag;
use crate::model::{Objective, Physical, Quantity, Role, Series};
use crate::sync::Arc;

/// Name of the verbatim description.
const DOCUMENT: &str = "source.aperio.txt";
/// Descriptions of single pages are some hundred bytes.
const MAX_DESCRIPTION: u64 = 64 << 10;

/// What the pairs say of the scanner and who used it.
const PLACES: &[Key] = &[
    key("ScanScope ID", "Instrument/Microscope/@SerialNumber", Form::Text),
    key("User", "Experimenter/@UserName", Form::Text),
];

/// The dialect.
pub(super) struct Aperio;

impl Dialect for Aperio {
    fn name(&self) -> &'static str {
        "Aperio description"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        opening.described_as(b"Aperio") && opening.first.get(tag::TILE_WIDTH).is_some()
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let index = opening.slide_index()?;
        let mut pictures = Pictures::new(opening, Arc::clone(&index));
        let document = opening.description.clone().unwrap_or_default();
        let keys = Keys::parse(&latin_or_utf8(&document));
        let mut slide = Slide::default();
        for ifd in 0..index.offsets.len() as u64 {
            let Some(page) = pictures.page_if_readable(ifd)? else { continue };
            slide.sort(ifd, &page);
        }
        let size = slide.levels.first().map(|l| l.size).unwrap_or_default();
        let z_step = slide.z_step();
        let (planes, levels) = slide.levels();
        let mut picture = Picture::single(Role::Image, "", &[]);
        picture.order = DimensionOrder::default();
        picture.sizes = (planes, 1, 1);
        picture.levels = levels.into_iter().map(runs).collect();
        let physical = keys.physical();
        let one = pictures.add(picture)?;
        one.physical = Physical { z: z_step, ..physical.clone() };
        describe(one, &keys);
        keys.details(&mut pictures.details);
        tag_details(&opening.first, &mut pictures.details, true);
        for (name, ifd, whole) in slide.associated {
            let picture = Picture::single(Role::Associated(name.to_lowercase()), &name, &[ifd]);
            let one = pictures.add(picture)?;
            // The thumbnail shows what the slide shows.
            if whole {
                one.physical = scaled(&physical, size, (one.shape().x, one.shape().y));
            }
        }
        Ok(Arc::new(pictures.finish(Some((DOCUMENT, document.into())))?))
    }
}

/// Pages of one size.
struct Sized {
    size: (u64, u64),
    ifds: Vec<u64>,
}

/// What the pages are.
#[derive(Default)]
struct Slide {
    levels: Vec<Sized>,
    /// Name, directory, and whether it shows the whole slide.
    associated: Vec<(String, u64, bool)>,
    /// Focus offsets of the full-size pages.
    focus: Vec<f64>,
}

impl Slide {
    fn sort(&mut self, ifd: u64, page: &Page) {
        let text = page.description(MAX_DESCRIPTION).ok().flatten().unwrap_or_default();
        let text = latin_or_utf8(&text);
        let size = (page.layout.width, page.layout.height);
        // "Aperio Image Library v11.2.1 \nlabel 387x463"
        let second = text.lines().nth(1).unwrap_or_default().trim_start().to_ascii_lowercase();
        let named = ["label", "macro", "thumbnail"].into_iter().find(|n| second.starts_with(n));
        let name = match (named, page.subfile_type()) {
            _ if ifd == 0 => None,
            (Some(name), _) => Some(name),
            (None, 9) => Some("macro"),
            (None, 1) if !page.layout.tiled => Some("label"),
            _ if !page.layout.tiled => Some(if self.has("Thumbnail") { "image" } else { "thumbnail" }),
            _ => None,
        };
        match name {
            Some(name) => {
                let mut title = name.to_owned();
                if let Some(first) = title.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                self.associated.push((title, ifd, name == "thumbnail"));
            }
            None => {
                if self.levels.first().is_none_or(|l| l.size == size) {
                    self.focus.extend(Keys::parse(&text).number("OffsetZ"));
                }
                match self.levels.iter_mut().find(|l| l.size == size) {
                    Some(level) => level.ifds.push(ifd),
                    None => self.levels.push(Sized { size, ifds: vec![ifd] }),
                }
            }
        }
    }

    fn has(&self, title: &str) -> bool {
        self.associated.iter().any(|(t, _, _)| t == title)
    }

    /// Focal planes, and the directories of each level that has them all, largest first.
    fn levels(&mut self) -> (u64, Vec<Vec<u64>>) {
        let planes = self.levels.first().map_or(0, |l| l.ifds.len());
        if let Some((_, smaller)) = self.levels.split_first_mut() {
            smaller.sort_by_key(|l| std::cmp::Reverse(l.size.0.saturating_mul(l.size.1)));
        }
        let levels = self.levels.iter().filter(|l| l.ifds.len() == planes).map(|l| l.ifds.clone()).collect();
        (planes as u64, levels)
    }

    /// Distance of focal planes, in micrometres.
    fn z_step(&self) -> Option<Quantity> {
        let [first, second, ..] = self.focus[..] else { return None };
        let step = (second - first).abs();
        Quantity::checked(step, None).map(|_| Quantity::micrometer(step))
    }
}

/// The `|name = value` pairs.
struct Keys(Vec<(String, String)>);

impl Keys {
    fn parse(text: &str) -> Self {
        let pairs = text.split('|').skip(1).take(256).filter_map(|pair| pair.split_once('='));
        Keys(pairs.map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())).collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.parse().ok().filter(|v: &f64| v.is_finite())
    }

    fn details(&self, details: &mut Details) {
        details.apply(PLACES, About::default(), |key| self.get(key));
        // Seconds are the exposure times its scale.
        let exposure =
            self.number("Exposure Time").zip(self.number("Exposure Scale")).map(|(time, scale)| time * scale);
        details.plane(0, (0, 0, 0), &[("ExposureTime", exposure.filter(|s| *s > 0.0), "s")]);
        for (name, value) in self.0.iter().filter(|(name, _)| !PLACES.iter().any(|p| p.name == name)) {
            details.keep("aperio", 0, name, value);
        }
    }

    fn physical(&self) -> Physical {
        let size = self.number("MPP").and_then(|mpp| Quantity::checked(mpp, None));
        let size = size.map(|q| Quantity::micrometer(q.value));
        Physical { x: size.clone(), y: size, ..Physical::default() }
    }

    /// "12/29/09" and "09:59:15" as ISO 8601, with the zone ("GMT-05:00", "GMT-0500") where there is one.
    fn acquired(&self) -> Option<String> {
        let number = |text: &str| text.parse::<u32>().ok();
        let mut date = self.get("Date")?.split('/').map(number);
        let (month, day, year) = (date.next()??, date.next()??, date.next()??);
        let year = if year < 100 { 2000 + year } else { year };
        let mut time = self.get("Time").unwrap_or("00:00:00").split(':').map(number);
        let (h, m, s) = (time.next()??, time.next()??, time.next()??);
        let zone = self.get("Time Zone").and_then(|z| z.strip_prefix("GMT")).map(|z| z.replace(':', ""));
        let zone =
            zone.filter(|z| z.len() == 5 && z.starts_with(['+', '-']) && z[1..].bytes().all(|b| b.is_ascii_digit()));
        let zone = zone.map(|z| format!("{}:{}", &z[..3], &z[3..])).unwrap_or_default();
        Some(format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}{zone}"))
    }
}

fn describe(one: &mut Series, keys: &Keys) {
    one.acquired = keys.acquired();
    one.name = keys.get("Title").filter(|t| !t.is_empty()).unwrap_or_default().to_owned();
    let magnification = keys.number("AppMag").filter(|m| *m > 0.0);
    one.objective = magnification.map(|m| Objective { magnification: Some(m), ..Objective::default() });
}

/// Calibration of a picture of `to` pixels that shows what one of `from` pixels shows.
fn scaled(physical: &Physical, from: (u64, u64), to: (u64, u64)) -> Physical {
    #[allow(clippy::cast_precision_loss)]
    let scale = |q: &Option<Quantity>, from: u64, to: u64| {
        let q = q.as_ref()?;
        Quantity::checked(q.value * from as f64 / to as f64, q.unit.clone())
    };
    Physical { x: scale(&physical.x, from.0, to.0), y: scale(&physical.y, from.1, to.1), ..Physical::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_find_their_places() {
        let keys =
            Keys::parse("x|User = ann|ScanScope ID = SS1|Exposure Time = 45|Exposure Scale = 0.000001|Gamma = 2.2");
        let mut details = Details::default();
        keys.details(&mut details);
        let ome = details.finish().unwrap();
        assert_eq!(ome.child("Experimenter").unwrap().get("UserName"), Some("ann"));
        assert_eq!(ome.child("Instrument").unwrap().child("Microscope").unwrap().get("SerialNumber"), Some("SS1"));
        let plane = ome.child("Image").unwrap().child("Pixels").unwrap().child("Plane").unwrap();
        assert_eq!((plane.get("ExposureTime"), plane.get("ExposureTimeUnit")), (Some("0.000045"), Some("s")));
        let kept = ome.child("StructuredAnnotations").unwrap().child("MapAnnotation").unwrap().child("Value").unwrap();
        let pair = kept.all("M").find(|m| m.get("K") == Some("Gamma")).unwrap();
        assert_eq!(pair.text.as_ref().map(|t| &*t.text), Some("2.2"));
        assert!(!kept.all("M").any(|m| m.get("K") == Some("User")));
    }

    #[test]
    fn dates_become_iso() {
        let keys = |text: &str| Keys::parse(text);
        let us = keys("Aperio\n1x1|Date = 12/29/09|Time = 09:59:15|MPP = 0.4990");
        assert_eq!(us.acquired().as_deref(), Some("2009-12-29T09:59:15"));
        assert_eq!(us.physical().x, Some(Quantity::micrometer(0.499)));
        let zone = keys("|Date = 01/02/2019|Time = 01:02:03|Time Zone = GMT-05:00");
        assert_eq!(zone.acquired().as_deref(), Some("2019-01-02T01:02:03-05:00"));
        assert_eq!(keys("|Date = soon").acquired(), None);
    }
}
