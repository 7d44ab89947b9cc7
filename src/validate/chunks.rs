//! The files of an array: those of its grid are looked for, and files beyond it are found.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::array::{Array, Storage};
use super::node::is_absent;
use super::report::Report;

/// Chunks of an array that are looked for unless all are asked for.
pub const SAMPLE: u64 = 1000;
/// Entries of directories that are read in the search for files beyond the grid, for each array.
const LISTED_MAX: usize = 100_000;
/// Most inner chunks of a shard whose index is read.
const INDEX_MAX: u64 = 1 << 20;
/// Offset and length of an inner chunk that is not stored.
const NOT_STORED: u64 = u64::MAX;

/// Looks for the chunks of an array: all, or [`SAMPLE`] of them, evenly spread and the first and last among them.
pub fn check(root: &Path, array: &Array, all: bool, report: &mut Report) {
    let place = root.join(&array.path);
    let grid: Vec<u64> = array.shape.iter().zip(&array.chunks).map(|(n, c)| n.div_ceil(*c)).collect();
    let Some(total) = grid.iter().try_fold(1u64, |all, n| all.checked_mul(*n)) else {
        report.error(
            "array.shape",
            &array.path,
            format!("{:?} in chunks of {:?} has no end", array.shape, array.chunks),
        );
        return;
    };
    beyond(&place, array, &grid, report);
    let looked = if all { total } else { total.min(SAMPLE) };
    report.all_chunks &= looked == total;
    let Some(size) = size_of(&array.chunks, array.item) else {
        report.error("array.chunks", &array.path, format!("chunks of {:?} are larger than any file", array.chunks));
        return;
    };
    let absent = report.absent;
    for n in 0..looked {
        // The first and the last are always among them.
        let steps = u128::from(looked.max(2) - 1);
        let index = if looked == total { n } else { (u128::from(n) * u128::from(total - 1) / steps) as u64 };
        let name = name_of(array, &grid, index);
        report.chunks += 1;
        one(&place.join(&name), &name, array, size, report);
    }
    if looked > 0 && report.absent - absent == looked {
        let what = format!("no chunk file such as {}: readers see the fill value", name_of(array, &grid, 0));
        report.warn("chunk.none", &array.path, what);
    }
}

/// Bytes of so many samples.
fn size_of(shape: &[u64], item: u64) -> Option<u64> {
    shape.iter().try_fold(item, |all, n| all.checked_mul(*n)).filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// Name of a chunk by its place in C order.
fn name_of(array: &Array, grid: &[u64], mut index: u64) -> String {
    let mut parts: Vec<String> = Vec::with_capacity(grid.len() + 1);
    for n in grid.iter().rev() {
        parts.push((index % n).to_string());
        index /= n;
    }
    if array.prefixed {
        parts.push("c".to_owned());
    } else if parts.is_empty() {
        parts.push("0".to_owned());
    }
    parts.reverse();
    parts.join(&array.separator.to_string())
}

fn one(path: &Path, name: &str, array: &Array, size: u64, report: &mut Report) {
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(e) if is_absent(&e) => {
            report.absent += 1;
            return;
        }
        Err(e) => return report.error("chunk.file", &array.path, format!("{name}: {e}")),
    };
    if !about.is_file() {
        return report.error("chunk.file", &array.path, format!("{name} is no ordinary file"));
    }
    match &array.storage {
        Storage::Raw if about.len() != size => {
            let what =
                format!("{name} has {} bytes; {:?} samples of {} have {size}", about.len(), array.chunks, array.dtype);
            report.error("chunk.size", &array.path, what);
        }
        Storage::Coded if about.len() == 0 => report.error("chunk.size", &array.path, format!("{name} is empty")),
        Storage::Shards { inner, raw, checksum, at_end } => {
            let count = array.chunks.iter().zip(inner).try_fold(1u64, |all, (o, i)| all.checked_mul(o / i));
            let exact = if *raw { size_of(inner, array.item) } else { None };
            match count.filter(|n| *n <= INDEX_MAX) {
                Some(count) => {
                    if let Err(what) = shard(path, about.len(), count, *checksum, *at_end, exact) {
                        report.error("chunk.shard", &array.path, format!("{name}: {what}"));
                    }
                }
                None => report.warn("chunk.shard", &array.path, format!("{name}: more chunks than are looked at")),
            }
        }
        _ => {}
    }
}

