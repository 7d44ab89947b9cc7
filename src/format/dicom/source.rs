//! The open dataset.

use std::path::{Path, PathBuf};

use super::fragments::{Fragments, Table};
use super::frame::{self, Samples};
use super::grid::Grid;
use super::header::{Header, PixelData};
use super::pixel::{Photometric, Pixel};
use super::syntax::{Compression, Syntax};
use crate::error::{Error, Kind, Result};
use crate::format::strided::Members;
use crate::format::{ImageSource, Limits, Member, Stored, UnitCost, first_path};
use crate::io::{MemoryFile, ReadAt, Watch};
use crate::model::{Colormap, Element, Level, Series, TileId};
use crate::sync::Arc;

/// Compressed frames that did not shrink are so much larger.
const SLACK: u64 = 1 << 20;

/// What reading the frames of a file takes.
pub(super) struct Instance {
    member: u32,
    pixel: Pixel,
    syntax: Syntax,
    swapped: bool,
    data: PixelData,
    count: u64,
    offsets: Vec<u64>,
    unpacked: Option<Arc<MemoryFile>>,
    fragments: Fragments,
}

/// Are frames stored as they are?
pub(super) fn is_native(header: &Header) -> bool {
    matches!(header.data, PixelData::Native(..))
}

impl Instance {
    /// Of a file by its number.
    pub fn new(member: u32, header: &Header) -> Self {
        Instance {
            member,
            pixel: header.pixel,
            syntax: header.syntax,
            swapped: header.swapped,
            data: header.data,
            count: header.count,
            offsets: header.frames.offsets.clone(),
            unpacked: header.unpacked.clone(),
            fragments: Fragments::default(),
        }
    }

    fn heap_bytes(&self) -> u64 {
        // Offsets of frames are found when the first one is read.
        let found = match self.data {
            PixelData::Encapsulated(_) => self.count.saturating_mul(8),
            PixelData::Native(..) => 0,
        };
        let unpacked = self.unpacked.as_ref().map_or(0, |m| m.0.capacity() as u64);
        (size_of::<Instance>() + 8 * self.offsets.capacity()) as u64 + found + unpacked
    }
}

/// A dataset of files of one series.
pub(super) struct Source {
    pub series: Vec<Series>,
    /// For each series, its levels.
    pub grids: Vec<Vec<Grid>>,
    /// In the order that slots count.
    pub instances: Vec<Instance>,
    pub members: Members,
    /// Do other files of the folder belong to it, if they are of the same series?
    pub in_series: bool,
    /// Colours of indices, for each series that shows them.
    pub palettes: Vec<Option<Arc<Colormap>>>,
    pub details: Option<Element>,
    pub warnings: Vec<String>,
    pub limits: Limits,
}

/// Where the rows of a unit are.
struct Place<'a> {
    instance: &'a Instance,
    frame: u64,
    /// First row of the frame, and rows and columns of the unit.
    first: u64,
    rows: u64,
    columns: u64,
}

/// Bits of a unit before its first byte.
struct Skip(u64);

impl Source {
    fn level(&self, id: TileId) -> Result<(&Level, &Grid)> {
        let (series, level) = (id.series as usize, id.level as usize);
        let shape = self.series.get(series).and_then(|s| s.levels.get(level));
        let grid = self.grids.get(series).and_then(|l| l.get(level));
        shape.zip(grid).ok_or_else(|| Error::new(Kind::Internal, format!("no series {series} level {level}")))
    }

