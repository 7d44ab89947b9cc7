//! What people wrote beside an image: which files those are, what state they are in, who may read them.
//!
//! The directories that lead to an image are asked by their listings, which are kept and looked at once a second at most, so
//! that an image without sidecars costs no call of its own. A sidecar that is there is looked at once a second at most too. Its
//! state is part of what the image's node is: a change gives the image new nodes, and what is held of the old ones stays as it
//! was or is an error.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::node::{ImageNode, member_bytes};
use super::{Core, TREE_TTL};
use crate::error::{Error, Kind, Result};
use crate::io::{ReadAt, Watch, now_ms};
use crate::metadata::sidecar::{self, Sidecars};
use crate::sync::{Mutex, lock};
use crate::tree::{EntryKind, Facts, Identity, Rights, Store};

/// Sidecars of a folder and all below it.
const OF_FOLDERS: [&str; 4] = ["dataset.meta.yaml", "dataset.meta.yml", "dataset.meta.json", "dataset.meta.csv"];
/// What is put behind the name of a file for the sidecar of that file.
const OF_FILES: [&str; 3] = [".meta.yaml", ".meta.yml", ".meta.json"];
/// Sidecars whose state is remembered.
const MOST: u64 = 4096;

/// The state of everything beside an image.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beside {
    /// 0 where there is nothing.
    pub key: u64,
    /// The latest modification.
    pub mtime: Option<(i64, u32)>,
    /// When the oldest look was that this relies on.
    pub looked_ms: u64,
}

impl Beside {
    /// How long the kernel may believe it, so that nothing is older than a second.
    pub fn ttl(&self) -> Duration {
        TREE_TTL.saturating_sub(Duration::from_millis(now_ms().saturating_sub(self.looked_ms)))
    }
}

/// What was seen of a sidecar, and when.
#[derive(Clone, Copy)]
struct Look {
    state: u64,
    mtime: Option<(i64, u32)>,
    at_ms: u64,
}

/// The sidecars looked at last.
pub(super) struct Looks(Mutex<Store<PathBuf, Look>>);

impl Default for Looks {
    fn default() -> Self {
        Looks(Mutex::new(Store::new([MOST, MOST])))
    }
}

/// What stands for the state of one file and its rights.
pub(super) fn state(facts: Option<&Facts>) -> u64 {
    Identity::of(&[&member_bytes(facts)]).key()
}

impl Core {
    /// What stands beside an image file now, or stood there within the last second; `fresh`: every file is looked at. On a
    /// lane.
    ///
    /// # Errors
    /// Only if nobody waits any more or the source does not answer: what cannot be listed has no sidecars.
    pub(super) fn beside(&self, file: &Path, fresh: bool, watch: &Watch) -> Result<Beside> {
        let mut all = Beside { looked_ms: now_ms(), ..Beside::default() };
        let mut parts: Vec<[u8; 16]> = Vec::new();
        for path in self.sidecar_files(file, &mut all.looked_ms, watch)? {
            let look = self.look(&path, fresh);
            all.mtime = all.mtime.max(look.mtime);
            all.looked_ms = all.looked_ms.min(look.at_ms);
            parts.push(Identity::of(&[path.as_os_str().as_bytes(), &look.state.to_le_bytes()]).to_bytes());
        }
        let parts: Vec<&[u8]> = parts.iter().map(<[u8; 16]>::as_slice).collect();
        if !parts.is_empty() {
            all.key = Identity::of(&parts).key().max(1);
        }
        Ok(all)
    }

    /// Is what stands beside an image still what its node was made with? On a lane.
    ///
    /// # Errors
    /// `Changed` if not.
    pub(super) fn check_beside(&self, node: &ImageNode, fresh: bool, watch: &Watch) -> Result<Beside> {
        let now = self.beside(&node.file, fresh, watch)?;
        if now.key == node.beside.key {
            return Ok(now);
        }
        Err(Error::new(Kind::Changed, "a sidecar is no longer what it was").in_file(&node.file))
    }

