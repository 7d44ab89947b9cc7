//! Every image of the corpus that is in scope, plane by plane, straight from the reader: no mount, no engine.
//!
//! The corpus is found at `FUZARR_CORPUS`, else beside the repository; without it the tests say so and pass.

mod common;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuzarr::error::{Error, Kind, Result};
use fuzarr::format::{self, ImageSource, Limits, Place, Stored};
use fuzarr::io::{ReadAt, SourceFile, Watch};
use fuzarr::model::{Quantity, Role, Series, TileId};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Formats with readers of their own, as the manifest names them.
const CONTAINERS: &[&str] = &["CZI", "ND2", "LIF", "DeltaVision", "OIB", "OIF", "OIR", "IMS", "DICOM-WSI"];

fn corpus() -> Option<(PathBuf, Value)> {
    let root = common::corpus()?;
    let text = std::fs::read_to_string(root.join("manifest.json")).expect("the manifest");
    Some((root, serde_json::from_str(&text).expect("manifest.json")))
}

fn open(path: &Path) -> Result<Arc<dyn ImageSource>> {
    let directory = File::open(path.parent().expect("a directory")).expect("the directory");
    let root = Arc::new(OwnedFd::from(directory));
    let name = PathBuf::from(path.file_name().expect("a name"));
    let file: Arc<dyn ReadAt> = Arc::new(SourceFile::open(&root, &name)?);
    let opener = Arc::new(move |member: &Path| SourceFile::open(&root, member).map(|f| Arc::new(f) as Arc<dyn ReadAt>));
    let place = Place { path: &name, open: opener };
    format::open(file, &place, &Limits::default(), &Watch::default()).map(|(_, source)| source)
}

/// All channels of a group of a plane: single-sample rasters, one after the other.
fn group(source: &dyn ImageSource, series: u32, level: u32, t: u64, g: u64, z: u64) -> Result<Vec<Vec<u8>>> {
    let s = &source.series()[series as usize];
    let l = s.levels[level as usize];
    let size = s.dtype.size();
    let (height, width) = (l.shape.y as usize, l.shape.x as usize);
    let mut planes = vec![vec![0; height * width * size]; s.samples as usize];
    let (rows, columns) = l.grid();
    for ty in 0..rows {
        for tx in 0..columns {
            let id = TileId { series, level, t, g, z, ty, tx };
            let stored = source.fetch(id, &Watch::default())?;
            if matches!(stored, Stored::Absent) {
                continue;
            }
            let unit = source.decode(id, stored)?;
            let (h, w) = l.unit_size(ty, tx);
            let (h, w) = (h as usize, w as usize);
            assert_eq!(unit.len(), planes.len() * h * w * size, "size of unit {id:?}");
            assert_eq!(source.cost(id).decoded, unit.len() as u64, "cost of unit {id:?}");
            let (top, left) = ((ty * l.unit.y) as usize, (tx * l.unit.x) as usize);
            for (sample, plane) in planes.iter_mut().enumerate() {
                for row in 0..h {
                    let from = (sample * h + row) * w * size;
                    let to = ((top + row) * width + left) * size;
                    plane[to..to + w * size].copy_from_slice(&unit[from..from + w * size]);
                }
            }
        }
    }
    Ok(planes)
}

