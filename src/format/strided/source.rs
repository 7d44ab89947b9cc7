//! The open image.

use super::gather::{self, Area};
use super::{Details, Layout, Members, Packing, Planes, Spot, packed};
use crate::error::{Error, Kind, Result};
use crate::format::{ImageSource, Limits, Member, Stored, UnitCost};
use crate::io::Watch;
use crate::model::{Element, Level, Series, TileId};
use crate::sync::Arc;

/// A dataset of planes with strides.
pub(crate) struct Strided {
    /// The images.
    pub series: Vec<Series>,
    /// For each series, how the planes of each of its levels lie.
    pub layouts: Vec<Vec<Layout>>,
    /// Where they are.
    pub planes: Box<dyn Planes>,
    /// In which files.
    pub members: Members,
    /// See [`ImageSource::document`].
    pub document: Option<(&'static str, Arc<[u8]>)>,
    /// See [`ImageSource::details`].
    pub details: Details,
    /// What was tolerated.
    pub warnings: Vec<String>,
    /// See [`Limits`].
    pub limits: Limits,
}

impl Strided {
    /// Checks that series and layouts agree, and that not more memory is held than is allowed.
    ///
    /// # Errors
    /// Those of [`Layout::check`]; `OverLimit`.
    pub fn checked(self) -> Result<Self> {
        for (number, layouts) in self.layouts.iter().enumerate() {
            layouts.iter().try_for_each(Layout::check).map_err(|e| e.at(format!("series {number}")))?;
        }
        let held = self.heap_bytes();
        if held > self.limits.index_bytes.saturating_mul(2) {
            return Err(Error::over_limit(format!("{held} bytes of structure")));
        }
        Ok(self)
    }

    fn level(&self, id: TileId) -> Result<(&Level, &Layout)> {
        let (series, level) = (id.series as usize, id.level as usize);
        let shape = self.series.get(series).and_then(|s| s.levels.get(level));
        let layout = self.layouts.get(series).and_then(|l| l.get(level));
        shape.zip(layout).ok_or_else(|| Error::new(Kind::Internal, format!("no series {series} level {level}")))
    }

    fn area(level: &Level, id: TileId) -> Area {
        let (height, width) = level.unit_size(id.ty, id.tx);
        let (top, left) = (id.ty.saturating_mul(level.unit.y), id.tx.saturating_mul(level.unit.x));
        Area { rows: top..top.saturating_add(height), columns: left..left.saturating_add(width) }
    }

    fn find(&self, id: TileId) -> Result<Option<Spot>> {
        self.planes.find(id.series as usize, id.level as usize, id.t, id.g, id.z)
    }

    fn fetch_unit(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        let (level, layout) = self.level(id)?;
        let area = Self::area(level, id);
        if area.height() == 0 || area.width() == 0 {
            return Err(Error::new(Kind::Internal, format!("no unit {}, {}", id.ty, id.tx)));
        }
        watch.check()?;
        let Some(spot) = self.find(id)? else { return Ok(Stored::Absent) };
        let file = self.planes.file(id, spot, &self.members)?;
        let spot = self.planes.resolve(spot, id.series as usize, id.level as usize, file.as_ref())?;
        let most = self.limits.unit_bytes.max(1 << 20);
        if let Packing::None = layout.packing {
            return gather::fetch(file.as_ref(), spot, layout, &area, most.saturating_mul(2), watch);
        }
        if layout.in_bands(&self.limits) {
            return packed::stream(file, spot, layout, &area, watch).map(Stored::Decoded);
        }
        let stored = packed::fetch(file.as_ref(), spot, layout, most)?;
        watch.tick();
        Ok(stored)
    }
}

impl ImageSource for Strided {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn members(&self) -> &[Member] {
        self.members.list()
    }

    fn canonical(&self) -> Option<&std::path::Path> {
        // Other files of the dataset are named by the one that was opened.
        self.members.list().first().map(|m| m.path.as_path())
    }

