//! Listing directories together with what `stat` says of each entry: one job on the lane for many names, where lookups
//! would take a request and a job each.

use std::time::{Duration, Instant};

use super::lookup::Named;
use super::node::ImageNode;
use super::read::Handle;
use super::readdir::{DOTS, Directory, Sink};
use super::{Attr, Core, LookedUp};
use crate::error::{Kind, Result};
use crate::exec::{Class, Reader};
use crate::io::Watch;
use crate::sync::{Arc, Mutex, lock};
use crate::tree::{Cursor, Entry, Virtual};

/// A listing is held up by looks at its entries for so long: a source where each takes a round trip answers with few of them,
/// and with names alone where nobody uses the rest.
const LOOKING: Duration = Duration::from_millis(50);

/// Listings this old are looked at again before entries are.
const RECENT_MS: u64 = 300;

/// An answer under way, with the job or with whoever ends it in the job's place.
struct Filling {
    sink: Box<dyn Sink>,
    /// The next entry.
    at: Cursor,
    /// Does it hold any entry but `.` and `..`?
    any: bool,
}

type Shared = Arc<Mutex<Option<Filling>>>;

impl Core {
    /// Fills `sink` with entries of a source directory from `cursor` on, and ends it.
    pub(super) fn list_looked(
        self: &Arc<Self>,
        handle: &Arc<Handle>,
        cursor: Cursor,
        reader: Reader,
        sink: Box<dyn Sink>,
    ) {
        let shared: Shared = Arc::new(Mutex::new(Some(Filling { sink, at: cursor, any: false })));
        let Handle::Directory(directory) = &**handle else { return };
        let Directory::Source(path, _) = &**directory else { return };
        let (core, filling, listed) = (Arc::clone(self), Arc::clone(&shared), Arc::clone(directory));
        let job = move |watch: &Arc<Watch>| core.fill(&listed, &filling, watch);
        let (core, listed) = (Arc::clone(self), Arc::clone(directory));
        self.run(path, Class::Meta, reader, job, move |result: Result<()>| {
            let Some(mut filling) = lock(&shared).take() else { return };
            match result {
                Err(e) if e.kind() == Kind::Interrupted => return filling.sink.done(Err(e)),
                // What cannot be looked at is listed all the same, as names.
                Err(_) if !filling.any => {
                    if let Directory::Source(path, held) = &*listed {
                        core.list_named(path, held, filling.at, &mut *filling.sink);
                    }
                }
                _ => {}
            }
            filling.sink.done(Ok(()));
        });
    }

    fn fill(&self, directory: &Directory, shared: &Shared, watch: &Watch) -> Result<()> {
        let Directory::Source(path, held) = directory else { return Ok(()) };
        // How long an entry may be believed depends on the listings that its sidecars are looked for in: with old ones it would
        // have to be looked up again as soon as it arrives.
        for folder in path.ancestors().skip(1) {
            let _ = self.listing_within(folder, RECENT_MS, watch);
        }
        let current = self.listing_within(path, RECENT_MS, watch)?;
        let as_held = Arc::ptr_eq(&current, held);
        let begun = Instant::now();
        let Some(mut at) = lock(shared).as_ref().map(|f| f.at) else { return Ok(()) };
        while let Some((entry, next)) = held.next(&self.names, self.tree_options.show_sources, at) {
            watch.tick();
            watch.check()?;
            let Entry { name, found } = entry;
            // Names are listed as they were when the directory was opened; what they stand for is what they do now.
            let now = if as_held { Some(found.clone()) } else { current.find(&self.names, &name) };
            let looked = match now.map(|found| self.look_up_found(path, &name, found, watch)) {
                Some(Ok(Named::Seen(LookedUp { attr: Some(attr), ttl }))) => Some((attr, ttl)),
                Some(Err(e)) if e.kind() == Kind::Interrupted => return Err(e),
                _ => None,
            };
            let (id, kind) =
                looked.map_or_else(|| self.listed_id(path, &name, &found), |(attr, _)| (attr.id, attr.kind));
            let mut answer = lock(shared);
            let full = match (answer.as_mut(), looked) {
                // It was answered without us.
                (None, _) => true,
                // It arrives later than it was seen.
                (Some(f), Some((attr, ttl))) => {
                    f.sink.add_looked(&attr, ttl.saturating_sub(LOOKING), next + DOTS, &name)
                }
                (Some(f), None) => f.sink.add(id, next + DOTS, kind, &name),
            };
            if full {
                drop(answer);
                if let Some((attr, _)) = looked {
                    self.forget(attr.id, 1);
                }
                return Ok(());
            }
            if let Some(filling) = answer.as_mut() {
                (filling.at, filling.any) = (next, true);
            }
            drop(answer);
            at = next;
            if begun.elapsed() >= LOOKING {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A node inside an image, looked up if that takes no look at the source and no writing of documents.
    pub(super) fn looked_inside(
        &self,
        node: &Arc<ImageNode>,
        parsed: &super::images::Parsed,
        inside: Virtual,
    ) -> Option<Attr> {
        if !parsed.is_seen(node.view, inside) || !self.is_quick(node, parsed, inside) {
            return None;
        }
        // Attributes first: a lookup that fails must not count.
        let attr = self.inside_attr(node, parsed, inside, 0).ok()?;
        let array = parsed.array(node.view, inside).ok()?;
        Some(Attr { id: self.inside_id(node, array, inside, true).ok()?, ..attr })
    }
}
