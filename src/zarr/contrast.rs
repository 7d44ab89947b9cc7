//! Contrast windows from a bounded sample.
//!
//! Up to 16 places a channel, fewer where their tiles are large, on a fixed grid in the middle z and t of the smallest stored
//! level; the window runs from the 0.1 to the 99.9 percentile of what is found there. Places follow from the geometry of the
//! file alone, so that every machine shows the same window whatever its memory.

use serde_json::{Number, Value, json};

use super::samples::Samples;
use crate::error::{Kind, Result};
use crate::model::{Dtype, Level, Series, TileId};
use crate::pyramid::OpenImage;

/// Goes up with every change of what is sampled or how a window follows from it: windows are kept on disk.
pub const CONTRAST_RULE: u32 = 3;

/// Places sampled along each side of a tiled plane, or their square along y of a striped one.
const PLACES: u64 = 4;
/// What is decoded for all channels together, unless one place of each takes more: everybody who opens an image waits for it.
const SAMPLED_BYTES: u64 = 2 << 20;
/// Strips smaller than this are fetched together with their neighbours, about so many bytes at once.
const GATHERED: u64 = 512 << 10;
/// Most pixels looked at in one place.
const PIXELS: u64 = 16 * 1024;
/// Samples of a pixel for which so many are looked at; with more samples, fewer.
const FEW: u64 = 4;
/// A strip larger than this is sampled only so far in: reading its end means decoding all of it.
const FAR_ENOUGH: u64 = 16 << 20;

/// What `omero` says of a channel's display range: `min <= start <= end <= max`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct Window {
    pub min: f64,
    pub max: f64,
    pub start: f64,
    pub end: f64,
}

impl Window {
    /// Numbers as long as any can be written.
    pub const LONGEST: Window = Window { min: -f64::MAX, max: -f64::MAX, start: -f64::MAX, end: -f64::MAX };

    /// The range of the significant bits; 0 to 1 for floats.
    pub fn full_range(series: &Series) -> Window {
        let bits = i32::try_from(series.significant_bits.clamp(1, 64)).unwrap_or(64);
        let (min, max) = match series.dtype {
            Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => (0.0, 2f64.powi(bits) - 1.0),
            Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => (-(2f64.powi(bits - 1)), 2f64.powi(bits - 1) - 1.0),
            _ => (0.0, 1.0),
        };
        Window { min, max, start: min, end: max }
    }

    /// The window of some samples; none: the full range.
    fn of(series: &Series, samples: &mut Samples) -> Window {
        let full = Window::full_range(series);
        let Some([first, mut start, mut end, last]) = samples.ranks([0.0, 0.001, 0.999, 1.0]) else { return full };
        let (min, max) =
            if series.dtype.is_integer() { (full.min.min(first), full.max.max(last)) } else { (first, last) };
        let mut window = Window { min, max, start, end };
        if start >= end {
            // An even image: a window of no width would be drawn black or refused.
            end = start + 1.0;
            if series.dtype.is_integer() && end > max {
                (start, end) = (start - 1.0, start);
            }
            window = Window { min: min.min(start), max: max.max(end), start, end };
        }
        window
    }

    pub(super) fn json(self) -> Value {
        json!({"min": number(self.min), "max": number(self.max), "start": number(self.start), "end": number(self.end)})
    }
}

