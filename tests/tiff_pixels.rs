//! Pixels of TIFF pages against other decoders: the hashes of the sample set, and the `tiff` crate.

mod common;

use std::collections::HashSet;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuzarr::error::{Kind, Result};
use fuzarr::format::tiff::compression::Compression;
use fuzarr::format::tiff::header::TiffFile;
use fuzarr::format::tiff::page::Page;
use fuzarr::format::{Limits, Stored};
use fuzarr::io::{MemoryFile, Watch};
use serde_json::Value;

fn manifest(corpus: &Path) -> Value {
    serde_json::from_slice(&fs::read(corpus.join("manifest.json")).unwrap()).unwrap()
}

/// Every page of the main chain and one level of SubIFDs.
fn pages(data: Vec<u8>, limits: &Limits) -> Result<Vec<Result<Page>>> {
    let file = TiffFile::open(Arc::new(MemoryFile(data)))?;
    let mut chain = file.chain(100_000);
    let mut pages = Vec::new();
    while let Some(ifd) = chain.next_ifd()? {
        let page = Page::from_ifd(&file, ifd, limits);
        let below = page.as_ref().ok().and_then(|p| p.sub_ifds().ok()).unwrap_or_default();
        pages.push(page);
        pages.extend(below.into_iter().map(|offset| Page::parse(&file, offset, limits)));
    }
    Ok(pages)
}

/// The planes of a page, one for each sample.
fn planes(page: &Page) -> Result<Vec<Vec<u8>>> {
    let (layout, watch) = (&page.layout, Watch::default());
    let size = layout.dtype.size();
    let (unit, row) = (page.unit(), layout.width as usize * size);
    let mut planes = vec![vec![0; row * layout.height as usize]; layout.shown_samples() as usize];
    for ty in 0..layout.height.div_ceil(unit.y) {
        for tx in 0..layout.width.div_ceil(unit.x) {
            for group in 0..layout.shown_samples() / page.samples_per_unit() {
                let (rows, columns) = page.unit_size(ty, tx);
                let stored = page.fetch(ty, tx, group, &watch)?;
                let samples = page.decode(ty, tx, stored)?;
                let line = columns as usize * size;
                assert_eq!(samples.len(), rows as usize * line * page.samples_per_unit() as usize);
                for (s, plane) in samples.chunks_exact(rows as usize * line).enumerate() {
                    let target = &mut planes[group as usize * page.samples_per_unit() as usize + s];
                    for (y, source) in plane.chunks_exact(line).enumerate() {
                        let at = (ty * unit.y) as usize * row + y * row + (tx * unit.x) as usize * size;
                        target[at..at + line].copy_from_slice(source);
                    }
                }
            }
        }
    }
    Ok(planes)
}

fn hashes(entry: &Value) -> HashSet<String> {
    let series = entry["expected"]["series"].as_array().unwrap();
    let levels = series.iter().flat_map(|s| s["planes"].as_array().unwrap());
    levels.flat_map(|l| l.as_array().unwrap()).map(|h| h.as_str().unwrap().to_owned()).collect()
}

fn sha256(plane: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(plane).iter().map(|b| format!("{b:02x}")).collect()
}

/// Limits that cut everything compressed into bands of a few rows.
fn tiny() -> Limits {
    Limits { unit_bytes: 1000, ..Limits::default() }
}

#[test]
fn pages_equal_the_sample_set() {
    let Some(corpus) = common::corpus() else { return };
    let (mut pixels, mut refused, mut wrong) = (0, 0, Vec::new());
    for entry in manifest(&corpus)["files"].as_array().unwrap() {
        let (path, format) = (entry["path"].as_str().unwrap(), entry["format"].as_str().unwrap());
        if !["TIFF", "OME-TIFF", "ImageJ"].contains(&format) || path.ends_with(".ome") || !entry["members"].is_null() {
            continue;
        }
        let (expected, lossy) = (hashes(entry), entry["lossy"] == true);
        let data = fs::read(corpus.join(path)).unwrap();
        for (limits, name) in [(Limits::default(), "whole"), (tiny(), "bands")] {
            for page in pages(data.clone(), &limits).unwrap() {
                let page = match page {
                    Ok(page) => page,
                    Err(e) => {
                        assert_eq!(e.kind(), Kind::Unsupported, "{path}: {e}");
                        refused += 1;
                        continue;
                    }
                };
                if name == "bands" && page.layout.compression == Compression::JPEG {
                    continue;
                }
                match planes(&page) {
                    Ok(planes) => {
                        let bad = planes.iter().filter(|p| !expected.contains(&sha256(p))).count();
                        if bad > 0 && !lossy && !expected.is_empty() {
                            wrong.push(format!("{path} {name}: {bad} of {} planes differ", planes.len()));
                        }
                        pixels += planes.len();
                    }
                    // A window that does not fit is said, not held.
                    Err(e) if name == "bands" && e.kind() == Kind::OverLimit => {}
                    Err(e) => wrong.push(format!("{path} {name}: {e}")),
                }
            }
        }
    }
    println!("{pixels} planes, {refused} pages refused");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(pixels > 500);
}

