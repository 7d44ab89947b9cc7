//! From the list of subblocks to series: a scene is one, and where its channels have different pixel types, each type is.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::blocks::{Block, Blocks, Cut};
use super::directory::{Coordinate, Directory, Entry, LETTERS};
use super::pixels::PixelType;
use super::pyramid::{FULL, Factor, Ratio, scaled};
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::io::Watch;
use crate::model::{Level, Shape, TileSize};

/// Dimensions that multiply into the channels, slowest first.
const EXTRA: usize = 5;

/// A channel, with its place along the dimensions that multiply into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChannelAt {
    /// Number of the channel.
    pub c: i32,
    /// Starts along H, I, R, V, B.
    pub extra: [i32; EXTRA],
}

impl ChannelAt {
    fn of(coordinate: &Coordinate) -> Self {
        let letters = &LETTERS[LETTERS.len() - EXTRA..];
        let mut extra = [0; EXTRA];
        extra.iter_mut().zip(letters).for_each(|(e, letter)| *e = coordinate.start(*letter));
        ChannelAt { c: coordinate.start(b'C'), extra }
    }
}

/// One series.
#[derive(Debug)]
pub(super) struct Plan {
    /// Number of its scene, if the file has scenes.
    pub scene: Option<i32>,
    pub pixel: PixelType,
    /// In the order shown.
    pub channels: Vec<ChannelAt>,
    pub levels: Vec<LevelPlan>,
    /// Planes of which nothing is stored at the full resolution, but something reduced, in order.
    lost: Vec<u32>,
}

/// One level of a series.
#[derive(Debug)]
pub(super) struct LevelPlan {
    pub shape: Level,
    pub cut: Cut,
    pub blocks: Blocks,
}

impl Plan {
    /// A plan without levels.
    pub fn new(scene: Option<i32>, pixel: PixelType, channels: Vec<ChannelAt>) -> Self {
        Plan { scene, pixel, channels, levels: Vec::new(), lost: Vec::new() }
    }

    /// Number of a plane among those of its series.
    ///
    /// # Errors
    /// `Malformed` if it is there, but not at the full resolution.
    pub fn plane(&self, t: u64, group: u64, z: u64) -> Result<u64> {
        let depth = self.levels.first().map_or(1, |l| l.shape.shape.z);
        let group = t.saturating_mul(self.channels.len() as u64).saturating_add(group);
        let plane = group.saturating_mul(depth).saturating_add(z);
        if u32::try_from(plane).is_ok_and(|p| self.lost.binary_search(&p).is_ok()) {
            return Err(Error::malformed("of this plane, only a reduction is stored"));
        }
        Ok(plane)
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> u64 {
        let levels = self.levels.iter().map(|l| l.blocks.heap_bytes() + size_of::<LevelPlan>() as u64).sum::<u64>();
        levels + (self.channels.capacity() * size_of::<ChannelAt>() + self.lost.capacity() * 4) as u64
    }
}

/// Most channels of one pixel type.
const MAX_CHANNELS: usize = 1 << 14;
/// Planes of a series for each subblock, and some more: ranges that hardly anything lies in are damage.
const PLANES_PER_BLOCK: u64 = 64;
const FEW_PLANES: u64 = 1 << 16;

/// Sorts subblocks into series; what is left out and why goes to `warnings`.
///
/// # Errors
/// `Malformed` for ranges out of proportion, `OverLimit` for canvases and channels beyond what can be shown.
pub(super) fn plans(all: Directory, limits: &Limits, watch: &Watch, warnings: &mut Vec<String>) -> Result<Vec<Plan>> {
    let factor = Factor::of(&all.entries);
    let Directory { entries, coordinates, .. } = all;
    let scenes = Scenes::find(entries, &coordinates, factor);
    if scenes.strays > 0 {
        warnings.push(format!("{} reduced subblocks of no scene are left out", scenes.strays));
    }
    let stack = Stack::of(&coordinates, &scenes, factor)?;
    let mut plans = Vec::new();
    for (scene, list) in scenes.list {
        let base = list.iter().map(|e| factor.ratio(e)).filter(|r| *r >= FULL).min();
        let base = base.or_else(|| list.iter().map(|e| factor.ratio(e)).max()).unwrap_or(FULL);
        let canvas = Canvas::of(&list, base, factor)?;
        for (pixel, channels) in &stack.channels {
            watch.check()?;
            watch.tick();
            let one = One { scene, pixel: *pixel, channels, canvas, base, factor, stack: &stack };
            if let Some(plan) = one.plan(&list, &coordinates, limits, warnings)? {
                plans.push(plan);
            }
        }
    }
    if plans.is_empty() {
        return Err(Error::malformed("no subblock of the full resolution"));
    }
    Ok(plans)
}

/// Subblocks by scene.
struct Scenes {
    list: BTreeMap<Option<i32>, Vec<Entry>>,
    /// Reduced subblocks that say no scene where there are several.
    strays: usize,
}

impl Scenes {
    fn find(entries: Vec<Entry>, coordinates: &[Coordinate], factor: Factor) -> Self {
        let mut list: BTreeMap<Option<i32>, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            let scene = coordinates.get(entry.coordinate as usize).and_then(Coordinate::scene);
            list.entry(scene).or_default().push(entry);
        }
        let mut strays = 0;
        let nameless = list.get(&None).is_some_and(|e| list.len() > 1 && e.iter().all(|e| factor.ratio(e) != FULL));
        if nameless && let Some(reduced) = list.remove(&None) {
            // Reduced over all scenes: of one scene, that is the scene.
            if list.len() == 1
                && let Some(only) = list.values_mut().next()
            {
                only.extend(reduced);
            } else {
                strays = reduced.len();
            }
        }
        Scenes { list, strays }
    }
}

