//! Where the files of an acquisition are: streams of one compound file (OIB), or files in a folder beside the main text (OIF).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::axes::{file_name, folder_name};
use super::ini::Ini;
use crate::error::{Error, Kind, Result};
use crate::format::ole2::Compound;
use crate::format::{Limits, Member, OpenMember, Place};
use crate::io::{Fingerprint, ReadAt, Watch};
use crate::sync::{Arc, OnceLock};

/// The files of an acquisition, by their names without folders.
pub(super) enum Store {
    /// OIB.
    Compound {
        compound: Box<Compound>,
        file: Arc<dyn ReadAt>,
        /// Paths of streams by the names of files, in lower case.
        names: HashMap<String, String>,
    },
    /// OIF.
    Folder(Folder),
}

/// A folder of files.
pub(super) struct Folder {
    file: Arc<dyn ReadAt>,
    opener: OpenMember,
    /// The folder, from the main text's on.
    folder: PathBuf,
    /// Texts and tables that were read.
    read: Vec<(PathBuf, Fingerprint)>,
    /// The state that planes were found in, when one was read first.
    prints: Vec<OnceLock<Fingerprint>>,
}

/// Largest text or table that is read whole.
const MAX_TEXT: u64 = 4 << 20;
/// Memory of a name.
const NAME_BYTES: u64 = 96;

impl Store {
    /// An OIB file, and its main text.
    ///
    /// # Errors
    /// `Unsupported` if it is another kind of compound file; `Malformed`, `Truncated`, `OverLimit`, failures of the disk.
    pub fn compound(file: Arc<dyn ReadAt>, limits: &Limits, watch: &Watch) -> Result<(Self, Vec<u8>)> {
        let compound = Box::new(Compound::open(Arc::clone(&file), limits, watch)?);
        let Some(size) = compound.size("OibInfo.txt") else {
            return Err(Error::unsupported("a compound file without OibInfo.txt: not one of FluoView's"));
        };
        if size > limits.index_bytes / 8 {
            return Err(Error::over_limit(format!("OibInfo.txt of {size} bytes")));
        }
        let info = compound.stream("OibInfo.txt", watch)?;
        let info = Ini::parse(&info.read_vec(0, size)?).map_err(|e| e.at("OibInfo.txt"))?;
        if let Some(name) = info.text("OibSaveInfo", "Compression").filter(|c| *c != "None") {
            return Err(Error::unsupported(format!("streams in compression {name:.40}")));
        }
        let mut paths: HashMap<&str, &str> = HashMap::new();
        for path in compound.paths() {
            // The storage that a name speaks of is looked for first, so that which of two is kept here is of no matter.
            paths.insert(file_name(path), path);
        }
        let mut names = HashMap::new();
        for (key, value) in info.pairs("OibSaveInfo").filter(|(key, _)| key.starts_with("Stream")) {
            let own = value.rsplit_once(['/', '\\']).map(|(folder, _)| format!("{folder}/{key}"));
            let path = own.filter(|p| compound.size(p).is_some());
            // What is named and not there is an error where it is read.
            let path = path.or_else(|| paths.get(key).map(|p| (*p).to_owned())).unwrap_or_else(|| key.to_owned());
            names.entry(file_name(value).to_lowercase()).or_insert(path);
        }
        let main = info.text("OibSaveInfo", "MainFileName").unwrap_or_default();
        let name = info.text("OibSaveInfo", main).map(str::to_owned);
        let path = name.and_then(|n| names.get(&file_name(&n).to_lowercase()).cloned());
        let path = path.ok_or_else(|| Error::malformed("OibInfo.txt names no main file"))?;
        let main = read_text(compound.stream(&path, watch)?.as_ref())?;
        Ok((Store::Compound { compound, file, names }, main))
    }

    /// The folder of an OIF file, whose main text is `main`; `first` is the name of its first plane.
    ///
    /// # Errors
    /// Why the first plane cannot be opened.
    pub fn folder(file: Arc<dyn ReadAt>, place: &Place<'_>, main: &Ini, first: &[String]) -> Result<Self> {
        let own = place.path.file_name().map(|n| PathBuf::from(format!("{}.files", n.to_string_lossy())));
        // The main text keeps the name that it had when it was written.
        let written = main.text("ProfileSaveInfo", "PtyFileNameS").and_then(folder_name).map(PathBuf::from);
        let plain = |p: &PathBuf| p.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        let folders: Vec<PathBuf> = own.into_iter().chain(written).filter(plain).collect();
        let mut why = None;
        for (folder, name) in folders.iter().flat_map(|f| first.iter().map(move |n| (f, n))) {
            match (place.open)(&folder.join(name)) {
                Ok(_) => {
                    return Ok(Store::Folder(Folder {
                        file,
                        opener: Arc::clone(&place.open),
                        folder: folder.clone(),
                        read: Vec::new(),
                        prints: Vec::new(),
                    }));
                }
                Err(e) => why = why.or(Some(e.at(format!("{}/{name}", folder.display())))),
            }
        }
        Err(why.unwrap_or_else(|| Error::malformed("no folder with the planes")))
    }

