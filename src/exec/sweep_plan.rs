//! What one sweep makes, and from what: the finest work that the cache allows, and the chunks that come along with it.

use std::collections::HashMap;
use std::ops::Range;

use super::Shared;
use super::lanes::LaneKey;
use super::sweeping::{State, Sweeping};
use crate::cache::{Joined, Key, Lead, Share, Tile};
use crate::error::{Error, Kind, Result};
use crate::model::{Reduction, TileId};
use crate::pyramid::{Base, ChunkId, Finished, Nearest, Need, OpenImage, Origin, Sweep, Target};
use crate::sync::{Arc, Mutex, lock};

/// How the chunks are made.
pub(super) enum Making {
    Mean(Box<Sweep>),
    Nearest(Box<Nearest>),
}

impl Making {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Making::Mean(sweep) => sweep.bytes(),
            Making::Nearest(nearest) => nearest.bytes(),
        }
    }

    pub(super) fn base_bytes(&self) -> u64 {
        match self {
            Making::Mean(sweep) => sweep.base_bytes(),
            Making::Nearest(nearest) => nearest.base_bytes(),
        }
    }

    pub(super) fn need(&self) -> Option<Need> {
        match self {
            Making::Mean(sweep) => sweep.need(),
            Making::Nearest(nearest) => nearest.need(),
        }
    }

    /// Units that come next; none where most units in between are passed over.
    pub(super) fn ahead(&self, count: usize) -> Vec<TileId> {
        match self {
            Making::Mean(sweep) => sweep.ahead(count),
            Making::Nearest(_) => Vec::new(),
        }
    }

    pub(super) fn push(&mut self, samples: Result<Option<&[u8]>, &Error>) -> Result<Vec<Finished>> {
        match self {
            Making::Mean(sweep) => sweep.push(samples),
            Making::Nearest(nearest) => nearest.push(samples),
        }
    }
}

/// Where to reduce from, and how many columns of chunks to make at once.
struct Shape {
    base: Base,
    finer: HashMap<ChunkId, Arc<Tile>>,
    columns: Range<u64>,
}

/// Starts a sweep that makes `chunk`, whose flight is `lead`.
pub(crate) fn start(shared: &Arc<Shared>, lane: &LaneKey, image: &Arc<OpenImage>, chunk: ChunkId, lead: Lead) {
    let mut leads = HashMap::from([(chunk, lead)]);
    if let Err(error) = plan(shared, lane, image, chunk, &mut leads) {
        for lead in leads.into_values() {
            lead.finish(&Err(error.clone()));
        }
    }
}

fn plan(
    shared: &Arc<Shared>,
    lane: &LaneKey,
    image: &Arc<OpenImage>,
    chunk: ChunkId,
    leads: &mut HashMap<ChunkId, Lead>,
) -> Result<()> {
    image.check_extent(chunk)?;
    let budget = &shared.units.budget;
    let nearest = image.source.series()[chunk.series as usize].reduction == Reduction::Nearest;
    let share = budget.total() / 8;
    let make = |base: Base, columns: Range<u64>| -> Result<Making> {
        let target = Target { id: chunk, columns };
        Ok(match nearest {
            true => Making::Nearest(Box::new(Nearest::new(image, &target))),
            false => {
                let sweep = Sweep::new(image, &target, base, share)?;
                // Levels between are a courtesy: without them if they do not fit.
                let fits = sweep.bytes() <= budget.most(Share::Work);
                Making::Mean(Box::new(if fits { sweep } else { Sweep::new(image, &target, base, 0)? }))
            }
        })
    };
    let Shape { base, finer, columns } = shape(shared, image, chunk, nearest, &|base, columns| {
        make(base, columns).is_ok_and(|m| m.bytes() <= budget.most(Share::Work))
    })?;
    // Finer chunks hold one channel, units all samples of a channel group.
    let samples = match base {
        Base::Stored(_) => image.source.series()[chunk.series as usize].samples,
        Base::Chunks(_) => 1,
    };
    let group = chunk.c / samples * samples;
    let columns = join(shared, image, chunk, columns, group..group + samples, leads);
    let overhead = (columns.end - columns.start).saturating_mul(samples).saturating_mul(Tile::OVERHEAD);
    let making = make(base, columns)?;
    let keep_units = making.base_bytes() <= share;
    let bytes = making.bytes().saturating_add(overhead);
    let sweeping = Sweeping::new(shared, lane, image, chunk, group, keep_units);
    // The leads go along into the continuation; if there can be no room they stay, to be failed.
    let moved = Arc::new(Mutex::new(Some((making, std::mem::take(leads), finer))));
    let given = Arc::clone(&moved);
    let granted = budget.lease_later(Share::Work, bytes, move |lease| {
        if let Some((making, leads, finer)) = lock(&given).take() {
            sweeping.begin(State::new(making, leads, lease, finer));
        }
    });
    if granted.is_err()
        && let Some((_, back, _)) = lock(&moved).take()
    {
        *leads = back;
    }
    granted
}

