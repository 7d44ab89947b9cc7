//! Whole slides (PS3.3 A.32.8): frames are tiles, files are resolutions, optical paths are channels, focal planes are z.

use super::about;
use super::grid::{self, Grid, SLOT_BYTES, Slot};
use super::header::Header;
use super::siblings::{Found, grouped};
use super::source::expands;
use super::tags;
use crate::error::{Error, Result};
use crate::format::Limits;
use crate::model::{Level, Role, Series};

/// Most optical paths or segments of a file.
const MAX_PATHS: usize = 1 << 12;

/// A series with the frames of its levels, and the file (by its number) that describes it.
pub(super) struct Image {
    pub series: Series,
    pub grids: Vec<Grid>,
    pub described_by: usize,
}

/// Does a file hold tiles of a larger image?
pub(super) fn is_slide(header: &Header) -> bool {
    let count = |tag| header.set.count(tag).unwrap_or(0);
    count(tags::TOTAL_COLUMNS) > 0 && count(tags::TOTAL_ROWS) > 0
}

/// What a tile is of: channel, focal plane in nanometres, row and column among the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct At {
    path: u16,
    z: i64,
    row: u32,
    column: u32,
}

/// The tiles of a file.
struct Part {
    file: u32,
    /// Names of channels; [`At::path`] counts them.
    paths: Vec<String>,
    /// In the order of the frames.
    tiles: Vec<At>,
    /// Tiles that are not listed are lost.
    full: bool,
}

/// The files of one resolution.
struct Resolution {
    size: (u64, u64),
    paths: Vec<String>,
    /// With file and frame; [`At::path`] counts `paths`.
    tiles: Vec<(At, u32, u32)>,
    full: bool,
    /// Numbers of its files; the first describes it.
    files: Vec<usize>,
}

