//! ImageJ: `key=value` lines in the first page's description; planes vary by channel fastest, then z, then t.

use super::dialect::tag_details;
use super::files::{Files, Indexed};
use super::page::Page;
use super::planes::Run;
use super::series::{Templates, date_time, plan, series, strips_follow};
use super::source::{LevelAt, PageCache, TiffSource};
use super::tags::tag;
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::format::details::Details;
use crate::format::omexml::{Axis, DimensionOrder};
use crate::model::{Physical, Quantity, Rgb, Rois, Unit};
use crate::sync::Arc;

/// Is this ImageJ's description?
pub(super) fn is_imagej(description: &[u8]) -> bool {
    description.starts_with(b"ImageJ=")
}

/// The lines of the description.
struct Keys(Vec<(String, String)>);

impl Keys {
    fn parse(description: &[u8]) -> Self {
        let text: String = match std::str::from_utf8(description) {
            Ok(text) => text.to_owned(),
            Err(_) => description.iter().map(|b| char::from(*b)).collect(),
        };
        let pairs = text.lines().take(256).filter_map(|line| line.split_once('='));
        Keys(pairs.map(|(k, v)| (k.trim().to_owned(), unescape(v.trim()))).collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// A count; `None` if absent.
    ///
    /// # Errors
    /// `Malformed` for what is no positive number.
    fn count(&self, key: &str) -> Result<Option<u64>> {
        let Some(text) = self.get(key) else { return Ok(None) };
        match text.parse::<u64>() {
            Ok(n) if n > 0 => Ok(Some(n)),
            _ => Err(Error::malformed(format!("{key}={text:.40}"))),
        }
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.parse::<f64>().ok().filter(|v| v.is_finite())
    }
}

/// `\u00B5` as Java writes it.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        let code = rest.get(at + 2..at + 6).and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        let Some(c) = code else { break };
        out.push_str(&rest[..at]);
        out.push(c);
        rest = &rest[at + 6..];
    }
    out.push_str(rest);
    out
}

/// Assembles the one series of an ImageJ file.
///
/// # Errors
/// `Malformed` if the description does not fit what is stored: the file is then read as plain TIFF.
pub(super) fn assemble(
    files: impl FnOnce() -> Files,
    index: &Indexed,
    first: Page,
    description: &[u8],
    limits: &Limits,
) -> Result<TiffSource> {
    let keys = Keys::parse(description);
    let samples = first.layout.shown_samples();
    let (mut c, mut z, t) =
        (keys.count("channels")?.unwrap_or(1), keys.count("slices")?.unwrap_or(1), keys.count("frames")?.unwrap_or(1));
    let images = keys.count("images")?.unwrap_or(1);
    let pages = index.offsets.len() as u64;
    let product = |c: u64| c.checked_mul(z).and_then(|n| n.checked_mul(t));
    // Some writers count the samples of an RGB pixel as channels.
    if samples > 1 && c == samples && product(c) != Some(pages) {
        c = 1;
    }
    // A stack older than hyperstacks says how many images there are, and no more.
    if (c, z, t) == (1, 1, 1) && images > 1 {
        z = images;
    }
    let planes =
        c.checked_mul(z).and_then(|n| n.checked_mul(t)).ok_or_else(|| Error::malformed("counts beyond 64 bits"))?;
    let first = Arc::new(first);
    let at = storage(&first, index, planes)?;
    let order = order(keys.get("order"));
    let sizes = (z, c, t);
    let mut warnings: Vec<String> = index.warning.clone().into_iter().collect();
    let mut templates = Templates::default();
    let mut one = series(&first, sizes, &mut warnings)?;
    let runs = vec![Run { first: 0, count: planes, file: 0, ifd: 0, step: 1 }];
    let mut own = plan(Arc::clone(&first), &mut templates, order, sizes, runs, None)?;
    if let Some(level) = own.levels.first_mut() {
        level.at = at;
    }
    one.physical = physical(&keys, &first);
    one.acquired = date_time(&first);
    channels(&mut one.channels, &keys, &first, c);
    Ok(TiffSource {
        series: vec![one],
        plans: vec![own],
        files: files(),
        plates: Vec::new(),
        rois: Rois::default(),
        document: None,
        details: details(&keys, &first),
        warnings,
        limits: *limits,
        pages: PageCache::default(),
    })
}

