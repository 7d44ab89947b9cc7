//! From a page and its place in a stack to a series: what all dialects share.

use super::files::Indexed;
use super::layout::Layout;
use super::page::Page;
use super::planes::{Planes, Run};
use super::source::{LevelAt, LevelPlan, Plan};
use super::tags::{photometric, tag};
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::format::omexml::{Axis, DimensionOrder};
use crate::io::Watch;
use crate::model::{Channel, Level, Physical, Quantity, Reduction, Rgb, Role, Series, Shape};
use crate::sync::Arc;

/// Pages that stand for others of the same layout. Kept once each, because a page keeps its file open.
#[derive(Default)]
pub(super) struct Templates(Vec<Arc<Page>>);

impl Templates {
    /// The page to keep for `page`.
    pub fn of(&mut self, page: Arc<Page>) -> Arc<Page> {
        if let Some(known) = self.0.iter().find(|k| k.layout == page.layout) {
            return Arc::clone(known);
        }
        self.0.push(Arc::clone(&page));
        page
    }

    /// A kept page of which `like` holds.
    pub fn find(&self, like: impl Fn(&Page) -> bool) -> Option<Arc<Page>> {
        self.0.iter().find(|p| like(p)).cloned()
    }
}

/// A series of one stored level, without calibration: `sizes` are focal planes, channel groups, time points.
///
/// # Errors
/// `OverLimit` if the sizes' product is beyond counting.
pub(super) fn series(page: &Page, sizes: (u64, u64, u64), warnings: &mut Vec<String>) -> Result<Series> {
    let (z, groups, t) = sizes;
    let layout = &page.layout;
    let c = groups
        .checked_mul(layout.shown_samples())
        .filter(|c| *c <= MAX_CHANNELS)
        .ok_or_else(|| Error::over_limit(format!("{groups} x {} channels", layout.shown_samples())))?;
    let shape = Shape { t, c, z, y: layout.height, x: layout.width };
    let palette = layout.photometric == photometric::PALETTE && !layout.palette_rgb;
    let colormap = if palette { page.colormap().or_else(|e| tolerate(e, "ColorMap", warnings))? } else { None };
    if let Some(orientation) = page.orientation() {
        warn(
            warnings,
            format!("Orientation {orientation} is not applied: pixels are shown in the order they are stored in"),
        );
    }
    let whole = 8 * layout.dtype.size() as u32;
    Ok(Series {
        name: String::new(),
        role: Role::Image,
        dtype: layout.dtype,
        significant_bits: if layout.palette_rgb { 8 } else { layout.bits.min(whole) },
        samples: layout.samples_per_unit(),
        rgb: page.is_rgb() && layout.samples_per_unit() >= 3,
        levels: vec![level(layout, page, shape)],
        channels: sample_channels(page, groups, &[]),
        physical: Physical::default(),
        reduction: if palette { Reduction::Nearest } else { Reduction::Mean },
        colormap,
        acquired: None,
        description: None,
        objective: None,
    })
}

/// More channels are not credible, and each has a name and a contrast window of its own.
const MAX_CHANNELS: u64 = 1 << 16;

fn level(layout: &Layout, page: &Page, shape: Shape) -> Level {
    Level {
        shape: Shape { y: layout.height, x: layout.width, ..shape },
        unit: page.unit(),
        native_tile: page.native_tile(),
    }
}