#[test]
fn broken_files_are_harmless() {
    let Some(corpus) = common::corpus() else { return };
    for folder in ["tiff", "real", "ome", "imagej"] {
        let files = fs::read_dir(corpus.join("bad").join(folder)).unwrap().map(|f| f.unwrap().path());
        for path in files.filter(|p| p.is_file()) {
            let start = Instant::now();
            let data = fs::read(&path).unwrap();
            for limits in [Limits::default(), tiny()] {
                let Ok(pages) = pages(data.clone(), &limits) else { continue };
                for page in pages.iter().flatten().take(50) {
                    let _ = (page.description(1 << 20), page.colormap(), page.resolution(), page.date_time());
                    some_units(page, &limits);
                }
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{}: {:?}", path.display(), start.elapsed());
        }
    }
}

/// Decodes the units in the corners; none may be larger than the limits allow.
fn some_units(page: &Page, limits: &Limits) {
    let (unit, layout) = (page.unit(), &page.layout);
    let (down, across) = (layout.height.div_ceil(unit.y), layout.width.div_ceil(unit.x));
    for (ty, tx) in [(0, 0), (down - 1, across - 1), (0, across - 1), (down / 2, across / 2)] {
        let Ok(stored) = page.fetch(ty, tx, 0, &Watch::default()) else { continue };
        if let Stored::Encoded { bytes, .. } = &stored {
            assert!((bytes.len() as u64) < 4 * limits.unit_bytes.max(1 << 20));
        }
        if let Ok(samples) = page.decode(ty, tx, stored) {
            assert_eq!(samples.len() as u64, page.cost(ty, tx).decoded);
        }
    }
}

/// The chunky samples that the `tiff` crate gives for each page, little-endian.
fn other_decoder(data: &[u8]) -> Vec<Option<Vec<u8>>> {
    use tiff::decoder::{Decoder, DecodingResult, Limits};
    let bytes = |result: DecodingResult| match result {
        DecodingResult::U8(v) => v,
        DecodingResult::I8(v) => v.iter().map(|v| *v as u8).collect(),
        DecodingResult::U16(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DecodingResult::I16(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DecodingResult::F16(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DecodingResult::U32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DecodingResult::I32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DecodingResult::F32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DecodingResult::U64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DecodingResult::I64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DecodingResult::F64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
    };
    let mut images = Vec::new();
    let Ok(decoder) = Decoder::new(Cursor::new(data)) else { return images };
    let mut decoder = decoder.with_limits(Limits::default());
    loop {
        images.push(decoder.read_image().ok().map(bytes));
        if !decoder.more_images() || decoder.next_image().is_err() {
            return images;
        }
    }
}

#[test]
fn pages_equal_another_decoder() {
    let Some(corpus) = common::corpus() else { return };
    let mut compared = 0;
    for entry in manifest(&corpus)["files"].as_array().unwrap() {
        let (path, format) = (entry["path"].as_str().unwrap(), entry["format"].as_str().unwrap());
        if !["TIFF", "OME-TIFF", "ImageJ"].contains(&format) || entry["lossy"] == true {
            continue;
        }
        let data = fs::read(corpus.join(path)).unwrap();
        let Ok(file) = TiffFile::open(Arc::new(MemoryFile(data.clone()))) else { continue };
        let mut chain = file.chain(1000);
        for other in other_decoder(&data) {
            let Some(ifd) = chain.next_ifd().unwrap() else { break };
            let Ok(page) = Page::from_ifd(&file, ifd, &Limits::default()) else { continue };
            let layout = page.layout;
            // It inverts MinIsWhite, ignores FillOrder, leaves packed bits packed and reads the first plane alone where samples lie apart.
            let alike = layout.photometric != 0
                && layout.bits == layout.dtype.size() as u32 * 8
                && layout.number != fuzarr::codec::raster::Number::Float
                && !layout.reversed_bits
                && !layout.planar;
            let Some(other) = other.filter(|_| alike) else { continue };
            let planes = planes(&page).unwrap();
            if other.len() != planes.iter().map(Vec::len).sum::<usize>() {
                continue;
            }
            let size = layout.dtype.size();
            let pixels = other.chunks_exact(size * planes.len()).enumerate();
            let differs = pixels.into_iter().any(|(i, pixel)| {
                planes.iter().zip(pixel.chunks_exact(size)).any(|(p, v)| &p[i * size..(i + 1) * size] != v)
            });
            assert!(!differs, "{path}: not what the tiff crate decodes");
            compared += 1;
        }
    }
    println!("{compared} pages compared");
    assert!(compared > 100);
}

/// Good files with some bytes changed or their end missing: never a panic, whatever the outcome.
/// FUZARR_ROUNDS sets how many copies of each are tried.
#[test]
fn damaged_copies_are_harmless() {
    let Some(corpus) = common::corpus() else { return };
    let rounds = std::env::var("FUZARR_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for entry in manifest(&corpus)["files"].as_array().unwrap() {
        let (path, format) = (entry["path"].as_str().unwrap(), entry["format"].as_str().unwrap());
        if !["TIFF", "OME-TIFF", "ImageJ"].contains(&format) || entry["bytes"].as_u64() > Some(100_000) {
            continue;
        }
        let good = fs::read(corpus.join(path)).unwrap();
        for round in 0..rounds {
            let mut data = good.clone();
            if round % 4 == 3 {
                data.truncate(random(good.len()));
            }
            for _ in 0..1 + random(8) {
                // Every other change hits the ends, where directories lie.
                let at = if random(2) == 0 { random(data.len()) } else { random(data.len().min(512)) };
                let at = if random(2) == 0 { at } else { data.len().saturating_sub(1 + at) };
                if let Some(byte) = data.get_mut(at) {
                    *byte = if random(4) == 0 { 0xff } else { random(256) as u8 };
                }
            }
            let start = Instant::now();
            for limits in [Limits::default(), tiny(), Limits { palette_rgb: true, ..Limits::default() }] {
                let Ok(pages) = pages(data.clone(), &limits) else { continue };
                for page in pages.iter().flatten().take(10) {
                    let _ = (page.description(1 << 20), page.colormap(), page.resolution(), page.date_time());
                    some_units(page, &limits);
                }
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{path}, round {round}: {:?}", start.elapsed());
        }
    }
}
