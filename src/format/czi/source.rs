//! The open file: units found by the subblocks under them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::blocks::{Area, Block, Cut};
use super::compose::{Unit, View};
use super::details::Details;
use super::directory::MISSING;
use super::pictures::Jpeg;
use super::pixels::{Compression, PixelType, Pixels};
use super::scenes::{LevelPlan, Plan};
use super::subblock::{Data, SPAN};
use crate::error::{Error, Kind, Result};
use crate::format::kept::Kept;
use crate::format::{ImageSource, Limits, Member, Stored, UnitCost};
use crate::io::{ReadAt, Watch};
use crate::model::{Element, Role, Series, TileId};
use crate::sync::Arc;

/// What a series is made from.
pub(super) enum Made {
    /// The subblocks of a scene.
    Scene(Plan),
    /// A picture that is attached.
    Attached(Jpeg),
}

/// A file that subblocks lie in: one of the dataset, or one that is embedded in another.
pub(super) struct Part {
    pub file: Arc<dyn ReadAt>,
    /// The member that it is, or is embedded in.
    pub member: u32,
}

/// A CZI dataset.
pub(super) struct CziSource {
    pub series: Vec<Series>,
    /// One for each series.
    pub made: Vec<Made>,
    pub parts: Vec<Part>,
    pub members: Vec<Member>,
    /// The file that the others are parts of.
    pub primary: PathBuf,
    pub document: Option<Arc<[u8]>>,
    pub warnings: Vec<String>,
    pub limits: Limits,
    pub details: Details,
    pub kept: Kept<(u32, u64), Pixels>,
}

/// One subblock under a unit.
struct Piece {
    block: Block,
    /// What it has in common with the unit.
    common: Area,
    pixels: Held,
}

/// How the pixels of a piece are held.
enum Held {
    /// As stored, in this range of the bytes.
    Stored(std::ops::Range<usize>),
    /// The part in common, in this range of the bytes.
    Window(std::ops::Range<usize>),
    /// Decoded before.
    Decoded(Arc<Pixels>),
}

impl CziSource {
    fn made(&self, id: TileId) -> Result<&Made> {
        self.made.get(id.series as usize).ok_or_else(|| Error::new(Kind::Internal, format!("no series {}", id.series)))
    }

    fn part(&self, number: u32) -> Result<&Part> {
        if number & MISSING != 0 {
            let what = format!("part {} of the dataset is not there", number & !MISSING);
            return Err(Error::new(Kind::Missing, what));
        }
        self.parts.get(number as usize).ok_or_else(|| Error::new(Kind::Internal, format!("no file {number}")))
    }

    fn fetch_unit(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        let (plan, level) = match self.made(id)? {
            Made::Attached(jpeg) => return jpeg.fetch(self.part(jpeg.part)?.file.as_ref()),
            Made::Scene(plan) => (plan, level_of(plan, id)?),
        };
        let area = unit_area(level, id);
        let under = level.blocks.under(plan.plane(id.t, id.g, id.z)?, &area)?;
        let (mut bytes, mut pieces) = (Vec::new(), Vec::with_capacity(under.len()));
        for block in under {
            watch.check()?;
            if let Some(piece) = self.piece(block, plan.pixel, &area, level.cut, &mut bytes)? {
                pieces.push(piece);
            }
            watch.tick();
        }
        match &pieces[..] {
            [] => Ok(Stored::Absent),
            // Samples as they are shown, unless they stand side by side.
            [Piece { common, pixels: Held::Window(_), .. }] if *common == area && plan.pixel.samples == 1 => {
                Ok(Stored::Decoded(bytes))
            }
            _ => {
                let parts = std::iter::once(0..bytes.len()).collect();
                Ok(Stored::Encoded { bytes, parts, note: Some(Box::new(pieces)) })
            }
        }
    }

