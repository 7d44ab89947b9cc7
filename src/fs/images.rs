//! Open images: parsed once, kept in a bounded store, parsed again to the same result when asked for later.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::beside::Written;
use super::members::{Members, Others};
use super::node::ImageNode;
use super::{Core, Level};
use crate::cache::Lease;
use crate::config::{Deidentify, Palette};
use crate::error::{Error, Kind, Result};
use crate::exec::{Class, Reader};
use crate::format::{self, Limits, Place};
use crate::io::{ReadAt, Watch, now_ms};
use crate::metadata::sidecar::Sidecars;
use crate::metadata::{Record, quality};
use crate::pyramid::OpenImage;
use crate::sync::{Arc, Condvar, Mutex, lock};
use crate::tree::{Identity, Shown, Store, Virtual};
use crate::zarr::{View, Window};

/// Files kept open by images at most; one image may have more.
const MOST_FILES: u64 = 256;
/// Files that one image keeps open at most, about.
const MOST_OPEN: u64 = 17;
/// How long a failed open is not tried again.
pub(super) const FAILED_MS: u64 = 1000;
/// Datasets whose members are remembered, failures that are, and messages that are not repeated.
const MOST_REMEMBERED: u64 = 4096;

/// An open image with what its directory needs.
pub(super) struct Parsed {
    pub image: Arc<OpenImage>,
    pub shown: Shown,
    pub members: Members,
    /// Sizes of documents by the state of the node, which says what the image is called.
    pub sizes: Mutex<HashMap<(u64, View, Virtual), u64>>,
    /// What is left out of the documents.
    pub deidentify: Deidentify,
    /// What is written beside the file.
    pub written: Written,
    /// Held while documents are written from the record, so that it is made once.
    pub describing: Mutex<()>,
    pub windows: Mutex<HashMap<u32, Arc<Vec<Window>>>>,
    _lease: Lease,
}

pub(super) struct Images {
    open: Mutex<Store<u64, Arc<Parsed>>>,
    failed: Mutex<Store<u64, (Error, u64)>>,
    opening: Mutex<HashMap<u64, Arc<Watch>>>,
    opened: Condvar,
    pub(super) others: Mutex<Store<u64, Others>>,
    said: Mutex<Store<u64, ()>>,
}

impl Images {
    pub fn new(bytes: u64) -> Self {
        Images {
            open: Mutex::new(Store::new([bytes, MOST_FILES])),
            failed: Mutex::new(Store::new([MOST_REMEMBERED, MOST_REMEMBERED])),
            opening: Mutex::default(),
            opened: Condvar::new(),
            others: Mutex::new(Store::new([64 * MOST_REMEMBERED, MOST_REMEMBERED])),
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

/// Do sidecars tell of quality control?
fn has_quality(sidecars: &Sidecars) -> bool {
    let given = !sidecars.quality.is_empty() || sidecars.dataset.at(&["qc"]).is_some();
    given && quality::write(&Record { sidecars: sidecars.clone(), ..Record::default() }).is_some()
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
                let weights = [parsed.image.source.heap_bytes(), (parsed.members.len() as u64).min(MOST_OPEN)];
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
        let source = Arc::clone(&self.source);
        let file = source.open_image(&node.file)?;
        if file.fingerprint() != node.facts.print {
            return Err(Error::new(Kind::Changed, "it is no longer the file that was looked up").in_file(&node.file));
        }
        let directory = node.file.parent().unwrap_or(Path::new("")).to_owned();
        let tape = self.tape(node);
        let file = tape.file(&self.identities, node.file.file_name().map_or(Path::new(""), Path::new), Arc::new(file));
        let members = tape.members(&self.identities);
        let open: format::OpenMember = Arc::new(move |path: &Path| {
            // Beneath the directory of the file that names it; links are refused by the open itself.
            if path.components().any(|c| !matches!(c, std::path::Component::Normal(_))) {
                return Err(Error::malformed(format!("{} is not below the folder of the image", path.display())));
            }
            Ok(members(path, Arc::new(source.open_image(&directory.join(path))?)))
        });
        let total = self.engine.budget().total();
        let limits = Limits {
            unit_bytes: total / 4,
            index_bytes: total / 8,
            palette_rgb: self.view_options.palette == Palette::Rgb,
        };
        let (format, source) = format::open(file, &Place { path: &node.file, open }, &limits, watch)?;
        self.keep_tape(tape);
        let options = &self.view_options;
        let mut image = OpenImage::new(node.pixels, format, source, options.chunk, options.damaged);
        image.on_disk = self.identity(node, &image);
        let image = Arc::new(image);
        let written = self.written(node, watch)?;
        // The stricter wins: the mount or a sidecar.
        let asked = written.sidecars.deidentify().map_or(Deidentify::Off, |level| Deidentify::asked(&level));
        let deidentify = self.view_options.deidentify.max(asked);
        let lease = self.lease(image.source.heap_bytes().saturating_add(written.bytes))?;
        let members = self.members(node, &image, watch)?;
        Ok(Arc::new(Parsed {
            shown: Shown::new(View { deidentify, ..node.view }, &image, has_quality(&written.sidecars)),
            written,
            describing: Mutex::default(),
            deidentify,
            image,
            members,
            sizes: Mutex::default(),
            windows: Mutex::default(),
            _lease: lease,
        }))
    }

    /// Lets go of an image whose files changed under it.
    pub(super) fn drop_image(&self, node: &ImageNode) {
        let gone = lock(&self.images.open).remove(&node.key);
        drop(gone);
        self.engine.forget_image(node.pixels);
    }

    /// What may be said of an error where names are covered: its kind.
    pub(super) fn withheld(&self, error: &Error) -> Option<Error> {
        self.veil().map(|_| Error::new(error.kind(), "the mount is de-identified and gives no details"))
    }

    /// Logs a failure of an image, once for each reason and state of the file.
    pub(super) fn say(&self, node: &ImageNode, error: &Error) {
        if error.kind() == Kind::Interrupted {
            return;
        }
        // What is wrong with a file is said in its own words, which may be names.
        let (withheld, error) = (self.withheld(error), error);
        let error = withheld.as_ref().unwrap_or(error);
        let shown = self.veil().map(|veil| PathBuf::from(veil.shown(node.listed())));
        let shown = shown.as_deref().unwrap_or(&node.file);
        let message = Identity::of(&[&node.key.to_le_bytes(), error.reason().as_bytes()]).key();
        let new = lock(&self.images.said).peek(&message).is_none();
        if new {
            lock(&self.images.said).insert(message, (), [1, 1]);
            self.events.image_error(shown, error);
        } else {
            self.events.note(Level::Debug, &format!("{}: {}", shown.display(), error.reason()));
        }
    }
}
