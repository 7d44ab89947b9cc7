//! Names to nodes, and what nodes look like.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::images::Parsed;
use super::node::{At, ImageNode, Mirror, Node, mirror_identity};
use super::{Attr, Core, Fs, IMAGE_TTL, TREE_TTL};
use crate::error::{Error, Kind, Result};
use crate::exec::{Class, Reader};
use crate::io::Watch;
use crate::sync::{Arc, lock};
use crate::tree::{EntryKind, Found, IMAGE_NODES, ROOT, Virtual};

/// The answer to a lookup.
#[derive(Debug, Clone, Copy)]
pub struct LookedUp {
    /// The node; `None` if there is no such name, which may be believed as long as the rest.
    pub attr: Option<Attr>,
    /// How long.
    pub ttl: Duration,
}

/// What a name in a source directory turned out to be.
pub(super) enum Named {
    /// All that is asked for.
    Seen(LookedUp),
    /// A folder, still to be looked at on a lane of its own: a file system may be mounted there that does not answer,
    /// and its parent must not wait with it.
    Folder(PathBuf),
}

/// The lane of a source entry: that of its directory, a folder's own for a folder.
fn lane_of(mirror: &Mirror) -> PathBuf {
    match mirror.kind {
        EntryKind::Directory => mirror.path.clone(),
        _ => mirror.path.parent().unwrap_or(Path::new("")).to_owned(),
    }
}

fn looked_up(made: Result<Attr>) -> Result<LookedUp> {
    made.map_or_else(gone, |attr| Ok(LookedUp { attr: Some(attr), ttl: TREE_TTL }))
}

/// A name that is gone since it was listed is no error.
fn gone(error: Error) -> Result<LookedUp> {
    match error.errno() {
        libc::ENOENT => Ok(LookedUp { attr: None, ttl: TREE_TTL }),
        _ => Err(error),
    }
}

fn stale(path: &Path) -> Error {
    Error::new(Kind::Changed, "it is no longer what was looked up").in_file(path)
}

impl Fs {
    /// Finds a name in a directory. A node found counts as referred to until [`Fs::forget`].
    pub fn look_up(
        &self,
        parent: u64,
        name: &[u8],
        reader: Reader,
        done: impl FnOnce(Result<LookedUp>) + Send + 'static,
    ) {
        let core = Arc::clone(&self.0);
        let name = name.to_vec();
        match self.0.node(parent) {
            Err(e) => done(Err(e)),
            Ok(At::Mirror(mirror)) if mirror.kind != EntryKind::Directory => {
                done(Err(Error::new(Kind::NotADirectory, "not a directory")));
            }
            Ok(At::Mirror(mirror)) => {
                let path = mirror.path.clone();
                let further = Arc::clone(&core);
                self.0.run(
                    &mirror.path,
                    Class::Meta,
                    reader,
                    move |watch| core.look_up_source(&path, &name, watch),
                    move |found| match found {
                        Err(e) => done(Err(e)),
                        Ok(Named::Seen(looked_up)) => done(Ok(looked_up)),
                        Ok(Named::Folder(path)) => {
                            let core = Arc::clone(&further);
                            let lane = path.clone();
                            further.run(&lane, Class::Meta, reader, move |_| core.look_up_folder(path), done);
                        }
                    },
                );
            }
            Ok(At::Inside(_, at)) if !at.is_directory() => {
                done(Err(Error::new(Kind::NotADirectory, "not a directory")));
            }
            Ok(At::Inside(node, at)) => {
                let image = Arc::clone(&node);
                self.0.with_image(&node, reader, move |parsed| match parsed {
                    Ok(parsed) => core.look_up_inside(image, parsed, at, &name, reader, done),
                    Err(e) => done(Err(e)),
                });
            }
        }
    }

    /// The kernel no longer refers to a node `count` times.
    pub fn forget(&self, id: u64, count: u64) {
        self.0.forget(id, count);
    }

    /// What a node looks like, and how long that may be believed.
    pub fn attr(&self, id: u64, reader: Reader, done: impl FnOnce(Result<(Attr, Duration)>) + Send + 'static) {
        let core = Arc::clone(&self.0);
        match self.0.node(id) {
            Err(e) => done(Err(e)),
            Ok(At::Mirror(mirror)) => {
                let lane = lane_of(&mirror);
                self.0.run(&lane, Class::Meta, reader, move |_| core.mirror_attr(&mirror, id), done);
            }
            Ok(At::Inside(node, Virtual::ROOT)) => {
                let lane = node.lane();
                let job = move |watch: &Arc<Watch>| {
                    core.check(&node, watch).map(|beside| (core.image_attr(&node, id), beside.ttl()))
                };
                self.0.engine.submit(&lane, Class::Meta, reader, job, done);
            }
            Ok(At::Inside(node, at)) => {
                let image = Arc::clone(&node);
                self.0.with_image(&node, reader, move |parsed| match parsed {
                    Ok(parsed) => core.inside_found(image, parsed, at, reader, move |core, image, parsed| {
                        done(core.inside_attr(image, parsed, at, id).map(|attr| (attr, IMAGE_TTL)));
                    }),
                    Err(e) => done(Err(e)),
                });
            }
        }
    }

    /// Where a link points.
    pub fn read_link(&self, id: u64, reader: Reader, done: impl FnOnce(Result<Vec<u8>>) + Send + 'static) {
        let core = Arc::clone(&self.0);
        match self.0.node(id) {
            Ok(At::Mirror(mirror)) if mirror.kind == EntryKind::Link => {
                let lane = mirror.path.parent().unwrap_or(Path::new("")).to_owned();
                let job =
                    move |_: &Arc<Watch>| Ok(core.source.read_link(&mirror.path)?.as_os_str().as_bytes().to_vec());
                self.0.run(&lane, Class::Meta, reader, job, done);
            }
            Ok(_) => done(Err(Error::new(Kind::Invalid, "not a link"))),
            Err(e) => done(Err(e)),
        }
    }
}