    /// Reads what a subblock has in common with a unit.
    fn piece(
        &self,
        block: &Block,
        pixel: PixelType,
        area: &Area,
        cut: Cut,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<Piece>> {
        let Some(common) = block.common(area) else { return Ok(None) };
        let piece = |pixels| Ok(Some(Piece { block: *block, common: common.clone(), pixels }));
        if cut == Cut::Composed
            && let Some(pixels) = self.kept.get((block.part, block.position))
        {
            return piece(Held::Decoded(pixels));
        }
        let file = self.part(block.part)?.file.as_ref();
        let data = Data::find(file, block, pixel)?;
        let start = bytes.len();
        let place = |e: Error| e.at(format!("subblock at offset {}", block.position));
        if block.compression == Compression::None {
            let (top, left) = (i64::from(block.y), i64::from(block.x));
            let window = Area {
                rows: common.rows.start - top..common.rows.end - top,
                columns: common.columns.start - left..common.columns.end - left,
            };
            bytes.extend(data.read_plain(file, block, pixel, &window).map_err(place)?);
            return piece(Held::Window(start..bytes.len()));
        }
        let decoded = block.bytes(pixel);
        if decoded > self.limits.unit_bytes {
            return Err(place(Error::over_limit(format!(
                "{} MiB must be decoded at once, which takes --cache-size {}MiB",
                decoded.div_ceil(1 << 20),
                decoded.div_ceil(1 << 20).saturating_mul(4)
            ))));
        }
        bytes.extend(data.read(file, block, pixel).map_err(place)?);
        piece(Held::Stored(start..bytes.len()))
    }

    /// Puts the pieces on top of each other.
    fn compose(&self, id: TileId, bytes: &[u8], pieces: &[Piece]) -> Result<Vec<u8>> {
        let Made::Scene(plan) = self.made(id)? else { return Err(Error::new(Kind::Internal, "no scene")) };
        let level = level_of(plan, id)?;
        let mut unit = Unit::new(unit_area(level, id), plan.pixel)?;
        let held = |range: &std::ops::Range<usize>| {
            bytes.get(range.clone()).ok_or_else(|| Error::new(Kind::Internal, "bytes of a unit are missing"))
        };
        for piece in pieces {
            let pixels = match &piece.pixels {
                Held::Window(range) => {
                    let view = View {
                        data: held(range)?,
                        top: piece.common.rows.start,
                        left: piece.common.columns.start,
                        columns: (piece.common.columns.end - piece.common.columns.start) as usize,
                        red_first: false,
                    };
                    unit.put(&view, &piece.common)?;
                    continue;
                }
                Held::Decoded(pixels) => Arc::clone(pixels),
                Held::Stored(range) => {
                    let block = &piece.block;
                    let size = (block.columns as usize, block.rows as usize);
                    let pixels = Pixels::decode(held(range)?, block.compression, plan.pixel, size)
                        .map_err(|e| e.at(format!("subblock at offset {}", block.position)))?;
                    let pixels = Arc::new(pixels);
                    if level.cut == Cut::Composed {
                        self.kept.put((block.part, block.position), &pixels);
                    }
                    pixels
                }
            };
            let view = View {
                data: &pixels.data,
                top: i64::from(piece.block.y),
                left: i64::from(piece.block.x),
                columns: pixels.columns,
                red_first: pixels.red_first,
            };
            unit.put(&view, &piece.common)?;
        }
        Ok(unit.samples)
    }

    /// Bytes held beside the unit while it is made.
    fn scratch(plan: &Plan, level: &LevelPlan, id: TileId) -> u64 {
        let area = unit_area(level, id);
        let under = plan.plane(id.t, id.g, id.z).and_then(|plane| level.blocks.under(plane, &area)).unwrap_or_default();
        let (mut stored, mut decoding) = (0_u64, 0);
        for block in under {
            let bytes = block.bytes(plan.pixel);
            if block.compression == Compression::None {
                let rows = (area.rows.end - area.rows.start).min(i64::from(block.rows)) as u64;
                let window = rows.saturating_mul(u64::from(block.columns)).saturating_mul(plan.pixel.bytes() as u64);
                stored = stored.saturating_add(window.min(bytes).min(2 * unit_bytes(plan.pixel, &area) + SPAN));
            } else {
                stored = stored.saturating_add(block.compression.most_stored(bytes));
                decoding = block.compression.memory(bytes).max(decoding);
            }
        }
        stored.saturating_add(decoding)
    }

    fn heap(&self) -> u64 {
        let made = |made: &Made| match made {
            Made::Scene(plan) => plan.heap_bytes(),
            Made::Attached(_) => 0,
        };
        let texts: usize = self.warnings.iter().map(|w| w.len() + size_of::<String>()).sum();
        let document = self.document.as_ref().map_or(0, |d| d.len());
        self.made.iter().map(|m| made(m) + size_of::<Made>() as u64).sum::<u64>()
            + self.series.iter().map(Series::heap_bytes).sum::<u64>()
            + (self.members.len() * 256 + texts + document) as u64
            + self.details.heap_bytes()
            + self.kept.room()
    }
}

fn level_of(plan: &Plan, id: TileId) -> Result<&LevelPlan> {
    plan.levels.get(id.level as usize).ok_or_else(|| Error::new(Kind::Internal, format!("no level {}", id.level)))
}

/// The rectangle of a unit; tiles outside of the grid are empty.
fn unit_area(level: &LevelPlan, id: TileId) -> Area {
    let (unit, shape) = (level.shape.unit, level.shape.shape);
    let range = |at: u64, step: u64, end: u64| {
        let start = at.saturating_mul(step).min(end);
        // Sides are below 2^31.
        start as i64..start.saturating_add(step).min(end) as i64
    };
    Area { rows: range(id.ty, unit.y, shape.y), columns: range(id.tx, unit.x, shape.x) }
}

fn unit_bytes(pixel: PixelType, area: &Area) -> u64 {
    let side = |range: &std::ops::Range<i64>| (range.end - range.start) as u64;
    side(&area.rows).saturating_mul(side(&area.columns)).saturating_mul(pixel.bytes() as u64)
}

impl ImageSource for CziSource {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn members(&self) -> &[Member] {
        &self.members
    }