/// Every plane of a level in the manifest's order: t, c, z.
fn planes(source: &dyn ImageSource, series: u32, level: u32) -> Result<Vec<Vec<u8>>> {
    let s = &source.series()[series as usize];
    let shape = s.shape();
    let mut all = vec![Vec::new(); (shape.t * shape.c * shape.z) as usize];
    for t in 0..shape.t {
        for g in 0..shape.c / s.samples {
            for z in 0..shape.z {
                for (sample, plane) in group(source, series, level, t, g, z)?.into_iter().enumerate() {
                    let c = g * s.samples + sample as u64;
                    all[((t * shape.c + c) * shape.z + z) as usize] = plane;
                }
            }
        }
    }
    Ok(all)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Is this format looked at? `FUZARR_FORMATS` (names with commas between) leaves out all others, for whoever works on one.
fn wanted(format: &str) -> bool {
    std::env::var("FUZARR_FORMATS").map_or(true, |list| list.split(',').any(|f| f == format))
}

/// Tags of the first directory decide what is in scope: any compression but those that are refused.
fn in_scope(path: &Path) -> bool {
    if path.extension().is_some_and(|e| e == "ome") {
        return true;
    }
    let root = Arc::new(OwnedFd::from(File::open(path.parent().unwrap()).unwrap()));
    let file = SourceFile::open(&root, Path::new(path.file_name().unwrap())).unwrap();
    let tiff = format::tiff::header::TiffFile::open(Arc::new(file)).unwrap();
    let ifd = format::tiff::ifd::Ifd::read(&tiff, tiff.first_ifd).unwrap();
    let compression = ifd.u64(259).unwrap().unwrap_or(1);
    !matches!(compression, 6 | 34661 | 34892)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn micrometers(quantity: Option<&Quantity>) -> Option<f64> {
    quantity.and_then(|q| q.unit.as_ref().map(|u| q.value * u.factor() / 1e-6))
}

fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * b.abs(),
        (None, None) => true,
        _ => false,
    }
}

fn check_facts(s: &Series, want: &Value, wrong: &mut Vec<String>) {
    let shape = s.shape();
    let size = &want["size"];
    let sizes = [("x", shape.x), ("y", shape.y), ("z", shape.z), ("c", shape.c), ("t", shape.t)];
    for (axis, n) in sizes {
        if n != number(&size[axis]) {
            wrong.push(format!("{axis} is {n}, not {}", size[axis]));
        }
    }
    if s.dtype.name() != want["dtype"] {
        wrong.push(format!("dtype is {}, not {}", s.dtype.name(), want["dtype"]));
    }
    if (s.role == Role::Image) != (want["role"] == "image") {
        wrong.push(format!("role is {:?}, not {}", s.role, want["role"]));
    }
    let levels: Vec<Value> = s.levels.iter().map(|l| serde_json::json!([l.shape.x, l.shape.y])).collect();
    if want["levels"] != Value::from(levels.clone()) {
        wrong.push(format!("levels are {levels:?}, not {}", want["levels"]));
    }
    if let Some(physical) = want["physical_um"].as_object() {
        for (axis, q) in [("x", &s.physical.x), ("y", &s.physical.y), ("z", &s.physical.z)] {
            // An axis that is not there was not looked at by the oracle.
            let Some(want) = physical.get(axis) else { continue };
            if !close(micrometers(q.as_ref()), want.as_f64()) {
                wrong.push(format!("physical {axis} is {q:?}, not {want}"));
            }
        }
    }
    if let Some(seconds) = want["time_increment_s"].as_f64() {
        let t = s.physical.t.as_ref().map(|q| q.value * q.unit.as_ref().map_or(1.0, fuzarr::model::Unit::factor));
        if !close(t, Some(seconds)) {
            wrong.push(format!("time increment is {t:?}, not {seconds}"));
        }
    }
    for (i, channel) in want["channels"].as_array().into_iter().flatten().enumerate() {
        let Some(ours) = s.channels.get(i) else {
            wrong.push(format!("no channel {i}"));
            continue;
        };
        // Samples of RGB are channels of their own: `<name> R`.
        let name = ours.name.as_deref().map(|n| if s.rgb { n.trim_end_matches(" R") } else { n });
        if let Some(name) = channel["name"].as_str().filter(|n| Some(*n) != name) {
            wrong.push(format!("channel {i} is {:?}, not {name}", ours.name));
        }
        let color = ours.color.map(|c| c.hex().to_lowercase());
        if let Some(want) = channel["color_rgba"].as_str().filter(|w| {
            // Of Micro-Manager's colours the oracle gives the bytes as they stand: alpha first.
            color.as_deref() != Some(&w[..6]) && color.as_deref() != w.strip_prefix("ff")
        }) {
            wrong.push(format!("colour of channel {i} is {color:?}, not {want}"));
        }
        for (key, ours) in [("em_nm", ours.emission_nm), ("ex_nm", ours.excitation_nm)] {
            if channel[key].as_f64().is_some_and(|nm| !close(ours, Some(nm))) {
                wrong.push(format!("{key} of channel {i} is {ours:?}, not {}", channel[key]));
            }
        }
    }
}

