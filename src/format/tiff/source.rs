//! The open image: planes found by their place in the stack, units read from the page that stores them.

use std::num::NonZeroUsize;
use std::path::Path;

use lru::LruCache;

use super::files::{Files, Indexed};
use super::layout::Layout;
use super::mosaic::Mosaic;
use super::page::Page;
use super::planes::Planes;
use crate::error::{Error, Kind, Result};
use crate::format::{ImageSource, Limits, Member, Stored, UnitCost};
use crate::io::Watch;
use crate::model::plate::Plate;
use crate::model::{Element, Rois, Series, TileId, TileSize};
use crate::sync::{Arc, Mutex, lock};

/// How the pages of a level are found from the directory of their plane.
#[derive(Debug, Clone)]
pub(super) enum LevelAt {
    /// The directory itself.
    Main,
    /// The directory's SubIFD of this number.
    Sub(usize),
    /// So many directories further along the main chain: reduced images of old writers.
    After(u64),
    /// A series of pages of its own.
    Own(Planes),
    /// A resolution inside of the directory's own blocks: so many times half the size.
    Inner(u8),
    /// Plane k lies k planes behind the first, which alone has a directory.
    Contiguous(u64),
    /// A series of pages of its own, of which the template's size is shown.
    Cropped(Planes),
    /// A series of pages of its own, whose tiles are put where the mosaic says.
    Stitched(Planes, Arc<Mosaic>),
    /// The template itself: a page that is not in the file's chain.
    Held,
    /// The runs name offsets of directories, and not their numbers.
    Directory,
    /// The runs name offsets of samples, which lie uncompressed as the first directory of their file says.
    Samples,
}

impl LevelAt {
    fn own(&self) -> Option<&Planes> {
        match self {
            LevelAt::Own(planes) | LevelAt::Cropped(planes) | LevelAt::Stitched(planes, _) => Some(planes),
            _ => None,
        }
    }
}

/// One stored level.
#[derive(Clone)]
pub(super) struct LevelPlan {
    pub at: LevelAt,
    /// A page of this level, for costs.
    pub template: Arc<Page>,
}

/// One series.
pub(super) struct Plan {
    pub planes: Planes,
    pub levels: Vec<LevelPlan>,
}

/// A TIFF dataset.
pub(super) struct TiffSource {
    pub series: Vec<Series>,
    pub plans: Vec<Plan>,
    pub files: Files,
    pub plates: Vec<Plate>,
    pub rois: Rois,
    pub document: Option<(&'static str, Arc<[u8]>)>,
    /// What the vendor's metadata say beyond the series.
    pub details: Option<Element>,
    pub warnings: Vec<String>,
    pub limits: Limits,
    pub pages: PageCache,
}

/// Parsed pages, by file and offset (and plane, where planes have no directory).
pub(super) struct PageCache(Mutex<LruCache<(u32, u64, u64), Arc<Page>>>);

/// In place of the number of a plane: the offset is that of a directory.
const DIRECTORY: u64 = u64::MAX;
/// The offset is that of samples.
const SAMPLES: u64 = u64::MAX - 1;
/// The offset is that of a directory, of which a part is shown.
const CROPPED: u64 = u64::MAX - 2;
/// The offset is that of a directory; so much less one for each halving inside of its blocks.
const INNER: u64 = u64::MAX - 3;
/// Pages kept parsed.
const PAGES: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// A page with its entries and the windows of its tables.
const PAGE_BYTES: u64 = 6 << 10;

impl Default for PageCache {
    fn default() -> Self {
        PageCache(Mutex::new(LruCache::new(PAGES)))
    }
}

impl PageCache {
    fn get(&self, key: (u32, u64, u64), parse: impl FnOnce() -> Result<Page>) -> Result<Arc<Page>> {
        if let Some(page) = lock(&self.0).get(&key) {
            return Ok(Arc::clone(page));
        }
        // Parsed outside the lock: it reads the file.
        let page = Arc::new(parse()?);
        lock(&self.0).put(key, Arc::clone(&page));
        Ok(page)
    }
}

impl TiffSource {
    fn plan(&self, id: TileId) -> Result<(&Series, &Plan, &LevelPlan)> {
        let series = self.series.get(id.series as usize);
        let plan = self.plans.get(id.series as usize);
        match (series, plan, plan.and_then(|p| p.levels.get(id.level as usize))) {
            (Some(series), Some(plan), Some(level)) => Ok((series, plan, level)),
            _ => Err(Error::new(Kind::Internal, format!("no series {} level {}", id.series, id.level))),
        }
    }