/// The index of a shard: its checksum, and that every chunk lies inside the file and has the size it must have.
fn shard(path: &Path, bytes: u64, count: u64, checksum: bool, at_end: bool, exact: Option<u64>) -> Result<(), String> {
    let length = count * 16 + if checksum { 4 } else { 0 };
    if bytes < length {
        return Err(format!("{bytes} bytes; its index alone has {length}"));
    }
    let mut index = vec![0u8; usize::try_from(length).map_err(|e| e.to_string())?];
    let file = File::open(path).map_err(|e| e.to_string())?;
    file.read_exact_at(&mut index, if at_end { bytes - length } else { 0 }).map_err(|e| e.to_string())?;
    let (entries, sum) = index.split_at((count * 16) as usize);
    if checksum && sum != crc32c::crc32c(entries).to_le_bytes() {
        return Err("the checksum of the index is wrong".to_owned());
    }
    let mut stored = Vec::new();
    for (n, entry) in entries.chunks_exact(16).enumerate() {
        let (offset, length) = entry.split_at(8);
        let number = |b: &[u8]| b.iter().rev().fold(0u64, |all, b| all << 8 | u64::from(*b));
        let (offset, length) = (number(offset), number(length));
        if offset == NOT_STORED && length == NOT_STORED {
            continue;
        }
        if offset.checked_add(length).is_none_or(|end| end > bytes) {
            return Err(format!("chunk {n} at {offset} with {length} bytes lies outside of {bytes} bytes"));
        }
        if let Some(exact) = exact.filter(|exact| *exact != length) {
            return Err(format!("chunk {n} has {length} bytes, not {exact}"));
        }
        stored.push((offset, offset + length, n));
    }
    stored.sort_unstable();
    // The same bytes may stand for several chunks, but never a part of them.
    let crossed = stored.windows(2).find(|w| w[1].0 < w[0].1 && (w[0].0, w[0].1) != (w[1].0, w[1].1));
    match crossed {
        Some(w) => Err(format!("chunks {} and {} share bytes", w[0].2, w[1].2)),
        None => Ok(()),
    }
}