/// Decoders of lossy files may differ a little.
fn near(plane: &[u8], s: &Series, level: usize, stats: &Value) -> bool {
    let (w, h) = (s.levels[level].shape.x as usize, s.levels[level].shape.y as usize);
    let mean = plane.iter().map(|v| f64::from(*v)).sum::<f64>() / plane.len() as f64;
    let probes = stats["probe"].as_array().cloned().unwrap_or_default();
    let probe = |k: usize| {
        let (i, j) = (k % 5, k / 5);
        f64::from(plane[(2 * j + 1) * h / 10 * w + (2 * i + 1) * w / 10])
    };
    (mean - stats["mean"].as_f64().unwrap_or(-9.0)).abs() <= 1.0
        && probes.iter().enumerate().all(|(k, v)| (probe(k) - v.as_f64().unwrap_or(-99.0)).abs() <= 6.0)
}

fn check_pixels(source: &dyn ImageSource, number: usize, want: &Value, lossy: bool, wrong: &mut Vec<String>) {
    let s = &source.series()[number];
    for level in 0..s.levels.len() {
        let hashes = want["planes"][level].as_array().cloned().unwrap_or_default();
        let ours = match planes(source, number as u32, level as u32) {
            Ok(ours) => ours,
            Err(e) => {
                wrong.push(format!("level {level}: {e}"));
                continue;
            }
        };
        if !hashes.is_empty() && hashes.len() != ours.len() {
            wrong.push(format!("level {level} has {} planes, not {}", ours.len(), hashes.len()));
            continue;
        }
        for (i, (plane, want_hash)) in ours.iter().zip(&hashes).enumerate() {
            let stats = &want["stats"][level][i];
            // Of reduced levels of lossy files, the manifest has nothing that another decoder could be held against.
            let tolerated = lossy && if stats.is_null() { level > 0 } else { near(plane, s, level, stats) };
            if want_hash != &Value::from(hash(plane)) && !tolerated {
                wrong.push(format!("level {level}, plane {i} differs"));
            }
        }
    }
}

