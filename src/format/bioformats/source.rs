//! An open dataset whose pixels come from helpers.

use std::path::PathBuf;

use super::talk::{File, Image, Part, Request};
use super::{Door, pixels};
use crate::error::{Error, Kind, Result};
use crate::format::{ImageSource, Member, OpenMember, Stored, UnitCost};
use crate::io::{Fingerprint, ReadAt, Watch, now_ms};
use crate::model::plate::Plate;
use crate::model::{Level, Rois, Series, TileId};
use crate::sync::{Arc, AtomicU64, Ordering};

/// Name of the document.
const DOCUMENT: &str = "source.ome.xml";
/// Other files that stay open, so that a look at them is two calls.
const HELD: usize = 32;
/// How long a look at all files counts.
const FRESH_MS: u64 = 1000;

/// See the module.
pub(super) struct Dataset {
    pub door: &'static Door,
    pub file: Arc<dyn ReadAt>,
    pub asked: File,
    pub others: Vec<Other>,
    pub members: Vec<Member>,
    pub series: Vec<Series>,
    /// What readers say of the samples of each series.
    pub images: Vec<Image>,
    pub plates: Vec<Plate>,
    pub rois: Rois,
    pub document: Arc<[u8]>,
    pub warnings: Vec<String>,
    pub checked_ms: AtomicU64,
}

/// A file beside the opened one.
pub(super) struct Other {
    name: PathBuf,
    print: Fingerprint,
    held: Option<Arc<dyn ReadAt>>,
    open: OpenMember,
}

impl Other {
    /// The first few stay open.
    pub fn new(name: PathBuf, file: Arc<dyn ReadAt>, open: OpenMember, number: usize) -> Self {
        Other { name, print: file.fingerprint(), held: (number < HELD).then_some(file), open }
    }

    fn verify(&self) -> Result<()> {
        if let Some(file) = &self.held {
            return file.verify();
        }
        let now = (self.open)(&self.name)?.fingerprint();
        if now == self.print {
            return Ok(());
        }
        Err(Error::new(Kind::Changed, "it is no longer the file that was opened").in_file(&self.name))
    }
}

impl Dataset {
    fn place(&self, id: TileId) -> Result<(&Series, &Image, &Level)> {
        let series = self.series.get(id.series as usize).zip(self.images.get(id.series as usize));
        let found = series.and_then(|(s, i)| Some((s, i, s.levels.get(id.level as usize)?)));
        found.ok_or_else(|| Error::new(Kind::Internal, format!("no unit {id:?}")))
    }

    fn bytes(&self, id: TileId) -> Result<u64> {
        let (series, _, level) = self.place(id)?;
        let (rows, columns) = level.unit_size(id.ty, id.tx);
        Ok(rows * columns * series.samples * series.dtype.size() as u64)
    }

    fn part(&self, id: TileId) -> Result<Part> {
        let (_, _, level) = self.place(id)?;
        let (rows, columns) = level.unit_size(id.ty, id.tx);
        let small = |n: u64| i32::try_from(n).map_err(|_| Error::over_limit(format!("position {n}")));
        Ok(Part {
            series: small(id.series.into())?,
            level: small(id.level.into())?,
            t: small(id.t)?,
            c: small(id.g)?,
            z: small(id.z)?,
            y: small(id.ty * level.unit.y)?,
            x: small(id.tx * level.unit.x)?,
            rows: small(rows)?,
            columns: small(columns)?,
        })
    }
}

impl ImageSource for Dataset {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn plates(&self) -> &[Plate] {
        &self.plates
    }

    fn members(&self) -> &[Member] {
        &self.members
    }

    fn series_members(&self, _series: u32) -> Vec<u32> {
        (0..u32::try_from(self.members.len()).unwrap_or(0)).collect()
    }

    /// Which file a plane is in is the reader's secret: whoever reads one needs the rights on all.
    fn plane_member(&self, _series: u32, _t: u64, _g: u64, _z: u64) -> Result<Option<u32>> {
        Ok(Some(if self.others.is_empty() { 0 } else { Member::EVERY }))
    }

    fn verify(&self, _id: TileId) -> Result<()> {
        self.file.verify()?;
        let (held, others) = self.others.split_at(self.others.len().min(HELD));
        held.iter().try_for_each(Other::verify)?;
        let now = now_ms();
        let last = self.checked_ms.load(Ordering::Relaxed);
        if !others.is_empty() && (last == 0 || now.saturating_sub(last) >= FRESH_MS) {
            others.iter().try_for_each(Other::verify)?;
            self.checked_ms.store(now.max(1), Ordering::Relaxed);
        }
        Ok(())
    }

    fn fetch(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        let expected = self.bytes(id)?;
        let request = Request::Read(self.asked.clone(), self.part(id)?);
        let bytes = self.door.ask(self.asked.state, &request, expected, self.door.reading(), watch)?;
        if bytes.len() as u64 != expected {
            let what = format!("a Bio-Formats helper gave {} bytes, not {expected}", bytes.len());
            return Err(Error::new(Kind::Malformed, what));
        }
        let parts = std::iter::once(0..bytes.len()).collect();
        Ok(Stored::Encoded { bytes, parts, note: None })
    }

    fn decode(&self, id: TileId, stored: Stored) -> Result<Vec<u8>> {
        let (series, image, _) = self.place(id)?;
        match stored {
            Stored::Encoded { bytes, .. } => pixels::planes(bytes, image, series.dtype.size()),
            Stored::Decoded(samples) => Ok(samples),
            Stored::Absent => Err(Error::new(Kind::Internal, "nothing to decode")),
        }
    }

    fn cost(&self, id: TileId) -> UnitCost {
        let decoded = self.bytes(id).unwrap_or(u64::MAX / 4);
        UnitCost { decoded, scratch: decoded }
    }

    fn random_access(&self, _series: u32, _level: u32) -> bool {
        true
    }

    fn native_unit_bytes(&self, series: u32, level: u32) -> u64 {
        let found = self.series.get(series as usize).and_then(|s| Some((s, s.levels.get(level as usize)?)));
        found.map_or(0, |(s, l)| l.unit.y.saturating_mul(l.unit.x) * s.samples * s.dtype.size() as u64)
    }

    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        (!self.document.is_empty()).then(|| (DOCUMENT, Arc::clone(&self.document)))
    }

    fn rois(&self) -> Option<&Rois> {
        (!self.rois.of_series.is_empty()).then_some(&self.rois)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn heap_bytes(&self) -> u64 {
        let series: u64 = self.series.iter().map(Series::heap_bytes).sum();
        let plates: usize = self.plates.iter().map(Plate::heap_bytes).sum();
        let others = self.others.len() * (size_of::<Other>() + size_of::<Member>() + 256);
        let images = self.images.len() * size_of::<Image>();
        series + self.rois.heap_bytes() + (plates + others + images + self.document.len()) as u64
    }
}