    fn place(&self, id: TileId) -> Result<Option<Place<'_>>> {
        let (level, grid) = self.level(id)?;
        let (rows, columns) = level.unit_size(id.ty, id.tx);
        if rows == 0 || columns == 0 {
            return Err(Error::new(Kind::Internal, format!("no unit {}, {}", id.ty, id.tx)));
        }
        let Some((file, frame, first)) = grid.find(id.t, id.g, id.z, id.ty, id.tx, level.unit.y) else {
            return if grid.full { Err(Error::truncated("the frame of this tile is not stored")) } else { Ok(None) };
        };
        let instance = self.instances.get(file as usize);
        let instance = instance.ok_or_else(|| Error::new(Kind::Internal, format!("no file {file}")))?;
        Ok(Some(Place { instance, frame: u64::from(frame), first, rows, columns }))
    }

    fn file(&self, instance: &Instance) -> Result<Arc<dyn ReadAt>> {
        match &instance.unpacked {
            Some(memory) => Ok(Arc::clone(memory) as Arc<dyn ReadAt>),
            None => self.members.get(instance.member),
        }
    }

    fn fetch_unit(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        watch.check()?;
        let Some(place) = self.place(id)? else { return Ok(Stored::Absent) };
        let instance = place.instance;
        let file = self.file(instance)?;
        let stored = match instance.data {
            PixelData::Native(at, length) => native(file.as_ref(), &place, at, length)?,
            PixelData::Encapsulated(start) => {
                if let Compression::Unread(name) = instance.syntax.compression {
                    return Err(Error::unsupported(name));
                }
                let pixel = &instance.pixel;
                let whole = pixel.decoded(pixel.rows.saturating_mul(pixel.columns));
                if whole > self.limits.unit_bytes {
                    let mebibytes = whole.div_ceil(1 << 20);
                    return Err(Error::over_limit(format!(
                        "{mebibytes} MiB must be unpacked at once, which takes --cache-size {}MiB",
                        4 * mebibytes
                    )));
                }
                let most = whole.saturating_mul(2).saturating_add(SLACK);
                let room = self.limits.index_bytes;
                let table = Table { start, count: instance.count, extended: &instance.offsets, most: room };
                let parts = instance.fragments.frame(file.as_ref(), &table, place.frame, most, watch)?;
                let mut bytes = Vec::new();
                for part in parts {
                    bytes.extend(file.read_vec(part.start, part.end - part.start)?);
                    watch.tick();
                }
                let all = 0..bytes.len();
                Stored::Encoded { bytes, parts: vec![all], note: None }
            }
        };
        watch.tick();
        Ok(stored)
    }

    fn decode_unit(&self, id: TileId, stored: Stored) -> Result<Vec<u8>> {
        let (mut bytes, note) = match stored {
            Stored::Decoded(samples) => return Ok(samples),
            Stored::Absent => return Ok(vec![0; usize::try_from(self.cost(id).decoded).unwrap_or(0)]),
            Stored::Encoded { bytes, note, .. } => (bytes, note),
        };
        let place = self.place(id)?.ok_or_else(|| Error::new(Kind::Internal, "a frame that is not stored"))?;
        let (instance, pixel) = (place.instance, &place.instance.pixel);
        let samples = match instance.data {
            PixelData::Native(..) => {
                let skip = note.and_then(|n| n.downcast_ref::<Skip>().map(|s| s.0)).unwrap_or(0);
                if instance.swapped {
                    bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
                }
                let from = usize::try_from(skip / 8).unwrap_or(0).min(bytes.len());
                let big_endian = instance.syntax.encoding.big_endian;
                frame::native(&mut bytes[from..], skip % 8, place.rows as usize, pixel, big_endian)?
            }
            PixelData::Encapsulated(_) => {
                let whole = frame::decode(&bytes, instance.syntax.compression, pixel)?;
                cut(whole, pixel, place.first as usize)
            }
        };
        let palette = self.palettes.get(id.series as usize).and_then(Option::as_deref);
        frame::planes(&samples, pixel, (place.rows as usize, place.columns as usize), palette)
    }
}

/// Leaves out the rows before the first one.
fn cut(mut samples: Samples, pixel: &Pixel, first: usize) -> Samples {
    let row = pixel.decoded(pixel.columns) as usize;
    samples.data.drain(..(first * row).min(samples.data.len()));
    samples.rows = samples.rows.saturating_sub(first);
    samples
}

/// Reads rows of a frame that is stored as it is; behind each other, whatever lies between them in the file.
fn native(file: &dyn ReadAt, place: &Place<'_>, at: u64, length: u64) -> Result<Stored> {
    let (instance, pixel) = (place.instance, &place.instance.pixel);
    let frame = place.frame.checked_mul(pixel.frame_bits());
    let frame = frame.ok_or_else(|| Error::malformed(format!("frame {} lies beyond 64 bits", place.frame)))?;
    let spans: Vec<(u64, u64)> = if pixel.planar {
        let row = pixel.columns * u64::from(pixel.allocated);
        let plane = row * pixel.rows;
        (0..pixel.samples).map(|s| (frame + s * plane + place.first * row, place.rows * row)).collect()
    } else {
        vec![(frame + place.first * pixel.row_bits(), place.rows * pixel.row_bits())]
    };
    let mut bytes = Vec::new();
    let mut skip = 0;
    for (start, size) in spans {
        let (mut first, mut end) = (start / 8, (start + size).div_ceil(8));
        skip = start % 8;
        if instance.swapped {
            // Whole words.
            skip += 8 * (first % 2);
            first -= first % 2;
            end += end % 2;
        }
        if end > length {
            return Err(Error::truncated(format!(
                "frame {} of {length} bytes of pixels ends at byte {end}",
                place.frame
            )));
        }
        bytes.extend(file.read_vec(at.saturating_add(first), end - first)?);
    }
    let all = 0..bytes.len();
    Ok(Stored::Encoded { bytes, parts: vec![all], note: Some(Box::new(Skip(skip))) })
}

impl ImageSource for Source {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn members(&self) -> &[Member] {
        self.members.list()
    }

    fn canonical(&self) -> Option<&Path> {
        first_path(self.members.list())
    }