    /// Channel groups are counted in units; where each sample has tiles of its own, several units share a page.
    fn place(series: &Series, template: &Layout, g: u64) -> (u64, u64) {
        let units = (template.shown_samples() / series.samples).max(1);
        (g / units, g % units)
    }

    /// File and directory of a plane.
    fn find(&self, id: TileId) -> Result<Option<(u32, u64)>> {
        let (series, plan, level) = self.plan(id)?;
        let (group, _) = Self::place(series, &level.template.layout, id.g);
        level.at.own().unwrap_or(&plan.planes).find(id.z, group, id.t)
    }

    /// The page that stores a plane of a level.
    fn page(&self, id: TileId, file: u32, ifd: u64, watch: &Watch) -> Result<Arc<Page>> {
        let (_, _, level) = self.plan(id)?;
        let index = self.files.get(file, watch)?;
        match &level.at {
            LevelAt::Main | LevelAt::Own(_) | LevelAt::Stitched(..) => self.page_at(&index, file, index.offset(ifd)?),
            LevelAt::Cropped(_) => {
                let offset = index.offset(ifd)?;
                let Layout { width, height, .. } = level.template.layout;
                self.pages.get((file, offset, CROPPED), || {
                    Page::parse(&index.tiff, offset, &self.limits)?.cropped(width, height)
                })
            }
            LevelAt::Held => Ok(Arc::clone(&level.template)),
            LevelAt::Directory => self.page_at(&index, file, ifd),
            LevelAt::Samples => {
                let first = self.page_at(&index, file, index.tiff.first_ifd)?;
                self.pages.get((file, ifd, SAMPLES), || first.contiguous_at(ifd))
            }
            LevelAt::After(further) => self.page_at(&index, file, index.offset(ifd.saturating_add(*further))?),
            LevelAt::Sub(number) => {
                let main = self.page_at(&index, file, index.offset(ifd)?)?;
                let offset = main.sub_ifds()?.get(*number).copied();
                let offset = offset.ok_or_else(|| Error::malformed(format!("no SubIFD {number}")))?;
                self.page_at(&index, file, offset)
            }
            LevelAt::Inner(reduce) => {
                let offset = index.offset(ifd)?;
                self.pages.get((file, offset, INNER - u64::from(*reduce)), || {
                    Page::parse(&index.tiff, offset, &self.limits)?.reduced(*reduce)
                })
            }
            LevelAt::Contiguous(start) => self.pages.get((file, *start, ifd), || {
                let skipped = level.template.plane_bytes().checked_mul(ifd);
                let offset = skipped.and_then(|n| n.checked_add(*start));
                level.template.contiguous_at(offset.ok_or_else(|| Error::malformed("offset beyond 64 bits"))?)
            }),
        }
    }

    fn page_at(&self, index: &Indexed, file: u32, offset: u64) -> Result<Arc<Page>> {
        self.pages.get((file, offset, DIRECTORY), || Page::parse(&index.tiff, offset, &self.limits))
    }

    fn fetch_unit(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        let Some((file, ifd)) = self.find(id)? else { return Ok(Stored::Absent) };
        let (series, _, level) = self.plan(id)?;
        let page = self.page(id, file, ifd, watch).map_err(|e| e.at(format!("IFD {ifd}")))?;
        let (ours, theirs) = (&level.template.layout, &page.layout);
        let place = |e: Error| e.at(format!("IFD {ifd}"));
        if let LevelAt::Stitched(_, mosaic) = &level.at {
            let (_, sample) = Self::place(series, ours, id.g);
            return mosaic.read(&page, &level.template, (id.ty, id.tx), sample, watch).map_err(place);
        }
        if !stackable(ours, theirs) {
            return Err(place(Error::malformed(format!(
                "{} x {} pixels, {} samples of {}, where the image has {} x {}, {} of {}",
                theirs.width,
                theirs.height,
                theirs.shown_samples(),
                theirs.dtype.name(),
                ours.width,
                ours.height,
                ours.shown_samples(),
                ours.dtype.name(),
            ))));
        }
        let (_, sample) = Self::place(series, ours, id.g);
        if ours.unit != theirs.unit || ours.samples_per_unit() != theirs.samples_per_unit() {
            let area = Area::of_unit(ours, id.ty, id.tx, sample * series.samples, series.samples);
            return area.read(&page, watch).map(Stored::Decoded).map_err(place);
        }
        match page.fetch(id.ty, id.tx, sample, watch).map_err(place)? {
            // Decoding needs the page that was fetched from: its byte order, tables and compression may be its own.
            Stored::Encoded { bytes, parts, .. } => Ok(Stored::Encoded { bytes, parts, note: Some(Box::new(page)) }),
            other => Ok(other),
        }
    }
}

impl ImageSource for TiffSource {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn members(&self) -> &[Member] {
        self.files.members()
    }

