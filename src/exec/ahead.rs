//! Decoding ahead of a reader that goes through chunks one after the other, or through planes at one place.
//!
//! What was read lately tells: eight chunks in a row in storage order, or the same place in the two planes before. A window
//! on a slide shows neither, so nothing is decoded in vain there. Guesses take what nobody else uses: slots of a lane of
//! which one stays free, and room that is free; they end as soon as a read waits.

use std::collections::{HashSet, VecDeque};

use super::Shared;
use super::lanes::{Class, LaneKey};
use crate::cache::Key;
use crate::io::Watch;
use crate::model::{Shape, TileId};
use crate::pyramid::{ChunkId, ChunkPlan, OpenImage};
use crate::sync::{Arc, Mutex, lock};

/// Chunks in a row that make a run.
const RUN: u64 = 8;
/// Most chunks ahead of a run.
const AHEAD: u64 = 4;
/// Planes before that make a run through planes.
const PLANES: u64 = 2;
/// Reads that are remembered, of all images.
const REMEMBERED: usize = 1024;

/// A level of an image, and a chunk of it by its number in C order.
type Place = ((u64, u32, u32), u64);

/// What was read, and what was guessed, lately.
#[derive(Default)]
pub(crate) struct Ahead {
    seen: Mutex<(Recent, Recent)>,
}

#[derive(Default)]
struct Recent {
    set: HashSet<Place>,
    order: VecDeque<Place>,
}

impl Recent {
    /// False if it is there already.
    fn add(&mut self, place: Place) -> bool {
        if !self.set.insert(place) {
            return false;
        }
        self.order.push_back(place);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }
}

/// Chunks along t, c, z, y, x; how many there are, if that can be counted.
fn strides(grid: &Shape) -> Option<([u64; 5], u64)> {
    let z = grid.y.checked_mul(grid.x)?;
    let c = z.checked_mul(grid.z)?;
    let t = c.checked_mul(grid.c)?;
    Some(([t, c, z, grid.x, 1], t.checked_mul(grid.t)?))
}

fn number(id: &ChunkId, of: &[u64; 5]) -> u64 {
    [id.t, id.c, id.z, id.y, id.x].iter().zip(of).map(|(at, stride)| at * stride).sum()
}

fn numbered(like: &ChunkId, grid: &Shape, n: u64) -> ChunkId {
    let (rest, x) = (n / grid.x, n % grid.x);
    let (rest, y) = (rest / grid.y, rest % grid.y);
    let (rest, z) = (rest / grid.z, rest % grid.z);
    ChunkId { t: rest / grid.c, c: rest % grid.c, z, y, x, ..*like }
}

impl Ahead {
    /// Takes down that a chunk was read; gives those that are likely to be next.
    pub(crate) fn next(&self, key: u64, grid: &Shape, id: &ChunkId) -> Vec<ChunkId> {
        let Some((strides, count)) = strides(grid) else { return Vec::new() };
        let level = (key, id.series, id.level);
        let here = number(id, &strides);
        let mut seen = lock(&self.seen);
        let (read, guessed) = &mut *seen;
        if !read.add((level, here)) {
            return Vec::new();
        }
        let was_read = |n: Option<u64>| n.is_some_and(|n| read.set.contains(&(level, n)));
        let run = (1..RUN * AHEAD).take_while(|back| was_read(here.checked_sub(*back))).count() as u64;
        let mut next: Vec<u64> = (1..=(run + 1) / RUN).map(|ahead| here + ahead).filter(|n| *n < count).collect();
        // Forwards and backwards through z or t; a run in storage order tells enough of planes of one chunk.
        let [t, _, z, ..] = strides;
        for (stride, at, planes) in [(z, id.z, grid.z), (t, id.t, grid.t)] {
            if stride == 1 && run + 1 >= RUN {
                continue;
            }
            if at >= PLANES && at + 1 < planes && (1..=PLANES).all(|p| was_read(here.checked_sub(p * stride))) {
                next.push(here + stride);
            }
            if at >= 1 && at + PLANES < planes && (1..=PLANES).all(|p| was_read(here.checked_add(p * stride))) {
                next.push(here - stride);
            }
        }
        next.retain(|n| !read.set.contains(&(level, *n)) && guessed.add((level, *n)));
        next.into_iter().map(|n| numbered(id, grid, n)).collect()
    }
}