/// The finest work: from cached chunks of a finer level if all are there, else from the smallest stored level; of as many
/// columns as come from the same units anyway, as long as they fit.
fn shape(
    shared: &Shared,
    image: &OpenImage,
    chunk: ChunkId,
    nearest: bool,
    fits: &dyn Fn(Base, Range<u64>) -> bool,
) -> Result<Shape> {
    let pyramid = &image.pyramids[chunk.series as usize];
    let series = &image.source.series()[chunk.series as usize];
    let smallest = pyramid.levels.iter().rposition(|l| l.origin != Origin::Synthesized);
    let smallest = smallest.and_then(|l| u32::try_from(l).ok());
    let smallest = smallest.ok_or_else(|| Error::new(Kind::Internal, "no stored level"))?;
    if !nearest {
        for level in (smallest + 1..chunk.level).rev() {
            match finer(shared, image, chunk, level) {
                Some(tiles) if !tiles.is_empty() => {
                    let columns = chunk.x..chunk.x + 1;
                    return Ok(Shape { base: Base::Chunks(level), finer: tiles, columns });
                }
                Some(_) => break,
                None => {}
            }
        }
    }
    let base = if nearest { 0 } else { smallest };
    let mut columns = chunk.x..chunk.x + 1;
    let level = &series.levels[base as usize];
    if level.unit.x >= level.shape.x {
        let grid = pyramid.grid(chunk.level as usize);
        // All of the row if it fits, else about as much as does: halving ends at one.
        let mut width = grid.x;
        loop {
            let start = chunk.x / width * width;
            columns = start..(start + width).min(grid.x);
            if width == 1 || fits(Base::Stored(base), columns.clone()) {
                break;
            }
            width = width.div_ceil(2);
        }
    }
    Ok(Shape { base: Base::Stored(base), finer: HashMap::new(), columns })
}

/// All chunks of `level` under `chunk`, if all are cached; empty if they are too many to hold.
fn finer(shared: &Shared, image: &OpenImage, chunk: ChunkId, level: u32) -> Option<HashMap<ChunkId, Arc<Tile>>> {
    let pyramid = &image.pyramids[chunk.series as usize];
    let steps = chunk.level - level;
    let grid = pyramid.grid(level as usize);
    let size = image.source.series()[chunk.series as usize].dtype.size() as u64;
    let bytes = pyramid.chunk.0.saturating_mul(pyramid.chunk.1).saturating_mul(size);
    if steps > 4 || bytes.saturating_mul(1 << (2 * steps)) > shared.units.budget.total() / 8 {
        return Some(HashMap::new());
    }
    let mut tiles = HashMap::new();
    for y in chunk.y << steps..((chunk.y + 1) << steps).min(grid.y) {
        for x in chunk.x << steps..((chunk.x + 1) << steps).min(grid.x) {
            let id = ChunkId { level, y, x, ..chunk };
            let tile = shared.units.cache.touch(&Key::Chunk(image.key, id))?;
            // A chunk with holes forgot which of its pixels are holes.
            if !tile.is_whole() {
                return None;
            }
            tiles.insert(id, tile);
        }
    }
    Some(tiles)
}

/// Leads the flights of the other chunks that come along; columns at either end that are there already are left out.
fn join(
    shared: &Shared,
    image: &OpenImage,
    chunk: ChunkId,
    columns: Range<u64>,
    channels: Range<u64>,
    leads: &mut HashMap<ChunkId, Lead>,
) -> Range<u64> {
    let mut wanted = chunk.x..chunk.x + 1;
    for x in columns {
        for c in channels.clone() {
            let id = ChunkId { c, x, ..chunk };
            let key = Key::Chunk(image.key, id);
            if leads.contains_key(&id) || shared.units.cache.touch(&key).is_some() {
                continue;
            }
            if let Joined::Lead(lead) = shared.units.flights.join(key, 0) {
                leads.insert(id, lead);
                wanted = wanted.start.min(x)..wanted.end.max(x + 1);
            }
        }
    }
    wanted
}
