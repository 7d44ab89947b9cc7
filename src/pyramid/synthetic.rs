//! For tests: an image in memory, with counters, and an independent, slow account of what its chunks must hold.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{ChunkId, OpenImage, Origin};
use crate::config::Damaged;
use crate::error::{Error, Result};
use crate::format::{ImageSource, Member, Stored, UnitCost};
use crate::io::Watch;
use crate::model::{Dtype, Level, Physical, Reduction, Role, Series, Shape, TileId, TileSize};
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// Called at each fetch, to be slow, to fail, to panic.
pub(crate) type Hook = Box<dyn Fn(TileId) -> Result<()> + Send + Sync>;

/// Pixels; none where the source is damaged.
type Plane = Vec<Vec<Option<Vec<u8>>>>;

pub(crate) struct Synthetic {
    pub(crate) series: Vec<Series>,
    /// Of each stored level: samples in t, c, z, y, x order.
    pixels: Vec<Vec<u8>>,
    pub(crate) absent: HashSet<TileId>,
    pub(crate) bad: HashSet<TileId>,
    pub(crate) hook: Option<Hook>,
    pub(crate) decode_hook: Option<Hook>,
    planes: Mutex<HashMap<ChunkId, Arc<Plane>>>,
    pub(crate) fetched: Mutex<Vec<TileId>>,
    pub(crate) decoded_bytes: AtomicU64,
}

/// What a synthetic image looks like.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) shape: [u64; 5],
    pub(crate) dtype: Dtype,
    pub(crate) samples: u64,
    pub(crate) unit: (u64, u64),
    pub(crate) chunk: (u64, u64),
    pub(crate) reduction: Reduction,
    /// Further stored levels, each about this many times smaller.
    pub(crate) stored: Vec<u64>,
    pub(crate) seed: u64,
}

impl Default for Look {
    fn default() -> Self {
        Look {
            shape: [1, 1, 1, 1000, 900],
            dtype: Dtype::U16,
            samples: 1,
            unit: (16, 900),
            chunk: (64, 64),
            reduction: Reduction::Mean,
            stored: Vec::new(),
            seed: 1,
        }
    }
}

fn noise(seed: u64, n: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(n).collect()
}

/// Samples that are numbers: float noise would be mostly NaN.
fn samples(dtype: Dtype, seed: u64, n: usize) -> Vec<u8> {
    let raw = noise(seed, n * dtype.size());
    let real =
        |at: usize| f64::from(i32::from_le_bytes([raw[at], raw[at + 1], raw[at * 7 % (n + 1)], 0])) / 1024.0 - 77.0;
    match dtype {
        Dtype::F16 => (0..n).flat_map(|i| half::f16::from_f64(real(i)).to_le_bytes()).collect(),
        Dtype::F32 => (0..n).flat_map(|i| (real(i) as f32).to_le_bytes()).collect(),
        Dtype::F64 => (0..n).flat_map(|i| real(i).to_le_bytes()).collect(),
        Dtype::C64 => (0..2 * n).flat_map(|i| (real(i) as f32).to_le_bytes()).collect(),
        Dtype::C128 => (0..2 * n).flat_map(|i| real(i).to_le_bytes()).collect(),
        _ => raw,
    }
}

impl Synthetic {
    pub(crate) fn new(look: &Look) -> Self {
        let [t, c, z, y, x] = look.shape;
        let mut shapes = vec![Shape { t, c, z, y, x }];
        for by in &look.stored {
            let s = shapes[0];
            shapes.push(Shape { y: s.y.div_ceil(*by), x: s.x.div_ceil(*by), ..s });
        }
        let count = |s: &Shape| s.tczyx().iter().product::<u64>() as usize;
        let pixels = shapes.iter().zip(look.seed..).map(|(s, seed)| samples(look.dtype, seed, count(s))).collect();
        let unit = TileSize { y: look.unit.0, x: look.unit.1 };
        let levels = shapes.iter().map(|shape| Level { shape: *shape, unit, native_tile: None }).collect();
        let series = Series {
            name: String::new(),
            role: Role::Image,
            dtype: look.dtype,
            significant_bits: 8,
            samples: look.samples,
            rgb: false,
            levels,
            channels: vec![crate::model::Channel::default(); c as usize],
            physical: Physical::default(),
            reduction: look.reduction,
            colormap: None,
            acquired: None,
            description: None,
            objective: None,
        };
        Synthetic {
            series: vec![series],
            pixels,
            absent: HashSet::new(),
            bad: HashSet::new(),
            hook: None,
            decode_hook: None,
            planes: Mutex::default(),
            fetched: Mutex::default(),
            decoded_bytes: AtomicU64::new(0),
        }
    }

