//! Open images: parsed once, kept in a bounded store, parsed again to the same result when asked for later.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::node::{ImageNode, member_bytes};
use super::{Core, Level};
use crate::cache::Lease;
use crate::config::Palette;
use crate::error::{Error, Kind, Result};
use crate::exec::{Class, Reader};
use crate::format::{self, Limits, Place};
use crate::io::{ReadAt, SourceFile, Watch, now_ms};
use crate::pyramid::OpenImage;
use crate::sync::{Arc, Condvar, Mutex, lock};
use crate::tree::{Facts, Identity, Rights, Shown, Store, Virtual};
use crate::zarr::{View, Window};

/// Files kept open by images at most; one image may have more.
const MOST_FILES: u64 = 256;
/// How long a failed open is not tried again.
const FAILED_MS: u64 = 1000;
/// Datasets whose members are remembered, failures that are, and messages that are not repeated.
const MOST_REMEMBERED: u64 = 4096;

/// An open image with what its directory needs.
pub(super) struct Parsed {
    pub image: Arc<OpenImage>,
    pub shown: Shown,
    /// What was seen of each member; nothing of the image's own file, whose rights may change while its content stays.
    pub members: Vec<Option<Facts>>,
    /// The different rights of the other members.
    others: Vec<Rights>,
    pub sizes: Mutex<HashMap<(View, Virtual), u64>>,
    pub windows: Mutex<HashMap<u32, Arc<Vec<Window>>>>,
    _lease: Lease,
}

/// The other files of a dataset, as they were seen last.
#[derive(Clone)]
struct Sidecars {
    paths: Arc<[PathBuf]>,
    first: Identity,
    epoch: u64,
    checked_ms: u64,
    took_ms: u64,
}

impl Parsed {
    /// Who may read every file of the dataset.
    pub fn all(&self, node: &ImageNode) -> Rights {
        self.others.iter().fold(node.facts.rights, |all, other| all.and(*other))
    }
}

pub(super) struct Images {
    open: Mutex<Store<u64, Arc<Parsed>>>,
    failed: Mutex<Store<u64, (Error, u64)>>,
    opening: Mutex<HashMap<u64, Arc<Watch>>>,
    opened: Condvar,
    sidecars: Mutex<Store<u64, Sidecars>>,
    said: Mutex<Store<u64, ()>>,
}

impl Images {
    pub fn new(bytes: u64) -> Self {
        Images {
            open: Mutex::new(Store::new([bytes, MOST_FILES])),
            failed: Mutex::new(Store::new([MOST_REMEMBERED, MOST_REMEMBERED])),
            opening: Mutex::default(),
            opened: Condvar::new(),
            sidecars: Mutex::new(Store::new([64 * MOST_REMEMBERED, MOST_REMEMBERED])),
            said: Mutex::new(Store::new([MOST_REMEMBERED, MOST_REMEMBERED])),
        }
    }

    pub fn status(&self) -> serde_json::Value {
        let open = lock(&self.open);
        let [bytes, files] = open.held();
        serde_json::json!({ "open": open.len(), "bytes": bytes, "files": files, "failed": lock(&self.failed).len() })
    }

    pub fn forget_oldest(&self) -> bool {
        let gone = lock(&self.open).remove_oldest();
        gone.is_some()
    }

    /// The image, or why it cannot be opened, if that is known; nothing is opened.
    pub fn known(&self, key: u64) -> Option<Result<Arc<Parsed>>> {
        if let Some(parsed) = lock(&self.open).get(&key) {
            return Some(Ok(parsed));
        }
        let failed = lock(&self.failed).peek(&key).cloned();
        failed.filter(|(_, at)| now_ms().saturating_sub(*at) < FAILED_MS).map(|(error, _)| Err(error))
    }
}

/// Says that an open is over, however it ended.
struct Opening<'a>(&'a Images, u64);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        lock(&self.0.opening).remove(&self.1);
        self.0.opened.notify_all();
    }
}

impl Core {
    /// Gives the open image to `done`: at once if it is open, else from a lane.
    pub(super) fn with_image(
        self: &Arc<Self>,
        node: &Arc<ImageNode>,
        reader: Reader,
        done: impl FnOnce(Result<Arc<Parsed>>) + Send + 'static,
    ) {
        if let Some(known) = self.images.known(node.key) {
            return done(known);
        }
        let (core, opened) = (Arc::clone(self), Arc::clone(node));
        self.engine.submit(&node.lane(), Class::Meta, reader, move |watch| core.image_now(&opened, watch), done);
    }

    /// The open image. On a lane.
    pub(super) fn image_now(&self, node: &ImageNode, watch: &Arc<Watch>) -> Result<Arc<Parsed>> {
        let _opening = loop {
            let mut opening = lock(&self.images.opening);
            if let Some(known) = self.images.known(node.key) {
                return known;
            }
            let Some(other) = opening.get(&node.key).cloned() else {
                opening.insert(node.key, Arc::clone(watch));
                break Opening(&self.images, node.key);
            };
            let before = other.moved_ms();
            let wait = Duration::from_millis(50);
            drop(self.images.opened.wait_timeout(opening, wait));
            watch.check()?;
            if other.moved_ms() != before {
                watch.tick();
            }
        };
        let result = self.open_image(node, watch);
        match &result {
            Ok(parsed) => {
                let weights = [parsed.image.source.heap_bytes(), parsed.members.len() as u64];
                let gone = lock(&self.images.open).insert(node.key, Arc::clone(parsed), weights);
                drop(gone);
            }
            Err(e) if e.kind() == Kind::Interrupted => {}
            Err(e) => {
                lock(&self.images.failed).insert(node.key, (e.clone(), now_ms()), [1, 1]);
                self.say(node, e);
            }
        }
        result
    }

