//! The other files of a dataset: what was seen of each, and whether it changed since.
//!
//! Most are looked at when the dataset is opened. Files that store nothing but fields of a plate are looked at when something
//! that depends on them is: a chunk of theirs, or a document of their image.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::Core;
use super::beside::state;
use super::images::{FAILED_MS, Parsed};
use super::node::{ImageNode, content_key};
use crate::error::{Error, Kind, Result};
use crate::format::{Member, split_image_name};
use crate::io::{Watch, now_ms};
use crate::pyramid::OpenImage;
use crate::sync::{Arc, Mutex, OnceLock, lock};
use crate::tree::{Facts, Group, Identity, Rights, Virtual};
use crate::zarr::View;

/// What was seen of a file of a dataset.
#[derive(Clone, Copy)]
pub(super) enum Seen {
    /// It is the image's own file, whose rights may change while its content stays.
    Own,
    /// This.
    File(Facts),
    /// It is not there; what it should hold cannot be read.
    Gone,
}

/// The files of an open dataset.
pub(super) struct Members {
    seen: Vec<OnceLock<Seen>>,
    /// The different rights of other files that were looked at when the dataset was opened.
    others: Vec<Rights>,
    /// Was any of them not?
    lazy: bool,
}

/// The other files of a dataset, as they were seen last; kept when the image itself is let go.
#[derive(Clone)]
pub(super) struct Others {
    files: Arc<Mutex<Vec<Other>>>,
    epoch: u64,
    checked_ms: u64,
    took_ms: u64,
}

struct Other {
    path: PathBuf,
    /// Hash of its state when it was seen first, and last.
    first: u64,
    last: u64,
}

/// What stands for the state of some files: 0 as long as each is as it was first seen.
fn epoch_of(files: &[Other]) -> u64 {
    let changed = files.iter().filter(|f| f.first != f.last);
    let parts: Vec<[u8; 16]> = changed
        .map(|f| Identity::of(&[f.path.as_os_str().as_encoded_bytes(), &f.last.to_le_bytes()]).to_bytes())
        .collect();
    let parts: Vec<&[u8]> = parts.iter().map(<[u8; 16]>::as_slice).collect();
    if parts.is_empty() { 0 } else { Identity::of(&parts).key() }
}

/// Adds what was seen of some files to what is known.
fn note(files: &mut Vec<Other>, seen: Vec<(PathBuf, u64)>) {
    // A dataset of 50,000 files is seen at once: looking for each among all the others would take minutes.
    let mut known: HashMap<PathBuf, usize> = match seen.len() {
        0..8 => HashMap::new(),
        _ => files.iter().enumerate().map(|(at, f)| (f.path.clone(), at)).collect(),
    };
    let few = seen.len() < 8;
    for (path, now) in seen {
        let at = if few { files.iter().position(|f| f.path == path) } else { known.get(&path).copied() };
        match at.and_then(|at| files.get_mut(at)) {
            Some(file) => file.last = now,
            None => {
                if !few {
                    known.insert(path.clone(), files.len());
                }
                files.push(Other { path, first: now, last: now });
            }
        }
    }
}

impl Members {
    /// How many.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// What was seen of one; nothing yet, or nothing ever.
    pub fn seen(&self, member: u32) -> Option<Seen> {
        self.seen.get(member as usize)?.get().copied()
    }
}

impl Parsed {
    /// Who may read a document: those who may read every file that it was made from.
    pub fn readers(&self, node: &ImageNode, inside: Virtual) -> Rights {
        let written = self.written.rights.iter().filter(|_| inside.is_of_record());
        let opened = self.members.others.iter().chain(written).fold(node.facts.rights, |all, other| all.and(*other));
        self.needed(node.view, inside).into_iter().fold(opened, |all, member| match self.members.seen(member) {
            Some(Seen::File(facts)) => all.and(facts.rights),
            _ => all,
        })
    }