    fn plane_member(&self, series: u32, t: u64, g: u64, z: u64) -> Result<Option<u32>> {
        Ok(self.planes.find(series as usize, 0, t, g, z)?.map(|spot| spot.member))
    }

    fn verify(&self, id: TileId) -> Result<()> {
        self.members.verify(self.find(id).ok().flatten().map_or(0, |spot| spot.member))
    }

    fn fetch(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        self.fetch_unit(id, watch).map_err(|e| {
            e.at(format!("series {}, level {}, t {}, channel group {}, z {}", id.series, id.level, id.t, id.g, id.z))
        })
    }

    fn decode(&self, id: TileId, stored: Stored) -> Result<Vec<u8>> {
        let (level, layout) = self.level(id)?;
        let area = Self::area(level, id);
        match (stored, layout.packing) {
            (Stored::Decoded(samples), _) => Ok(samples),
            (Stored::Encoded { mut bytes, parts, .. }, Packing::None) => {
                gather::planes(layout, &area, &mut bytes, &parts)
            }
            (Stored::Encoded { bytes, .. }, _) => packed::decode(layout, &bytes),
            (Stored::Absent, _) => {
                let pixels = area.height().saturating_mul(area.width());
                Ok(vec![0; usize::try_from(layout.decoded(pixels)).unwrap_or(0)])
            }
        }
    }

    fn cost(&self, id: TileId) -> UnitCost {
        let Ok((level, layout)) = self.level(id) else { return UnitCost { decoded: 0, scratch: 0 } };
        let area = Self::area(level, id);
        let decoded = layout.decoded(area.height().saturating_mul(area.width()));
        let scratch = match layout.packing {
            Packing::None => gather::stored_bytes(layout, &area),
            Packing::Zlib if layout.in_bands(&self.limits) => {
                area.height().saturating_mul(layout.row.unsigned_abs()).saturating_add(1 << 20)
            }
            // What is packed is not larger than what comes out, but for a little.
            Packing::Zlib => layout.unpacked().saturating_mul(2).saturating_add(1 << 16),
            Packing::Picture(codec) => (codec.memory)(decoded).saturating_add(decoded),
        };
        UnitCost { decoded, scratch }
    }

    fn random_access(&self, series: u32, level: u32) -> bool {
        let id = TileId { series, level, t: 0, g: 0, z: 0, ty: 0, tx: 0 };
        self.level(id).map_or(true, |(_, layout)| !layout.in_bands(&self.limits))
    }

    fn native_unit_bytes(&self, series: u32, level: u32) -> u64 {
        let id = TileId { series, level, t: 0, g: 0, z: 0, ty: 0, tx: 0 };
        self.level(id).map_or(0, |(_, layout)| match layout.packing {
            Packing::None => 0,
            _ => layout.decoded(layout.width.saturating_mul(layout.height)),
        })
    }

    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        self.document.clone()
    }

    fn details(&self) -> Option<Element> {
        self.details.element(self.series.len())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn heap_bytes(&self) -> u64 {
        let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
        let series = |s: &Series| {
            let channels: usize = s.channels.iter().map(|c| size_of_val(c) + text(&c.name) + text(&c.fluor)).sum();
            let levels = s.levels.capacity() * size_of::<Level>();
            size_of_val(s) + s.name.len() + text(&s.description) + text(&s.acquired) + channels + levels
        };
        let layout = |l: &Layout| size_of_val(l) + l.samples.capacity() * 8;
        let all: usize = self.series.iter().map(series).sum();
        let layouts: usize = self.layouts.iter().flatten().map(layout).sum();
        let document = self.document.as_ref().map_or(0, |(_, d)| d.len());
        let details = self.details.heap_bytes();
        let warnings: usize = self.warnings.iter().map(|w| w.len() + size_of::<String>()).sum();
        (all + layouts + document + warnings) as u64 + details + self.planes.heap_bytes() + self.members.heap_bytes()
    }
}
