//! Planes put together from their units, and how two readings differ.

use std::collections::BTreeMap;

use fuzarr::error::{Error, Result};
use fuzarr::format::{ImageSource, Stored};
use fuzarr::io::Watch;
use fuzarr::model::TileId;

/// Series, level, t, channel group, z.
pub type Place = (u32, u32, u64, u64, u64);

/// One plane: all samples of a channel group, or why it could not be read.
pub struct Plane {
    /// Rows, columns, bytes of a pixel (all samples).
    pub size: (u64, u64, u64),
    /// Samples one after the other, each rows * columns; `None` if nothing was ever stored of it.
    pub samples: Result<Option<Vec<u8>>>,
}

/// Planes by their place.
pub type Planes = BTreeMap<Place, Plane>;

/// The places that are looked at: first, middle and last along every axis of the first series and levels.
pub fn places(source: &dyn ImageSource) -> Vec<Place> {
    let ends = |n: u64| {
        let mut some = vec![0, n / 2, n.saturating_sub(1)];
        some.dedup();
        some
    };
    let mut all = Vec::new();
    for (number, series) in (0..).zip(source.series()).take(4) {
        for (level, l) in (0..).zip(&series.levels).take(4) {
            for t in ends(l.shape.t) {
                for g in ends(l.shape.c / series.samples) {
                    all.extend(ends(l.shape.z).into_iter().map(|z| (number, level, t, g, z)));
                }
            }
        }
    }
    all
}

/// Units of a plane, row by row.
pub fn units(source: &dyn ImageSource, (series, level, t, g, z): Place) -> Vec<TileId> {
    let (rows, columns) = source.series()[series as usize].levels[level as usize].grid();
    let row = |ty| (0..columns).map(move |tx| TileId { series, level, t, g, z, ty, tx });
    (0..rows).flat_map(row).collect()
}

/// Samples of one unit; `None` if it was never stored.
///
/// # Errors
/// What the source says.
pub fn unit(source: &dyn ImageSource, id: TileId) -> Result<Option<Vec<u8>>> {
    match source.fetch(id, &Watch::default())? {
        Stored::Absent => Ok(None),
        stored => source.decode(id, stored).map(Some),
    }
}

/// A plane from its units in the order given; panics where they do not cover it once.
fn assemble(source: &dyn ImageSource, place: Place, order: &[TileId]) -> Result<Option<Vec<u8>>> {
    let series = &source.series()[place.0 as usize];
    let level = series.levels[place.1 as usize];
    let (height, width) = (level.shape.y as usize, level.shape.x as usize);
    let (samples, bytes) = (series.samples as usize, series.dtype.size());
    let mut plane = vec![0; samples * height * width * bytes];
    let (mut covered, mut stored) = (0, false);
    for id in order {
        let (h, w) = level.unit_size(id.ty, id.tx);
        let (h, w) = (h as usize, w as usize);
        covered += h * w;
        let Some(unit) = unit(source, *id)? else { continue };
        stored = true;
        assert_eq!(unit.len(), samples * h * w * bytes, "bytes of {id:?}");
        assert_eq!(unit.len() as u64, source.cost(*id).decoded, "promised bytes of {id:?}");
        let (top, left) = ((id.ty * level.unit.y) as usize, (id.tx * level.unit.x) as usize);
        for row in 0..samples * h {
            let to = ((row / h * height + top + row % h) * width + left) * bytes;
            plane[to..to + w * bytes].copy_from_slice(&unit[row * w * bytes..(row + 1) * w * bytes]);
        }
    }
    assert_eq!(covered, height * width, "units cover the level once");
    Ok(stored.then_some(plane))
}

/// Every place of [`places`], its units from the last to the first if `backwards`.
pub fn read(source: &dyn ImageSource, backwards: bool) -> Planes {
    let mut all: Vec<_> = places(source);
    if backwards {
        all.reverse();
    }
    let read = |place: Place| {
        let mut order = units(source, place);
        if backwards {
            order.reverse();
        }
        let series = &source.series()[place.0 as usize];
        let shape = series.levels[place.1 as usize].shape;
        let size = (shape.y, shape.x, series.samples * series.dtype.size() as u64);
        (place, Plane { size, samples: assemble(source, place, &order) })
    };
    all.into_iter().map(read).collect()
}

/// What the second reading has otherwise than the first. Errors of the second are no difference; where only the first has
/// one, nothing is known.
pub fn differences(first: &Planes, second: &Planes) -> Vec<String> {
    let mut found = Vec::new();
    for (place, plane) in second {
        match first.get(place) {
            None => found.push(format!("{place:?} is new")),
            Some(known) if known.size != plane.size => {
                found.push(format!("{place:?} has size {:?}, not {:?}", plane.size, known.size));
            }
            Some(known) => match (&known.samples, &plane.samples) {
                (Ok(a), Ok(b)) if a != b => {
                    let gone = if b.is_none() { "nothing is stored" } else { "other samples" };
                    found.push(format!("{place:?}: {gone}"));
                }
                _ => {}
            },
        }
    }
    found
}

/// Errors of a reading.
pub fn errors(planes: &Planes) -> impl Iterator<Item = (Place, &Error)> {
    planes.iter().filter_map(|(place, plane)| plane.samples.as_ref().err().map(|e| (*place, e)))
}
