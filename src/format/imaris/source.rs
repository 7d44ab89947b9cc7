//! The open file.

use super::pieces::{self, Area, Chunks, Parts};
use super::volumes::Volumes;
use crate::error::{Error, Kind, Result};
use crate::format::hdf5::Hdf5;
use crate::format::{ImageSource, Limits, Member, Stored, UnitCost};
use crate::io::Watch;
use crate::model::{Element, Level, Series, TileId};
use crate::sync::Arc;

/// An Imaris file.
pub(super) struct ImarisSource {
    pub series: Vec<Series>,
    pub hdf: Hdf5,
    pub volumes: Volumes,
    pub kept: Chunks,
    pub members: Vec<Member>,
    pub details: Option<Element>,
    pub warnings: Vec<String>,
    pub limits: Limits,
}

impl ImarisSource {
    /// A level, and its number in the file.
    fn level(&self, id: TileId) -> Result<(&Level, usize)> {
        let level = self.series.first().and_then(|s| s.levels.get(id.level as usize));
        let level = level.ok_or_else(|| Error::new(Kind::Internal, format!("no level {}", id.level)))?;
        // Some of the file's may be left out; no two have one size.
        let size = |l: &super::Level| (l.size[0], l.size[1], l.size[2]);
        let wanted = (level.shape.z, level.shape.y, level.shape.x);
        let number = self.volumes.levels.iter().position(|l| size(l) == wanted);
        Ok((level, number.ok_or_else(|| Error::new(Kind::Internal, format!("no level {}", id.level)))?))
    }

    fn area(level: &Level, id: TileId) -> Area {
        let (height, width) = level.unit_size(id.ty, id.tx);
        let (top, left) = (id.ty.saturating_mul(level.unit.y), id.tx.saturating_mul(level.unit.x));
        Area { rows: top..top.saturating_add(height), columns: left..left.saturating_add(width) }
    }

    fn fetch_unit(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        let (level, number) = self.level(id)?;
        let area = Self::area(level, id);
        if area.pixels() == 0 {
            return Err(Error::new(Kind::Internal, format!("no unit {}, {}", id.ty, id.tx)));
        }
        watch.check()?;
        let Some(dataset) = self.volumes.find(&self.hdf, (number, id.t, id.g), watch)? else {
            return Ok(Stored::Absent);
        };
        let most = self.limits.unit_bytes.max(1 << 20);
        let Some((bytes, parts)) = pieces::read(&self.hdf, &dataset, (id.z, &area), &self.kept, most, watch)? else {
            return Ok(Stored::Absent);
        };
        let all = std::iter::once(0..bytes.len()).collect();
        Ok(Stored::Encoded { bytes, parts: all, note: Some(Box::new(parts)) })
    }
}

impl ImageSource for ImarisSource {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn members(&self) -> &[Member] {
        &self.members
    }

    fn plane_member(&self, _series: u32, t: u64, _g: u64, _z: u64) -> Result<Option<u32>> {
        Ok(self.volumes.levels.first().filter(|l| t < l.points).map(|_| 0))
    }

    fn verify(&self, _id: TileId) -> Result<()> {
        self.hdf.file().verify()
    }

    fn fetch(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        self.fetch_unit(id, watch)
            .map_err(|e| e.at(format!("level {}, t {}, channel {}, z {}", id.level, id.t, id.g, id.z)))
    }

    fn decode(&self, id: TileId, stored: Stored) -> Result<Vec<u8>> {
        match stored {
            Stored::Decoded(samples) => Ok(samples),
            Stored::Encoded { bytes, note: Some(note), .. } => {
                let parts =
                    note.downcast::<Parts>().map_err(|_| Error::new(Kind::Internal, "a note of another format"))?;
                parts.assemble(&bytes, &self.kept)
            }
            Stored::Encoded { .. } => Err(Error::new(Kind::Internal, "nothing to decode")),
            Stored::Absent => Ok(vec![0; usize::try_from(self.cost(id).decoded).unwrap_or(0)]),
        }
    }

    fn cost(&self, id: TileId) -> UnitCost {
        let Ok((level, number)) = self.level(id) else { return UnitCost { decoded: 0, scratch: 0 } };
        let element = self.volumes.datatype.size() as u64;
        let decoded = Self::area(level, id).pixels().saturating_mul(element);
        let stored = self.volumes.levels.get(number);
        let scratch = match stored.and_then(|l| l.chunk().filter(|_| l.is_packed()).zip(Some(l.chunk_bytes()))) {
            Some(([_, tall, wide], bytes)) => {
                let chunks = level.unit.y.div_ceil(tall).saturating_mul(level.unit.x.div_ceil(wide));
                // All of them packed, and one while it goes through its filters.
                chunks.saturating_mul(pieces::most_packed(bytes)).saturating_add(bytes.saturating_mul(3))
            }
            None => decoded.saturating_mul(2),
        };
        UnitCost { decoded, scratch }
    }

    fn random_access(&self, _series: u32, _level: u32) -> bool {
        true
    }

    fn native_unit_bytes(&self, _series: u32, level: u32) -> u64 {
        let id = TileId { series: 0, level, t: 0, g: 0, z: 0, ty: 0, tx: 0 };
        let level = self.level(id).ok().and_then(|(_, number)| self.volumes.levels.get(number));
        level.filter(|l| l.is_packed()).map_or(0, super::Level::chunk_bytes)
    }

    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        None
    }

    fn details(&self) -> Option<Element> {
        self.details.clone()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn heap_bytes(&self) -> u64 {
        let texts: usize = self.warnings.iter().map(|w| w.len() + size_of::<String>()).sum();
        self.series.iter().map(Series::heap_bytes).sum::<u64>()
            + texts as u64
            + self.volumes.heap_bytes()
            + self.details.as_ref().map_or(0, Element::heap_bytes)
            + self.kept.room()
    }
}