/// Whole numbers are written as such.
fn number(value: f64) -> Value {
    #[allow(clippy::cast_possible_truncation)]
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Value::Number(Number::from(value as i64));
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// A rectangle of the sampled plane: first row, rows, first column, columns.
type Place = (u64, u64, u64, u64);

/// `count` positions, evenly spread over `0..n`, without repeats.
fn spread(n: u64, count: u64) -> Vec<u64> {
    let mut all: Vec<u64> = (0..count)
        .map(|i| u64::try_from(u128::from(2 * i + 1) * u128::from(n) / u128::from(2 * count)).unwrap_or(0))
        .collect();
    all.dedup();
    all
}

/// Where a plane is looked at, each of `planes`.
fn places(level: &Level, row_bytes: u64, native_bytes: u64, planes: u64) -> Vec<Place> {
    let shape = level.shape;
    // The finest grid whose tiles or strips may all be decoded, else one place.
    let finest = |bytes: u64, units: &dyn Fn(u64) -> u64| {
        let each = bytes.max(1).saturating_mul(planes);
        (1..=PLACES).rev().find(|side| units(*side).saturating_mul(each) <= SAMPLED_BYTES).unwrap_or(1)
    };
    if let Some(tile) = level.native_tile.filter(|_| native_bytes <= FAR_ENOUGH) {
        let (rows, columns) = (shape.y.div_ceil(tile.y), shape.x.div_ceil(tile.x));
        let side = finest(native_bytes, &|side| rows.min(side) * columns.min(side));
        let pairs = spread(rows, side).into_iter().flat_map(|y| spread(columns, side).into_iter().map(move |x| (y, x)));
        return pairs
            .map(|(y, x)| (y * tile.y, tile.y.min(shape.y - y * tile.y), x * tile.x, tile.x.min(shape.x - x * tile.x)))
            .collect();
    }
    let reach = if native_bytes > FAR_ENOUGH { (FAR_ENOUGH / row_bytes.max(1)).clamp(1, shape.y) } else { shape.y };
    // Rows of one strip are decoded together, and those of small ones with their neighbours: all of them may be looked at.
    let bytes = native_bytes.max(GATHERED);
    let strip = (bytes / row_bytes.max(1)).max(1);
    let strip = if native_bytes < GATHERED { 1 << strip.ilog2() } else { strip };
    let side = match strip >= reach {
        true => PLACES,
        false => finest(bytes, &|side| reach.div_ceil(strip).min(side * side)),
    };
    let rows = strip.min(reach.div_ceil(side * side));
    let mut starts: Vec<u64> = spread(reach, side * side).into_iter().map(|y| y - y % rows).collect();
    starts.dedup();
    starts.into_iter().map(|y| (y, rows.min(reach - y), 0, shape.x)).collect()
}

/// What of a series is looked at: the level, and the places of each of its planes.
struct Sampled<'a> {
    level: &'a Level,
    number: u32,
    places: Vec<Place>,
    /// Planes of the middle z and t, each of all samples of a pixel.
    planes: u64,
}

impl<'a> Sampled<'a> {
    fn new(image: &'a OpenImage, series: u32) -> Self {
        let source = &image.source.series()[series as usize];
        let number = u32::try_from(source.levels.len() - 1).unwrap_or(0);
        let level = &source.levels[number as usize];
        let samples = source.samples.max(1);
        let row_bytes = level.shape.x.saturating_mul(samples).saturating_mul(source.dtype.size() as u64);
        let planes = level.shape.c / samples;
        let places = places(level, row_bytes, image.source.native_unit_bytes(series, number), planes);
        Sampled { level, number, places, planes }
    }

    /// The units under a place of a plane.
    fn units(&self, series: u32, g: u64, place: Place) -> impl Iterator<Item = TileId> + use<> {
        let (unit, shape) = (self.level.unit, self.level.shape);
        let of = |first: u64, count: u64, size: u64| first / size..=(first + count - 1) / size;
        let base = TileId { series, level: self.number, t: shape.t / 2, g, z: shape.z / 2, ty: 0, tx: 0 };
        of(place.0, place.1, unit.y)
            .flat_map(move |ty| of(place.2, place.3, unit.x).map(move |tx| TileId { ty, tx, ..base }))
    }
}

/// The units that [`sample_windows`] will ask for, in this order.
pub fn sampled_units(image: &OpenImage, series: u32) -> Vec<TileId> {
    let sampled = Sampled::new(image, series);
    let places = (0..sampled.planes).flat_map(|g| sampled.places.iter().map(move |place| (g, *place)));
    let mut units: Vec<TileId> = places.flat_map(|(g, place)| sampled.units(series, g, place)).collect();
    units.dedup();
    units
}

