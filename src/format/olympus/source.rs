//! The open image: planes in TIFF files of their own.

use std::num::NonZeroUsize;
use std::path::Path;

use lru::LruCache;

use super::axes::{Axes, Naming};
use super::store::Store;
use crate::error::{Error, Kind, Result};
use crate::format::tiff::header::TiffFile;
use crate::format::tiff::page::Page;
use crate::format::{ImageSource, Limits, Member, Stored, UnitCost};
use crate::io::Watch;
use crate::model::{Element, Series, TileId};
use crate::sync::{Arc, Mutex, lock};

/// Which plane has which file.
pub(super) struct Files {
    pub axes: Axes,
    pub naming: Naming,
    /// Where the last plane is along the slowest dimension, if the acquisition ended before it was complete.
    pub last: Option<u64>,
}

/// The files of an acquisition.
pub(super) struct Acquisition {
    pub series: Vec<Series>,
    /// The page of a plane: all must be like it.
    pub template: Arc<Page>,
    pub files: Files,
    pub store: Store,
    pub members: Vec<Member>,
    pub document: Arc<[u8]>,
    pub document_name: &'static str,
    pub details: Option<Element>,
    pub warnings: Vec<String>,
    pub limits: Limits,
    pub pages: Pages,
}

/// Pages that were read, by the numbers of their planes.
pub(super) struct Pages(Mutex<LruCache<u64, Arc<Page>>>);

/// Pages kept: those of a folder hold a file descriptor each.
const PAGES: NonZeroUsize = NonZeroUsize::new(16).unwrap();
/// A page with its entries and the windows of its tables.
const PAGE_BYTES: u64 = 6 << 10;

impl Default for Pages {
    fn default() -> Self {
        Pages(Mutex::new(LruCache::new(PAGES)))
    }
}

impl Files {
    /// Number of a plane, in the order of their files.
    pub fn number(&self, t: u64, group: u64, z: u64) -> u64 {
        let steps = self.axes.steps(t, group, z);
        let mut number = 0;
        for (axis, (_, step)) in self.axes.planes().iter().zip(steps).rev() {
            number = number * axis.count + step;
        }
        number
    }

    /// All planes.
    pub fn count(&self) -> u64 {
        self.axes.planes().iter().map(|a| a.count).product()
    }

    /// The name of the file of a plane, by its number.
    pub fn name(&self, number: u64) -> String {
        self.stem(number) + ".tif"
    }

    /// The name of the files of a plane, without their ending.
    pub fn stem(&self, number: u64) -> String {
        let mut left = number;
        let step = |axis: &super::axes::Axis| {
            let step = left % axis.count;
            left /= axis.count;
            (axis.code, step)
        };
        let steps: Vec<(char, u64)> = self.axes.planes().iter().map(step).collect();
        self.naming.name(&steps)
    }

    /// Did the acquisition end before this plane?
    fn is_beyond(&self, number: u64) -> bool {
        let slowest = self.axes.planes().last().map_or(1, |a| a.count);
        let inner = self.count() / slowest.max(1);
        self.last.is_some_and(|last| number / inner.max(1) > last)
    }
}

/// The page in the file of a plane.
///
/// # Errors
/// Those of opening the file and of its directory.
pub(super) fn page(store: &Store, number: u64, name: &str, limits: &Limits, watch: &Watch) -> Result<Page> {
    let tiff = TiffFile::open(store.plane(number, name, watch)?)?;
    let first = tiff.first_ifd;
    watch.tick();
    Page::parse(&tiff, first, limits)
}

impl Acquisition {
    /// The page of a plane; `None` if it was never stored.
    fn page(&self, id: TileId, watch: &Watch) -> Result<Option<Arc<Page>>> {
        let number = self.files.number(id.t, id.g, id.z);
        if let Some(page) = lock(&self.pages.0).get(&number) {
            return Ok(Some(Arc::clone(page)));
        }
        let name = self.files.name(number);
        if !self.is_stored(number, &name) {
            return Ok(None);
        }
        // Parsed outside the lock: it reads the file.
        let page = page(&self.store, number, &name, &self.limits, watch).map_err(|e| e.at(name.clone()))?;
        let (ours, theirs) = (&self.template.layout, &page.layout);
        let shape = |l: &crate::format::tiff::layout::Layout| (l.width, l.height, l.samples, l.dtype, l.unit, l.planar);
        if shape(ours) != shape(theirs) {
            return Err(Error::malformed(format!(
                "{} x {} pixels, {} samples of {} in units of {:?}, where the acquisition has {} x {}, {} of {} in {:?}",
                theirs.width,
                theirs.height,
                theirs.samples,
                theirs.dtype.name(),
                theirs.unit,
                ours.width,
                ours.height,
                ours.samples,
                ours.dtype.name(),
                ours.unit,
            ))
            .at(name));
        }
        let page = Arc::new(page);
        lock(&self.pages.0).put(number, Arc::clone(&page));
        Ok(Some(page))
    }

