//! The file system, without a kernel: every operation takes node ids and gives its answer to a closure.
//!
//! Nothing here blocks the calling thread. What is known is answered at once; whatever touches the source runs on a lane
//! of the engine, and the answer is given from there.

mod access;
mod attr;
mod beside;
mod content;
mod describe;
mod document;
mod images;
mod kept;
mod lasting;
mod listings;
mod lookup;
mod members;
mod node;
mod read;
mod readdir;
mod readdir_looked;
mod shard;
mod warm;
mod xattr;

use std::path::Path;
use std::time::Duration;

pub use attr::{Attr, Space};
pub use lookup::LookedUp;
pub use read::Opened;
pub use readdir::Sink;
pub use warm::Warmed;

use crate::cache::disk::Identities;
use crate::config::{MountOptions, TreeOptions, ViewOptions};
use crate::error::{Error, Kind, Result};
use crate::exec::{Class, Engine, EngineStats, LaneKey, Reader};
use crate::io::Watch;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, lock};
use crate::tree::{Filter, Names, Source, Table, Veil};
use crate::zarr::View;
use images::Images;
use listings::Listings;
use node::Node;

/// How long the kernel may believe what mirrors the source tree, image directories included.
pub const TREE_TTL: Duration = Duration::from_secs(1);
/// How long it may believe what lies below an image directory: ids change with the source.
pub const IMAGE_TTL: Duration = Duration::from_secs(3600);

/// How long the end of a mount waits for the disk cache.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// How urgent a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// Where the file system says what happened.
pub trait Events: Send + Sync {
    /// An image, or a part of it, cannot be shown. Said once for each reason and state of the file.
    fn image_error(&self, path: &Path, error: &Error);

    /// Anything else.
    fn note(&self, level: Level, message: &str);
}

/// A mounted source. Cheap to clone; threads of the engine end with the last one.
pub struct Fs(Arc<Core>);

/// What all operations share.
struct Core {
    source: Arc<Source>,
    names: Names,
    views: Vec<View>,
    filter: Filter,
    view_options: ViewOptions,
    tree_options: TreeOptions,
    engine: Arc<Engine>,
    /// What images are called in the disk cache.
    identities: Arc<Identities>,
    events: Arc<dyn Events>,
    nodes: Mutex<Table<Node>>,
    listings: Listings,
    images: Images,
    documents: document::Documents,
    looks: beside::Looks,
    handles: read::Handles,
    space: Mutex<Option<Space>>,
    salted: AtomicU64,
    /// Part of every identity where names are covered, else empty.
    salt: Vec<u8>,
}

impl Fs {
    /// Opens SOURCE and starts the engine.
    ///
    /// # Errors
    /// If SOURCE cannot be opened or lies inside the mountpoint, or a glob is wrong.
    pub fn new(options: &MountOptions, events: Arc<dyn Events>) -> Result<Arc<Fs>> {
        Fs::build(options, events, false)
    }

    /// `patient`: what is to be kept on disk waits for the disk, and is not dropped.
    fn build(options: &MountOptions, events: Arc<dyn Events>, patient: bool) -> Result<Arc<Fs>> {
        let veil = Veil::new(&options.view);
        let salt = veil.as_ref().map_or_else(Vec::new, |v| v.salt().to_vec());
        let filter = Filter::new(&options.tree)?.under(veil);
        let source = Source::open(&options.source, &options.mountpoint)?;
        let views = View::all(&options.view);
        let (engine, identities) = lasting::start(options, &events, patient)?;
        let share = engine.budget().total() / 8;
        Ok(Arc::new(Fs(Arc::new(Core {
            source: Arc::new(source),
            names: Names::new(&views),
            views,
            filter,
            view_options: options.view.clone(),
            tree_options: options.tree.clone(),
            engine,
            identities,
            events,
            nodes: Mutex::default(),
            listings: Listings::new(share),
            images: Images::new(share),
            documents: document::Documents::new(share),
            looks: beside::Looks::default(),
            handles: read::Handles::default(),
            space: Mutex::new(None),
            salted: AtomicU64::new(0),
            salt,
        }))))
    }

    /// Where messages go.
    pub fn events(&self) -> &Arc<dyn Events> {
        &self.0.events
    }

    /// Waits a moment for what is still to be written to the disk cache, when the mount is gone.
    pub fn finish(&self) {
        if let Some(disk) = self.0.engine.disk() {
            disk.wait_written(LAST_WRITES);
        }
    }

    /// Tells the device number of our own mount, so that it is never looked into.
    pub fn set_own_device(&self, device: u64) {
        self.0.source.set_own_device(device);
    }

    /// What is open, held and stuck, for `status`.
    pub fn status(&self) -> serde_json::Value {
        let core = &self.0;
        let (blocks, salted) = lock(&core.nodes).counts();
        let calls: serde_json::Map<String, serde_json::Value> =
            core.source.calls().iter().map(|(name, count)| ((*name).to_owned(), (*count).into())).collect();
        serde_json::json!({
            "images": core.images.status(),
            "directories": core.listings.status(),
            "documents": core.documents.status(),
            "source_calls": calls,
            "nodes": { "blocks": blocks, "salted": salted },
            "handles": core.handles.count(),
            "engine": serde_json::to_value(core.engine_stats()).unwrap_or_default(),
        })
    }

    /// Space of the source's file system; the last known where it does not answer.
    pub fn space(&self, reader: Reader, done: impl FnOnce(Result<Space>) + Send + 'static) {
        let (core, known) = (Arc::clone(&self.0), Arc::clone(&self.0));
        self.0.run(
            Path::new(""),
            Class::Meta,
            reader,
            move |_| core.source.space().map(|s| Space::of(&s)),
            move |found| {
                let mut kept = lock(&known.space);
                match found {
                    Ok(space) => *kept = Some(space),
                    Err(e) if kept.is_none() => return done(Err(e)),
                    Err(_) => {}
                }
                let space = kept.unwrap_or_default();
                drop(kept);
                done(Ok(space));
            },
        );
    }
}

impl Core {
    /// Runs `job` on the lane of a source directory.
    fn run<T: Send + 'static>(
        &self,
        directory: &Path,
        class: Class,
        reader: Reader,
        job: impl FnOnce(&Arc<Watch>) -> Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) {
        self.engine.submit(&LaneKey::new(directory), class, reader, job, done);
    }

    /// What covers the names of the mount.
    fn veil(&self) -> Option<&Veil> {
        self.filter.veil()
    }

    /// What the engine did; folders as the mount shows them.
    fn engine_stats(&self) -> EngineStats {
        let mut stats = self.engine.stats();
        if let Some(veil) = self.veil() {
            for lane in &mut stats.stuck {
                lane.path = veil.shown_folder(Path::new(&lane.path));
            }
        }
        stats
    }

    fn node(&self, id: u64) -> Result<node::At> {
        if id == crate::tree::ROOT {
            return Ok(node::At::root());
        }
        let found = lock(&self.nodes).find(id);
        found
            .and_then(|(slot, node)| node.at(slot))
            .ok_or_else(|| Error::new(Kind::Source(libc::ESTALE), "unknown node"))
    }

    /// Says so when node ids had to be salted.
    fn note_salted(&self, salted: u64) {
        if salted > self.salted.swap(salted, Ordering::Relaxed) {
            self.events.note(Level::Warn, "two nodes have the same id by their hash; one was given another");
        }
    }
}