    pub(crate) fn source_bytes(&self) -> u64 {
        self.pixels[0].len() as u64
    }

    pub(crate) fn fetches(&self) -> usize {
        lock(&self.fetched).len()
    }

    pub(crate) fn open(self: &Arc<Self>, look: &Look, damaged: Damaged) -> Arc<OpenImage> {
        let source: Arc<dyn ImageSource> = Arc::clone(self) as Arc<dyn ImageSource>;
        Arc::new(OpenImage::new(look.seed, "synthetic", source, Some(look.chunk), damaged))
    }

    /// Which unit holds a pixel.
    fn unit_of(&self, level: usize, id: &ChunkId, y: u64, x: u64) -> TileId {
        let l = &self.series[0].levels[level];
        TileId {
            series: 0,
            level: level as u32,
            t: id.t,
            g: id.c / self.series[0].samples,
            z: id.z,
            ty: y / l.unit.y,
            tx: x / l.unit.x,
        }
    }

    fn pixel(&self, level: usize, id: &ChunkId, y: u64, x: u64) -> Option<Vec<u8>> {
        let s = self.series[0].levels[level].shape;
        let size = self.series[0].dtype.size();
        let unit = self.unit_of(level, id, y, x);
        if self.bad.contains(&unit) {
            return None;
        }
        if self.absent.contains(&unit) {
            return Some(vec![0; size]);
        }
        let at = ((((id.t * s.c + id.c) * s.z + id.z) * s.y + y) * s.x + x) as usize * size;
        Some(self.pixels[level][at..at + size].to_vec())
    }

    /// The plane of a level, computed once.
    fn plane(&self, image: &OpenImage, id: &ChunkId, level: usize) -> Arc<Plane> {
        let key = ChunkId { level: level as u32, y: 0, x: 0, ..*id };
        if let Some(plane) = lock(&self.planes).get(&key) {
            return Arc::clone(plane);
        }
        let plane = Arc::new(self.make_plane(image, id, level));
        lock(&self.planes).insert(key, Arc::clone(&plane));
        plane
    }

    fn make_plane(&self, image: &OpenImage, id: &ChunkId, level: usize) -> Plane {
        let pyramid = &image.pyramids[0];
        let l = pyramid.levels[level];
        let (h, w) = (l.shape.y, l.shape.x);
        match l.origin {
            Origin::Stored(stored) => {
                (0..h).map(|y| (0..w).map(|x| self.pixel(stored as usize, id, y, x)).collect()).collect()
            }
            Origin::Synthesized if self.series[0].reduction == Reduction::Nearest => {
                let full = self.series[0].shape();
                (0..h).map(|y| (0..w).map(|x| self.pixel(0, id, y * full.y / h, x * full.x / w)).collect()).collect()
            }
            Origin::Synthesized => {
                let finer = self.plane(image, id, level - 1);
                let pick = |y: u64, x: u64| finer.get(y as usize).and_then(|r| r.get(x as usize)).cloned().flatten();
                (0..h)
                    .map(|y| {
                        (0..w)
                            .map(|x| {
                                let up = [pick(2 * y, 2 * x), pick(2 * y, 2 * x + 1)];
                                let low = [pick(2 * y + 1, 2 * x), pick(2 * y + 1, 2 * x + 1)];
                                mean(self.series[0].dtype, up, low)
                            })
                            .collect()
                    })
                    .collect()
            }
        }
    }

    /// What a chunk file must hold; none for a synthesized one over damage (unless it is filled).
    pub(crate) fn chunk(&self, image: &OpenImage, id: &ChunkId) -> Vec<u8> {
        let size = self.series[0].dtype.size();
        let plane = self.plane(image, id, id.level as usize);
        let (cy, cx) = image.pyramids[0].chunk;
        let mut out = Vec::new();
        for y in id.y * cy..(id.y + 1) * cy {
            for x in id.x * cx..(id.x + 1) * cx {
                let pixel = plane.get(y as usize).and_then(|r| r.get(x as usize)).cloned().flatten();
                out.extend(pixel.unwrap_or(vec![0; size]));
            }
        }
        out
    }
}

