//! Finding the sidecars of a file, reading them, and putting them on top of each other.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use super::check::{checked, open};
use super::node::{Fault, Node, decoded};
use super::{Beside, Facts, Problem, Sidecars, json, table, yaml};
use crate::error::Result;
use crate::model::Origin;

/// Bytes of a sidecar or of a file with quality control.
pub const MAX_SIDECAR: u64 = 1 << 20;

/// Bytes of a table, which is about many files.
pub const MAX_TABLE: u64 = 16 << 20;

/// Files with quality control that are read for one dataset.
const MAX_QUALITY: usize = 64;

/// Problems that are told of one dataset, and characters of each.
const MAX_PROBLEMS: usize = 1000;
const MAX_REASON: usize = 500;

/// Extensions of sidecars, weakest first where several stand side by side.
const EXTENSIONS: [&str; 3] = ["json", "yml", "yaml"];

/// Levels of de-identification, weakest first.
const LEVELS: [&str; 3] = ["off", "standard", "strict"];

/// Whether a file name is that of a sidecar or a table of them.
pub fn is_sidecar(name: &std::ffi::OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name == b"dataset.meta.csv" || EXTENSIONS.iter().any(|e| name.ends_with(format!(".meta.{e}").as_bytes()))
}

/// Whether a sidecar of this name speaks of all that lies in its folder.
pub(super) fn is_of_folder(name: &str) -> bool {
    EXTENSIONS.iter().any(|e| name.strip_prefix("dataset.meta.") == Some(e))
}

/// Finds and merges what is written about `file`, a path beneath SOURCE: `dataset.meta.*` of each directory from SOURCE down,
/// then `<file>.meta.*`. Whatever is wrong with one of them is a problem in the result and keeps nothing else from being read.
pub fn gather(look: &dyn Beside, file: &Path) -> Sidecars {
    let mut gathered = Gathered { look, level: None, all: Sidecars::default() };
    let mut directories: Vec<&Path> = file.ancestors().skip(1).collect();
    directories.reverse();
    for directory in directories {
        let names = EXTENSIONS.map(|e| OsString::from(format!("dataset.meta.{e}")));
        gathered.documents(directory, &names);
        gathered.table(directory, file);
    }
    if let (Some(directory), Some(name)) = (file.parent(), file.file_name()) {
        let names = EXTENSIONS.map(|e| {
            let mut own = name.to_owned();
            own.push(".meta.");
            own.push(e);
            own
        });
        gathered.documents(directory, &names);
    }
    gathered.quality();
    gathered.deidentify();
    gathered.all
}

struct Gathered<'a> {
    look: &'a dyn Beside,
    all: Sidecars,
    /// The strictest level of de-identification that any of them asks for, and which one.
    level: Option<(usize, Origin)>,
}