/// The images of a series of slide files: the slide, then label, overview, thumbnail.
///
/// # Errors
/// `OverLimit`; `Unsupported` for tiles off the grid; `Malformed`.
pub(super) fn images(
    files: &[Found],
    which: &[usize],
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> Result<Vec<Image>> {
    let mut flavors = grouped(which, |number| flavor(&files[number].header));
    // The slide first.
    flavors.sort_by_key(|(flavor, _)| role(flavor) != Role::Image);
    let mut images = Vec::new();
    for (flavor, list) in &flavors {
        let mut pyramids: Vec<Vec<Resolution>> = Vec::new();
        for number in list {
            let part = part(files, *number, limits)?;
            if part.paths.len() > MAX_PATHS {
                return Err(Error::over_limit(format!("{} optical paths", part.paths.len())));
            }
            place(part, files, *number, &mut pyramids);
        }
        for mut pyramid in pyramids {
            // Large ones first; of equal ones, in the order of names.
            pyramid.sort_by_key(|r| std::cmp::Reverse(r.size));
            images.push(image(flavor, pyramid, files, limits, warnings)?);
        }
    }
    // A view of the slide without the slide is an image of its own; a label, which may name a person, never is.
    if !images.iter().any(|i: &Image| i.series.role == Role::Image) {
        let views = images.iter_mut().filter(|i| i.series.role != Role::Associated("label".into()));
        views.for_each(|i| i.series.role = Role::Image);
    }
    Ok(images)
}

/// The third value of ImageType.
fn flavor(header: &Header) -> String {
    let mut kinds = header.set.texts(tags::IMAGE_TYPE);
    if kinds.len() > 2 { kinds.swap_remove(2) } else { "VOLUME".into() }
}

fn role(flavor: &str) -> Role {
    match flavor {
        "LABEL" => Role::Associated("label".into()),
        "OVERVIEW" | "LOCALIZER" => Role::Associated("macro".into()),
        "THUMBNAIL" => Role::Associated("thumbnail".into()),
        _ => Role::Image,
    }
}

fn size(header: &Header) -> (u64, u64) {
    (header.set.count(tags::TOTAL_COLUMNS).unwrap_or(0), header.set.count(tags::TOTAL_ROWS).unwrap_or(0))
}

/// Where the frames of a file lie.
fn part(files: &[Found], number: usize, limits: &Limits) -> Result<Part> {
    let header = &files[number].header;
    let pixel = &header.pixel;
    let (columns, rows) = size(header);
    let bytes = header.count.saturating_mul(SLOT_BYTES + size_of::<At>() as u64);
    if bytes > limits.index_bytes / 2 {
        return Err(Error::over_limit(format!("{} tiles", header.count)));
    }
    let across = columns.div_ceil(pixel.columns);
    let down = rows.div_ceil(pixel.rows);
    let segments = !header.frames.segments.is_empty() || !header.set.items(tags::SEGMENTS).is_empty();
    let kind = header.set.text(tags::DIMENSION_ORGANIZATION_TYPE);
    let file = u32::try_from(number).unwrap_or(u32::MAX);
    let full = kind.as_deref() == Some("TILED_FULL") || header.frames.spots.is_empty();
    if !full {
        return sparse(header, file, segments);
    }
    let items = if segments { tags::SEGMENTS } else { tags::OPTICAL_PATHS };
    let mut paths: Vec<String> =
        header.set.items(items).iter().enumerate().map(|(n, item)| channel_key(item, n, segments)).collect();
    if paths.is_empty() {
        paths.push(String::new());
    }
    let planes = header.set.count(tags::FOCAL_PLANES).unwrap_or(1).max(1);
    let origin = header.set.item(tags::MATRIX_ORIGIN).and_then(|o| o.decimal(tags::SLIDE_Z)).unwrap_or(0.0);
    let step = about::slice_step(header).unwrap_or(0.001) * 1000.0;
    let first = header.set.count(tags::CONCATENATION_FRAME_OFFSET).unwrap_or(0);
    let mut tiles = Vec::with_capacity(usize::try_from(header.count).unwrap_or(0));
    // Tiles of a row, rows, focal planes, optical paths (C.7.6.17.3).
    for frame in first..first.saturating_add(header.count) {
        let (row, rest) = (frame / across % down, frame / across / down);
        let (plane, path) = (rest % planes, rest / planes);
        if path >= paths.len() as u64 {
            break;
        }
        let z = nanometers(origin + plane as f64 * step);
        tiles.push(At { path: path as u16, z, row: row as u32, column: (frame % across) as u32 });
    }
    Ok(Part { file, paths, tiles, full: true })
}

/// Frames that say where they lie.
fn sparse(header: &Header, file: u32, segments: bool) -> Result<Part> {
    let (pixel, frames) = (&header.pixel, &header.frames);
    let items = header.set.items(if segments { tags::SEGMENTS } else { tags::OPTICAL_PATHS });
    let mut paths: Vec<String> = items.iter().enumerate().map(|(n, item)| channel_key(item, n, segments)).collect();
    // Frames name paths; those that are not described come last.
    let mut numbers = Vec::with_capacity(frames.paths.len());
    for path in frames.paths.iter().filter(|_| !segments) {
        let known = paths.iter().position(|p| p == path);
        numbers.push(known.unwrap_or_else(|| {
            paths.push(path.clone());
            paths.len() - 1
        }) as u16);
    }
    if paths.is_empty() {
        paths.push(String::new());
    }
    let (columns, rows) = size(header);
    let mut tiles = Vec::with_capacity(frames.spots.len());
    for (number, spot) in frames.spots.iter().take(usize::try_from(header.count).unwrap_or(0)).enumerate() {
        let (x, y) = (u64::from(spot.at.0), u64::from(spot.at.1));
        if !x.is_multiple_of(pixel.columns) || !y.is_multiple_of(pixel.rows) {
            return Err(Error::unsupported(format!("tile {number} off the grid, at column {x}, row {y}")));
        }
        if x >= columns || y >= rows {
            return Err(Error::malformed(format!("tile {number} outside of the image, at column {x}, row {y}")));
        }
        let path = match frames.segments.get(number) {
            Some(segment) if segments => segment.saturating_sub(1).min(paths.len() as u16 - 1),
            _ if segments => 0,
            _ => numbers.get(usize::from(spot.path)).copied().unwrap_or(0),
        };
        tiles.push(At {
            path,
            z: nanometers(spot.z),
            row: (y / pixel.rows) as u32,
            column: (x / pixel.columns) as u32,
        });
    }
    Ok(Part { file, paths, tiles, full: false })
}

/// What tells channels apart: the identifier of an optical path, the number of a segment.
fn channel_key(item: &super::elements::DataSet, number: usize, segments: bool) -> String {
    if segments {
        return item.count(tags::SEGMENT_NUMBER).unwrap_or(number as u64 + 1).to_string();
    }
    item.text(tags::OPTICAL_PATH_IDENTIFIER).unwrap_or_else(|| number.to_string())
}

fn nanometers(micrometers: f64) -> i64 {
    (micrometers * 1000.0).round().clamp(-1e15, 1e15) as i64
}

/// Puts the tiles of a file to the first pyramid that has room for them: another image of the same size in the same place is
/// another pyramid.
fn place(part: Part, files: &[Found], number: usize, pyramids: &mut Vec<Vec<Resolution>>) {
    let header = &files[number].header;
    let size = size(header);
    let alike = |r: &Resolution| {
        let (a, b) = (&files[r.files[0]].header.pixel, &header.pixel);
        (a.samples, a.number, a.allocated) == (b.samples, b.number, b.allocated)
            && (r.size != size || (a.rows, a.columns) == (b.rows, b.columns))
            && (r.size == size || proportional(r.size, size))
    };
    for pyramid in pyramids.iter_mut() {
        if !pyramid.iter().all(alike) {
            continue;
        }
        let Some(level) = pyramid.iter_mut().find(|r| r.size == size) else {
            pyramid.push(Resolution::new(part, size, number));
            return;
        };
        let taken: std::collections::HashSet<(&str, i64, u32, u32)> = level
            .tiles
            .iter()
            .map(|(at, ..)| (level.paths[at.path as usize].as_str(), at.z, at.row, at.column))
            .collect();
        let name = |at: &At| part.paths.get(at.path as usize).map_or("", String::as_str);
        if part.tiles.iter().any(|at| taken.contains(&(name(at), at.z, at.row, at.column))) {
            continue;
        }
        level.add(part, number);
        return;
    }
    pyramids.push(vec![Resolution::new(part, size, number)]);
}

/// Is one a smaller copy of the other, but for rounding?
fn proportional(a: (u64, u64), b: (u64, u64)) -> bool {
    let ((ax, ay), (bx, by)) = ((a.0 as f64, a.1 as f64), (b.0 as f64, b.1 as f64));
    let smaller = (a.0 < b.0 && a.1 <= b.1) || (a.0 > b.0 && a.1 >= b.1) || (a.0 == b.0 && a.1 != b.1);
    let (x, y) = (ax / bx, ay / by);
    // A pixel more or less, or tiles that were filled up: levels of some writers end where tiles do.
    smaller && (x / y - 1.0).abs() < 0.1 + 2.0 / ax.min(bx).min(ay).min(by)
}

impl Resolution {
    fn new(part: Part, size: (u64, u64), number: usize) -> Self {
        let mut new = Resolution { size, paths: Vec::new(), tiles: Vec::new(), full: true, files: Vec::new() };
        new.add(part, number);
        new
    }

    fn add(&mut self, part: Part, number: usize) {
        let mut numbers = Vec::with_capacity(part.paths.len());
        for path in part.paths {
            let known = self.paths.iter().position(|p| *p == path);
            numbers.push(known.unwrap_or_else(|| {
                self.paths.push(path);
                self.paths.len() - 1
            }));
        }
        let number_of = |at: At| At { path: numbers.get(at.path as usize).copied().unwrap_or(0) as u16, ..at };
        self.tiles.extend((0..).zip(part.tiles).map(|(frame, at)| (number_of(at), part.file, frame)));
        self.full &= part.full;
        self.files.push(number);
    }

    /// Channels that have tiles, and heights of focal planes.
    fn axes(&self) -> (Vec<&str>, Vec<i64>) {
        let mut used: Vec<u16> = self.tiles.iter().map(|(at, ..)| at.path).collect();
        used.sort_unstable();
        used.dedup();
        let mut heights: Vec<i64> = self.tiles.iter().map(|(at, ..)| at.z).collect();
        heights.sort_unstable();
        heights.dedup();
        (used.iter().map(|p| self.paths[*p as usize].as_str()).collect(), heights)
    }
}

/// The image of a pyramid.
fn image(
    flavor: &str,
    pyramid: Vec<Resolution>,
    files: &[Found],
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> Result<Image> {
    let Some(base) = pyramid.first() else { return Err(Error::malformed("no tiles")) };
    let (paths, heights) = base.axes();
    let described_by = base.files[0];
    let header = &files[described_by].header;
    let samples = if expands(&header.pixel, limits) { 3 } else { header.pixel.samples };
    let (groups, planes) = (paths.len().max(1) as u64, heights.len().max(1) as u64);
    let (mut levels, mut grids): (Vec<Level>, Vec<Grid>) = (Vec::new(), Vec::new());
    for resolution in &pyramid {
        let (own_paths, own_heights) = resolution.axes();
        let same = own_paths.len() == paths.len() && own_paths.iter().all(|p| paths.contains(p));
        let of_level: Vec<&Found> = resolution.files.iter().filter_map(|f| files.get(*f)).collect();
        let pixel = &of_level.first().ok_or_else(|| Error::malformed("no tiles"))?.header.pixel;
        if !same || own_heights.len() != heights.len() {
            let (x, y) = resolution.size;
            warnings.push(format!("the resolution of {x} x {y} has not all channels and planes, and is left out"));
            continue;
        }
        let (level, mut grid) = grid::level(pixel, &of_level, resolution.size, (1, groups, planes), samples, limits)?;
        grid.full = resolution.full;
        for (at, file, frame) in &resolution.tiles {
            let group = paths.iter().position(|p| *p == resolution.paths[at.path as usize]).unwrap_or(0) as u64;
            let z = own_heights.binary_search(&at.z).unwrap_or(0) as u64;
            let number =
                ((group * planes + z) * grid.tiles.0 + u64::from(at.row)) * grid.tiles.1 + u64::from(at.column);
            grid.slots.push(Slot { number, file: *file, frame: *frame });
        }
        let twice = grid.settle();
        if twice > 0 {
            warnings.push(format!("{twice} tiles are stored more than once; the first of each is shown"));
        }
        levels.push(level);
        grids.push(grid);
    }
    let mut series = about::series(header, levels, samples, limits);
    series.name = flavor.to_owned();
    series.role = role(flavor);
    if let Some(z) = heights.windows(2).map(|w| w[1] - w[0]).min() {
        series.physical.z = crate::model::Quantity::checked(z as f64 / 1000.0, Some(crate::model::Unit("µm".into())));
    }
    about::slide_channels(&mut series, &paths, &base.files.iter().map(|f| &*files[*f].header).collect::<Vec<_>>());
    Ok(Image { series, grids, described_by })
}