fn mean(dtype: Dtype, up: [Option<Vec<u8>>; 2], low: [Option<Vec<u8>>; 2]) -> Option<Vec<u8>> {
    let n = up.iter().chain(&low).flatten().count();
    if n == 0 {
        return None;
    }
    if dtype.is_integer() {
        let value = |b: &Vec<u8>| {
            let mut raw = [0u8; 16];
            raw[..b.len()].copy_from_slice(b);
            let v = i128::from_le_bytes(raw);
            let signed = matches!(dtype, Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64);
            let bits = 8 * b.len() as u32;
            if signed && v >> (bits - 1) == 1 { v - (1 << bits) } else { v }
        };
        let sum: i128 = up.iter().chain(&low).flatten().map(value).sum();
        let n = n as i128;
        let mean = (sum + n / 2).div_euclid(n);
        return Some(mean.to_le_bytes()[..dtype.size()].to_vec());
    }
    let parts = if dtype.is_complex() { 2 } else { 1 };
    let one = dtype.size() / parts;
    let mut out = Vec::new();
    for part in 0..parts {
        let real = |b: &Vec<u8>| {
            let b = &b[part * one..(part + 1) * one];
            match one {
                2 => half::f16::from_le_bytes(b.try_into().unwrap()).to_f64(),
                4 => f64::from(f32::from_le_bytes(b.try_into().unwrap())),
                _ => f64::from_le_bytes(b.try_into().unwrap()),
            }
        };
        let pair = |p: &[Option<Vec<u8>>; 2]| p.iter().flatten().map(real).reduce(|a, b| a + b);
        let sum = [pair(&up), pair(&low)].into_iter().flatten().reduce(|a, b| a + b).unwrap();
        let mean = sum / n as f64;
        match one {
            2 => out.extend(half::f16::from_f64(mean).to_le_bytes()),
            4 => out.extend((mean as f32).to_le_bytes()),
            _ => out.extend(mean.to_le_bytes()),
        }
    }
    Some(out)
}

impl ImageSource for Synthetic {
    fn series(&self) -> &[Series] {
        &self.series
    }

    fn members(&self) -> &[Member] {
        &[]
    }

    fn plane_member(&self, _: u32, _: u64, _: u64, _: u64) -> Result<Option<u32>> {
        Ok(None)
    }

    fn verify(&self, _: TileId) -> Result<()> {
        Ok(())
    }

    fn fetch(&self, id: TileId, _: &Watch) -> Result<Stored> {
        lock(&self.fetched).push(id);
        if let Some(hook) = &self.hook {
            hook(id)?;
        }
        if self.absent.contains(&id) {
            return Ok(Stored::Absent);
        }
        if self.bad.contains(&id) {
            return Err(Error::malformed("bad on purpose"));
        }
        let series = &self.series[0];
        let level = &series.levels[id.level as usize];
        let (rows, columns) = level.unit_size(id.ty, id.tx);
        let (s, size) = (level.shape, series.dtype.size());
        let mut bytes = Vec::new();
        for sample in 0..series.samples {
            let c = id.g * series.samples + sample;
            for row in 0..rows {
                let y = id.ty * level.unit.y + row;
                let x = id.tx * level.unit.x;
                let at = ((((id.t * s.c + c) * s.z + id.z) * s.y + y) * s.x + x) as usize * size;
                bytes.extend(&self.pixels[id.level as usize][at..at + columns as usize * size]);
            }
        }
        let all = 0..bytes.len();
        // Half of the units pose as compressed.
        if (id.ty + id.tx).is_multiple_of(2) {
            return Ok(Stored::Encoded { bytes, parts: vec![all], note: None });
        }
        self.decoded_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(Stored::Decoded(bytes))
    }

    fn decode(&self, id: TileId, stored: Stored) -> Result<Vec<u8>> {
        if let Some(hook) = &self.decode_hook {
            hook(id)?;
        }
        match stored {
            Stored::Encoded { bytes, .. } => {
                self.decoded_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(bytes)
            }
            _ => Err(Error::malformed("nothing to decode")),
        }
    }

    fn cost(&self, id: TileId) -> UnitCost {
        let series = &self.series[0];
        let (rows, columns) = series.levels[id.level as usize].unit_size(id.ty, id.tx);
        let decoded = rows * columns * series.samples * series.dtype.size() as u64;
        UnitCost { decoded, scratch: decoded }
    }

    fn random_access(&self, _: u32, _: u32) -> bool {
        true
    }

    fn document(&self) -> Option<(&'static str, Arc<[u8]>)> {
        None
    }

    fn warnings(&self) -> &[String] {
        &[]
    }

    fn heap_bytes(&self) -> u64 {
        0
    }
}