impl Shared {
    /// Decodes what is likely to be read after `chunk` of a stored level, if nobody needs the processors more.
    pub(crate) fn read_ahead(self: &Arc<Self>, lane: &LaneKey, image: &Arc<OpenImage>, chunk: &ChunkId, stored: u32) {
        let grid = image.pyramids[chunk.series as usize].grid(chunk.level as usize);
        for next in self.ahead.next(image.key, &grid, chunk) {
            let Some(plan) = ChunkPlan::full(image, &next, stored) else { continue };
            let is_missing = |id: &TileId| {
                let key = Key::Unit(image.key, *id);
                !self.units.cache.has(&key) && self.units.flights.busy(&key).is_none()
            };
            let missing: Vec<TileId> = plan.parts.iter().map(|part| part.id).filter(is_missing).collect();
            if missing.is_empty() {
                continue;
            }
            self.try_making(lane, image, missing);
        }
    }

    /// Makes units one after the other if a slot of the lane can be spared, as long as nobody waits for one.
    fn try_making(self: &Arc<Self>, lane: &LaneKey, image: &Arc<OpenImage>, units: Vec<TileId>) {
        let (me, image, at) = (Arc::clone(self), Arc::clone(image), lane.clone());
        let run = move |may: crate::error::Result<()>| {
            for id in units {
                let is_wanted = || !me.lanes.contended(&at, Class::Data);
                if may.is_err() || !is_wanted() {
                    return;
                }
                me.units.make_ahead(&image, id, &is_wanted);
            }
        };
        self.lanes.push_idle(lane, Class::Data, self.spared(), &Arc::new(Watch::default()), Box::new(run));
    }

    /// Slots of a lane that may be busy ahead of readers: more than there are processors, so that one unit is fetched while
    /// another is decoded, and one less than there are.
    fn spared(&self) -> usize {
        self.lanes.width(Class::Data) - 1
    }
}

/// Has units made that somebody on the lane is about to ask for one by one, in its other slots but one: each takes every so
/// many-th, and whoever asks for one that is under way waits for it.
pub(crate) fn make_soon(shared: &Arc<Shared>, lane: &LaneKey, image: &Arc<OpenImage>, units: &[TileId]) {
    let jobs = shared.spared().min(units.len());
    for first in 1..jobs {
        shared.try_making(lane, image, units.iter().skip(first).step_by(jobs).copied().collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Shape = Shape { t: 3, c: 2, z: 10, y: 20, x: 30 };

    fn chunk(n: u64) -> ChunkId {
        numbered(&ChunkId { series: 0, level: 0, t: 0, c: 0, z: 0, y: 0, x: 0 }, &GRID, n)
    }

    fn n(id: &ChunkId) -> u64 {
        number(id, &strides(&GRID).unwrap().0)
    }

    fn read(ahead: &Ahead, at: u64) -> Vec<u64> {
        ahead.next(1, &GRID, &chunk(at)).iter().map(n).collect()
    }

    #[test]
    fn a_number_names_one_chunk() {
        for at in [0, 1, 29, 30, 599, 600, 35_999] {
            assert_eq!(n(&chunk(at)), at);
        }
    }

    #[test]
    fn a_run_is_followed_further_the_longer_it_is_and_each_chunk_is_guessed_once() {
        let ahead = Ahead::default();
        for at in 100..107 {
            assert!(read(&ahead, at).is_empty(), "{at}");
        }
        assert_eq!(read(&ahead, 107), [108]);
        assert_eq!(read(&ahead, 108), [109]);
        for at in 109..131 {
            read(&ahead, at);
        }
        assert_eq!(read(&ahead, 131), [134, 135]);
        assert!(read(&ahead, 131).is_empty());
    }

    #[test]
    fn the_last_chunk_has_none_after_it() {
        let ahead = Ahead::default();
        let all: Vec<u64> = (35_980..36_000).flat_map(|at| read(&ahead, at)).collect();
        assert_eq!(all, (35_988..36_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_place_is_followed_through_planes_either_way() {
        let (up, down) = (Ahead::default(), Ahead::default());
        assert!(read(&up, 5).is_empty() && read(&up, 605).is_empty());
        assert_eq!(read(&up, 1205), [1805]);
        assert!(read(&down, 9 * 600 + 5).is_empty() && read(&down, 8 * 600 + 5).is_empty());
        assert_eq!(read(&down, 7 * 600 + 5), [6 * 600 + 5]);
        // Through time: 12,000 chunks apart; and no further than the last.
        let time = Ahead::default();
        assert!(read(&time, 7).is_empty() && read(&time, 12_007).is_empty() && read(&time, 24_007).is_empty());
    }

    #[test]
    fn a_window_of_seven_chunks_is_no_run() {
        let ahead = Ahead::default();
        for row in 0..7 {
            for column in 0..7 {
                assert!(read(&ahead, row * 30 + column).is_empty());
            }
        }
    }
}