    /// Paths of the sidecars of an image file, weakest first.
    fn sidecar_files(&self, file: &Path, looked_ms: &mut u64, watch: &Watch) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let folders: Vec<&Path> = file.ancestors().skip(1).collect();
        for folder in folders.into_iter().rev() {
            let own = file.file_name().filter(|_| file.parent() == Some(folder));
            let own = own.into_iter().flat_map(|own| {
                OF_FILES.iter().map(move |ending| [own, OsStr::new(ending)].into_iter().collect::<OsString>())
            });
            let names = OF_FOLDERS.iter().map(OsString::from).chain(own);
            // A mount of one file lists that file alone.
            if folder.as_os_str().is_empty() && self.source.only().is_some() {
                let is_file = |path: &PathBuf| self.look(path, false).mtime.is_some();
                found.extend(names.map(|name| folder.join(name)).filter(is_file));
                continue;
            }
            let listing = match self.listing(folder, watch) {
                Ok(listing) => listing,
                Err(e) if matches!(e.kind(), Kind::Interrupted | Kind::Stuck) => return Err(e),
                Err(_) => continue,
            };
            *looked_ms = (*looked_ms).min(listing.checked_ms());
            if !listing.has_sidecars() {
                continue;
            }
            // A link is there too: it is not followed, and the report says so.
            let is_file = |name: &OsString| is_sidecar(listing.real_kind(name.as_bytes()));
            found.extend(names.filter(is_file).map(|name| folder.join(name)));
        }
        Ok(found)
    }

    fn look(&self, path: &PathBuf, fresh: bool) -> Look {
        let now = now_ms();
        let known = lock(&self.looks.0).get(path);
        if let Some(look) = known.filter(|look| !fresh && now.saturating_sub(look.at_ms) < FRESH_MS) {
            return look;
        }
        let facts = self.source.facts(path).ok().filter(|f| is_sidecar(EntryKind::of(f.kind)));
        let look = Look { state: state(facts.as_ref()), mtime: facts.map(|f| f.mtime), at_ms: now };
        let gone = lock(&self.looks.0).insert(path.clone(), look, [1, 1]);
        drop(gone);
        look
    }
}

fn is_sidecar(kind: Option<EntryKind>) -> bool {
    kind.is_some_and(|kind| kind != EntryKind::Directory)
}

/// What is written beside an image, with the files that it was read from.
#[derive(Default)]
pub(super) struct Written {
    /// What they say.
    pub sidecars: Sidecars,
    /// Rights of those files, each once.
    pub rights: Vec<Rights>,
    /// The latest modification of any.
    pub mtime: Option<(i64, u32)>,
    /// Bytes that holding it takes, about.
    pub bytes: u64,
}

/// Finds and reads sidecars for the tree.
struct Reading<'a> {
    core: &'a Core,
    file: &'a Path,
    watch: &'a Watch,
    /// What was looked at before it was read.
    seen: RefCell<Vec<(PathBuf, Facts)>>,
}

impl sidecar::Beside for Reading<'_> {
    fn has(&self, directory: &Path, name: &OsStr) -> Result<bool> {
        if directory.as_os_str().is_empty() && self.core.source.only().is_some() {
            return Ok(self.core.look(&directory.join(name), true).mtime.is_some());
        }
        Ok(is_sidecar(self.core.listing(directory, self.watch)?.real_kind(name.as_bytes())))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        self.watch.tick();
        self.watch.check()?;
        // Looked at first: what is read may be newer than that, which is found out by the next look, never older.
        let facts = self.core.reached(self.file, path)?;
        let file = self.core.source.open_image(path)?;
        if file.len() > limit {
            return Err(Error::over_limit(format!("{} bytes, {limit} at most", file.len())));
        }
        let bytes = file.read_vec(0, file.len())?;
        self.seen.borrow_mut().push((path.to_owned(), facts));
        Ok(bytes)
    }
}

impl Core {
    /// Reads what is written beside an image. On a lane.
    ///
    /// # Errors
    /// `Changed` if it is no longer what the node was made with; if nobody waits any more.
    pub(super) fn written(&self, node: &ImageNode, watch: &Watch) -> Result<Written> {
        self.check_beside(node, true, watch)?;
        if node.beside.key == 0 {
            return Ok(Written::default());
        }
        let reading = Reading { core: self, file: &node.file, watch, seen: RefCell::default() };
        let sidecars = sidecar::gather(&reading, &node.file);
        watch.check()?;
        self.check_beside(node, true, watch)?;
        let mut written = Written { sidecars, ..Written::default() };
        let mut others = Vec::new();
        for (path, facts) in reading.seen.into_inner() {
            if !written.rights.contains(&facts.rights) {
                written.rights.push(facts.rights);
            }
            written.mtime = written.mtime.max(Some(facts.mtime));
            written.bytes += 8 * facts.size.min(sidecar::MAX_SIDECAR);
            if written.sidecars.quality.iter().any(|(quality, _)| *quality == path) {
                others.push((path, state(Some(&facts))));
            }
        }
        // The sidecars themselves are looked at with the node; what they name is remembered like other files of a dataset.
        let unread = written.sidecars.problems.iter().map(|p| &p.file);
        others.extend(
            unread.filter(|p| !is_beside(p)).map(|p| (p.clone(), state(self.reached(&node.file, p).ok().as_ref()))),
        );
        if !others.is_empty() {
            self.remember(node, others);
        }
        Ok(written)
    }
}

fn is_beside(path: &Path) -> bool {
    path.file_name().is_some_and(sidecar::is_sidecar)
}

/// How long a look at a sidecar counts.
const FRESH_MS: u64 = 1000;