    /// Files that a node depends on besides those that were looked at when the dataset was opened.
    pub fn needed(&self, view: View, inside: Virtual) -> Vec<u32> {
        if !self.members.lazy {
            return Vec::new();
        }
        match inside {
            // A chunk depends on the file that stores its plane; labels are drawn from documents.
            Virtual::Chunk(series, _, _) => match self.chunk_source(view, inside) {
                Ok(Some(Member::EVERY)) => self.image.source.series_members(series),
                Ok(Some(member)) => vec![member],
                _ => Vec::new(),
            },
            Virtual::GroupFile(Group::Series(series) | Group::Labels(series), _) | Virtual::ArrayFile(series, _, _) => {
                self.image.source.series_members(series)
            }
            _ => Vec::new(),
        }
    }

    /// Was everything looked at that a node depends on?
    pub fn is_seen(&self, view: View, inside: Virtual) -> bool {
        self.needed(view, inside).into_iter().all(|member| self.members.seen(member).is_some())
    }
}

impl Core {
    /// Looks at the files of a dataset that was just opened, and remembers them: a change of any gives the image new ids.
    pub(super) fn members(&self, node: &ImageNode, image: &OpenImage, watch: &Watch) -> Result<Members> {
        let all = image.source.members();
        let mut members = Members { seen: Vec::with_capacity(all.len()), others: Vec::new(), lazy: false };
        let mut seen = Vec::new();
        for member in all {
            watch.tick();
            watch.check()?;
            let slot = OnceLock::new();
            if all.len() <= 1 || *member.path == *node.file {
                let _ = slot.set(Seen::Own);
            } else if member.print.is_none() {
                members.lazy = true;
            } else {
                let facts = match self.reached(&node.file, &member.path) {
                    Ok(facts) => {
                        seen.push((member.path.clone(), state(Some(&facts))));
                        facts
                    }
                    // Its planes fail by themselves; nobody is shown what nobody could look at.
                    Err(_) => {
                        seen.push((member.path.clone(), state(None)));
                        Facts { rights: Rights { mode: 0, ..node.facts.rights }, ..node.facts }
                    }
                };
                if !members.others.contains(&facts.rights) {
                    members.others.push(facts.rights);
                }
                let _ = slot.set(Seen::File(facts));
            }
            members.seen.push(slot);
        }
        for folder in image.source.folders() {
            seen.push((folder.clone(), self.folder_state(&folder)));
        }
        if !seen.is_empty() {
            self.remember(node, seen);
        }
        Ok(members)
    }

    /// Looks at the files that a node depends on, if that was not done yet. On a lane.
    ///
    /// # Errors
    /// If one is there and cannot be looked at.
    pub(super) fn look_at(&self, node: &ImageNode, parsed: &Parsed, inside: Virtual, watch: &Watch) -> Result<()> {
        let mut seen = Vec::new();
        for member in parsed.needed(node.view, inside) {
            let (Some(slot), Some(file)) =
                (parsed.members.seen.get(member as usize), parsed.image.source.members().get(member as usize))
            else {
                continue;
            };
            if slot.get().is_some() {
                continue;
            }
            watch.tick();
            watch.check()?;
            let found = match self.reached(&node.file, &file.path) {
                Ok(facts) => Seen::File(facts),
                Err(e) if matches!(e.errno(), libc::ENOENT | libc::ENOTDIR) => Seen::Gone,
                Err(e) => return Err(e),
            };
            let now = if let Seen::File(facts) = &found { state(Some(facts)) } else { state(None) };
            seen.push((file.path.clone(), now));
            let _ = slot.set(found);
        }
        if !seen.is_empty() {
            self.remember(node, seen);
        }
        Ok(())
    }

    /// Remembers the state of other files that an image depends on: a change of any gives the image new ids.
    pub(super) fn remember(&self, node: &ImageNode, seen: Vec<(PathBuf, u64)>) {
        let key = content_key(&node.file, &node.facts.print, 0);
        let mut all = lock(&self.images.others);
        let fresh = || Others { files: Arc::default(), epoch: 0, checked_ms: now_ms(), took_ms: 0 };
        let known = all.get(&key).unwrap_or_else(fresh);
        let mut files = lock(&known.files);
        note(&mut files, seen);
        let (epoch, weight) = (epoch_of(&files), files.len() as u64);
        drop(files);
        let gone = all.insert(key, Others { epoch, ..known }, [weight, 1]);
        drop(all);
        drop(gone);
    }