/// Ranges along time and focus, and the channels of every pixel type: the same for all scenes.
struct Stack {
    t: (i64, u64),
    z: (i64, u64),
    channels: Vec<(PixelType, Vec<ChannelAt>)>,
}

impl Stack {
    fn of(coordinates: &[Coordinate], scenes: &Scenes, factor: Factor) -> Result<Self> {
        let mut used = vec![false; coordinates.len()];
        let entries = || scenes.list.values().flatten();
        let any_full = entries().any(|e| factor.ratio(e) == FULL);
        for entry in entries().filter(|e| !any_full || factor.ratio(e) == FULL) {
            if let Some(used) = used.get_mut(entry.coordinate as usize) {
                *used = true;
            }
        }
        let used = || coordinates.iter().zip(&used).filter(|(_, used)| **used).map(|(c, _)| c);
        let range = |letter: u8| {
            let starts = || used().map(|c| i64::from(c.start(letter)));
            let (first, last) = (starts().min().unwrap_or(0), starts().max().unwrap_or(0));
            (first, (last - first) as u64 + 1)
        };
        let mut types: BTreeMap<i32, (PixelType, BTreeSet<ChannelAt>)> = BTreeMap::new();
        for coordinate in used() {
            let of_type = types.entry(coordinate.pixel.code()).or_insert((coordinate.pixel, BTreeSet::new()));
            of_type.1.insert(ChannelAt::of(coordinate));
        }
        let mut channels: Vec<(PixelType, Vec<ChannelAt>)> =
            types.into_values().map(|(pixel, set)| (pixel, set.into_iter().collect())).collect();
        channels.sort_by_key(|(_, list)| list.first().copied());
        let stack = Stack { t: range(b'T'), z: range(b'Z'), channels };
        let most = stack.channels.iter().map(|(_, list)| list.len()).max().unwrap_or(0);
        if most > MAX_CHANNELS {
            return Err(Error::over_limit(format!("{most} channels")));
        }
        let planes = stack.t.1.saturating_mul(stack.z.1).saturating_mul(most as u64);
        let credible = PLANES_PER_BLOCK.saturating_mul(entries().count() as u64).saturating_add(FEW_PLANES);
        if planes > credible {
            return Err(Error::malformed(format!(
                "{} time points and {} focal planes of {} subblocks",
                stack.t.1,
                stack.z.1,
                entries().count()
            )));
        }
        Ok(stack)
    }

    /// Number of a plane whose channels are `channels`; `None` if it is none of them.
    fn plane(&self, coordinate: &Coordinate, pixel: PixelType, channels: &[ChannelAt]) -> Option<u32> {
        if coordinate.pixel != pixel {
            return None;
        }
        let along = |(first, len): (i64, u64), letter: u8| {
            u64::try_from(i64::from(coordinate.start(letter)) - first).ok().filter(|n| *n < len)
        };
        let group = channels.binary_search(&ChannelAt::of(coordinate)).ok()? as u64;
        let (t, z) = (along(self.t, b'T')?, along(self.z, b'Z')?);
        u32::try_from((t * channels.len() as u64 + group) * self.z.1 + z).ok()
    }
}

/// The rectangle around all subblocks of a scene.
#[derive(Debug, Clone, Copy)]
struct Canvas {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
}

impl Canvas {
    fn of(list: &[Entry], base: Ratio, factor: Factor) -> Result<Self> {
        let (mut start, mut end) = ((i64::MAX, i64::MAX), (i64::MIN, i64::MIN));
        for e in list.iter().filter(|e| factor.ratio(e) == base) {
            let (x, y) = (i64::from(e.x), i64::from(e.y));
            start = (start.0.min(x), start.1.min(y));
            end = (end.0.max(x + i64::from(e.size.0)), end.1.max(y + i64::from(e.size.1)));
        }
        let (width, height) = (end.0.saturating_sub(start.0), end.1.saturating_sub(start.1));
        if width > i64::from(i32::MAX) || height > i64::from(i32::MAX) {
            return Err(Error::over_limit(format!("a mosaic of {width} x {height} pixels")));
        }
        Ok(Canvas { x: start.0, y: start.1, width, height })
    }
}

/// What makes one series out of a scene.
struct One<'a> {
    scene: Option<i32>,
    pixel: PixelType,
    channels: &'a [ChannelAt],
    canvas: Canvas,
    base: Ratio,
    factor: Factor,
    stack: &'a Stack,
}

