//! What every reader must do, whatever the format: the same checks on every kept input of the fuzz targets and, where the
//! sample set is beside the repository, on every image of it that is not large.

#[path = "../common/mod.rs"]
mod common;
mod files;
mod pixels;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fuzarr::error::Kind;
use fuzarr::format::{FORMATS, ImageSource, Limits, Member};
use fuzarr::io::Watch;

use files::{Dataset, Fault};
use pixels::{Planes, differences, errors, places, read, unit, units};

/// Larger files would take minutes: each is opened and read some hundred times.
const LARGEST: u64 = 400_000;

fn datasets() -> Vec<Arc<Dataset>> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut all = Vec::new();
    for target in std::fs::read_dir(kept).unwrap().map(Result::unwrap) {
        for input in std::fs::read_dir(target.path()).unwrap().map(Result::unwrap) {
            let label = format!("{}/{}", target.file_name().display(), input.file_name().display());
            all.push(Dataset::on_disk(&input.path(), label));
        }
    }
    if let Some(root) = common::corpus() {
        let text = std::fs::read_to_string(root.join("manifest.json")).expect("the manifest");
        let manifest: serde_json::Value = serde_json::from_str(&text).expect("manifest.json");
        for entry in manifest["files"].as_array().expect("files") {
            let name = entry["path"].as_str().expect("path");
            all.push(Dataset::on_disk(&root.join(name), name.to_owned()));
        }
    }
    let only = std::env::var("FUZARR_ONLY").unwrap_or_default();
    all.retain(|d| d.label.contains(&only) && d.len() <= LARGEST);
    all.sort_by(|a, b| a.label.cmp(&b.label));
    all.into_iter().map(Arc::new).collect()
}

/// Runs `check` on every dataset that opens, with what reads of it in order give; fails with all that was found.
fn all(what: &str, check: impl Fn(&Arc<Dataset>, &Arc<dyn ImageSource>, &Planes) -> Vec<String> + Sync) {
    let datasets = datasets();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let (faults, formats) = (std::sync::Mutex::new(Vec::new()), std::sync::Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(dataset) = datasets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tried = catch_unwind(AssertUnwindSafe(|| {
                        let (name, source) = dataset.open(&Limits::default(), &Fault::default()).ok()?;
                        *formats.lock().unwrap().entry(name).or_insert(0) += 1;
                        Some(check(dataset, &source, &read(source.as_ref(), false)))
                    }));
                    let found = tried.unwrap_or_else(|_| Some(vec!["a panic".to_owned()])).unwrap_or_default();
                    let found = found.into_iter().take(5);
                    faults.lock().unwrap().extend(found.map(|f| format!("{}: {f}", dataset.label)));
                }
            });
        }
    });
    let (faults, formats) = (faults.into_inner().unwrap(), formats.into_inner().unwrap());
    println!("{what}: {formats:?}");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    if std::env::var_os("FUZARR_ONLY").is_none() {
        for format in FORMATS {
            assert!(formats.contains_key(format.name()), "{} was not looked at", format.name());
        }
    }
}

#[test]
fn regions_do_not_depend_on_what_was_read_before() {
    all("regions", |dataset, _, planes| {
        let (_, fresh) = dataset.open(&Limits::default(), &Fault::default()).expect("it opened before");
        let again = read(fresh.as_ref(), true);
        let lost = errors(&again).filter(|(p, _)| planes[p].samples.is_ok()).map(|(p, e)| format!("{p:?}: {e}"));
        differences(planes, &again).into_iter().chain(lost).collect()
    });
}

#[test]
fn units_of_any_size_show_the_same() {
    all("sizes of units", |dataset, _, planes| {
        let mut found = Vec::new();
        for unit_bytes in [64, 700, 5000] {
            let limits = Limits { unit_bytes, ..Limits::default() };
            match dataset.open(&limits, &Fault::default()) {
                Ok((_, source)) => {
                    let cut = read(source.as_ref(), false);
                    found.extend(differences(planes, &cut).into_iter().map(|d| format!("{unit_bytes} bytes: {d}")));
                    let other = errors(&cut).filter(|(p, e)| planes[p].samples.is_ok() && e.kind() != Kind::OverLimit);
                    found.extend(other.map(|(p, e)| format!("{unit_bytes} bytes: {p:?}: {e}")));
                }
                Err(e) if e.kind() == Kind::OverLimit => {}
                Err(e) => found.push(format!("{unit_bytes} bytes: {e}")),
            }
        }
        found
    });
}

#[test]
fn threads_agree_with_one() {
    all("threads", |dataset, _, planes| {
        let (_, source) = dataset.open(&Limits::default(), &Fault::default()).expect("it opened before");
        let found = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (source, found) = (source.as_ref(), &found);
                scope.spawn(move || {
                    let mut seen = differences(planes, &read(source, thread % 2 == 1));
                    found.lock().unwrap().append(&mut seen);
                });
            }
        });
        found.into_inner().unwrap()
    });
}

