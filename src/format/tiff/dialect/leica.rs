//! Leica SCN: an XML document in the first page names, for each image of the slide, the directory of every channel, focal
//! plane and resolution (namespace `http://www.leica-microsystems.com/scn/2010/10/01` and its like).

use super::pictures::{MAX_LEVELS, Picture, Pictures};
use super::{Dialect, Opening, tag_details};
use crate::error::{Error, Result};
use crate::format::ImageSource;
use crate::format::details::{About, Details, Form, Key, key};
use crate::format::omexml::DimensionOrder;
use crate::format::tiff::planes::Run;
use crate::format::tiff::series::about_content;
use crate::format::xml::Element;
use crate::model::{Channel, Objective, Physical, Quantity, Rgb, Role, Series};
use crate::sync::Arc;

/// Name of the verbatim document.
const DOCUMENT: &str = "source.scn.xml";
/// More planes of one image than any slide has.
const MAX_DIMENSIONS: usize = 1 << 16;

/// What an image says, by the path of its elements; the last name may be that of an attribute.
const PLACES: &[Key] = &[
    key("device/@model", "Instrument/Microscope/@Model", Form::Text),
    key(
        "scanSettings/illuminationSettings/illuminationSource",
        "Image/Pixels/Channel/@IlluminationType",
        Form::Words(&[("brightfield", "Transmitted"), ("fluorescence", "Epifluorescence")]),
    ),
    key(
        "scanSettings/illuminationSettings/illuminationSource",
        "Image/Pixels/Channel/@ContrastMethod",
        Form::Words(&[("brightfield", "Brightfield"), ("fluorescence", "Fluorescence")]),
    ),
];
/// What has no place.
const KEPT: &[&str] = &["device/@version", "name", "barcode"];

/// The dialect.
pub(super) struct Leica;

impl Dialect for Leica {
    fn name(&self) -> &'static str {
        "Leica SCN XML"
    }

    fn knows(&self, opening: &Opening<'_>) -> bool {
        opening.mentions(b"<scn") && opening.mentions(b"leica-microsystems.com/scn/")
    }

    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>> {
        let document = opening.description.clone().unwrap_or_default();
        let root = Element::parse(&document)?;
        let mut pictures = Pictures::new(opening, opening.slide_index()?);
        for collection in root.all("collection") {
            for image in collection.all("image") {
                add(&mut pictures, image)?;
            }
            if let Some(barcode) = collection.text_of("barcode") {
                pictures.details.keep("scn", 0, "barcode", barcode);
            }
            for extra in collection.all("supplementalImage") {
                let (Some(kind), Some(ifd)) = (extra.attribute("type"), extra.count("ifd")) else { continue };
                let picture = Picture::single(Role::Associated(kind.to_lowercase()), kind, &[ifd]);
                match pictures.add(picture) {
                    Err(e) if about_content(&e) => pictures.warn(format!("{kind:.40} left out: {}", e.reason())),
                    other => {
                        other?;
                    }
                }
            }
        }
        tag_details(&opening.first, &mut pictures.details, true);
        Ok(Arc::new(pictures.finish(Some((DOCUMENT, document.into())))?))
    }
}

/// One `dimension`: a plane at a resolution.
#[derive(Clone, Copy)]
struct Dimension {
    r: u64,
    c: u64,
    z: u64,
    ifd: u64,
}

fn add(pictures: &mut Pictures<'_>, image: &Element) -> Result<()> {
    let Some(pixels) = image.child("pixels") else { return Ok(()) };
    let mut dimensions = Vec::new();
    for d in pixels.all("dimension") {
        let ifd = d.count("ifd").ok_or_else(|| Error::malformed("a dimension without ifd"))?;
        let number = |name: &str| d.count(name).unwrap_or(0);
        dimensions.push(Dimension { r: number("r"), c: number("c"), z: number("z"), ifd });
        if dimensions.len() > MAX_DIMENSIONS {
            return Err(Error::over_limit(format!("more than {MAX_DIMENSIONS} planes of one image")));
        }
    }
    let count = |of: fn(&Dimension) -> u64| dimensions.iter().map(of).max().unwrap_or(0).saturating_add(1);
    let sizes = (count(|d| d.z), count(|d| d.c), 1);
    let planes = sizes.0.checked_mul(sizes.1).filter(|n| *n <= MAX_DIMENSIONS as u64);
    if planes.is_none() {
        return Err(Error::malformed(format!("{} focal planes of {} channels", sizes.0, sizes.1)));
    }
    let mut resolutions: Vec<u64> = dimensions.iter().map(|d| d.r).collect();
    resolutions.sort_unstable();
    resolutions.dedup();
    resolutions.truncate(MAX_LEVELS);
    if resolutions.is_empty() {
        return Ok(());
    }
    let order = DimensionOrder::default();
    let runs = |r: u64| {
        let run =
            |d: &Dimension| Run { first: order.index((d.z, d.c, 0), sizes), count: 1, file: 0, ifd: d.ifd, step: 1 };
        dimensions.iter().filter(|d| d.r == r).map(run).collect::<Vec<_>>()
    };
    let picture = Picture {
        role: Role::Image,
        name: image.attribute("name").unwrap_or_default().to_owned(),
        order,
        sizes,
        levels: resolutions.into_iter().map(runs).collect(),
    };
    let number = pictures.count();
    let one = pictures.add(picture)?;
    describe(one, image);
    let channels = if one.rgb { 1 } else { one.channels.len() };
    details(image, number, channels, &mut pictures.details);
    Ok(())
}