    /// What stands for the state of an image's other files, 0 as long as they are as they were first seen; and when they were
    /// looked at. On a lane.
    pub(super) fn epoch(&self, file: &Path, facts: &Facts, watch: &Watch) -> (u64, u64) {
        let key = content_key(file, &facts.print, 0);
        let Some(known) = lock(&self.images.others).get(&key) else { return (0, now_ms()) };
        let start = now_ms();
        // A large dataset on a slow share is looked at less often, so that looking takes a tenth of the time at most.
        if start.saturating_sub(known.checked_ms) < known.took_ms.saturating_mul(10).max(FAILED_MS) {
            return (known.epoch, known.checked_ms);
        }
        let paths: Vec<PathBuf> = lock(&known.files).iter().map(|f| f.path.clone()).collect();
        let look = |path: &PathBuf| {
            watch.tick();
            match self.reached(file, path) {
                Ok(facts) if facts.kind == FileType::Directory => self.folder_state(path),
                facts => state(facts.ok().as_ref()),
            }
        };
        let now: Vec<u64> = paths.iter().map(look).collect();
        let mut files = lock(&known.files);
        // Files are added at the end, never taken away.
        for (other, now) in files.iter_mut().zip(now) {
            other.last = now;
        }
        let (epoch, weight) = (epoch_of(&files), files.len() as u64);
        drop(files);
        let checked_ms = now_ms();
        let took_ms = checked_ms.saturating_sub(start);
        let gone = lock(&self.images.others).insert(key, Others { epoch, checked_ms, took_ms, ..known }, [weight, 1]);
        drop(gone);
        (epoch, start)
    }

    /// What stands for the names of the image files in a folder: whatever else is written there does not matter. On a lane.
    fn folder_state(&self, folder: &Path) -> u64 {
        let Ok((fd, _)) = self.source.open_directory(folder) else { return 0 };
        let Ok(entries) = rustix::fs::Dir::new(fd) else { return 0 };
        let names = entries.filter_map(std::result::Result::ok).map(|e| e.file_name().to_bytes().to_vec());
        let mut names: Vec<Vec<u8>> = names.filter(|name| split_image_name(name).is_some()).collect();
        names.sort_unstable();
        let parts: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        Identity::of(&parts).key()
    }

    /// Is the file that a chunk depends on still what was seen of it? On a lane.
    ///
    /// # Errors
    /// `Changed` if not, `Missing` if it was not there from the first.
    pub(super) fn check_member(&self, node: &ImageNode, parsed: &Parsed, inside: Virtual, watch: &Watch) -> Result<()> {
        if !matches!(inside, Virtual::Chunk(..)) || parsed.members.len() <= 1 {
            return Ok(());
        }
        self.look_at(node, parsed, inside, watch)?;
        let Ok(Some(member)) = parsed.chunk_source(node.view, inside) else { return Ok(()) };
        let Some(path) = parsed.image.source.members().get(member as usize).map(|m| &m.path) else { return Ok(()) };
        let now = self.reached(&node.file, path);
        let changed = match (parsed.members.seen(member), &now) {
            // A member that is missing now fails when it is read.
            (Some(Seen::File(facts)), Ok(now)) => now.print != facts.print || now.rights != facts.rights,
            (Some(Seen::Gone), Ok(_)) => true,
            // Nobody's rights are known before it is there.
            (Some(Seen::Gone), Err(_)) => {
                return Err(Error::new(Kind::Missing, "the file that stores this plane is not there").in_file(path));
            }
            _ => false,
        };
        if changed {
            self.drop_image(node);
            return Err(Error::new(Kind::Changed, "it is no longer the file that was looked up").in_file(path));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_keep_their_first_state_however_many_are_seen() {
        for count in [3, 100_000] {
            let mut files = Vec::new();
            let seen = |state: u64| (0..count).map(|n| (PathBuf::from(format!("a/{n}.tif")), state + n)).collect();
            note(&mut files, seen(10));
            note(&mut files, vec![("a/1.tif".into(), 11), ("b.tif".into(), 1)]);
            assert_eq!(epoch_of(&files), 0);
            note(&mut files, seen(20));
            assert_eq!(files.len() as u64, count + 1);
            assert_eq!((files[2].first, files[2].last), (12, 22));
            assert_ne!(epoch_of(&files), 0);
        }
    }
}
