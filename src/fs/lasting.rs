//! What outlives the mount in the disk cache: what images are called there, what was read to open them, their contrast.

use std::path::Path;

use super::node::ImageNode;
use super::{Core, Events, Level};
use crate::cache::disk::{Disk, EntryKey, Identities, ImageId, Payload};
use crate::cache::{Lease, Share};
use crate::config::{Deidentify, MountOptions};
use crate::error::Result;
use crate::exec::Engine;
use crate::format::{Format, bioformats};
use crate::io::{Pack, ReadAt, Tape};
use crate::pyramid::OpenImage;
use crate::sync::{Arc, Mutex, lock};
use crate::zarr::{CONTRAST_RULE, Window};

/// Largest entry that says what was read to open a file.
const PACK_MAX: u64 = 64 << 20;
/// Most bytes that wait to be written.
const WAITING_MAX: u64 = 64 << 20;
/// A window is four numbers.
const WINDOW: usize = 4 * size_of::<f64>();

/// The engine with its disk, if there is to be one.
pub(super) fn start(
    options: &MountOptions,
    events: &Arc<dyn Events>,
    patient: bool,
) -> Result<(Arc<Engine>, Arc<Identities>)> {
    // Of the options that change pixels: chunks are part of a key, and what `--damaged` filled in is not kept.
    let identities = Arc::new(Identities::new(&[options.view.palette as u8]));
    let disk = match &options.engine.disk {
        Some(disk) => {
            let events = Arc::clone(events);
            let say = Box::new(move |what: &str| events.note(Level::Warn, what));
            Some(Disk::open(disk, WAITING_MAX.min(options.engine.cache_size / 32), patient, say)?)
        }
        None => None,
    };
    Ok((Engine::start_with(&options.engine, disk), identities))
}

/// The tape of one open, if what is read is to be kept.
pub(super) struct OpenTape {
    tape: Option<Arc<Tape>>,
    key: Option<EntryKey>,
    /// For what is played and what is noted.
    leases: Arc<Mutex<Vec<Lease>>>,
}

impl OpenTape {
    /// A file of the dataset, on the tape.
    pub fn file(&self, identities: &Identities, name: &Path, file: Arc<dyn ReadAt>) -> Arc<dyn ReadAt> {
        on_tape(self.tape.as_ref(), identities, name, file)
    }

    /// The same for files that are opened later.
    pub fn members(
        &self,
        identities: &Arc<Identities>,
    ) -> impl Fn(&Path, Arc<dyn ReadAt>) -> Arc<dyn ReadAt> + Send + Sync + 'static {
        let (tape, identities) = (self.tape.clone(), Arc::clone(identities));
        move |name, file| on_tape(tape.as_ref(), &identities, name, file)
    }
}

impl Drop for OpenTape {
    /// An open that failed leaves nothing.
    fn drop(&mut self) {
        if let Some(tape) = self.tape.take() {
            tape.cancel();
        }
    }
}

fn on_tape(tape: Option<&Arc<Tape>>, identities: &Identities, name: &Path, file: Arc<dyn ReadAt>) -> Arc<dyn ReadAt> {
    let Some(tape) = tape.filter(|tape| tape.runs()) else { return file };
    let state = identities.file(&file.fingerprint());
    tape.file(name, state, file)
}

impl Core {
    /// The tape for opening an image: what was read the last time comes from the disk cache. On a lane.
    pub(super) fn tape(&self, node: &ImageNode) -> OpenTape {
        let leases: Arc<Mutex<Vec<Lease>>> = Arc::default();
        // Headers hold names: nothing of them is written for a de-identified mount.
        let may = self.engine.keeps() && self.view_options.deidentify == Deidentify::Off;
        let id = if may { self.identities.opening(&node.file, &node.facts.print) } else { None };
        let Some(key) = id.map(EntryKey::opening) else { return OpenTape { tape: None, key: None, leases } };
        let played = self.engine.kept(key, PACK_MAX).and_then(|(bytes, lease)| {
            lock(&leases).push(lease);
            Pack::decode(bytes)
        });
        let (budget, granted) = (Arc::clone(self.engine.budget()), Arc::clone(&leases));
        let most = PACK_MAX.min(budget.total() / 16);
        let room = move |bytes| match budget.lease_now(Share::Held, bytes) {
            Some(lease) => {
                lock(&granted).push(lease);
                true
            }
            None => false,
        };
        OpenTape { tape: Some(Tape::new(played, most, room)), key: Some(key), leases }
    }

    /// Ends the tape of an open that went well, and keeps what is worth it.
    pub(super) fn keep_tape(&self, mut tape: OpenTape) {
        let (Some(running), Some(key)) = (tape.tape.take(), tape.key) else { return };
        let pack = running.stop();
        lock(&tape.leases).clear();
        let Some(pack) = pack.filter(|pack| pack.len() as u64 <= PACK_MAX) else { return };
        if let Some(lease) = self.engine.budget().lease_now(Share::Held, pack.len() as u64) {
            self.engine.keep(key, Payload::Bytes(pack, Some(lease)));
        }
    }

    /// What an image is called in the disk cache.
    pub(super) fn identity(&self, node: &ImageNode, image: &OpenImage) -> Option<ImageId> {
        // What Bio-Formats makes of a file depends on its version, too.
        if !self.engine.keeps() || image.format == bioformats::BioFormats.name() {
            return None;
        }
        self.identities.image(image.format, &node.file, image.source.members())
    }

    /// The windows of a series that were found earlier. On a lane.
    pub(super) fn kept_windows(&self, image: &OpenImage, series: u32) -> Option<Vec<Window>> {
        let key = EntryKey::windows(image.on_disk?, series, CONTRAST_RULE);
        let channels = usize::try_from(image.source.series().get(series as usize)?.shape().c).ok()?;
        let length = channels.checked_mul(WINDOW)?;
        let (bytes, _lease) = self.engine.kept(key, length as u64)?;
        if bytes.len() != length {
            return None;
        }
        let number = |bytes: &[u8]| bytes.try_into().map(f64::from_le_bytes).ok().filter(|n| n.is_finite());
        let window = |bytes: &[u8]| {
            let all = bytes.chunks_exact(size_of::<f64>()).map(number).collect::<Option<Vec<f64>>>()?;
            let [min, max, start, end] = all[..] else { return None };
            Some(Window { min, max, start, end })
        };
        bytes.chunks_exact(WINDOW).map(window).collect()
    }

    /// Keeps the windows of a series.
    pub(super) fn keep_windows(&self, image: &OpenImage, series: u32, windows: &[Window]) {
        let Some(id) = image.on_disk.filter(|_| self.engine.keeps()) else { return };
        let numbers = windows.iter().flat_map(|w| [w.min, w.max, w.start, w.end]);
        let bytes: Vec<u8> = numbers.flat_map(f64::to_le_bytes).collect();
        if let Some(lease) = self.engine.budget().lease_now(Share::Held, bytes.len() as u64) {
            self.engine.keep(EntryKey::windows(id, series, CONTRAST_RULE), Payload::Bytes(bytes, Some(lease)));
        }
    }
}
