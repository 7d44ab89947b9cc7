//! Images other than slides: frames of a file by their dimensions, and files of one frame that make a stack together.

use std::collections::HashSet;

use super::about;
use super::grid::{self, SLOT_BYTES, Slot};
use super::header::Header;
use super::siblings::{Found, grouped};
use super::slide::Image;
use super::source::expands;
use super::tags;
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::model::{Quantity, Unit};

/// Most channels that are told apart by dimensions.
const MAX_NAMES: u64 = 1 << 13;

/// An axis that frames lie along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Time,
    Channel,
    Focus,
}

/// Where frames lie: for each its time point, channel group and plane.
#[derive(Debug, Clone, PartialEq)]
struct Order {
    at: Vec<[u64; 3]>,
    size: [u64; 3],
    /// Names of channel groups; empty for numbers.
    names: Vec<String>,
    /// Millimetres from plane to plane, where positions tell.
    step: Option<f64>,
}

/// The images of files that are no slides.
///
/// # Errors
/// `OverLimit`, `Malformed`.
pub(super) fn images(
    files: &[Found],
    which: &[usize],
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> Result<Vec<Image>> {
    let groups = grouped(which, |number| key(&files[number].header, number));
    let mut images = Vec::new();
    for (_, mut list) in groups {
        let first = &files[list[0]].header;
        let offset = |n: &usize| files[*n].header.set.count(tags::CONCATENATION_FRAME_OFFSET).unwrap_or(0);
        let concatenated = first.set.text(tags::CONCATENATION_UID).is_some();
        if concatenated {
            list.sort_by_key(offset);
        }
        let order = if concatenated || first.count > 1 {
            let total: u64 = list.iter().map(|n| files[*n].header.count).sum();
            if total.saturating_mul(SLOT_BYTES + 64) > limits.index_bytes {
                return Err(Error::over_limit(format!("{total} frames")));
            }
            of_frames(&list.iter().map(|n| &*files[*n].header).collect::<Vec<_>>(), total)
        } else {
            list.sort_by(|a, b| by_number(&files[*a], &files[*b]));
            of_slices(&list.iter().map(|n| &*files[*n].header).collect::<Vec<_>>())
        };
        images.push(image(files, &list, order, limits, warnings)?);
    }
    Ok(images)
}

/// Files with the same key make one image.
fn key(header: &Header, number: usize) -> String {
    if let Some(uid) = header.set.text(tags::CONCATENATION_UID) {
        return format!("concatenation {uid}");
    }
    if header.count > 1 {
        return format!("file {number}");
    }
    let pixel = &header.pixel;
    let turned: Vec<i64> = header.set.decimals(tags::IMAGE_ORIENTATION).iter().map(|v| (v * 1e3) as i64).collect();
    let gray = pixel.samples == 1;
    let (size, bits) = ((pixel.rows, pixel.columns, pixel.samples), (pixel.allocated, pixel.number));
    format!("{size:?} {bits:?} {:?} {turned:?}", gray.then_some(pixel.photometric))
}

fn by_number(a: &Found, b: &Found) -> std::cmp::Ordering {
    let of = |f: &Found| {
        let number = |tag| f.header.set.decimal(tag).map_or(i64::MAX, |v| v as i64);
        [tags::TEMPORAL_POSITION, tags::ACQUISITION_NUMBER, tags::INSTANCE_NUMBER].map(number)
    };
    of(a).cmp(&of(b)).then_with(|| a.name.as_os_str().cmp(b.name.as_os_str()))
}

/// How far along the normal of its plane a frame lies, in millimetres.
fn distance(position: &[f64], orientation: &[f64]) -> Option<f64> {
    let [px, py, pz] = *position else { return None };
    let [a, b, c, d, e, f] = *orientation else { return Some(pz) };
    let normal = [b * f - c * e, c * d - a * f, a * e - b * d];
    let along = px * normal[0] + py * normal[1] + pz * normal[2];
    along.is_finite().then_some(along)
}

/// Ranks of distances (equal ones, to a thousandth of a millimetre, have the same), and the step between neighbours.
fn ranks(distances: &[f64]) -> (Vec<u64>, u64, Option<f64>) {
    let rounded = |d: &f64| (d * 1e3).round() as i64;
    let mut all: Vec<i64> = distances.iter().map(rounded).collect();
    all.sort_unstable();
    all.dedup();
    let rank = |d: &f64| all.binary_search(&rounded(d)).unwrap_or(0) as u64;
    let span = distances.iter().copied().fold(f64::MIN, f64::max) - distances.iter().copied().fold(f64::MAX, f64::min);
    let step = (all.len() > 1).then(|| span / (all.len() - 1) as f64);
    (distances.iter().map(rank).collect(), all.len() as u64, step)
}

/// Files of one frame, in the order of their numbers: planes by position, times where positions repeat.
fn of_slices(headers: &[&Header]) -> Order {
    let count = headers.len() as u64;
    let plain =
        |_| Order { at: (0..count).map(|z| [0, 0, z]).collect(), size: [1, 1, count], names: Vec::new(), step: None };
    let place = |h: &&Header| distance(&h.set.decimals(tags::IMAGE_POSITION), &h.set.decimals(tags::IMAGE_ORIENTATION));
    let Some(distances) = headers.iter().map(place).collect::<Option<Vec<f64>>>() else { return plain(()) };
    let (ranks, planes, step) = ranks(&distances);
    let mut seen = vec![0_u64; planes as usize];
    let mut at = Vec::with_capacity(headers.len());
    for rank in ranks {
        at.push([seen[rank as usize], 0, rank]);
        seen[rank as usize] += 1;
    }
    let times = seen[0];
    // Of several at the same place all places must have as many.
    if seen.iter().any(|n| *n != times) {
        return plain(());
    }
    Order { at, size: [times, 1, planes], names: Vec::new(), step }
}

/// The axis of a dimension, by what its index counts.
fn axis(pointer: u32) -> Axis {
    match pointer {
        // Position in a stack, position in the patient, height above a slide, slices.
        0x0020_9057 | 0x0020_0032 | 0x0040_074A | tags::SLICE_VECTOR | tags::GRID_FRAME_OFFSETS => Axis::Focus,
        // Temporal position and its offset, trigger delay, dates of frames, percentage of a cycle; phases, intervals, slots.
        0x0020_9128
        | 0x0020_930D
        | 0x0020_9153
        | 0x0018_9074
        | 0x0018_9151
        | 0x0020_9241
        | 0x0020_9245
        | tags::PHASE_VECTOR
        | tags::RR_INTERVAL_VECTOR
        | tags::TIME_SLOT_VECTOR
        | tags::TIME_SLICE_VECTOR
        | tags::FRAME_TIME
        | tags::FRAME_TIME_VECTOR => Axis::Time,
        _ => Axis::Channel,
    }
}

/// Frames of one file, or of files that continue each other.
fn of_frames(headers: &[&Header], total: u64) -> Order {
    let header = headers[0];
    let positions: Vec<[f64; 3]> = headers.iter().flat_map(|h| h.frames.positions.iter().copied()).collect();
    let turned = orientation(header);
    let distances: Option<Vec<f64>> =
        (positions.len() as u64 == total).then(|| positions.iter().map(|p| distance(p, &turned)).collect()).flatten();
    let step = distances.as_ref().and_then(|d| ranks(d).2);
    let found = by_dimensions(headers, total).or_else(|| by_vectors(header, total));
    if let Some(order) = found {
        return Order { step, ..order };
    }
    if let Some(distances) = distances {
        let (ranks, planes, step) = ranks(&distances);
        if planes == total {
            let at = ranks.iter().map(|z| [0, 0, *z]).collect();
            return Order { at, size: [1, 1, planes], names: Vec::new(), step };
        }
    }
    let pointer = header.set.tags(tags::FRAME_INCREMENT_POINTER).first().copied();
    let offsets = header.set.decimals(tags::GRID_FRAME_OFFSETS);
    let is_stack = pointer == Some(tags::GRID_FRAME_OFFSETS) || (pointer.is_none() && offsets.len() as u64 == total);
    if is_stack {
        let at = (0..total).map(|z| [0, 0, z]).collect();
        let step = (offsets.len() > 1).then(|| (offsets[1] - offsets[0]).abs());
        return Order { at, size: [1, 1, total], names: Vec::new(), step };
    }
    let at = (0..total).map(|t| [t, 0, 0]).collect();
    Order { at, size: [total, 1, 1], names: Vec::new(), step: None }
}

fn orientation(header: &Header) -> Vec<f64> {
    let of = |set: &super::elements::DataSet| {
        set.item(tags::PLANE_ORIENTATION).map(|o| o.decimals(tags::IMAGE_ORIENTATION)).filter(|o| o.len() == 6)
    };
    header
        .set
        .item(tags::SHARED_GROUPS)
        .and_then(of)
        .or_else(|| header.frames.first.as_ref().and_then(of))
        .unwrap_or_default()
}

/// By the index values of frames in their dimensions.
fn by_dimensions(headers: &[&Header], total: u64) -> Option<Order> {
    let header = headers[0];
    let width = header.frames.width;
    let pointers: Vec<u32> = header
        .set
        .items(tags::DIMENSION_INDEXES)
        .iter()
        .filter_map(|d| d.tags(tags::DIMENSION_INDEX_POINTER).first().copied())
        .collect();
    let indices: Vec<u32> = headers.iter().flat_map(|h| h.frames.indices.iter().copied()).collect();
    if width == 0 || pointers.len() != width || indices.len() as u64 != total.checked_mul(width as u64)? {
        return None;
    }
    let columns: Vec<(u32, Vec<u32>)> = pointers
        .iter()
        .enumerate()
        .map(|(d, p)| (*p, indices.iter().skip(d).step_by(width).copied().collect()))
        .collect();
    let mut order = by_columns(&columns, total)?;
    let segments = header.set.items(tags::SEGMENTS);
    let only_segments = columns
        .iter()
        .filter(|(p, v)| axis(*p) == Axis::Channel && v.iter().any(|n| *n != v[0]))
        .all(|(p, _)| *p == tags::REFERENCED_SEGMENT);
    if only_segments && segments.len() as u64 == order.size[1] {
        order.names = segments.iter().filter_map(|s| s.text(tags::SEGMENT_LABEL)).collect();
    }
    Some(order)
}

/// By vectors of numbers, one for each frame (nuclear medicine).
fn by_vectors(header: &Header, total: u64) -> Option<Order> {
    let pointers = header.set.tags(tags::FRAME_INCREMENT_POINTER);
    let column = |pointer: &u32| {
        let numbers = header.set.numbers(*pointer);
        let is_vector = pointer >> 16 == 0x0054 && numbers.len() as u64 == total;
        is_vector.then(|| (*pointer, numbers.iter().map(|n| u32::try_from(*n).unwrap_or(0)).collect()))
    };
    let columns: Vec<(u32, Vec<u32>)> = pointers.iter().map(column).collect::<Option<_>>()?;
    if columns.is_empty() { None } else { by_columns(&columns, total) }
}

/// Places frames by their numbers in several dimensions; `None` if two frames have the same ones, or hardly any place is taken.
fn by_columns(columns: &[(u32, Vec<u32>)], total: u64) -> Option<Order> {
    let mut at = vec![[0_u64; 3]; usize::try_from(total).ok()?];
    let mut size = [1_u64; 3];
    let mut names = vec![String::new()];
    for (pointer, values) in columns {
        let mut all: Vec<u32> = values.clone();
        all.sort_unstable();
        all.dedup();
        if all.len() < 2 {
            continue;
        }
        let axis = axis(*pointer) as usize;
        let count = all.len() as u64;
        for (place, value) in at.iter_mut().zip(values) {
            place[axis] = place[axis] * count + all.binary_search(value).ok()? as u64;
        }
        size[axis] = size[axis].checked_mul(count)?;
        let most = if axis == Axis::Channel as usize { MAX_NAMES } else { u64::MAX };
        if size[axis] > total.saturating_mul(64).min(most) {
            return None;
        }
        if axis == Axis::Channel as usize {
            let joined = |name: &String, value: &u32| format!("{name} {value}").trim().to_owned();
            names = names.iter().flat_map(|name| all.iter().map(move |value| joined(name, value))).collect();
        }
    }
    let product = size.iter().try_fold(1_u64, |n, k| n.checked_mul(*k))?;
    let distinct: HashSet<&[u64; 3]> = at.iter().collect();
    if distinct.len() as u64 != total || product > total.saturating_mul(64) {
        return None;
    }
    if names.len() == 1 {
        names.clear();
    }
    Some(Order { at, size, names, step: None })
}

/// The image of some files, whose frames lie in an order.
fn image(files: &[Found], list: &[usize], order: Order, limits: &Limits, warnings: &mut Vec<String>) -> Result<Image> {
    let described_by = list[0];
    let header = &files[described_by].header;
    let pixel = &header.pixel;
    let of: Vec<&Found> = list.iter().filter_map(|n| files.get(*n)).collect();
    let alike = |f: &&Found| {
        let p = &f.header.pixel;
        (p.rows, p.columns, p.samples, p.allocated, p.number)
            == (pixel.rows, pixel.columns, pixel.samples, pixel.allocated, pixel.number)
    };
    if !of.iter().all(alike) {
        return Err(Error::malformed("files that continue each other have frames of different kinds"));
    }
    let samples = if expands(pixel, limits) { 3 } else { pixel.samples };
    let [t, groups, z] = order.size;
    let (level, mut grid) = grid::level(pixel, &of, (pixel.columns, pixel.rows), (t, groups, z), samples, limits)?;
    let frames = list.iter().flat_map(|n| {
        let count = u32::try_from(files[*n].header.count).unwrap_or(u32::MAX);
        (0..count).map(move |frame| (u32::try_from(*n).unwrap_or(u32::MAX), frame))
    });
    for ([t, g, z], (file, frame)) in order.at.iter().zip(frames) {
        grid.slots.push(Slot { number: (t * grid.groups + g) * grid.planes + z, file, frame });
    }
    grid.full = t * groups * z == order.at.len() as u64;
    grid.settle();
    if !grid.full {
        warnings.push(format!("{} of {} planes are stored", order.at.len(), t * groups * z));
    }
    let mut series = about::series(header, vec![level], samples, limits);
    if z > 1 {
        let step = order.step.or_else(|| about::slice_step(header));
        series.physical.z = step.and_then(|s| Quantity::checked(about::tidy(s), Some(Unit("mm".into()))));
    }
    if t > 1 {
        series.physical.t = about::frame_seconds(header);
    }
    for (group, name) in series.channels.chunks_mut(samples.max(1) as usize).zip(&order.names) {
        group.iter_mut().for_each(|c| c.name = Some(name.clone()));
    }
    Ok(Image { series, grids: vec![grid], described_by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_where_their_indices_say() {
        // Time, then place, and a dimension of one value.
        let columns =
            [(0x0020_9128, vec![1, 1, 2, 2]), (0x0020_9057, vec![7, 3, 7, 3]), (0x0018_9087, vec![5, 5, 5, 5])];
        let order = by_columns(&columns, 4).unwrap();
        assert_eq!((order.size, order.at), ([2, 1, 2], vec![[0, 0, 1], [0, 0, 0], [1, 0, 1], [1, 0, 0]]));
        // Two of the same place.
        assert_eq!(by_columns(&[(0x0020_9057, vec![1, 1])], 2), None);
        let columns = [(0x0018_9087, vec![1, 1, 2]), (0x0018_9082, vec![1, 2, 1])];
        let order = by_columns(&columns, 3).unwrap();
        assert_eq!((order.size, order.names), ([1, 4, 1], ["1 1", "1 2", "2 1", "2 2"].map(String::from).to_vec()));
    }

    #[test]
    fn distances_are_along_the_normal() {
        assert_eq!(distance(&[1.0, 2.0, 3.0], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]), Some(3.0));
        assert_eq!(distance(&[1.0, 2.0, 3.0], &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0]), Some(1.0));
        assert_eq!(distance(&[1.0, 2.0], &[]), None);
        assert_eq!(ranks(&[5.0, 2.5, 0.0]), (vec![2, 1, 0], 3, Some(2.5)));
    }
}