    /// What a compound file does not name was never stored, and what lies behind the last plane neither.
    fn is_stored(&self, number: u64, name: &str) -> bool {
        self.store.names(name) && !self.files.is_beyond(number)
    }
}

impl ImageSource for Acquisition {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn members(&self) -> &[Member] {
        &self.members
    }

    fn canonical(&self) -> Option<&Path> {
        // The other files are named by the one that was opened.
        self.members.first().map(|m| m.path.as_path())
    }

    fn series_members(&self, _series: u32) -> Vec<u32> {
        let planes = if self.store.is_folder() { self.files.count() } else { 0 };
        (1..=u32::try_from(planes).unwrap_or(0)).collect()
    }

    fn plane_member(&self, _series: u32, t: u64, g: u64, z: u64) -> Result<Option<u32>> {
        let number = self.files.number(t, g, z);
        if !self.is_stored(number, &self.files.name(number)) {
            return Ok(None);
        }
        let member = if self.store.is_folder() { number + 1 } else { 0 };
        u32::try_from(member).map(Some).map_err(|_| Error::over_limit(format!("plane {number}")))
    }

    fn verify(&self, id: TileId) -> Result<()> {
        self.store.file().verify()?;
        if !self.store.is_folder() {
            return Ok(());
        }
        match self.page(id, &Watch::default()) {
            Ok(Some(page)) => page.source().verify(),
            _ => Ok(()),
        }
    }

    fn fetch(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        let place = |e: Error| e.at(format!("t {}, channel group {}, z {}", id.t, id.g, id.z));
        let Some(page) = self.page(id, watch).map_err(place)? else { return Ok(Stored::Absent) };
        match page.fetch(id.ty, id.tx, 0, watch).map_err(place)? {
            // Decoding needs the page that was fetched from: its byte order and compression may be its own.
            Stored::Encoded { bytes, parts, .. } => Ok(Stored::Encoded { bytes, parts, note: Some(Box::new(page)) }),
            other => Ok(other),
        }
    }

    fn decode(&self, id: TileId, stored: Stored) -> Result<Vec<u8>> {
        match stored {
            Stored::Encoded { bytes, parts, note } => {
                let page = note.and_then(|n| n.downcast::<Arc<Page>>().ok());
                let page = page.ok_or_else(|| Error::new(Kind::Internal, "a unit without its page"))?;
                page.decode(id.ty, id.tx, Stored::Encoded { bytes, parts, note: None })
            }
            other => self.template.decode(id.ty, id.tx, other),
        }
    }

    fn cost(&self, id: TileId) -> UnitCost {
        self.template.cost(id.ty, id.tx)
    }

    fn random_access(&self, _series: u32, _level: u32) -> bool {
        self.template.random_access()
    }

    fn native_unit_bytes(&self, _series: u32, _level: u32) -> u64 {
        self.template.layout.native_unit_bytes()
    }

    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        Some((self.document_name, Arc::clone(&self.document)))
    }

    fn details(&self) -> Option<Element> {
        self.details.clone()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn heap_bytes(&self) -> u64 {
        let series: u64 = self.series.iter().map(Series::heap_bytes).sum();
        let members: usize = self.members.iter().map(|m| size_of::<Member>() + m.path.as_os_str().len()).sum();
        let warnings: usize = self.warnings.iter().map(|w| w.len() + size_of::<String>()).sum();
        series
            + (members + warnings + self.document.len()) as u64
            + self.details.as_ref().map_or(0, Element::heap_bytes)
            + self.store.heap_bytes()
            + PAGES.get() as u64 * PAGE_BYTES
    }
}
