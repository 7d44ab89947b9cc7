//! `fuzarr inspect FILE`: what a file holds and how it would appear in a mount.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use super::args::InspectArgs;
use super::{Exit, Failure, report};
use crate::config::{Damaged, Palette};
use crate::error::Kind;
use crate::format::{self, ImageSource, Limits, Place};
use crate::io::{ReadAt, SourceFile, Watch};
use crate::model::{Quantity, Role, Series, TileId};
use crate::pyramid::{OpenImage, Origin};

mod table;
#[cfg(test)]
mod tests;

/// Damaged units that are listed; more are only counted.
const DAMAGED_MAX: usize = 1000;
/// A file with more damaged units is not looked at any further.
const DAMAGED_ENOUGH: u64 = 100_000;

/// All that `inspect` shows; the JSON form is this structure.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    format: &'static str,
    members: Vec<MemberReport>,
    series: Vec<SeriesReport>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<DamageReport>,
}

#[derive(Debug, Serialize)]
struct MemberReport {
    path: String,
    /// Absent where only the planes of the file depend on it: it was not looked at.
    bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct SeriesReport {
    index: usize,
    name: String,
    role: String,
    axes: [&'static str; 5],
    shape: [u64; 5],
    dtype: &'static str,
    significant_bits: u32,
    rgb: bool,
    palette: bool,
    levels: Vec<LevelReport>,
    channels: Vec<ChannelReport>,
    physical_size: Vec<AxisReport>,
    acquired: Option<String>,
}

#[derive(Debug, Serialize)]
struct LevelReport {
    path: String,
    shape: [u64; 5],
    origin: &'static str,
    chunks: [u64; 5],
    /// Rows and columns of what the file stores or is read by; absent for synthesized levels.
    stored_unit: Option<[u64; 2]>,
    tiled: bool,
    random_access: bool,
}

#[derive(Debug, Serialize)]
struct ChannelReport {
    name: Option<String>,
    color: Option<String>,
    emission_nm: Option<f64>,
    excitation_nm: Option<f64>,
}

#[derive(Debug, Serialize)]
struct AxisReport {
    axis: &'static str,
    value: f64,
    unit: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct DamageReport {
    /// Was every unit looked at?
    complete: bool,
    units: u64,
    damaged: u64,
    listed: Vec<DamagedUnit>,
}

#[derive(Debug, Serialize)]
struct DamagedUnit {
    series: u32,
    level: u32,
    t: u64,
    /// First channel of the unit.
    c: u64,
    z: u64,
    row: u64,
    column: u64,
    reason: String,
}

/// Opens, describes, prints.
pub fn run(args: &InspectArgs) -> Result<Exit, Failure> {
    let (format, source) = open(args)?;
    let image = OpenImage::new(0, format, source, args.chunk, Damaged::Error);
    let damaged = if args.verify { Some(verify(&*image.source)?) } else { None };
    let report = describe(&args.file, &image, damaged);
    let text = if args.json {
        let mut text = serde_json::to_string_pretty(&report).map_err(Failure::new)?;
        text.push('\n');
        text
    } else {
        table::render(&report)
    };
    report::print(text.as_bytes())?;
    Ok(if report.damaged.is_some_and(|d| d.damaged > 0) { Exit::BadFile } else { Exit::Success })
}

/// Opens the file beneath its own folder, as a mount of that folder would.
fn open(args: &InspectArgs) -> Result<(&'static str, Arc<dyn ImageSource>), Failure> {
    let fail = |what: &dyn std::fmt::Display| Failure::new(format!("{}: {what}", args.file.display()));
    let path = args.file.canonicalize().map_err(|e| fail(&e))?;
    let name = path.file_name().map(PathBuf::from).ok_or_else(|| fail(&"not a file"))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    if path.is_dir() {
        return Err(fail(&"is a folder; name one image file in it"));
    }
    super::settings::open_door(&args.door, folder)?;
    let root: OwnedFd = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| fail(&std::io::Error::from(e)))?;
    let root = Arc::new(root);
    let open: format::OpenMember =
        Arc::new(move |relative: &Path| Ok(Arc::new(SourceFile::open(&root, relative)?) as Arc<dyn ReadAt>));
    let limits = Limits { palette_rgb: args.palette == Some(Palette::Rgb), ..Limits::default() };
    let file =
        open(&name).map_err(|e| Failure { message: format!("{}: {}", args.file.display(), e.reason()), ..e.into() })?;
    let place = Place { path: &name, open };
    format::open(file, &place, &limits, &Watch::default()).map_err(|e| {
        // The name that was typed says more than the path beneath the folder; another member is named as it is.
        let named = match e.file() {
            Some(other) if other != name => format!("{}: ", folder.join(other).display()),
            _ => String::new(),
        };
        Failure { message: format!("{}: {named}{}", args.file.display(), e.reason()), ..e.into() }
    })
}

fn describe(file: &Path, image: &OpenImage, damaged: Option<DamageReport>) -> Report {
    let source = &image.source;
    let members = source.members().iter();
    let series = source.series().iter().zip(&image.pyramids).zip(0u32..);
    Report {
        file: file.display().to_string(),
        format: image.format,
        members: members
            .map(|m| MemberReport { path: m.path.display().to_string(), bytes: m.print.map(|p| p.size) })
            .collect(),
        series: series.map(|((s, p), i)| describe_series(i, s, p, &**source)).collect(),
        warnings: source.warnings().to_vec(),
        damaged,
    }
}

fn describe_series(
    index: u32,
    series: &Series,
    pyramid: &crate::pyramid::Pyramid,
    source: &dyn ImageSource,
) -> SeriesReport {
    let (rows, columns) = pyramid.chunk;
    let drawn = matches!(series.role, Role::Regions(_));
    let levels = pyramid.levels.iter().enumerate().map(|(n, level)| {
        let stored = match level.origin {
            Origin::Stored(k) if !drawn => series.levels.get(k as usize).map(|l| (k, l)),
            _ => None,
        };
        LevelReport {
            path: n.to_string(),
            shape: level.shape.tczyx(),
            origin: match stored {
                _ if drawn => "drawn",
                Some(_) => "stored",
                None => "synthesized",
            },
            chunks: [1, 1, 1, rows, columns],
            stored_unit: stored.map(|(_, l)| [l.unit.y, l.unit.x]),
            tiled: stored.is_some_and(|(_, l)| l.native_tile.is_some()),
            random_access: stored.is_some_and(|(k, _)| source.random_access(index, k)),
        }
    });
    let channels = series.channels.iter().map(|c| ChannelReport {
        name: c.name.clone(),
        color: c.color.map(|c| c.hex()),
        emission_nm: c.emission_nm,
        excitation_nm: c.excitation_nm,
    });
    let physical = &series.physical;
    let sizes = [("t", &physical.t), ("z", &physical.z), ("y", &physical.y), ("x", &physical.x)];
    let size = |(axis, quantity): (&'static str, &Option<Quantity>)| {
        quantity.as_ref().map(|q| AxisReport { axis, value: q.value, unit: q.unit.as_ref().map(|u| u.0.clone()) })
    };
    SeriesReport {
        index: index as usize,
        name: series.name.clone(),
        role: match &series.role {
            Role::Image => "image".to_owned(),
            Role::Regions(of) => format!("labels/rois of series {of}"),
            Role::Associated(name) => format!("associated/{name}"),
        },
        axes: ["t", "c", "z", "y", "x"],
        shape: series.shape().tczyx(),
        dtype: series.dtype.name(),
        significant_bits: series.significant_bits,
        rgb: series.rgb,
        palette: series.colormap.is_some(),
        levels: levels.collect(),
        channels: channels.collect(),
        physical_size: sizes.into_iter().filter_map(size).collect(),
        acquired: series.acquired.clone(),
    }
}

/// Decodes every stored unit once, in the order of the file's own grid. Planes that the file never stored are passed over.
fn verify(source: &dyn ImageSource) -> Result<DamageReport, Failure> {
    let mut report = DamageReport { complete: true, ..DamageReport::default() };
    let watch = Watch::default();
    for (s, series) in (0u32..).zip(source.series()) {
        for (l, level) in (0u32..).zip(&series.levels) {
            let groups = level.shape.c / series.samples.max(1);
            for t in 0..level.shape.t {
                for g in 0..groups {
                    for z in 0..level.shape.z {
                        if matches!(source.plane_member(s, t, g, z), Ok(None)) {
                            continue;
                        }
                        let first = TileId { series: s, level: l, t, g, z, ty: 0, tx: 0 };
                        verify_plane(source, series, first, &watch, &mut report)?;
                        if report.damaged > DAMAGED_ENOUGH {
                            report.complete = false;
                            return Ok(report);
                        }
                    }
                }
            }
        }
    }
    Ok(report)
}

fn verify_plane(
    source: &dyn ImageSource,
    series: &Series,
    first: TileId,
    watch: &Watch,
    report: &mut DamageReport,
) -> Result<(), Failure> {
    let Some(level) = series.levels.get(first.level as usize) else { return Ok(()) };
    let (down, across) = level.grid();
    for ty in 0..down {
        for tx in 0..across {
            verify_unit(source, series, TileId { ty, tx, ..first }, watch, report)?;
            if report.damaged > DAMAGED_ENOUGH {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn verify_unit(
    source: &dyn ImageSource,
    series: &Series,
    id: TileId,
    watch: &Watch,
    report: &mut DamageReport,
) -> Result<(), Failure> {
    report.units += 1;
    let read = source.fetch(id, watch).and_then(|stored| match stored {
        format::Stored::Absent => Ok(()),
        stored => source.decode(id, stored).map(drop),
    });
    let Err(error) = read else { return Ok(()) };
    if error.kind() == Kind::Changed {
        return Err(error.into());
    }
    report.damaged += 1;
    if report.listed.len() < DAMAGED_MAX {
        report.listed.push(DamagedUnit {
            series: id.series,
            level: id.level,
            t: id.t,
            c: id.g * series.samples,
            z: id.z,
            row: id.ty,
            column: id.tx,
            reason: error.reason(),
        });
    }
    Ok(())
}
