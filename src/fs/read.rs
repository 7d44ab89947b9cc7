//! Opening and reading files: ordinary ones as they are, documents and chunks as they are made.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::node::{At, ImageNode, Mirror};
use super::readdir::Directory;
use super::{Core, Fs};
use crate::cache::Share;
use crate::error::{Error, Kind, Result};
use crate::exec::{ChunkDone, Class, LaneKey, Reader};
use crate::io::{Fingerprint, Watch};
use crate::sync::{Arc, Mutex, lock};
use crate::tree::{EntryKind, Virtual};

/// An open file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The handle.
    pub handle: u64,
    /// What the kernel has cached of the node is still right: the node's id says which state of the source it is.
    pub keep_cache: bool,
}

pub(super) enum Handle {
    File(Arc<OpenFile>),
    Inside(Arc<ImageNode>, Virtual),
    Directory(Arc<Directory>),
}

/// An ordinary file, open.
pub(super) struct OpenFile {
    file: File,
    path: PathBuf,
    lane: LaneKey,
    print: Fingerprint,
}

#[derive(Default)]
pub(super) struct Handles {
    open: Mutex<(HashMap<u64, Arc<Handle>>, u64)>,
}

impl Handles {
    pub fn add(&self, handle: Handle) -> u64 {
        let mut open = lock(&self.open);
        open.1 += 1;
        let number = open.1;
        open.0.insert(number, Arc::new(handle));
        number
    }

    pub fn get(&self, number: u64) -> Result<Arc<Handle>> {
        let found = lock(&self.open).0.get(&number).cloned();
        found.ok_or_else(|| Error::new(Kind::Source(libc::EBADF), "no such handle"))
    }

    pub fn remove(&self, number: u64) {
        let gone = lock(&self.open).0.remove(&number);
        drop(gone);
    }

    pub fn count(&self) -> usize {
        lock(&self.open).0.len()
    }
}

fn changed(what: &std::path::Path) -> Error {
    Error::new(Kind::Changed, "it is no longer the file that was looked up").in_file(what)
}

impl Fs {
    /// Opens a file for reading. The state of its source is checked here: `Changed` means that its name must be looked up
    /// again.
    pub fn open(&self, id: u64, reader: Reader, done: impl FnOnce(Result<Opened>) + Send + 'static) {
        let core = Arc::clone(&self.0);
        match self.0.node(id) {
            Err(e) => done(Err(e)),
            Ok(At::Mirror(mirror)) => match (mirror.kind, mirror.print) {
                (EntryKind::File, Some(print)) => self.open_mirror(mirror, print, reader, done),
                (EntryKind::Directory, _) => done(Err(Error::new(Kind::IsADirectory, "a directory"))),
                // Pipes and devices of the source are shown, never opened.
                _ => done(Err(Error::new(Kind::AccessDenied, "only regular files can be opened"))),
            },
            Ok(At::Inside(_, at)) if at.is_directory() => done(Err(Error::new(Kind::IsADirectory, "a directory"))),
            Ok(At::Inside(node, at)) => {
                let image = Arc::clone(&node);
                self.0.with_image(&node, reader, move |parsed| {
                    let parsed = match parsed {
                        Ok(parsed) => parsed,
                        Err(e) => return done(Err(e)),
                    };
                    let lane = image.lane();
                    let (checking, checked) = (Arc::clone(&core), Arc::clone(&image));
                    let job = move |watch: &Arc<Watch>| {
                        checking.check(&checked, watch)?;
                        checking.check_member(&checked, &parsed, at, watch)
                    };
                    let engine = Arc::clone(&core.engine);
                    engine.submit(&lane, Class::Meta, reader, job, move |result: Result<()>| {
                        done(result.map(|()| Opened {
                            handle: core.handles.add(Handle::Inside(image, at)),
                            keep_cache: true,
                        }));
                    });
                });
            }
        }
    }

    fn open_mirror(
        &self,
        mirror: Arc<Mirror>,
        print: Fingerprint,
        reader: Reader,
        done: impl FnOnce(Result<Opened>) + Send + 'static,
    ) {
        let (core, opening) = (Arc::clone(&self.0), Arc::clone(&self.0));
        let lane = LaneKey::new(mirror.path.parent().unwrap_or(std::path::Path::new("")));
        let kept = lane.clone();
        let job = move |_: &Arc<Watch>| {
            let file = opening.source.open_file(&mirror.path, print)?;
            Ok(OpenFile { file, path: mirror.path.clone(), lane: kept, print })
        };
        self.0.engine.submit(&lane, Class::Meta, reader, job, move |opened| {
            done(
                opened.map(|file| Opened { handle: core.handles.add(Handle::File(Arc::new(file))), keep_cache: true }),
            );
        });
    }

