//! A rectangle of a plane out of a volume: what is read of each chunk under it, and how samples are made of that.

use std::ops::Range;

use super::{chunk_sides, sides};
use crate::error::{Error, Kind, Result};
use crate::format::hdf5::{Dataset, Datatype, Hdf5, Storage};
use crate::format::kept::Kept;
use crate::io::Watch;
use crate::sync::Arc;

/// Rows and columns of a plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Area {
    pub rows: Range<u64>,
    pub columns: Range<u64>,
}

impl Area {
    pub fn pixels(&self) -> u64 {
        (self.rows.end - self.rows.start).saturating_mul(self.columns.end - self.columns.start)
    }
}

/// What a unit is made of.
pub(super) struct Parts {
    area: Area,
    dataset: Arc<Dataset>,
    pieces: Vec<Piece>,
}

/// Part of one chunk.
struct Piece {
    /// What it has in common with the unit.
    common: Area,
    held: Held,
}

enum Held {
    /// The samples in common, in this range of the bytes.
    Rows(Range<usize>),
    /// A packed chunk in this range of the bytes.
    Packed { bytes: Range<usize>, address: u64, mask: u32, inside: Inside },
    /// One that was decoded before.
    Decoded(Arc<Vec<u8>>, Inside),
}

/// Where in a chunk its part of the plane begins, and how long its rows are, in samples.
#[derive(Clone, Copy)]
struct Inside {
    first: u64,
    row: u64,
    chunk: u64,
}

/// Decoded chunks by their addresses: each holds parts of several planes.
pub(super) type Chunks = Kept<u64, Vec<u8>>;

/// Rows no farther apart are read in one go.
const GAP: u64 = 16 << 10;

/// Packed bytes may be so much more than what comes out.
pub(super) fn most_packed(decoded: u64) -> u64 {
    decoded.saturating_add(decoded / 2).saturating_add(1 << 10)
}

/// Reads what an area of plane `z` needs. `None` if none of it was ever stored.
///
/// # Errors
/// Any kind.
pub(super) fn read(
    hdf: &Hdf5,
    dataset: &Arc<Dataset>,
    (z, area): (u64, &Area),
    kept: &Chunks,
    most: u64,
    watch: &Watch,
) -> Result<Option<(Vec<u8>, Parts)>> {
    let [depth, height, width] = sides(dataset)?;
    if z >= depth || area.rows.end > height || area.columns.end > width {
        return Err(Error::malformed(format!(
            "plane {z} to row {}, column {} of a volume of {depth} x {height} x {width}",
            area.rows.end, area.columns.end
        )));
    }
    let element = dataset.datatype.size() as u64;
    let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
    match &dataset.storage {
        Storage::Compact(all) => {
            for row in area.rows.clone() {
                let at = ((z * height + row) * width + area.columns.start) * element;
                let length = (area.columns.end - area.columns.start) * element;
                let line = all.get(at as usize..).and_then(|a| a.get(..length as usize));
                bytes.extend_from_slice(
                    line.ok_or_else(|| Error::truncated(format!("{} bytes of samples", all.len())))?,
                );
            }
            pieces.push(Piece { common: area.clone(), held: Held::Rows(0..bytes.len()) });
        }
        Storage::Contiguous(None) => {}
        Storage::Contiguous(Some(address)) => {
            let inside =
                Inside { first: (z * height + area.rows.start) * width + area.columns.start, row: width, chunk: 0 };
            plain(hdf, *address, inside, area, element, &mut bytes, watch)?;
            pieces.push(Piece { common: area.clone(), held: Held::Rows(0..bytes.len()) });
        }
        Storage::Chunked(_, index) => {
            let chunk = chunk_sides(dataset).ok_or_else(|| Error::new(Kind::Internal, "chunks of other dimensions"))?;
            let [deep, tall, wide] = chunk;
            let size = chunk.iter().fold(element, |n, s| n.saturating_mul(*s));
            for (ty, tx) in under(area, tall, wide) {
                watch.check()?;
                let place = [z / deep, ty, tx];
                let Some(found) = hdf.chunk(index, &place, &chunk, element as usize)? else { continue };
                watch.tick();
                let (top, left) = (ty * tall, tx * wide);
                let common = Area {
                    rows: area.rows.start.max(top)..area.rows.end.min(top + tall),
                    columns: area.columns.start.max(left)..area.columns.end.min(left + wide),
                };
                let first = ((z % deep) * tall + (common.rows.start - top)) * wide + (common.columns.start - left);
                let inside = Inside { first, row: wide, chunk: size };
                let start = bytes.len();
                let place = |e: Error| e.at(format!("chunk at {}", found.address));
                let held = if dataset.filters.is_empty() {
                    plain(hdf, found.address, inside, &common, element, &mut bytes, watch).map_err(place)?;
                    Held::Rows(start..bytes.len())
                } else if let Some(decoded) = kept.get(found.address).filter(|c| c.len() as u64 == size) {
                    Held::Decoded(decoded, inside)
                } else {
                    if size > most {
                        let mebibytes = size.div_ceil(1 << 20);
                        let advice = format!(
                            "{mebibytes} MiB must be decoded at once, which takes --cache-size {}MiB",
                            4 * mebibytes
                        );
                        return Err(place(Error::over_limit(advice)));
                    }
                    if found.size > most_packed(size) {
                        return Err(place(Error::malformed(format!("{} packed bytes for {size}", found.size))));
                    }
                    bytes.extend(hdf.file().read_vec(hdf.position(found.address)?, found.size).map_err(place)?);
                    Held::Packed { bytes: start..bytes.len(), address: found.address, mask: found.mask, inside }
                };
                watch.tick();
                pieces.push(Piece { common, held });
            }
        }
    }
    if pieces.is_empty() && dataset.fill.is_none() {
        return Ok(None);
    }
    Ok(Some((bytes, Parts { area: area.clone(), dataset: Arc::clone(dataset), pieces })))
}