impl Gathered<'_> {
    fn problem(&mut self, file: &Path, fault: Fault) {
        if self.all.problems.len() >= MAX_PROBLEMS {
            return;
        }
        // What it quotes may hold anything.
        let plain = fault.reason.chars().map(|c| if c.is_control() { ' ' } else { c });
        let reason = plain.take(MAX_REASON).collect();
        self.all.problems.push(Problem { file: file.to_owned(), line: fault.line, reason });
    }

    fn has(&mut self, directory: &Path, name: &OsString) -> bool {
        self.look.has(directory, name).unwrap_or_else(|e| {
            self.problem(&directory.join(name), Fault { line: None, reason: e.reason() });
            false
        })
    }

    fn documents(&mut self, directory: &Path, names: &[OsString; 3]) {
        let mut weaker: Option<&OsString> = None;
        for name in names {
            if !self.has(directory, name) {
                continue;
            }
            let path = directory.join(name);
            if let Some(weaker) = weaker {
                let reason = format!("stands beside {}, which it goes before", weaker.display());
                self.problem(&path, Fault { line: None, reason });
            }
            weaker = Some(name);
            let bytes = self.look.read(&path, MAX_SIDECAR);
            match bytes.map_err(unread).and_then(|bytes| parsed(&path, &bytes).map_err(|fault| (fault, Some(bytes)))) {
                Ok((root, faults)) => self.take(&path, &root, faults),
                Err((fault, bytes)) => {
                    // Nobody can say any more what it wanted hidden.
                    if bytes.is_some_and(|bytes| bytes.windows(10).any(|w| w == b"deidentify")) {
                        self.stricter(2, &origin(&path));
                    }
                    self.problem(&path, fault);
                }
            }
        }
    }

    fn table(&mut self, directory: &Path, file: &Path) {
        let name = OsString::from("dataset.meta.csv");
        if !self.has(directory, &name) {
            return;
        }
        let path = directory.join(&name);
        // A name that is no UTF-8 cannot stand in a table.
        let Some(own) = file.strip_prefix(directory).ok().and_then(Path::to_str) else { return };
        let bytes = self.look.read(&path, MAX_TABLE);
        match bytes.map_err(unread).and_then(|bytes| table::rows_of(&bytes, own).map_err(|fault| (fault, None))) {
            Ok((root, faults)) => self.take(&path, &root, faults),
            Err((fault, _)) => self.problem(&path, fault),
        }
    }

    /// Puts a document on top of the weaker ones.
    fn take(&mut self, path: &Path, root: &Node, faults: Vec<Fault>) {
        let (values, more) = checked(root);
        for fault in faults.into_iter().chain(more) {
            self.problem(path, fault);
        }
        let origin = origin(path);
        self.overrides(&values, &origin);
        let levels =
            |values: &Json| values.pointer("/deidentify/level").and_then(|l| LEVELS.iter().position(|w| l == *w));
        let images = values.get("images").and_then(Json::as_object);
        let asked =
            std::iter::once(&values).chain(images.into_iter().flat_map(|i| i.values())).filter_map(levels).max();
        // A word that is no level was said to be wrong, and is taken for the strictest: it was meant to hide something.
        let unclear = self.all.problems.iter().any(|p| p.file == path && is_about(&p.reason, "deidentify"));
        if let Some(level) = if unclear { Some(2) } else { asked } {
            self.stricter(level, &origin);
        }
        self.all.dataset.overlay(Facts::of(values, &origin));
        self.all.files.push(path.to_owned());
    }

    fn overrides(&mut self, values: &Json, origin: &Origin) {
        let says = |values: &Json| values.get("override") == Some(&Json::Bool(true));
        if says(values) {
            self.all.overrides.push((origin.clone(), None));
        }
        for (series, own) in values.get("images").and_then(Json::as_object).into_iter().flatten() {
            if let (true, Ok(series)) = (says(own), series.parse()) {
                self.all.overrides.push((origin.clone(), Some(series)));
            }
        }
    }

    fn stricter(&mut self, level: usize, origin: &Origin) {
        if self.level.as_ref().is_none_or(|(old, _)| *old < level) {
            self.level = Some((level, origin.clone()));
        }
    }

    /// A folder that asks for more is not talked out of it by what lies deeper.
    fn deidentify(&mut self) {
        if let Some((level, origin)) = self.level.take() {
            let level = LEVELS.get(level).copied().unwrap_or("strict");
            self.all.dataset.overlay(Facts::of(serde_json::json!({"deidentify": {"level": level}}), &origin));
        }
    }

    /// Reads the files that `qc_files` names, of the dataset and of its images.
    fn quality(&mut self) {
        let mut lists = vec![self.all.dataset.at(&["qc_files"])];
        if let Some(Facts::Map(images)) = self.all.dataset.at(&["images"]) {
            lists.extend(images.values().map(|image| image.at(&["qc_files"])));
        }
        let mut named: Vec<(PathBuf, String)> = Vec::new();
        for list in lists.into_iter().flatten() {
            if let Facts::Leaf(Json::Array(items), Origin::Sidecar(sidecar)) = list {
                // The origin of a path that is not UTF-8 only looks like it.
                let Some(path) = self.all.files.iter().find(|f| f.to_string_lossy() == **sidecar) else { continue };
                let names = items.iter().filter_map(Json::as_str);
                named.extend(names.map(|name| (path.clone(), name.to_owned())));
            }
        }
        for (n, (sidecar, name)) in named.into_iter().enumerate() {
            let say = |reason: String| Fault { line: None, reason };
            if n >= MAX_QUALITY {
                self.problem(&sidecar, say(format!("qc_files: more than {MAX_QUALITY} files")));
                return;
            }
            let directory = sidecar.parent().unwrap_or(Path::new(""));
            let Some(path) = beneath(directory, &name) else {
                self.problem(&sidecar, say(format!("qc_files: {name} leads out of the source")));
                continue;
            };
            if self.all.quality.iter().any(|(known, _)| *known == path) {
                continue;
            }
            let bytes = self.look.read(&path, MAX_SIDECAR);
            match bytes.map_err(|e| say(e.reason())).and_then(|bytes| parsed(&path, &bytes)) {
                Ok((root, faults)) => {
                    for fault in faults {
                        self.problem(&path, fault);
                    }
                    self.all.quality.push((path, open(&root, false)));
                }
                Err(fault) => self.problem(&path, fault),
            }
        }
    }
}

/// Whether what was said is about a key, or one that begins like it.
fn is_about(reason: &str, key: &str) -> bool {
    reason.split(':').next().is_some_and(|place| place.split('.').any(|part| part.starts_with(key)))
}

fn origin(path: &Path) -> Origin {
    Origin::Sidecar(Arc::from(&*path.to_string_lossy()))
}

fn unread(error: crate::Error) -> (Fault, Option<Vec<u8>>) {
    (Fault { line: None, reason: error.reason() }, None)
}

/// JSON by its extension, YAML otherwise.
fn parsed(path: &Path, bytes: &[u8]) -> Result<(Node, Vec<Fault>), Fault> {
    let text = decoded(bytes)?;
    match path.extension() {
        Some(e) if e == "json" => json::parse(&text),
        _ => yaml::parse(&text),
    }
}

/// The path that `name` means in a directory, unless it leads out of SOURCE.
fn beneath(directory: &Path, name: &str) -> Option<PathBuf> {
    let mut path = directory.to_owned();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return None,
        }
    }
    Some(path)
}