    /// Reads up to `size` bytes at `offset`; fewer only at the end of the file.
    pub fn read(&self, handle: u64, offset: u64, size: u32, reader: Reader, done: ChunkDone) {
        let handle = match self.0.handles.get(handle) {
            Ok(handle) => handle,
            Err(e) => return done(Err(e)),
        };
        match &*handle {
            Handle::Directory(_) => done(Err(Error::new(Kind::IsADirectory, "a directory"))),
            Handle::File(file) => self.0.read_file(Arc::clone(file), offset, size, reader, done),
            Handle::Inside(node, at) => {
                let (core, node, at) = (Arc::clone(&self.0), Arc::clone(node), *at);
                let image = Arc::clone(&node);
                let done: ChunkDone = {
                    let (core, node) = (Arc::clone(&core), Arc::clone(&node));
                    Box::new(move |result: Result<&[u8]>| {
                        if let Err(e) = &result {
                            core.read_failed(&node, e);
                        }
                        done(result);
                    })
                };
                self.0.with_image(&node, reader, move |parsed| match parsed {
                    Err(e) => done(Err(e)),
                    Ok(parsed) => match at {
                        Virtual::Chunk(_, _, number) => {
                            let array = match parsed.array(image.view, at) {
                                Ok(Some(array)) => array,
                                _ => return done(Err(Error::new(Kind::Internal, "a chunk without an array"))),
                            };
                            let chunk = array.chunk(number);
                            let end = offset.saturating_add(u64::from(size)).min(array.layout.file_bytes(chunk));
                            if offset >= end {
                                return done(Ok(&[]));
                            }
                            if let Some(shard) = array.layout.shard(chunk) {
                                return core.read_shard(&image, &parsed, shard, offset..end, reader, done);
                            }
                            core.engine.read_chunk(&image.lane(), &parsed.image, chunk, offset..end, reader, done);
                        }
                        _ => core.with_document(&image, parsed, at, reader, move |document| match document {
                            Err(e) => done(Err(e)),
                            Ok(document) => {
                                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(document.len());
                                let end = start.saturating_add(size as usize).min(document.len());
                                done(Ok(&document[start..end]));
                            }
                        }),
                    },
                });
            }
        }
    }

    /// Closes a file or directory.
    pub fn release(&self, handle: u64) {
        self.0.handles.remove(handle);
    }
}

impl Core {
    fn read_failed(&self, node: &ImageNode, error: &Error) {
        if error.kind() == Kind::Changed {
            self.drop_image(node);
        }
        self.say(node, error);
    }

    fn read_file(&self, file: Arc<OpenFile>, offset: u64, size: u32, reader: Reader, done: ChunkDone) {
        let end = offset.saturating_add(u64::from(size)).min(file.print.size);
        let Ok(length) = usize::try_from(end.saturating_sub(offset)) else {
            return done(Err(Error::new(Kind::Invalid, "too much at once")));
        };
        if length == 0 {
            return done(Ok(&[]));
        }
        let budget = Arc::clone(self.engine.budget());
        let lane = file.lane.clone();
        let job = move |_: &Arc<Watch>| {
            let lease = budget.lease_blocking(Share::Unit, length as u64)?;
            let mut bytes = vec![0; length];
            let fail = |e: std::io::Error| match e.kind() {
                // Shorter than it was: no longer that file.
                std::io::ErrorKind::UnexpectedEof => changed(&file.path),
                _ => Error::source(&e, "read").in_file(&file.path),
            };
            file.file.read_exact_at(&mut bytes, offset).map_err(fail)?;
            let now =
                rustix::fs::fstat(&file.file).map_err(|e| Error::source(&e.into(), "fstat").in_file(&file.path))?;
            if Fingerprint::of(&now) != file.print {
                return Err(changed(&file.path));
            }
            Ok((bytes, lease))
        };
        self.engine.submit(&lane, Class::Data, reader, job, move |result| match result {
            Ok((bytes, _lease)) => done(Ok(&bytes)),
            Err(e) => done(Err(e)),
        });
    }
}
