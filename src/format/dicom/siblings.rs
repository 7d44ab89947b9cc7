//! The files of a series: those of the same folder with the same SeriesInstanceUID.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use lru::LruCache;

use super::header::Header;
use crate::error::{Error, Kind, Result};
use crate::format::strided::Members;
use crate::format::{Limits, Place};
use crate::io::{Fingerprint, ReadAt, Watch};
use crate::sync::{Arc, Mutex, OnceLock, lock};

/// Most files in a folder that is looked through.
const MAX_FILES: usize = 1 << 16;
/// Series of so many files are remembered.
const KNOWN_FILES: NonZeroUsize = NonZeroUsize::new(1 << 14).unwrap();
/// Bytes of headers that are remembered.
const KNOWN_BYTES: u64 = 8 << 20;

/// A file of the dataset.
pub(super) struct Found {
    /// Its name beneath the folder.
    pub name: PathBuf,
    /// Number, as [`Members`] counts.
    pub member: u32,
    pub header: Arc<Header>,
}

/// What was read of files lately, by their state: every file of a folder is opened once for each of its images.
struct Known {
    series: LruCache<Fingerprint, Arc<str>>,
    headers: LruCache<Fingerprint, Arc<Header>>,
    bytes: u64,
}

fn known() -> &'static Mutex<Known> {
    static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        Mutex::new(Known { series: LruCache::new(KNOWN_FILES), headers: LruCache::new(KNOWN_FILES), bytes: 0 })
    })
}

/// Files in memory have no state that tells them apart.
fn has_state(print: &Fingerprint) -> bool {
    print.ino != 0
}

fn header_of(file: &Arc<dyn ReadAt>, limits: &Limits, watch: &Watch) -> Result<Arc<Header>> {
    let print = file.fingerprint();
    if has_state(&print)
        && let Some(header) = lock(known()).headers.get(&print)
    {
        return Ok(Arc::clone(header));
    }
    let header = Arc::new(Header::read(file, limits, watch)?);
    let bytes = header.heap_bytes();
    if has_state(&print) && bytes < KNOWN_BYTES / 8 {
        let mut known = lock(known());
        known.bytes += bytes;
        if let Some((_, old)) = known.headers.push(print, Arc::clone(&header)) {
            known.bytes = known.bytes.saturating_sub(old.heap_bytes());
        }
        while known.bytes > KNOWN_BYTES {
            let Some((_, old)) = known.headers.pop_lru() else { break };
            known.bytes = known.bytes.saturating_sub(old.heap_bytes());
        }
    }
    Ok(header)
}

/// The series that a file belongs to; empty if it is none that could be shown.
fn series_of(file: &Arc<dyn ReadAt>, watch: &Watch) -> Result<Arc<str>> {
    let print = file.fingerprint();
    if has_state(&print)
        && let Some(series) = lock(known()).series.get(&print)
    {
        return Ok(Arc::clone(series));
    }
    let series: Arc<str> = match Header::series_of(file, watch) {
        Ok(series) => series.into(),
        // What is wrong with another file is its own affair.
        Err(e) if e.about_content() => "".into(),
        Err(e) => return Err(e),
    };
    if has_state(&print) {
        lock(known()).series.put(print, Arc::clone(&series));
    }
    Ok(series)
}

/// Is this the name of a DICOM file?
fn is_named(name: &Path, endings: &[&str]) -> bool {
    let name = name.as_os_str().as_encoded_bytes();
    let ends = |e: &&str| name.len() > e.len() && name[name.len() - e.len()..].eq_ignore_ascii_case(e.as_bytes());
    name.first() != Some(&b'.') && endings.iter().any(ends)
}

/// All files of the series of a file, in the order of their names, and what was noticed.
///
/// # Errors
/// Those of the file itself; `OverLimit` for too many.
pub(super) fn collect(
    file: &Arc<dyn ReadAt>,
    place: &Place<'_>,
    endings: &[&str],
    limits: &Limits,
    watch: &Watch,
) -> Result<(Vec<Found>, Members, Vec<String>)> {
    let own = header_of(file, limits, watch)?;
    let mut members = Members::new(Arc::clone(file), place);
    let own_name = place.path.file_name().map(PathBuf::from).unwrap_or_default();
    let mut held = own.heap_bytes();
    let mut found = vec![Found { name: own_name.clone(), member: 0, header: Arc::clone(&own) }];
    let mut warnings = Vec::new();
    let names = match file.beside(MAX_FILES) {
        _ if own.series.is_empty() => Vec::new(),
        Ok(names) => names,
        Err(e) if e.kind() == Kind::Interrupted => return Err(e),
        Err(e) => {
            warnings.push(format!("other files of the series were not looked for: {}", e.reason()));
            Vec::new()
        }
    };
    let mut names: Vec<PathBuf> = names.into_iter().map(PathBuf::from).collect();
    names.retain(|n| *n != own_name && is_named(n, endings));
    names.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    for name in names {
        watch.tick();
        watch.check()?;
        match sibling(&name, &own.series, place, limits, watch) {
            Ok(None) => {}
            Ok(Some((file, header))) => {
                held = held.saturating_add(header.heap_bytes());
                if held > limits.index_bytes {
                    return Err(Error::over_limit(format!("a series of more than {} files", found.len())));
                }
                let member = members.add_open(&name, &file)?;
                found.push(Found { name, member, header });
            }
            Err(e) if e.about_content() => {
                warnings.push(format!("another file of the series is left out: {}", e.reason()));
            }
            Err(e) => return Err(e),
        }
    }
    found.sort_by(|a, b| a.name.as_os_str().cmp(b.name.as_os_str()));
    Ok((found, members, warnings))
}

/// An open file with its header.
type Opened = (Arc<dyn ReadAt>, Arc<Header>);

/// Another file with its header, if it is of this series.
fn sibling(name: &Path, series: &str, place: &Place<'_>, limits: &Limits, watch: &Watch) -> Result<Option<Opened>> {
    let file = match (place.open)(name) {
        Ok(file) => file,
        // Gone, or not for us: nobody knows which series it is of.
        Err(e) if e.kind() != Kind::Interrupted => return Ok(None),
        Err(e) => return Err(e),
    };
    if file.len() < 16 || &*series_of(&file, watch)? != series {
        return Ok(None);
    }
    let header = header_of(&file, limits, watch)?;
    Ok((header.series == series).then_some((file, header)))
}

/// Numbers by what `key` says of each, groups in the order in which they appear.
pub(super) fn grouped(which: &[usize], key: impl Fn(usize) -> String) -> Vec<(String, Vec<usize>)> {
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for number in which {
        let key = key(*number);
        match known.get(&key).and_then(|at| groups.get_mut(*at)) {
            Some((_, list)) => list.push(*number),
            None => {
                known.insert(key.clone(), groups.len());
                groups.push((key, vec![*number]));
            }
        }
    }
    groups
}