/// One channel for each sample of each group; `logical` describes the groups.
pub(super) fn sample_channels(page: &Page, groups: u64, logical: &[Channel]) -> Vec<Channel> {
    const COLORS: [(&str, Option<Rgb>); 4] = [
        ("R", Some(Rgb(255, 0, 0))),
        ("G", Some(Rgb(0, 255, 0))),
        ("B", Some(Rgb(0, 0, 255))),
        ("A", Some(Rgb(255, 255, 255))),
    ];
    let samples = page.layout.shown_samples();
    let described = |i: u64| usize::try_from(i).ok().and_then(|i| logical.get(i)).cloned().unwrap_or_default();
    if samples == 1 {
        return (0..groups).map(described).collect();
    }
    let of_sample = |base: Channel, s: u64| {
        let known = COLORS.get(usize::try_from(s).unwrap_or(usize::MAX)).filter(|_| page.is_rgb());
        let (letter, color) = known.map_or((s.to_string(), None), |(l, c)| ((*l).to_owned(), *c));
        let name = match &base.name {
            Some(name) => Some(format!("{name} {letter}")),
            None => page.is_rgb().then_some(letter),
        };
        Channel { name, color: color.or(base.color), ..base }
    };
    (0..groups).flat_map(|g| (0..samples).map(move |s| (g, s))).map(|(g, s)| of_sample(described(g), s)).collect()
}

/// Adds the smaller versions of the planes that the page of one plane leads to: its SubIFDs, else the reduced pages that
/// follow it in the main chain (`after`, in order). What is no smaller version is left out, with a warning.
///
/// # Errors
/// Failures of the disk.
pub(super) fn add_levels(
    series: &mut Series,
    plan: &mut Plan,
    templates: &mut Templates,
    main: &Page,
    after: Vec<Arc<Page>>,
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let mut found: Vec<(LevelAt, Arc<Page>)> = Vec::new();
    let sub_ifds = main.sub_ifds().or_else(|e| tolerate(e, "SubIFDs", warnings))?;
    for (number, offset) in sub_ifds.iter().enumerate() {
        match Page::parse(&main.file, *offset, limits) {
            Ok(page) => found.push((LevelAt::Sub(number), Arc::new(page))),
            Err(e) => {
                tolerate::<()>(e, "SubIFD", warnings)?;
            }
        }
    }
    if found.is_empty() {
        found = after.into_iter().zip(1..).map(|(page, further)| (LevelAt::After(further), page)).collect();
    }
    // Largest first.
    found.sort_by_key(|(_, p)| std::cmp::Reverse(p.layout.width.saturating_mul(p.layout.height)));
    for (at, page) in found {
        push_level(series, plan, templates, at, page, warnings);
    }
    Ok(())
}

/// Appends a level, if it is a smaller version of the one before.
pub(super) fn push_level(
    series: &mut Series,
    plan: &mut Plan,
    templates: &mut Templates,
    at: LevelAt,
    page: Arc<Page>,
    warnings: &mut Vec<String>,
) {
    let shape = series.shape();
    let (Some(last), Some(main)) = (plan.levels.last(), plan.levels.first()) else { return };
    if !smaller(&last.template.layout, &page.layout)
        || main.template.layout.samples_per_unit() != page.layout.samples_per_unit()
    {
        let text =
            format!("a page of {} x {} is no smaller version of its image", page.layout.width, page.layout.height);
        if !warnings.contains(&text) {
            warnings.push(text);
        }
        return;
    }
    series.levels.push(level(&page.layout, &page, shape));
    plan.levels.push(LevelPlan { at, template: templates.of(page) });
}

/// Could `b` show the same as `a`, at a lower resolution?
pub(super) fn smaller(a: &Layout, b: &Layout) -> bool {
    b.width <= a.width
        && b.height <= a.height
        && (b.width < a.width || b.height < a.height)
        && (a.shown_samples(), a.dtype) == (b.shown_samples(), b.dtype)
}

/// A plan of one level whose planes are in `runs`.
///
/// # Errors
/// `OverLimit` if there are too many planes.
pub(super) fn plan(
    page: Arc<Page>,
    templates: &mut Templates,
    order: DimensionOrder,
    sizes: (u64, u64, u64),
    runs: Vec<Run>,
    lost: Option<Error>,
) -> Result<Plan> {
    let planes = Planes::new(order, sizes, runs, lost)?;
    Ok(Plan { planes, levels: vec![LevelPlan { at: LevelAt::Main, template: templates.of(page) }] })
}