impl One<'_> {
    /// `None` if the scene has no pixels of this type.
    fn plan(
        &self,
        list: &[Entry],
        coordinates: &[Coordinate],
        limits: &Limits,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Plan>> {
        let planes: Vec<Option<u32>> =
            coordinates.iter().map(|c| self.stack.plane(c, self.pixel, self.channels)).collect();
        let mut by_ratio: BTreeMap<Ratio, Vec<Block>> = BTreeMap::new();
        for entry in list {
            let ratio = self.factor.ratio(entry);
            if let Some(plane) = planes.get(entry.coordinate as usize).copied().flatten()
                && let Some(block) = self.block(entry, plane, ratio)
            {
                by_ratio.entry(ratio).or_default().push(block);
            }
        }
        let Some(full) = by_ratio.get(&self.base) else { return Ok(None) };
        let stored: HashSet<u32> = full.iter().map(|b| b.plane).collect();
        let reduced = by_ratio.range(self.base..).flat_map(|(_, list)| list).map(|b| b.plane);
        let lost: BTreeSet<u32> = reduced.filter(|p| !stored.contains(p)).collect();
        let mut plan = Plan::new(self.scene, self.pixel, self.channels.to_vec());
        plan.lost = lost.into_iter().collect();
        for (ratio, blocks) in by_ratio {
            if ratio < self.base {
                warnings.push(format!("{} subblocks stored larger than the image are left out", blocks.len()));
                continue;
            }
            match self.level(ratio, blocks, plan.levels.first(), limits)? {
                Some(level) if plan.levels.last().is_none_or(|l| smaller(&level.shape, &l.shape)) => {
                    plan.levels.push(level)
                }
                _ => warnings.push(format!(
                    "a reduction by {} does not show all of the image and is left out",
                    f64::from(ratio) / f64::from(FULL)
                )),
            }
        }
        Ok(Some(plan))
    }

    /// A subblock in its level; `None` if it lies outside of the canvas.
    fn block(&self, entry: &Entry, plane: u32, ratio: Ratio) -> Option<Block> {
        let (x, y) =
            (scaled(i64::from(entry.x) - self.canvas.x, ratio), scaled(i64::from(entry.y) - self.canvas.y, ratio));
        let (columns, rows) = entry.stored;
        let outside = x + i64::from(columns) <= 0 || y + i64::from(rows) <= 0;
        Some(Block {
            position: entry.position,
            x: i32::try_from(x).ok().filter(|_| !outside)?,
            y: i32::try_from(y).ok()?,
            columns,
            rows,
            m: entry.m,
            plane,
            part: entry.part,
            compression: entry.compression,
        })
    }

    /// A level; `None` if planes or edges of the full resolution are not in it.
    fn level(
        &self,
        ratio: Ratio,
        mut blocks: Vec<Block>,
        full: Option<&LevelPlan>,
        limits: &Limits,
    ) -> Result<Option<LevelPlan>> {
        let room = |side: i64| (side.saturating_mul(i64::from(FULL)) + i64::from(ratio) - 1) / i64::from(ratio);
        let (most_x, most_y) = (room(self.canvas.width).max(1), room(self.canvas.height).max(1));
        blocks.retain(|b| i64::from(b.x) < most_x && i64::from(b.y) < most_y);
        let end = |at: i32, len: u32| i64::from(at) + i64::from(len);
        let width = blocks.iter().map(|b| end(b.x, b.columns)).max().unwrap_or(0).min(most_x);
        let height = blocks.iter().map(|b| end(b.y, b.rows)).max().unwrap_or(0).min(most_y);
        if blocks.is_empty() || (full.is_some() && (width + 2 < most_x || height + 2 < most_y)) {
            return Ok(None);
        }
        let blocks = Blocks::new(blocks);
        if full.is_some_and(|f| !planes(&f.blocks).eq(planes(&blocks))) {
            return Ok(None);
        }
        let (y, x) = match full {
            // A scene is one canvas for all of its pixel types.
            None if ratio == FULL => (self.canvas.height as u64, self.canvas.width as u64),
            _ => (height as u64, width as u64),
        };
        let (t, z) = (self.stack.t.1, self.stack.z.1);
        let c = (self.channels.len() * self.pixel.samples) as u64;
        let (cut, unit) = blocks.cut((y, x), self.pixel, limits.unit_bytes);
        let tiled = cut == Cut::Tiles && unit != TileSize { y, x };
        let shape = Level { shape: Shape { t, c, z, y, x }, unit, native_tile: tiled.then_some(unit) };
        Ok(Some(LevelPlan { shape, cut, blocks }))
    }
}

/// The planes that have any subblock, in order.
fn planes(blocks: &Blocks) -> impl Iterator<Item = u32> {
    let all = blocks.all();
    all.iter().enumerate().filter(|(i, b)| *i == 0 || all[i - 1].plane != b.plane).map(|(_, b)| b.plane)
}

fn smaller(a: &Level, b: &Level) -> bool {
    (a.shape.y, a.shape.x) != (b.shape.y, b.shape.x) && a.shape.y <= b.shape.y && a.shape.x <= b.shape.x
}