    fn open_image(&self, node: &ImageNode, watch: &Watch) -> Result<Arc<Parsed>> {
        let root = Arc::clone(self.source.root());
        self.source.count_open();
        let file = SourceFile::open(&root, &node.file)?;
        if file.fingerprint() != node.facts.print {
            return Err(Error::new(Kind::Changed, "it is no longer the file that was looked up").in_file(&node.file));
        }
        let directory = node.file.parent().unwrap_or(Path::new("")).to_owned();
        let open: format::OpenMember = Arc::new(move |path: &Path| {
            // Beneath the directory of the file that names it; links are refused by the open itself.
            if path.components().any(|c| !matches!(c, std::path::Component::Normal(_))) {
                return Err(Error::malformed(format!("{} is not below the folder of the image", path.display())));
            }
            Ok(Arc::new(SourceFile::open(&root, &directory.join(path))?) as Arc<dyn ReadAt>)
        });
        let total = self.engine.budget().total();
        let limits = Limits {
            unit_bytes: total / 4,
            index_bytes: total / 8,
            palette_rgb: self.view_options.palette == Palette::Rgb,
        };
        let (format, source) = format::open(Arc::new(file), &Place { path: &node.file, open }, &limits, watch)?;
        let options = &self.view_options;
        let image = Arc::new(OpenImage::new(node.key, format, source, options.chunk, options.damaged));
        let lease = self.lease(image.source.heap_bytes())?;
        let members = self.members(node, &image, watch)?;
        let mut others: Vec<Rights> = Vec::new();
        for rights in members.iter().flatten().map(|m| m.rights) {
            if !others.contains(&rights) {
                others.push(rights);
            }
        }
        Ok(Arc::new(Parsed {
            shown: Shown::new(node.view, &image),
            image,
            members,
            others,
            sizes: Mutex::default(),
            windows: Mutex::default(),
            _lease: lease,
        }))
    }

    /// Looks at every file of a dataset, and remembers them: a change of any gives the image new ids.
    fn members(&self, node: &ImageNode, image: &OpenImage, watch: &Watch) -> Result<Vec<Option<Facts>>> {
        let all = image.source.members();
        if all.len() <= 1 {
            return Ok(vec![None]);
        }
        let mut facts = Vec::with_capacity(all.len());
        let mut state = Vec::with_capacity(all.len());
        for member in all {
            watch.tick();
            watch.check()?;
            if *member.path == *node.file {
                facts.push(None);
                continue;
            }
            match self.reached(&node.file, &member.path) {
                Ok(seen) => {
                    state.push(member_bytes(Some(&seen)));
                    facts.push(Some(seen));
                }
                // Its planes fail by themselves; nobody is shown what nobody could look at.
                Err(_) => {
                    state.push(Vec::new());
                    facts.push(Some(Facts { rights: Rights { mode: 0, ..node.facts.rights }, ..node.facts }));
                }
            }
        }
        let parts: Vec<&[u8]> = state.iter().map(Vec::as_slice).collect();
        let now = Identity::of(&parts);
        let key = super::node::content_key(&node.file, &node.facts.print, 0);
        let paths: Arc<[PathBuf]> = all.iter().map(|m| m.path.clone()).filter(|p| **p != *node.file).collect();
        let mut sidecars = lock(&self.images.sidecars);
        let first = sidecars.peek(&key).map_or(now, |s| s.first);
        let epoch = if first == now { 0 } else { now.key() };
        let weight = paths.len() as u64;
        sidecars.insert(key, Sidecars { paths, first, epoch, checked_ms: now_ms(), took_ms: 0 }, [weight, 1]);
        Ok(facts)
    }

    /// What stands for the state of an image's other files: 0 as long as they are as they were first seen. On a lane.
    pub(super) fn epoch(&self, file: &Path, facts: &Facts, watch: &Watch) -> u64 {
        let key = super::node::content_key(file, &facts.print, 0);
        let Some(known) = lock(&self.images.sidecars).get(&key) else { return 0 };
        let start = now_ms();
        // A large dataset on a slow share is looked at less often, so that looking takes a tenth of the time at most.
        if start.saturating_sub(known.checked_ms) < known.took_ms.saturating_mul(10).max(FAILED_MS) {
            return known.epoch;
        }
        let mut state = Vec::with_capacity(known.paths.len());
        for path in known.paths.iter() {
            watch.tick();
            state.push(member_bytes(self.reached(file, path).ok().as_ref()));
        }
        let parts: Vec<&[u8]> = state.iter().map(Vec::as_slice).collect();
        let now = Identity::of(&parts);
        let epoch = if known.first == now { 0 } else { now.key() };
        let (checked_ms, weight) = (now_ms(), known.paths.len() as u64);
        let took_ms = checked_ms.saturating_sub(start);
        lock(&self.images.sidecars).insert(key, Sidecars { epoch, checked_ms, took_ms, ..known }, [weight, 1]);
        epoch
    }

    /// Lets go of an image whose files changed under it.
    pub(super) fn drop_image(&self, node: &ImageNode) {
        let gone = lock(&self.images.open).remove(&node.key);
        drop(gone);
        self.engine.forget_image(node.key);
    }

    /// Logs a failure of an image, once for each reason and state of the file.
    pub(super) fn say(&self, node: &ImageNode, error: &Error) {
        if error.kind() == Kind::Interrupted {
            return;
        }
        let message = Identity::of(&[&node.key.to_le_bytes(), error.reason().as_bytes()]).key();
        let new = lock(&self.images.said).peek(&message).is_none();
        if new {
            lock(&self.images.said).insert(message, (), [1, 1]);
            self.events.image_error(&node.file, error);
        } else {
            self.events.note(Level::Debug, &format!("{}: {}", node.file.display(), error.reason()));
        }
    }
}