/// One window for each channel of a series.
///
/// `read` gives the decoded unit of a [`TileId`]. What does not decode counts as absent; a series with nothing left gets
/// the range of its significant bits.
///
/// # Errors
/// Only what says that the source cannot be read now (`Io`, `Changed`, `Stuck`, `Interrupted`): then no window may be
/// shown, because a later read would show another.
pub fn sample_windows<T: AsRef<[u8]>>(
    image: &OpenImage,
    series: u32,
    mut read: impl FnMut(TileId) -> Result<T>,
) -> Result<Vec<Window>> {
    let source = &image.source.series()[series as usize];
    let sampled = Sampled::new(image, series);
    let most = PIXELS * FEW / source.samples.max(FEW);
    let mut windows = Vec::new();
    for g in 0..sampled.planes {
        let mut found: Vec<Samples> =
            (0..source.samples.max(1)).map(|_| Samples::new(source.dtype, source.samples <= FEW)).collect();
        for place in &sampled.places {
            let step = stride(place.1, place.3, most);
            for id in sampled.units(series, g, *place) {
                match read(id) {
                    Ok(unit) => collect(sampled.level, id, *place, step, source.dtype, unit.as_ref(), &mut found),
                    Err(e) if matches!(e.kind(), Kind::Io | Kind::Changed | Kind::Stuck | Kind::Interrupted) => {
                        return Err(e);
                    }
                    Err(_) => {}
                }
            }
        }
        for mut samples in found {
            windows.push(Window::of(source, &mut samples));
        }
    }
    Ok(windows)
}

/// Every how many rows and columns a pixel is looked at, so that a place gives at most `most`, or one.
fn stride(rows: u64, columns: u64, most: u64) -> (u64, u64) {
    let most = most.max(1);
    if rows == 1 {
        return (1, columns.div_ceil(most).max(1));
    }
    let mut step = 1;
    while rows.div_ceil(step).saturating_mul(columns.div_ceil(step)) > most {
        step += 1 + step / 8;
    }
    (step, step)
}

/// Adds the samples of `place` that lie in the unit `id`.
fn collect(
    level: &Level,
    id: TileId,
    place: Place,
    step: (u64, u64),
    dtype: Dtype,
    bytes: &[u8],
    found: &mut [Samples],
) {
    let (rows, columns) = level.unit_size(id.ty, id.tx);
    let (top, left) = (id.ty * level.unit.y, id.tx * level.unit.x);
    let size = dtype.size();
    let within = |first: u64, count: u64, step: u64, low: u64, high: u64| {
        (0..count.div_ceil(step)).map(move |i| first + i * step).filter(move |p| (low..high).contains(p))
    };
    for y in within(place.0, place.1, step.0, top, top + rows) {
        for x in within(place.2, place.3, step.1, left, left + columns) {
            for (sample, samples) in (0u64..).zip(found.iter_mut()) {
                let index = (sample * rows + (y - top)) * columns + (x - left);
                let start = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(size);
                if let Some(raw) = bytes.get(start..start.saturating_add(size)) {
                    samples.add(sample_value(dtype, raw));
                }
            }
        }
    }
}