    fn canonical(&self) -> Option<&Path> {
        Some(&self.primary)
    }

    fn plane_member(&self, series: u32, t: u64, g: u64, z: u64) -> Result<Option<u32>> {
        let plan = match self.made(TileId { series, level: 0, t, g, z, ty: 0, tx: 0 })? {
            Made::Attached(jpeg) => return Ok(Some(self.part(jpeg.part)?.member)),
            Made::Scene(plan) => plan,
        };
        let plane = plan.plane(t, g, z)?;
        let blocks = plan.levels.first().map_or(&[][..], |l| l.blocks.of_plane(plane));
        let Some(first) = blocks.first() else { return Ok(None) };
        if blocks.iter().any(|b| b.part != first.part) {
            return Ok(Some(Member::EVERY));
        }
        self.part(first.part).map(|p| Some(p.member))
    }

    fn verify(&self, _id: TileId) -> Result<()> {
        // Embedded files answer for the one that they lie in; parts of a dataset are few.
        self.parts.iter().try_for_each(|p| p.file.verify())
    }

    fn fetch(&self, id: TileId, watch: &Watch) -> Result<Stored> {
        self.fetch_unit(id, watch).map_err(|e| {
            e.at(format!("series {}, level {}, t {}, channel group {}, z {}", id.series, id.level, id.t, id.g, id.z))
        })
    }

    fn decode(&self, id: TileId, stored: Stored) -> Result<Vec<u8>> {
        match (stored, self.made(id)?) {
            (Stored::Decoded(samples), _) => Ok(samples),
            (Stored::Encoded { bytes, .. }, Made::Attached(jpeg)) => jpeg.decode(&bytes),
            (Stored::Encoded { bytes, note: Some(note), .. }, Made::Scene(_)) => {
                let pieces = note.downcast::<Vec<Piece>>();
                let pieces = pieces.map_err(|_| Error::new(Kind::Internal, "a note of another format"))?;
                self.compose(id, &bytes, &pieces)
            }
            _ => Err(Error::new(Kind::Internal, "nothing to decode")),
        }
    }

    fn cost(&self, id: TileId) -> UnitCost {
        match self.made(id) {
            Ok(Made::Attached(jpeg)) => jpeg.cost(),
            Ok(Made::Scene(plan)) => match level_of(plan, id) {
                Ok(level) => UnitCost {
                    decoded: unit_bytes(plan.pixel, &unit_area(level, id)),
                    scratch: Self::scratch(plan, level, id),
                },
                Err(_) => UnitCost { decoded: 0, scratch: 0 },
            },
            Err(_) => UnitCost { decoded: 0, scratch: 0 },
        }
    }

    fn random_access(&self, _series: u32, _level: u32) -> bool {
        true
    }

    fn native_unit_bytes(&self, series: u32, level: u32) -> u64 {
        match self.made.get(series as usize) {
            Some(Made::Attached(jpeg)) => jpeg.cost().decoded,
            Some(Made::Scene(plan)) => plan.levels.get(level as usize).map_or(0, |l| {
                let packed = l.blocks.all().iter().filter(|b| b.compression != Compression::None);
                packed.map(|b| b.bytes(plan.pixel)).max().unwrap_or(0)
            }),
            None => 0,
        }
    }

    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        self.document.as_ref().map(|d| ("source.czi.xml", Arc::clone(d)))
    }

    fn details(&self) -> Option<Element> {
        let shown = self.series.iter().zip(&self.made).filter(|(series, _)| series.role == Role::Image);
        let plans: Vec<&Plan> =
            shown.filter_map(|(_, made)| if let Made::Scene(plan) = made { Some(plan) } else { None }).collect();
        let stored: BTreeSet<i32> = plans.iter().flat_map(|p| p.channels.iter().map(|c| c.c)).collect();
        self.details.tree(&plans, &stored.into_iter().collect::<Vec<_>>())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn heap_bytes(&self) -> u64 {
        self.heap()
    }
}