    fn canonical(&self) -> Option<&Path> {
        self.files.canonical()
    }

    fn series_members(&self, series: u32) -> Vec<u32> {
        let plan = self.plans.get(series as usize).filter(|_| self.files.has_unseen());
        let files = plan.map_or(Vec::new(), |p| p.planes.files());
        files.into_iter().filter_map(|file| self.files.member(file).ok()).collect()
    }

    fn plane_member(&self, series: u32, t: u64, g: u64, z: u64) -> Result<Option<u32>> {
        match self.find(TileId { series, level: 0, t, g, z, ty: 0, tx: 0 })? {
            Some((file, _)) => self.files.member(file).map(Some),
            None => Ok(None),
        }
    }

    fn verify(&self, id: TileId) -> Result<()> {
        let file = self.find(id).ok().flatten().map_or(0, |(file, _)| file);
        self.files.verify(file)
    }

    fn fetch(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        self.fetch_unit(id, watch).map_err(|e| {
            e.at(format!("series {}, level {}, t {}, channel group {}, z {}", id.series, id.level, id.t, id.g, id.z))
        })
    }

    fn decode(&self, id: TileId, stored: Stored) -> Result<Vec<u8>> {
        let (_, _, level) = self.plan(id)?;
        match stored {
            Stored::Encoded { bytes, parts, note } => {
                let page = note.and_then(|n| n.downcast::<Arc<Page>>().ok());
                let page = page.map_or_else(|| Arc::clone(&level.template), |p| *p);
                page.decode(id.ty, id.tx, Stored::Encoded { bytes, parts, note: None })
            }
            other => level.template.decode(id.ty, id.tx, other),
        }
    }

    fn cost(&self, id: TileId) -> UnitCost {
        match self.plan(id) {
            Ok((_, _, level)) => {
                let cost = level.template.cost(id.ty, id.tx);
                // A whole tile of the page is decoded beside the unit it is copied to.
                let tile =
                    if matches!(level.at, LevelAt::Stitched(..)) { level.template.cost(0, 0).decoded } else { 0 };
                UnitCost { scratch: cost.scratch.saturating_add(tile), ..cost }
            }
            Err(_) => UnitCost { decoded: 0, scratch: 0 },
        }
    }

    fn random_access(&self, series: u32, level: u32) -> bool {
        let id = TileId { series, level, t: 0, g: 0, z: 0, ty: 0, tx: 0 };
        self.plan(id).map_or(true, |(_, _, level)| level.template.random_access())
    }

    fn native_unit_bytes(&self, series: u32, level: u32) -> u64 {
        let id = TileId { series, level, t: 0, g: 0, z: 0, ty: 0, tx: 0 };
        self.plan(id).map_or(0, |(_, _, level)| level.template.layout.native_unit_bytes())
    }

    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        self.document.clone()
    }

    fn details(&self) -> Option<Element> {
        self.details.clone()
    }

    fn plates(&self) -> &[Plate] {
        &self.plates
    }