#[test]
fn every_good_image_in_scope_reads_as_the_manifest_says() {
    let Some((root, manifest)) = corpus() else { return };
    let (mut checked, mut skipped, mut failed) = (0, Vec::new(), Vec::new());
    for entry in manifest["files"].as_array().unwrap() {
        let (format, name) = (entry["format"].as_str().unwrap(), entry["path"].as_str().unwrap());
        const DIALECTS: [&str; 9] =
            ["SVS", "NDPI", "SCN", "QPTIFF", "Philips TIFF", "BIF", "STK", "LSM", "Micro-Manager"];
        let own = CONTAINERS.contains(&format);
        let tiff = DIALECTS.contains(&format) || matches!(format, "OME-TIFF" | "TIFF" | "ImageJ");
        if !tiff && !own || !wanted(format) {
            continue;
        }
        let path = root.join(name);
        if tiff && !in_scope(&path) {
            skipped.push(name.to_owned());
            continue;
        }
        checked += 1;
        let mut wrong = Vec::new();
        match open(&path) {
            Err(e) => wrong.push(e.to_string()),
            Ok(source) => {
                let want = entry["expected"]["series"].as_array().unwrap();
                // The shape in a "shaped" description may be followed or not.
                let shaped = entry["feature"].as_str().is_some_and(|f| f.contains("\"shaped\""));
                // Of containers, the manifest leaves out the small pictures that lie beside the images.
                let expected = |s: &&Series| match &s.role {
                    Role::Associated(role) if own => {
                        want.iter().any(|w| w["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(role)))
                    }
                    _ => true,
                };
                let ours = source.series().iter().filter(expected).count();
                if ours != want.len() {
                    wrong.push(format!("{ours} series, not {}", want.len()));
                }
                for ((i, s), want) in source.series().iter().enumerate().filter(|(_, s)| expected(s)).zip(want) {
                    if !shaped {
                        check_facts(s, want, &mut wrong);
                    }
                    check_pixels(source.as_ref(), i, want, entry["lossy"] == true, &mut wrong);
                }
                assert!(source.heap_bytes() < 1 << 20, "{name}: {} bytes", source.heap_bytes());
            }
        }
        for text in wrong {
            failed.push(format!("{name}: {text}"));
        }
    }
    eprintln!("{checked} images checked; out of scope: {}", skipped.join(", "));
    assert!(failed.is_empty(), "{} faults:\n{}", failed.len(), failed.join("\n"));
    assert!(checked > 250 || std::env::var_os("FUZARR_FORMATS").is_some());
}

/// Some units of every series and level: enough to see errors, few enough for sizes that nobody has.
fn sample_reads(source: &dyn ImageSource) -> Vec<Error> {
    let mut errors = Vec::new();
    for (number, s) in source.series().iter().enumerate().take(8) {
        let shape = s.shape();
        for level in 0..s.levels.len().min(8) {
            let l = s.levels[level];
            let (rows, columns) = l.grid();
            let ends = |n: u64| if n > 1 { vec![0, n - 1] } else { vec![0] };
            for t in ends(shape.t) {
                for g in ends(shape.c / s.samples) {
                    for z in ends(shape.z) {
                        for ty in ends(rows) {
                            for tx in ends(columns) {
                                let id = TileId { series: number as u32, level: level as u32, t, g, z, ty, tx };
                                let unit = source.fetch(id, &Watch::default()).and_then(|s| source.decode(id, s));
                                match unit {
                                    Ok(unit) => assert_eq!(unit.len() as u64, source.cost(id).decoded, "{id:?}"),
                                    Err(e) => errors.push(e),
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    errors
}

#[test]
fn every_bad_file_ends_as_the_manifest_says() {
    let Some((root, manifest)) = corpus() else { return };
    let mut failed = Vec::new();
    for entry in manifest["bad"].as_array().unwrap() {
        let (name, expect) = (entry["path"].as_str().unwrap(), entry["expect"].as_str().unwrap());
        let format = entry["format"].as_str().unwrap_or_default();
        let read = matches!(format, "OME-TIFF" | "TIFF" | "ImageJ") || CONTAINERS.contains(&format);
        if !read || !wanted(format) || expect == "skip" {
            continue;
        }
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| open(&root.join(name)).map(|s| (sample_reads(s.as_ref()), s))));
        let took = start.elapsed();
        let Ok(outcome) = outcome else {
            failed.push(format!("{name}: a panic"));
            continue;
        };
        if took > Duration::from_secs(30) {
            failed.push(format!("{name}: {took:?}"));
        }
        let shown = match &outcome {
            Ok((errors, source)) => {
                let first = errors.first().map(Error::reason).unwrap_or_default();
                format!("opens, {} failed reads ({first}), warnings {:?}", errors.len(), source.warnings())
            }
            Err(e) => format!("refused: {e}"),
        };
        println!("{expect:9} {name}: {shown}");
        let unsupported = matches!(&outcome, Err(e) if e.kind() == Kind::Unsupported);
        let right = match (expect, &outcome) {
            ("error", Ok((errors, source))) => {
                // Opening is no success if nothing inside can be read.
                !errors.is_empty() && source.series().iter().all(|s| s.shape().t * s.shape().z <= errors.len() as u64)
            }
            ("error", Err(_)) | ("ok" | "partial", Ok(_)) => true,
            ("partial", Err(_)) => unsupported,
            ("ok", Err(_)) => false,
            ("fallback", Ok((_, source))) => source.document().is_none(),
            _ => true,
        };
        let quiet = expect == "ok" && matches!(&outcome, Ok((errors, _)) if !errors.is_empty());
        if !right || quiet {
            failed.push(format!("{name}: expected {expect}, {shown}"));
        }
    }
    assert!(failed.is_empty(), "{} faults:\n{}", failed.len(), failed.join("\n"));
}