/// A sample as a number; of a complex one the magnitude.
fn sample_value(dtype: Dtype, raw: &[u8]) -> f64 {
    fn get<const N: usize>(raw: &[u8], at: usize) -> [u8; N] {
        raw.get(at..at + N).and_then(|b| b.try_into().ok()).unwrap_or([0; N])
    }
    #[allow(clippy::cast_precision_loss)]
    match dtype {
        Dtype::U8 => f64::from(u8::from_le_bytes(get(raw, 0))),
        Dtype::I8 => f64::from(i8::from_le_bytes(get(raw, 0))),
        Dtype::U16 => f64::from(u16::from_le_bytes(get(raw, 0))),
        Dtype::I16 => f64::from(i16::from_le_bytes(get(raw, 0))),
        Dtype::U32 => f64::from(u32::from_le_bytes(get(raw, 0))),
        Dtype::I32 => f64::from(i32::from_le_bytes(get(raw, 0))),
        Dtype::U64 => u64::from_le_bytes(get(raw, 0)) as f64,
        Dtype::I64 => i64::from_le_bytes(get(raw, 0)) as f64,
        Dtype::F16 => half::f16::from_le_bytes(get(raw, 0)).to_f64(),
        Dtype::F32 => f64::from(f32::from_le_bytes(get(raw, 0))),
        Dtype::F64 => f64::from_le_bytes(get(raw, 0)),
        Dtype::C64 => f64::from(f32::from_le_bytes(get(raw, 0))).hypot(f64::from(f32::from_le_bytes(get(raw, 4)))),
        Dtype::C128 => f64::from_le_bytes(get(raw, 0)).hypot(f64::from_le_bytes(get(raw, 8))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Shape, TileSize};

    #[test]
    fn places_are_spread_and_never_repeat() {
        assert_eq!(spread(1, 4), [0]);
        assert_eq!(spread(2, 4), [0, 1]);
        assert_eq!(spread(100, 4), [12, 37, 62, 87]);
    }

    fn level(y: u64, x: u64, tile: Option<u64>) -> Level {
        let edge = TileSize { y: tile.unwrap_or(1), x: tile.unwrap_or(x) };
        Level { shape: Shape { t: 1, c: 1, z: 1, y, x }, unit: edge, native_tile: tile.map(|_| edge) }
    }

    #[test]
    fn what_is_decoded_is_bounded_and_every_plane_has_a_place() {
        let tiled = |edge: u64, planes| places(&level(8192, 8192, Some(edge)), 16384, edge * edge * 2, planes);
        assert_eq!(tiled(256, 1).len(), 16);
        assert_eq!(tiled(512, 1).len(), 4);
        assert_eq!(tiled(512, 1)[0], (4 * 512, 512, 4 * 512, 512));
        assert_eq!(tiled(512, 2).len(), 1);
        assert_eq!(tiled(2048, 50), [(4096, 2048, 4096, 2048)]);
        // A plane of few tiles is looked at as a whole.
        assert_eq!(places(&level(600, 600, Some(512)), 1200, 1 << 19, 1).len(), 4);
        let striped = |strip_rows: u64| places(&level(4096, 4096, None), 8192, strip_rows * 8192, 1);
        for (strip_rows, count, first) in
            [(0, 4, (512, 64)), (1, 4, (512, 64)), (64, 4, (512, 64)), (256, 1, (2048, 256)), (4096, 16, (0, 128))]
        {
            let found = striped(strip_rows);
            assert_eq!((found.len(), found[0]), (count, (first.0, first.1, 0, 4096)), "{strip_rows}");
        }
        assert_eq!(places(&level(5, 9, None), 18, 90, 1).len(), 5);
    }

    #[test]
    fn a_place_gives_no_more_samples_than_allowed() {
        for (rows, columns) in [(1, 1), (1, 100_000), (512, 512), (2048, 2048), (3, 1_000_000)] {
            for most in [0, 1, 100, PIXELS] {
                let (sy, sx) = stride(rows, columns, most);
                assert!(u64::div_ceil(rows, sy) * u64::div_ceil(columns, sx) <= most.max(1), "{rows} x {columns}");
            }
        }
    }

    #[test]
    fn whole_numbers_are_short_and_the_longest_is_longest() {
        assert_eq!(number(65535.0).to_string(), "65535");
        assert_eq!(number(0.25).to_string(), "0.25");
        for value in [
            -1.234_567_890_123_456_7e-300,
            9e15,
            -9_007_199_254_740_991.0,
            f64::MIN_POSITIVE,
            5e-324,
            18_446_744_073_709_551_615.0,
        ] {
            assert!(number(value).to_string().len() <= number(-f64::MAX).to_string().len(), "{value}");
        }
    }
}