    fn rois(&self) -> Option<&Rois> {
        Some(&self.rois).filter(|r| r.of_series.iter().any(|l| !l.is_empty()))
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn heap_bytes(&self) -> u64 {
        let series: u64 = self.series.iter().map(Series::heap_bytes).sum();
        let plans: u64 = self.plans.iter().map(plan_bytes).sum();
        let document = self.document.as_ref().map_or(0, |(_, d)| d.len());
        let warnings: usize = self.warnings.iter().map(|w| w.len() + size_of::<String>()).sum();
        self.files.heap_bytes()
            + plans
            + self.plates.iter().map(Plate::heap_bytes).sum::<usize>() as u64
            + self.rois.heap_bytes()
            + self.details.as_ref().map_or(0, Element::heap_bytes)
            + series
            + (document + warnings) as u64
            + PAGES.get() as u64 * PAGE_BYTES
    }
}

/// Bytes held by a plan; templates are shared and counted by the pages kept.
pub(super) fn plan_bytes(plan: &Plan) -> u64 {
    let mosaic = |l: &LevelPlan| if let LevelAt::Stitched(_, m) = &l.at { m.heap_bytes() } else { 0 };
    let held = |l: &LevelPlan| if let LevelAt::Held = l.at { l.template.file.file.len() } else { 0 };
    let own = |l: &LevelPlan| l.at.own().map_or(0, Planes::heap_bytes) + mosaic(l) + held(l);
    let levels: u64 = plan.levels.iter().map(|l| own(l) + 256).sum();
    plan.planes.heap_bytes() + levels + size_of::<Plan>() as u64
}

/// Can both be planes of one stack? How they are stored may differ.
pub(super) fn stackable(a: &Layout, b: &Layout) -> bool {
    (a.width, a.height, a.shown_samples(), a.dtype, a.palette_rgb)
        == (b.width, b.height, b.shown_samples(), b.dtype, b.palette_rgb)
}

/// Part of a page, in pixels: a unit of the series that is not one of the page.
struct Area {
    rows: std::ops::Range<u64>,
    columns: std::ops::Range<u64>,
    samples: std::ops::Range<u64>,
}

impl Area {
    fn of_unit(layout: &Layout, ty: u64, tx: u64, sample: u64, samples: u64) -> Self {
        let TileSize { y, x } = layout.unit;
        let cut =
            |at: u64, step: u64, end: u64| at.saturating_mul(step)..at.saturating_add(1).saturating_mul(step).min(end);
        Area { rows: cut(ty, y, layout.height), columns: cut(tx, x, layout.width), samples: sample..sample + samples }
    }

    /// Decodes every unit of the page that the area touches, and copies.
    fn read(&self, page: &Page, watch: &Watch) -> Result<Vec<u8>> {
        let (height, width) = (len(&self.rows), len(&self.columns));
        let size = page.layout.dtype.size();
        let bytes = height.checked_mul(width).and_then(|n| n.checked_mul(len(&self.samples) * size));
        let mut out = vec![0; bytes.ok_or_else(|| Error::over_limit("unit beyond memory"))?];
        let TileSize { y, x } = page.unit();
        let per_unit = page.samples_per_unit();
        for group in self.samples.start / per_unit..self.samples.end.div_ceil(per_unit) {
            for ty in self.rows.start / y..self.rows.end.div_ceil(y) {
                for tx in self.columns.start / x..self.columns.end.div_ceil(x) {
                    let unit = match page.fetch(ty, tx, group, watch)? {
                        Stored::Absent => continue,
                        stored => page.decode(ty, tx, stored)?,
                    };
                    self.copy(&unit, page, (ty, tx, group), &mut out)?;
                }
            }
        }
        Ok(out)
    }

    fn copy(&self, unit: &[u8], page: &Page, (ty, tx, group): (u64, u64, u64), out: &mut [u8]) -> Result<()> {
        let TileSize { y, x } = page.unit();
        let (unit_rows, unit_columns) = page.unit_size(ty, tx);
        let (top, left, first) = (ty * y, tx * x, group * page.samples_per_unit());
        let rows = self.rows.start.max(top)..self.rows.end.min(top + unit_rows);
        let columns = self.columns.start.max(left)..self.columns.end.min(left + unit_columns);
        let samples = self.samples.start.max(first)..self.samples.end.min(first + page.samples_per_unit());
        let size = page.layout.dtype.size();
        let run = len(&columns) * size;
        for sample in samples {
            for row in rows.clone() {
                let from = ((sample - first) * unit_rows + (row - top)) * unit_columns + (columns.start - left);
                let to = ((sample - self.samples.start) * len(&self.rows) as u64 + (row - self.rows.start))
                    * len(&self.columns) as u64
                    + (columns.start - self.columns.start);
                let from = unit.get(from as usize * size..).and_then(|u| u.get(..run));
                let to = out.get_mut(to as usize * size..).and_then(|o| o.get_mut(..run));
                match (from, to) {
                    (Some(from), Some(to)) => to.copy_from_slice(from),
                    _ => return Err(Error::new(Kind::Internal, "unit of an unexpected size")),
                }
            }
        }
        Ok(())
    }
}

fn len(range: &std::ops::Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}