/// Warns of files beyond the grid: leftovers of an array that was larger, or chunks under names that nobody reads.
fn beyond(place: &Path, array: &Array, grid: &[u64], report: &mut Report) {
    if array.separator != '/' {
        return;
    }
    let top = if array.prefixed { place.join("c") } else { place.to_owned() };
    let mut waiting: Vec<(PathBuf, usize)> = vec![(top.clone(), 0)];
    let mut left = LISTED_MAX;
    while let Some((folder, depth)) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.filter_map(Result::ok) {
            left = match left.checked_sub(1) {
                Some(left) => left,
                None => return,
            };
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let number = name.parse::<u64>().ok().filter(|n| n.to_string() == *name);
            let inside = number.is_some_and(|n| grid.get(depth).is_some_and(|length| n < *length));
            if !inside {
                // Beside the chunks of version 2 lie its documents.
                if depth > 0 || array.prefixed || number.is_some() {
                    let path = entry.path();
                    let shown = path.strip_prefix(place).unwrap_or(&path).display().to_string();
                    report.warn("chunk.beyond", &array.path, format!("{shown} is no chunk of the grid {grid:?}"));
                }
            } else if depth + 1 < grid.len() {
                waiting.push((entry.path(), depth + 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::Zarr;
    use super::*;

    fn array(storage: Storage) -> Array {
        Array {
            path: "0".into(),
            format: Zarr::V3,
            shape: vec![2, 5],
            chunks: vec![1, 4],
            dtype: "uint16".into(),
            item: 2,
            separator: '/',
            prefixed: true,
            storage,
            names: None,
        }
    }

    #[test]
    fn names_follow_the_key_encoding() {
        let mut array = array(Storage::Raw);
        assert_eq!(
            (0..4).map(|n| name_of(&array, &[2, 2], n)).collect::<Vec<_>>(),
            ["c/0/0", "c/0/1", "c/1/0", "c/1/1"]
        );
        array.separator = '.';
        assert_eq!(name_of(&array, &[2, 2], 3), "c.1.1");
        array.prefixed = false;
        assert_eq!(name_of(&array, &[2, 2], 2), "1.0");
        assert_eq!(name_of(&array, &[], 0), "0");
    }

    #[test]
    fn sizes_absences_and_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let rows = |y: u8| folder.path().join(format!("0/c/{y}"));
        for y in 0..3 {
            std::fs::create_dir_all(rows(y)).unwrap();
        }
        std::fs::write(rows(0).join("0"), [0; 8]).unwrap();
        std::fs::write(rows(0).join("1"), [0; 2]).unwrap();
        std::fs::write(rows(1).join("2"), [0; 8]).unwrap();
        let mut report = Report { all_chunks: true, ..Report::default() };
        check(folder.path(), &array(Storage::Raw), false, &mut report);
        assert_eq!((report.chunks, report.absent, report.all_chunks), (4, 2, true));
        assert_eq!((report.errors, report.warnings), (1, 2), "{:?}", report.findings);
        let size = report.findings.iter().find(|f| f.rule == "chunk.size").unwrap();
        assert!(size.message.contains("c/0/1 has 2 bytes") && size.message.ends_with("have 8"), "{}", size.message);
        let mut beyond: Vec<&str> =
            report.findings.iter().filter(|f| f.rule == "chunk.beyond").map(|f| &*f.message).collect();
        beyond.sort();
        assert_eq!(beyond, ["c/1/2 is no chunk of the grid [2, 2]", "c/2 is no chunk of the grid [2, 2]"]);
    }

    #[test]
    fn a_sample_has_the_first_and_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let mut array = array(Storage::Coded);
        array.shape = vec![2, 4 * 5000];
        std::fs::create_dir_all(folder.path().join("0/c/1")).unwrap();
        std::fs::write(folder.path().join("0/c/1/4999"), []).unwrap();
        let mut report = Report { all_chunks: true, ..Report::default() };
        check(folder.path(), &array, false, &mut report);
        assert_eq!((report.chunks, report.absent, report.all_chunks), (SAMPLE, SAMPLE - 1, false));
        assert_eq!(report.findings[0].message, "c/1/4999 is empty");
        array.shape = vec![u64::MAX, u64::MAX];
        check(folder.path(), &array, false, &mut report);
        assert_eq!(report.findings.last().unwrap().rule, "array.shape");
    }

    #[test]
    fn the_index_of_a_shard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let build = |offset: u64, length: u64, sum: u32| {
            let mut bytes = vec![7u8; 8];
            bytes.extend([offset.to_le_bytes(), length.to_le_bytes(), [255; 8], [255; 8]].concat());
            let crc = crc32c::crc32c(&bytes[8..]) ^ sum;
            bytes.extend(crc.to_le_bytes());
            std::fs::write(&path, &bytes).unwrap();
            shard(&path, bytes.len() as u64, 2, true, true, Some(8))
        };
        assert_eq!(build(0, 8, 0), Ok(()));
        assert!(build(0, 8, 1).unwrap_err().contains("checksum"));
        assert!(build(60, 8, 0).unwrap_err().contains("outside"));
        assert!(build(u64::MAX - 3, 8, 0).unwrap_err().contains("outside"));
        assert!(build(0, 6, 0).unwrap_err().contains("not 8"));
        std::fs::write(&path, [[0u8; 8], 8u64.to_le_bytes(), 4u64.to_le_bytes(), 8u64.to_le_bytes()].concat()).unwrap();
        assert!(shard(&path, 32, 2, false, false, None).unwrap_err().contains("0 and 1 share"));
        assert!(shard(&path, 10, 2, true, true, None).unwrap_err().contains("index alone has 36"));
    }
}