/// Planes one after the other along t: what a stack of pages without further word is.
pub(super) const ALONG_T: DimensionOrder = DimensionOrder([Axis::Z, Axis::C, Axis::T]);

/// The reduced pages that follow directory `ifd` in the main chain, largest first as they must be; at most 32.
///
/// # Errors
/// Failures of the disk.
pub(super) fn reduced_after(
    index: &Indexed,
    ifd: u64,
    main: &Page,
    limits: &Limits,
    watch: &Watch,
) -> Result<Vec<Arc<Page>>> {
    let mut pages: Vec<Arc<Page>> = Vec::new();
    for next in ifd.saturating_add(1)..ifd.saturating_add(33) {
        let Ok(offset) = index.offset(next) else { break };
        watch.tick();
        match Page::parse(&index.tiff, offset, limits) {
            Ok(page)
                if page.is_reduced() && smaller(pages.last().map_or(&main.layout, |p| &p.layout), &page.layout) =>
            {
                pages.push(Arc::new(page));
            }
            Err(e) if !about_content(&e) => return Err(e),
            _ => break,
        }
    }
    Ok(pages)
}

/// Pixel size from XResolution and YResolution, in micrometres; nothing for units that are none.
pub(super) fn resolution(page: &Page) -> Physical {
    let Some((x, y, unit)) = page.resolution() else { return Physical::default() };
    let micrometers = match unit {
        2 => 25_400.0,
        3 => 10_000.0,
        _ => return Physical::default(),
    };
    let size = |pixels: f64| {
        let size = micrometers / pixels;
        Quantity::checked(size, None).map(|_| Quantity::micrometer(size))
    };
    Physical { x: size(x), y: size(y), ..Physical::default() }
}

/// DateTime ("2024:01:31 12:00:00") as ISO 8601.
pub(super) fn date_time(page: &Page) -> Option<String> {
    let text = page.date_time()?;
    let (date, time) = text.trim().split_once(' ')?;
    let iso = format!("{}T{}", date.replace(':', "-"), time.trim());
    let shape = iso.len() == 19
        && iso.bytes().enumerate().all(|(i, b)| match i {
            4 | 7 => b == b'-',
            10 => b == b'T',
            13 | 16 => b == b':',
            _ => b.is_ascii_digit(),
        });
    shape.then_some(iso)
}

/// Is this about what the file holds, and not about reading it?
pub(super) fn about_content(e: &Error) -> bool {
    e.about_content()
}

/// Turns a fault in optional content into a warning.
///
/// # Errors
/// Whatever is not about content: what is shown must not depend on a disk that failed for once.
pub(super) fn tolerate<T: Default>(e: Error, what: &str, warnings: &mut Vec<String>) -> Result<T> {
    if !about_content(&e) {
        return Err(e);
    }
    warn(warnings, format!("{what}: {}", e.reason()));
    Ok(T::default())
}

/// Notes something tolerated; a hostile file must not fill memory with notes.
pub(super) fn warn(warnings: &mut Vec<String>, text: String) {
    if warnings.len() < 100 {
        warnings.push(text);
    }
}

/// Is the first strip followed by the others without a gap? Needed where later planes have no directory.
pub(super) fn strips_follow(page: &Page) -> bool {
    let layout = &page.layout;
    match page.ifd.get(tag::STRIP_OFFSETS).map(|e| e.count) {
        Some(1) => true,
        Some(n) if n <= 1 << 16 => {
            let step = layout.row_bytes().saturating_mul(layout.block.y);
            let offsets = page.ifd.u64s(tag::STRIP_OFFSETS, n).ok().flatten().unwrap_or_default();
            offsets.windows(2).all(|w| w[0].checked_add(step) == Some(w[1]))
        }
        _ => false,
    }
}
