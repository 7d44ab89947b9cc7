//! From stored rows to planes of samples.

use std::ops::Range;

use super::{Layout, Spot};
use crate::codec::raster::Target;
use crate::error::{Error, Kind, Result};
use crate::format::Stored;
use crate::io::{ReadAt, Watch};

/// Runs this close together are read in one go; longer ones also if no more lies between them than they have themselves.
const GAP: u64 = 4 << 10;

/// Part of a plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Area {
    pub rows: Range<u64>,
    pub columns: Range<u64>,
}

impl Area {
    /// Number of rows.
    pub fn height(&self) -> u64 {
        self.rows.end.saturating_sub(self.rows.start)
    }

    /// Number of columns.
    pub fn width(&self) -> u64 {
        self.columns.end.saturating_sub(self.columns.start)
    }
}

/// The addresses (lowest, and one behind the highest) of a row of some samples, from the plane's first sample on.
fn run(layout: &Layout, row: u64, columns: &Range<u64>, samples: &Range<usize>) -> (i64, i64) {
    let offsets = layout.samples.get(samples.clone()).unwrap_or_default();
    let ends = [columns.start, columns.end.saturating_sub(1)].map(|c| layout.pixel * c as i64);
    let low = ends[0].min(ends[1]) + offsets.iter().copied().min().unwrap_or(0);
    let high = ends[0].max(ends[1]) + offsets.iter().copied().max().unwrap_or(0);
    let row = layout.row * row as i64;
    (row + low, row + high + layout.element() as i64)
}

/// Bytes that reading an area takes.
pub(super) fn stored_bytes(layout: &Layout, area: &Area) -> u64 {
    let of_row: u64 = layout
        .runs()
        .iter()
        .map(|samples| {
            let (low, high) = run(layout, 0, &area.columns, samples);
            high.abs_diff(low)
        })
        .sum();
    let stored = of_row.saturating_mul(area.height());
    // What lies between the runs is read with them.
    let between = GAP.saturating_mul(area.height()).saturating_mul(layout.runs().len() as u64).saturating_add(stored);
    let apart = layout.row.unsigned_abs() > of_row || layout.runs().len() > 1 || area.width() < layout.width;
    if apart { stored.saturating_add(between) } else { stored }
}

/// Reads the runs of an area out of the file, neighbours in one go.
///
/// # Errors
/// `Truncated` if they are not all in the file, `OverLimit` if they lie too far apart, failures of the disk.
pub(super) fn fetch(
    file: &dyn ReadAt,
    spot: Spot,
    layout: &Layout,
    area: &Area,
    most: u64,
    watch: &Watch,
) -> Result<Stored> {
    let wide = layout.runs();
    let mut spans = Vec::with_capacity((area.height() as usize).saturating_mul(wide.len()));
    for row in area.rows.clone() {
        for samples in &wide {
            let (low, high) = run(layout, row, &area.columns, samples);
            let start = spot.offset.checked_add_signed(low);
            let end = spot.offset.checked_add_signed(high).filter(|end| *end <= file.len());
            let (Some(start), Some(end)) = (start, end) else {
                return Err(Error::truncated(format!(
                    "row {row} of the plane at offset {} reaches past the end of the file ({} bytes)",
                    spot.offset,
                    file.len()
                )));
            };
            spans.push((start, end));
        }
    }
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|i| spans[*i]);
    let mut reads: Vec<Range<u64>> = Vec::new();
    let mut parts = vec![0..0; spans.len()];
    let mut total = 0_u64;
    for i in order {
        let (start, end) = spans[i];
        match reads.last_mut() {
            Some(last) if start <= last.end.saturating_add(GAP.max(end - start)) => {
                total += end.saturating_sub(last.end);
                last.end = last.end.max(end);
            }
            _ => {
                total += end - start;
                reads.push(start..end);
            }
        }
        // Where this span begins among the bytes read: behind it is what its read has beyond it.
        let beyond = reads.last().map_or(0, |last| last.end - start);
        let at = total.saturating_sub(beyond) as usize;
        parts[i] = at..at + (end - start) as usize;
    }
    if total > most {
        return Err(Error::over_limit(format!("{total} bytes must be read for {} rows of a plane", area.height())));
    }
    let mut bytes = vec![0; usize::try_from(total).map_err(|_| Error::over_limit(format!("{total} bytes")))?];
    let mut rest = bytes.as_mut_slice();
    for read in reads {
        let (now, later) = rest.split_at_mut(((read.end - read.start) as usize).min(rest.len()));
        file.read_exact_at(read.start, now)?;
        rest = later;
        watch.tick();
        watch.check()?;
    }
    let follow = parts.windows(2).all(|w| w[0].end == w[1].start) && parts.last().is_some_and(|p| p.end == bytes.len());
    if follow && layout.is_chunky() && layout.raster(area.width() as usize, layout.samples.len()).is_plain() {
        return Ok(Stored::Decoded(bytes));
    }
    Ok(Stored::Encoded { bytes, parts, note: None })
}