    fn folders(&self) -> Vec<PathBuf> {
        let folder = self.members.list().first().and_then(|m| m.path.parent());
        folder.filter(|_| self.in_series).map(Path::to_owned).into_iter().collect()
    }

    fn plane_member(&self, series: u32, t: u64, g: u64, z: u64) -> Result<Option<u32>> {
        let grid = self.grids.get(series as usize).and_then(|l| l.first());
        let Some(slot) = grid.and_then(|grid| grid.any(t, g, z)) else { return Ok(None) };
        // The levels and tiles of a plane may lie in several files.
        let levels = self.grids.get(series as usize).map_or(0, Vec::len);
        if levels > 1 || self.several(series, t, g, z) {
            return Ok(Some(Member::EVERY));
        }
        Ok(self.instances.get(slot.file as usize).map(|i| i.member))
    }

    fn verify(&self, id: TileId) -> Result<()> {
        let place = self.place(id).ok().flatten();
        self.members.verify(place.map_or(0, |place| place.instance.member))
    }

    fn fetch(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        self.fetch_unit(id, watch).map_err(|e| {
            e.at(format!(
                "series {}, level {}, t {}, channel group {}, z {}, unit {}, {}",
                id.series, id.level, id.t, id.g, id.z, id.ty, id.tx
            ))
        })
    }

    fn decode(&self, id: TileId, stored: Stored) -> Result<Vec<u8>> {
        self.decode_unit(id, stored)
    }

    fn cost(&self, id: TileId) -> UnitCost {
        let Ok((level, _)) = self.level(id) else { return UnitCost { decoded: 0, scratch: 0 } };
        let Some(series) = self.series.get(id.series as usize) else { return UnitCost { decoded: 0, scratch: 0 } };
        let (rows, columns) = level.unit_size(id.ty, id.tx);
        let size = series.dtype.size() as u64;
        let decoded = rows.saturating_mul(columns).saturating_mul(series.samples).saturating_mul(size);
        let Ok(Some(place)) = self.place(id) else { return UnitCost { decoded, scratch: 0 } };
        let pixel = &place.instance.pixel;
        let scratch = match place.instance.data {
            PixelData::Native(..) => pixel.decoded(pixel.columns.saturating_mul(rows)).saturating_mul(2),
            PixelData::Encapsulated(_) => {
                let whole = pixel.decoded(pixel.rows.saturating_mul(pixel.columns));
                let compression = place.instance.syntax.compression;
                let codec = frame::codec(compression).map_or(whole.saturating_mul(2), |c| (c.memory)(whole));
                codec.saturating_add(whole.saturating_mul(2)).saturating_add(SLACK / 16)
            }
        };
        UnitCost { decoded, scratch }
    }

    fn random_access(&self, _series: u32, _level: u32) -> bool {
        true
    }

    fn native_unit_bytes(&self, series: u32, level: u32) -> u64 {
        let id = TileId { series, level, t: 0, g: 0, z: 0, ty: 0, tx: 0 };
        match self.place(id) {
            Ok(Some(Place { instance: Instance { data: PixelData::Encapsulated(_), pixel, .. }, .. })) => {
                pixel.decoded(pixel.rows.saturating_mul(pixel.columns))
            }
            _ => 0,
        }
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
        let series: u64 = self.series.iter().map(Series::heap_bytes).sum();
        let grids = self.grids.iter().flatten().map(|g| size_of::<Grid>() as u64 + g.heap_bytes()).sum::<u64>();
        let instances: u64 = self.instances.iter().map(Instance::heap_bytes).sum();
        let warnings: usize = self.warnings.iter().map(|w| w.len() + size_of::<String>()).sum();
        let palettes = self.palettes.iter().flatten().map(|p| 6 * p.red.len() as u64).sum::<u64>();
        let details = self.details.as_ref().map_or(0, Element::heap_bytes);
        series + grids + instances + warnings as u64 + palettes + details + self.members.heap_bytes()
    }
}

impl Source {
    /// Do the tiles of a plane of the first level lie in several files?
    fn several(&self, series: u32, t: u64, g: u64, z: u64) -> bool {
        let grid = self.grids.get(series as usize).and_then(|l| l.first());
        grid.is_some_and(|grid| {
            let mut files = grid.of_plane(t, g, z).iter().map(|s| s.file);
            let first = files.next();
            files.any(|f| Some(f) != first)
        })
    }

    /// Refuses more memory than is allowed.
    ///
    /// # Errors
    /// `OverLimit`.
    pub fn checked(self) -> Result<Self> {
        let held = self.heap_bytes();
        if held > self.limits.index_bytes.saturating_mul(2) {
            return Err(Error::over_limit(format!("{held} bytes of structure")));
        }
        Ok(self)
    }
}

/// Is a palette shown as colours?
pub(super) fn expands(pixel: &Pixel, limits: &Limits) -> bool {
    pixel.photometric == Photometric::Palette && limits.palette_rgb
}