    /// A text or a small table.
    ///
    /// # Errors
    /// `Missing` if there is no such file; `OverLimit` for a large one; failures of the disk.
    pub fn text(&mut self, name: &str, watch: &Watch) -> Result<Vec<u8>> {
        watch.tick();
        match self {
            Store::Compound { compound, names, .. } => match names.get(&name.to_lowercase()) {
                Some(path) => read_text(compound.stream(path, watch)?.as_ref()),
                None => Err(Error::new(Kind::Missing, format!("no file {name:.200}"))),
            },
            Store::Folder(folder) => {
                let path = folder.folder.join(file_name(name));
                let file = (folder.opener)(&path)?;
                let text = read_text(file.as_ref())?;
                if folder.read.iter().all(|(known, _)| *known != path) {
                    folder.read.push((path, file.fingerprint()));
                }
                Ok(text)
            }
        }
    }

    /// Is there such a file? Of a folder that is not known without looking.
    pub fn names(&self, name: &str) -> bool {
        match self {
            Store::Compound { names, .. } => names.contains_key(&name.to_lowercase()),
            Store::Folder(_) => true,
        }
    }

    /// The file of a plane.
    ///
    /// # Errors
    /// Why it cannot be opened; `Changed` if it is no longer what it was when a plane was first read from it.
    pub fn plane(&self, number: u64, name: &str, watch: &Watch) -> Result<Arc<dyn ReadAt>> {
        match self {
            Store::Compound { compound, names, .. } => match names.get(&name.to_lowercase()) {
                Some(path) => compound.stream(path, watch),
                None => Err(Error::new(Kind::Missing, format!("no file {name:.200}"))),
            },
            Store::Folder(folder) => {
                let file = (folder.opener)(&folder.folder.join(name))?;
                let print = usize::try_from(number).ok().and_then(|n| folder.prints.get(n));
                if print.is_some_and(|p| *p.get_or_init(|| file.fingerprint()) != file.fingerprint()) {
                    return Err(Error::new(Kind::Changed, "it is no longer the file that was opened").in_file(name));
                }
                Ok(file)
            }
        }
    }

    /// All files of the dataset: the one that was opened, each plane's in their order, texts.
    pub fn members(&mut self, main: &Path, planes: impl Iterator<Item = String>) -> Vec<Member> {
        let first = |file: &Arc<dyn ReadAt>| Member { path: main.to_owned(), print: Some(file.fingerprint()) };
        match self {
            Store::Compound { file, .. } => vec![first(file)],
            Store::Folder(folder) => {
                let beside = |path: &Path| main.parent().map_or_else(|| path.to_owned(), |dir| dir.join(path));
                let mut all = vec![first(&folder.file)];
                all.extend(planes.map(|name| Member { path: beside(&folder.folder.join(name)), print: None }));
                folder.prints.resize_with(all.len() - 1, OnceLock::new);
                all.extend(folder.read.iter().map(|(path, print)| Member { path: beside(path), print: Some(*print) }));
                all
            }
        }
    }

    /// The file that was opened.
    pub fn file(&self) -> &Arc<dyn ReadAt> {
        match self {
            Store::Compound { file, .. } | Store::Folder(Folder { file, .. }) => file,
        }
    }

    /// Does each plane have a file of its own?
    pub fn is_folder(&self) -> bool {
        matches!(self, Store::Folder(_))
    }

    /// Bytes of memory held, but for the list of members.
    pub fn heap_bytes(&self) -> u64 {
        match self {
            Store::Compound { compound, names, .. } => compound.heap_bytes() + names.len() as u64 * NAME_BYTES,
            Store::Folder(folder) => (folder.prints.len() * size_of::<OnceLock<Fingerprint>>()) as u64,
        }
    }
}

fn read_text(file: &dyn ReadAt) -> Result<Vec<u8>> {
    if file.len() > MAX_TEXT {
        return Err(Error::over_limit(format!("a text of {} bytes", file.len())));
    }
    file.read_vec(0, file.len())
}