impl Core {
    pub(super) fn forget(&self, id: u64, count: u64) {
        if id != ROOT {
            let gone = lock(&self.nodes).forget(id, count);
            drop(gone);
        }
    }

    fn look_up_source(&self, directory: &Path, name: &[u8], watch: &Watch) -> Result<Named> {
        match self.listing(directory, watch)?.find(&self.names, name) {
            None => Ok(Named::Seen(LookedUp { attr: None, ttl: TREE_TTL })),
            Some(found) => self.look_up_found(directory, name, found, watch),
        }
    }

    /// Looks at what a name of a source directory stands for. A node found counts as referred to.
    pub(super) fn look_up_found(&self, directory: &Path, name: &[u8], found: Found, watch: &Watch) -> Result<Named> {
        let path = || directory.join(OsStr::from_bytes(name));
        let made = match found {
            Found::Real(EntryKind::Directory) => return Ok(Named::Folder(path())),
            Found::Folder(real) => return Ok(Named::Folder(directory.join(OsStr::from_bytes(&real)))),
            Found::Real(_) => self.look_up_mirror(path()),
            Found::Image { source, view } => {
                let found = self.image_node(directory, &source, view, name, watch);
                let seen = found.and_then(|node| self.look_up_image(node));
                let seen = seen.map_or_else(gone, |(attr, ttl)| Ok(LookedUp { attr: Some(attr), ttl }));
                return seen.map(Named::Seen);
            }
        };
        looked_up(made).map(Named::Seen)
    }

    fn look_up_folder(&self, path: PathBuf) -> Result<LookedUp> {
        looked_up(self.look_up_mirror(path))
    }

    fn look_up_mirror(&self, path: PathBuf) -> Result<Attr> {
        let facts = self.source.facts(&path)?;
        let kind = EntryKind::of(facts.kind).ok_or_else(|| stale(&path))?;
        let identity = mirror_identity(&self.salt, &path, kind, Some(&facts));
        let print = (kind != EntryKind::Directory).then_some(facts.print);
        let (id, _) =
            lock(&self.nodes).look_up(identity, 1, || Node::Mirror(Arc::new(Mirror { path, kind, print })))?;
        Ok(self.dated(Attr::mirror(id, kind, &facts)))
    }

    fn look_up_image(&self, node: ImageNode) -> Result<(Attr, Duration)> {
        let identity = node.identity;
        let made = Arc::new(node);
        let (id, _) = lock(&self.nodes).look_up(identity, IMAGE_NODES, || Node::Image(Arc::clone(&made)))?;
        Ok((self.image_attr(&made, id), made.beside.ttl()))
    }

    fn mirror_attr(&self, mirror: &Mirror, id: u64) -> Result<(Attr, Duration)> {
        let facts = self.source.facts(&mirror.path)?;
        let same_kind = EntryKind::of(facts.kind) == Some(mirror.kind);
        if !same_kind || mirror.print.is_some_and(|print| print != facts.print) {
            return Err(stale(&mirror.path));
        }
        Ok((self.dated(Attr::mirror(id, mirror.kind, &facts)), TREE_TTL))
    }

    fn look_up_inside(
        self: &Arc<Self>,
        node: Arc<ImageNode>,
        parsed: Arc<Parsed>,
        parent: Virtual,
        name: &[u8],
        reader: Reader,
        done: impl FnOnce(Result<LookedUp>) + Send + 'static,
    ) {
        if !parsed.shown.exists(node.view, &parsed.image, parent) {
            return done(Err(stale(&node.file)));
        }
        let Some(child) = parsed.shown.child(node.view, &parsed.image, parent, name) else {
            return done(Ok(LookedUp { attr: None, ttl: IMAGE_TTL }));
        };
        self.inside_found(node, parsed, child, reader, move |core, node, parsed| {
            // Attributes first: a lookup that fails must not count.
            let found = core.inside_attr(node, parsed, child, 0).and_then(|attr| {
                let array = parsed.array(node.view, child)?;
                Ok(Attr { id: core.inside_id(node, array, child, true)?, ..attr })
            });
            done(found.map(|attr| LookedUp { attr: Some(attr), ttl: IMAGE_TTL }));
        });
    }

    /// Goes on at once where the attributes of a node are quickly found, else on a lane.
    fn inside_found(
        self: &Arc<Self>,
        node: Arc<ImageNode>,
        parsed: Arc<Parsed>,
        inside: Virtual,
        reader: Reader,
        then: impl FnOnce(&Core, &Arc<ImageNode>, &Parsed) + Send + 'static,
    ) {
        if parsed.is_seen(node.view, inside) && self.is_quick(&node, &parsed, inside) {
            return then(self, &node, &parsed);
        }
        let (core, measured, image) = (Arc::clone(self), Arc::clone(&parsed), Arc::clone(&node));
        let lane = node.lane();
        let job = move |watch: &Arc<Watch>| {
            core.look_at(&image, &measured, inside, watch)?;
            match inside {
                inside if inside.is_of_record() => core.document_size(&image, &measured, inside).map(drop),
                _ => Ok(()),
            }
        };
        let core = Arc::clone(self);
        // A size that could not be found fails again, at once, in `then`.
        self.engine.submit(&lane, Class::Meta, reader, job, move |looked| {
            if let Err(e) = &looked {
                core.say(&node, e);
            }
            then(&core, &node, &parsed);
        });
    }
}