#[test]
fn members_and_costs_are_sound() {
    all("structure", |_, source, planes| {
        let mut found = Vec::new();
        let mut wrong = |what: String| found.push(what);
        let members = source.members().len() as u32;
        if members == 0 || source.canonical().is_none() {
            wrong("no members".into());
        }
        for (number, s) in (0..).zip(source.series()) {
            if s.channels.len() as u64 != s.shape().c || s.shape().c % s.samples != 0 {
                wrong(format!("series {number}: {} channels for {:?}", s.channels.len(), s.shape()));
            }
            let sides = |l: &fuzarr::model::Level| (l.shape.y, l.shape.x);
            if !s.levels.iter().map(sides).is_sorted_by(|a, b| a.0 >= b.0 && a.1 >= b.1) {
                wrong(format!("series {number}: levels grow"));
            }
            if source.series_members(number).iter().any(|m| *m >= members) {
                wrong(format!("series {number}: a member beyond the last"));
            }
        }
        for place in places(source.as_ref()) {
            let (series, level, t, g, z) = place;
            match source.plane_member(series, t, g, z) {
                Ok(Some(m)) if m >= members && m != Member::EVERY => wrong(format!("{place:?}: member {m}")),
                Ok(None) if matches!(&planes[&place].samples, Ok(Some(_))) => {
                    wrong(format!("{place:?}: stored nowhere"))
                }
                _ => {}
            }
            let largest = units(source.as_ref(), place).into_iter().map(|id| source.cost(id).decoded).max();
            if largest.is_none_or(|n| n == 0 || n > Limits::default().unit_bytes) {
                wrong(format!("{place:?} level {level}: units of {largest:?} bytes"));
            }
        }
        if source.heap_bytes() > Limits::default().index_bytes {
            wrong(format!("{} bytes kept", source.heap_bytes()));
        }
        found
    });
}

#[test]
fn a_file_cut_anywhere_never_shows_something_else() {
    all("truncation", |dataset, _, planes| {
        let length = dataset.len();
        let step = (length / 150).max(1);
        let cuts = (0..length).filter(|n| n % step == 0 || *n < 16 || *n + 16 > length);
        let mut found = Vec::new();
        for cut in cuts {
            let fault = Fault { cut: Some(cut), ..Fault::default() };
            let tried = catch_unwind(AssertUnwindSafe(|| {
                let (_, source) = dataset.open(&Limits::default(), &fault).ok()?;
                // What is left out is said: a series less, planes that an index no longer names.
                let said = !source.warnings().is_empty();
                Some(if said { Vec::new() } else { differences(planes, &read(source.as_ref(), false)) })
            }));
            match tried {
                Err(_) => found.push(format!("cut at {cut}: a panic")),
                Ok(seen) => found.extend(seen.into_iter().flatten().map(|d| format!("cut at {cut} of {length}: {d}"))),
            }
        }
        found
    });
}

#[test]
fn a_call_that_fails_once_is_an_error_once() {
    all("failing calls", |dataset, _, planes| {
        let counted = Fault::default();
        let Ok((_, source)) = dataset.open(&Limits::default(), &counted) else { return Vec::new() };
        let opening = counted.calls.load(Ordering::Relaxed);
        read(source.as_ref(), false);
        let total = counted.calls.load(Ordering::Relaxed);
        let mut found = Vec::new();
        for fails in (0..total).step_by((total / 60).max(1) as usize) {
            let fault = Fault { fails: Some(fails), ..Fault::default() };
            match dataset.open(&Limits::default(), &fault) {
                Ok((_, source)) => {
                    if fault.calls.load(Ordering::Relaxed) > fails && source.warnings().is_empty() {
                        // Something asked for was not given, and nobody says so: then it must not matter.
                        let seen = differences(planes, &read(source.as_ref(), false));
                        found.extend(seen.into_iter().map(|d| format!("call {fails} of {opening} while opening: {d}")));
                        continue;
                    }
                    for (turn, planes_now) in
                        [read(source.as_ref(), false), read(source.as_ref(), true)].iter().enumerate()
                    {
                        let seen = differences(planes, planes_now);
                        found.extend(seen.into_iter().map(|d| format!("call {fails}, turn {turn}: {d}")));
                        // A member that could not be looked at stays lost until the image is opened again, and that is said.
                        let said = !source.warnings().is_empty();
                        let stays = errors(planes_now).filter(|(p, _)| !said && turn > 0 && planes.contains_key(p));
                        found.extend(stays.map(|(p, e)| format!("call {fails} fails for ever: {p:?}: {e}")));
                    }
                }
                Err(e) if e.kind() == Kind::Io => {}
                Err(e) => found.push(format!("call {fails} of {opening} while opening: {e}")),
            }
        }
        found
    });
}

#[test]
fn a_unit_that_nobody_waits_for_is_left() {
    all("interruption", |dataset, _, planes| {
        let (_, source) = dataset.open(&Limits::default(), &Fault::default()).expect("it opened before");
        let watch = Watch::default();
        watch.abandon();
        let first = units(source.as_ref(), *planes.keys().next().expect("a plane"))[0];
        let given_up = source.fetch(first, &watch).err().is_none_or(|e| e.kind() == Kind::Interrupted);
        let works = unit(source.as_ref(), first).is_ok() || planes.values().next().is_some_and(|p| p.samples.is_err());
        [(given_up, "gives up with another error"), (works, "does not come back")]
            .into_iter()
            .filter(|(right, _)| !right)
            .map(|(_, what)| what.to_owned())
            .collect()
    });
}