/// The chunks under an area.
fn under(area: &Area, tall: u64, wide: u64) -> impl Iterator<Item = (u64, u64)> {
    let (rows, columns) = (
        area.rows.start / tall..area.rows.end.div_ceil(tall),
        area.columns.start / wide..area.columns.end.div_ceil(wide),
    );
    rows.flat_map(move |ty| columns.clone().map(move |tx| (ty, tx)))
}

/// Reads rows of samples that lie in the file as they are.
fn plain(
    hdf: &Hdf5,
    address: u64,
    inside: Inside,
    area: &Area,
    element: u64,
    bytes: &mut Vec<u8>,
    watch: &Watch,
) -> Result<()> {
    let beyond = || Error::malformed("an address beyond 64 bits");
    let line = (area.columns.end - area.columns.start) * element;
    let stride = inside.row * element;
    let count = area.rows.end - area.rows.start;
    let start = inside
        .first
        .checked_mul(element)
        .and_then(|o| o.checked_add(hdf.position(address).ok()?))
        .ok_or_else(beyond)?;
    if stride - line <= GAP.min(line) {
        let span = stride.checked_mul(count - 1).and_then(|n| n.checked_add(line)).ok_or_else(beyond)?;
        let read = hdf.file().read_vec(start, span)?;
        if stride == line {
            bytes.extend(read);
        } else {
            read.chunks(stride as usize).for_each(|row| bytes.extend(row.iter().take(line as usize)));
        }
        return Ok(());
    }
    for row in 0..count {
        watch.check()?;
        let at = stride.checked_mul(row).and_then(|o| o.checked_add(start)).ok_or_else(beyond)?;
        bytes.extend(hdf.file().read_vec(at, line)?);
        watch.tick();
    }
    Ok(())
}

impl Parts {
    /// The samples, least significant byte first.
    ///
    /// # Errors
    /// Those of the filters.
    pub fn assemble(&self, bytes: &[u8], kept: &Chunks) -> Result<Vec<u8>> {
        let outside = || Error::new(Kind::Internal, "samples outside of their unit");
        let element = self.dataset.datatype.size();
        let width = (self.area.columns.end - self.area.columns.start) as usize;
        let size = usize::try_from(self.area.pixels()).ok().and_then(|p| p.checked_mul(element)).ok_or_else(outside)?;
        let mut out = match &self.dataset.fill {
            Some(fill) => fill.iter().copied().cycle().take(size).collect(),
            None => vec![0; size],
        };
        for piece in &self.pieces {
            let columns = (piece.common.columns.end - piece.common.columns.start) as usize * element;
            let (whole, first, stride) = match &piece.held {
                Held::Rows(range) => (bytes.get(range.clone()).ok_or_else(outside)?, 0, columns),
                Held::Decoded(chunk, inside) => {
                    (chunk.as_slice(), inside.first as usize * element, inside.row as usize * element)
                }
                Held::Packed { bytes: range, address, mask, inside } => {
                    let packed = bytes.get(range.clone()).ok_or_else(outside)?.to_vec();
                    let chunk = self.dataset.filters.undo(packed, *mask, inside.chunk as usize);
                    let chunk = Arc::new(chunk.map_err(|e| e.at(format!("chunk at {address}")))?);
                    kept.put(*address, &chunk);
                    self.copy(
                        &piece.common,
                        (&chunk, inside.first as usize * element, inside.row as usize * element),
                        (width, element),
                        &mut out,
                    )
                    .ok_or_else(outside)?;
                    continue;
                }
            };
            self.copy(&piece.common, (whole, first, stride), (width, element), &mut out).ok_or_else(outside)?;
        }
        if let Datatype::Number(_, size, true) = self.dataset.datatype {
            out.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Ok(out)
    }

    fn copy(
        &self,
        common: &Area,
        (from, first, stride): (&[u8], usize, usize),
        (width, element): (usize, usize),
        out: &mut [u8],
    ) -> Option<()> {
        let columns = (common.columns.end - common.columns.start) as usize * element;
        let left = (common.columns.start - self.area.columns.start) as usize * element;
        for (nth, row) in common.rows.clone().enumerate() {
            let line = from.get(first + nth * stride..)?.get(..columns)?;
            let to = (row - self.area.rows.start) as usize * width * element + left;
            out.get_mut(to..)?.get_mut(..columns)?.copy_from_slice(line);
        }
        Some(())
    }
}