/// What an image says of the microscope.
fn details(image: &Element, number: usize, channels: usize, details: &mut Details) {
    let said = |path: &str| {
        let (path, attribute) = path.rsplit_once("/@").map_or((path, None), |(p, a)| (p, Some(a)));
        let names: Vec<&str> = path.split('/').collect();
        let element = image.path(&names)?;
        attribute.map_or(Some(element.text.trim()), |a| element.attribute(a)).filter(|t| !t.is_empty())
    };
    for channel in 0..channels {
        details.apply(PLACES, About { image: number, channel: Some(channel) }, said);
    }
    for name in KEPT {
        if let Some(value) = said(name) {
            details.keep("scn", number, name, value);
        }
    }
}

/// `view` is the field on the slide, in nanometres.
fn describe(one: &mut Series, image: &Element) {
    let shape = one.shape();
    if let Some(view) = image.child("view") {
        #[allow(clippy::cast_precision_loss)]
        let size = |name: &str, pixels: u64| {
            let nanometers = view.number(name)? / pixels as f64;
            Quantity::checked(nanometers / 1000.0, None).map(|q| Quantity::micrometer(q.value))
        };
        let z = view.number("spacingZ").and_then(|nm| Quantity::checked(nm / 1000.0, None));
        one.physical = Physical {
            x: size("sizeX", shape.x),
            y: size("sizeY", shape.y),
            z: z.map(|q| Quantity::micrometer(q.value)),
            t: None,
        };
    }
    one.acquired = image.text_of("creationDate").map(str::to_owned);
    let Some(settings) = image.child("scanSettings") else { return };
    let number = |path: &[&str]| {
        let value = settings.path(path)?.text.trim().parse::<f64>().ok()?;
        (value.is_finite() && value > 0.0).then_some(value)
    };
    let objective = Objective {
        magnification: number(&["objectiveSettings", "objective"]),
        na: number(&["illuminationSettings", "numericalAperture"]),
        model: None,
    };
    one.objective = (objective != Objective::default()).then_some(objective);
    if one.rgb {
        return;
    }
    let Some(channels) = settings.child("channelSettings") else { return };
    for (order, channel) in channels.all("channel").enumerate() {
        let index = channel.count("index").and_then(|i| usize::try_from(i).ok()).unwrap_or(order);
        if let Some(shown) = one.channels.get_mut(index) {
            let name = channel.attribute("name").map(str::trim).filter(|n| !n.is_empty());
            *shown = Channel {
                name: name.map(str::to_owned),
                color: channel.attribute("rgb").and_then(color),
                ..Channel::default()
            };
        }
    }
}

/// "#rrggbb"
fn color(text: &str) -> Option<Rgb> {
    let hex = text.trim().strip_prefix('#').filter(|h| h.len() == 6)?;
    let [_, r, g, b] = u32::from_str_radix(hex, 16).ok()?.to_be_bytes();
    Some(Rgb(r, g, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_tells_the_scanner() {
        let image = Element::parse(
            b"<image name='a'><device model='SCN400' version='1.4'/><scanSettings><illuminationSettings><illuminationSource>fluorescence\
            </illuminationSource></illuminationSettings></scanSettings></image>",
        )
        .unwrap();
        let mut all = Details::default();
        details(&image, 1, 2, &mut all);
        let ome = all.finish().unwrap();
        assert_eq!(ome.child("Instrument").unwrap().child("Microscope").unwrap().get("Model"), Some("SCN400"));
        let second = ome.all("Image").nth(1).unwrap();
        let channels: Vec<_> =
            second.child("Pixels").unwrap().all("Channel").map(|c| c.get("ContrastMethod")).collect();
        assert_eq!(channels, [Some("Fluorescence"); 2]);
    }

    #[test]
    fn colours_are_hexadecimal() {
        assert_eq!(color("#0a10FF"), Some(Rgb(10, 16, 255)));
        assert_eq!(color("red"), None);
        assert_eq!(color("#ééé"), None);
    }
}