/// The program, and what tags say of people.
fn details(keys: &Keys, first: &Page) -> Option<crate::model::Element> {
    let mut details = Details::default();
    tag_details(&first.ifd, &mut details, false);
    if let Some(version) = keys.get("ImageJ") {
        details.keep("imagej", 0, "ImageJ", version);
    }
    details.finish()
}

/// A page each, or one page for all: then the planes lie one after the other.
fn storage(first: &Page, index: &Indexed, planes: u64) -> Result<LevelAt> {
    let pages = index.offsets.len() as u64;
    if pages == planes {
        return Ok(LevelAt::Main);
    }
    if pages != 1 {
        return Err(Error::malformed(format!("ImageJ says {planes} planes, there are {pages} pages")));
    }
    let start = first.data_offset()?;
    first.contiguous_at(start)?;
    // Two at least must be there: a single page often keeps the description of the stack that it was taken from.
    let two = first.plane_bytes().checked_mul(2).and_then(|n| n.checked_add(start));
    if !strips_follow(first) || two.is_none_or(|end| end > index.tiff.file.len()) {
        return Err(Error::malformed(format!("ImageJ says {planes} planes, there is one page and no data behind it")));
    }
    Ok(LevelAt::Contiguous(start))
}

/// The order of planes: "czt" unless the description says otherwise.
fn order(text: Option<&str>) -> DimensionOrder {
    let text = text.map(|t| format!("XY{}", t.to_ascii_uppercase()));
    text.and_then(|t| DimensionOrder::parse(&t)).unwrap_or(DimensionOrder([Axis::C, Axis::Z, Axis::T]))
}

fn physical(keys: &Keys, page: &Page) -> Physical {
    let named = |key: &str| keys.get(key).filter(|t| !t.is_empty());
    let resolution = page.resolution();
    // Without a word, the unit of the resolution tags; where these name none either, micrometres, as the readers of
    // ImageJ files that people compare with take it. A unit that is no length ("pixel") stays none.
    let tag_unit = match resolution.map(|r| r.2) {
        Some(2) => Unit::parse("in"),
        Some(3) => Unit::parse("cm"),
        _ => Unit::parse("µm"),
    };
    let unit = named("unit").map_or(tag_unit, Unit::parse);
    let of = |key: &str| named(key).map_or_else(|| unit.clone(), Unit::parse);
    let size = |pixels: f64, unit: Option<Unit>| Quantity::checked(1.0 / pixels, unit);
    let frame = keys.number("finterval").or_else(|| keys.number("fps").map(|fps| 1.0 / fps));
    Physical {
        x: resolution.and_then(|(x, _, _)| size(x, unit.clone())),
        y: resolution.and_then(|(_, y, _)| size(y, of("yunit"))),
        z: keys.number("spacing").and_then(|s| Quantity::checked(s.abs(), of("zunit"))),
        t: frame.and_then(|f| Quantity::checked(f, named("tunit").map_or_else(|| Unit::parse("s"), Unit::parse))),
    }
}

fn channels(channels: &mut [crate::model::Channel], keys: &Keys, page: &Page, groups: u64) {
    if page.layout.shown_samples() > 1 {
        return;
    }
    let extra = Extra::read(page).unwrap_or_default();
    for (i, channel) in channels.iter_mut().enumerate() {
        channel.color = extra.colors.get(i).copied().flatten();
        channel.window = extra.ranges.get(i).copied();
    }
    let range = (keys.number("min"), keys.number("max"));
    if let ([channel], (Some(min), Some(max)), 1) = (channels, range, groups)
        && channel.window.is_none()
        && min < max
    {
        channel.window = Some((min, max));
    }
}

/// What tags 50838 and 50839 hold: display ranges and lookup tables of the channels.
#[derive(Default)]
struct Extra {
    ranges: Vec<(f64, f64)>,
    colors: Vec<Option<Rgb>>,
}