/// Where the runs of an area are in a plane that was unpacked whole.
pub(super) fn parts(layout: &Layout, area: &Area, first: u64) -> Vec<Range<usize>> {
    let (lowest, _) = layout.extent();
    let wide = layout.runs();
    let at = |address: i64| usize::try_from(address.abs_diff(lowest).saturating_sub(first)).unwrap_or(usize::MAX);
    area.rows
        .clone()
        .flat_map(|row| wide.iter().map(move |samples| (row, samples)))
        .map(|(row, samples)| run(layout, row, &area.columns, samples))
        .map(|(low, high)| at(low)..at(high))
        .collect()
}

/// Turns runs (of each row, one after the other) into planes of samples.
///
/// # Errors
/// `Internal` if there are not as many bytes as there must be.
pub(super) fn planes(layout: &Layout, area: &Area, bytes: &mut [u8], parts: &[Range<usize>]) -> Result<Vec<u8>> {
    let short = || Error::new(Kind::Internal, "a run of an unexpected size");
    let (columns, rows) = (area.width() as usize, area.height() as usize);
    let plane = columns * rows * layout.dtype().size();
    let mut out = vec![0; plane * layout.samples.len()];
    let wide = layout.runs();
    if parts.len() != rows * wide.len() || columns == 0 {
        return Err(short());
    }
    if layout.is_chunky() {
        let raster = layout.raster(columns, layout.samples.len());
        for (row, part) in parts.iter().enumerate() {
            let run = bytes.get_mut(part.clone()).filter(|r| r.len() == raster.row_bytes()).ok_or_else(short)?;
            raster.spread(run, &mut Target { out: &mut out, plane, columns, row });
        }
        return Ok(out);
    }
    let element = layout.element() as usize;
    let raster = layout.raster(columns, 1);
    let mut line = vec![0; columns * element];
    for (row, of_row) in parts.chunks_exact(wide.len()).enumerate() {
        for (samples, part) in wide.iter().zip(of_row) {
            let run = bytes.get(part.clone()).ok_or_else(short)?;
            let offsets = layout.samples.get(samples.clone()).unwrap_or_default();
            let low = offsets.iter().copied().min().unwrap_or(0);
            for (offset, sample) in offsets.iter().zip(samples.start..) {
                let start = offset.abs_diff(low) as usize;
                collect(run.get(start..).ok_or_else(short)?, layout.pixel, element, &mut line).ok_or_else(short)?;
                let out = out.get_mut(sample * plane..(sample + 1) * plane).ok_or_else(short)?;
                raster.spread(&mut line, &mut Target { out, plane, columns, row });
            }
        }
    }
    Ok(out)
}

/// Picks samples that lie `stride` bytes apart; with a negative stride from the last one down.
fn collect(run: &[u8], stride: i64, element: usize, line: &mut [u8]) -> Option<()> {
    let step = usize::try_from(stride.unsigned_abs()).ok()?;
    let count = line.len() / element;
    if step == element && stride > 0 {
        line.copy_from_slice(run.get(..line.len())?);
        return Some(());
    }
    for (k, out) in line.chunks_exact_mut(element).enumerate() {
        let at = if stride < 0 { count - 1 - k } else { k }.checked_mul(step)?;
        out.copy_from_slice(run.get(at..at.checked_add(element)?)?);
    }
    Some(())
}