/// Slice labels and the like may be long; colours and ranges come before them or not at all.
const MAX_EXTRA: u64 = 1 << 20;

impl Extra {
    fn read(page: &Page) -> Option<Self> {
        let counts = page.ifd.u64s(tag::IMAGEJ_BYTE_COUNTS, 1 << 16).ok()??;
        let bytes = page.ifd.bytes(tag::IMAGEJ_METADATA, MAX_EXTRA).ok()??;
        let mut counts = counts.into_iter();
        let header = bytes.get(..usize::try_from(counts.next()?).ok()?)?;
        // The magic number tells the byte order: "IJIJ" or backwards.
        let big = match header.get(..4)? {
            b"IJIJ" => true,
            b"JIJI" => false,
            _ => return None,
        };
        let number = |b: &[u8]| {
            b.iter().enumerate().fold(0_u64, |n, (i, v)| {
                let shift = if big { b.len() - 1 - i } else { i };
                n | u64::from(*v) << (8 * shift)
            })
        };
        let mut extra = Extra::default();
        let mut rest = bytes.get(header.len()..)?;
        for kind in header.get(4..)?.chunks_exact(8) {
            let (name, parts) = kind.split_at(4);
            for _ in 0..number(parts) {
                let (part, after) = rest.split_at_checked(usize::try_from(counts.next()?).ok()?)?;
                rest = after;
                let name: [u8; 4] =
                    if big { [name[0], name[1], name[2], name[3]] } else { [name[3], name[2], name[1], name[0]] };
                match &name {
                    b"rang" => {
                        let values: Vec<f64> = part.chunks_exact(8).map(|b| f64::from_bits(number(b))).collect();
                        let pairs = values.chunks_exact(2).map(|p| (p[0], p[1]));
                        extra.ranges = pairs.take_while(|(a, b)| a.is_finite() && b.is_finite() && a < b).collect();
                    }
                    b"luts" => extra.colors.push(ramp(part)),
                    _ => {}
                }
            }
        }
        Some(extra)
    }
}

/// The colour that a lookup table runs up to, if it is a straight ramp from black.
fn ramp(table: &[u8]) -> Option<Rgb> {
    let (red, rest) = table.split_at_checked(256)?;
    let (green, blue) = rest.split_at_checked(256)?;
    let top = |t: &[u8]| t.get(255).copied();
    let (r, g, b) = (top(red)?, top(green)?, top(blue)?);
    let straight = |t: &[u8], top: u8| {
        t.iter().zip(0_u32..).all(|(v, i)| (i64::from(*v) - i64::from(u32::from(top) * i / 255)).abs() <= 2)
    };
    (straight(red, r) && straight(green, g) && straight(blue, b)).then_some(Rgb(r, g, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_escapes_are_undone() {
        assert_eq!(unescape("\\u00B5m"), "µm");
        assert_eq!(unescape("a\\u00B5\\u03bc \\ux"), "aµμ \\ux");
    }

    #[test]
    fn orders_are_known() {
        assert_eq!(order(None), DimensionOrder([Axis::C, Axis::Z, Axis::T]));
        assert_eq!(order(Some("zct")), DimensionOrder([Axis::Z, Axis::C, Axis::T]));
        assert_eq!(order(Some("nonsense")), DimensionOrder([Axis::C, Axis::Z, Axis::T]));
    }

    #[test]
    fn a_ramp_has_a_colour() {
        let mut table: Vec<u8> = (0..=255).collect();
        table.extend([0; 256]);
        table.extend((0..=255_u32).map(|i| (i / 2) as u8));
        assert_eq!(ramp(&table), Some(Rgb(255, 0, 127)));
        table[10] = 200;
        assert_eq!(ramp(&table), None);
    }

    #[test]
    fn counts_must_be_counts() {
        let keys = Keys::parse(b"ImageJ=1\nslices=0\nframes=7\nunit=\\u00B5m\n");
        assert!(keys.count("slices").is_err());
        assert_eq!(keys.count("frames").unwrap(), Some(7));
        assert_eq!(keys.get("unit"), Some("µm"));
    }
}
