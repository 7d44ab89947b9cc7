//! The files of a dataset: the one that was opened, and members beside it, opened when a plane of theirs is read.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use lru::LruCache;

use super::header::TiffFile;
use super::ifd::Ifd;
use crate::error::{Error, Kind, Result};
use crate::format::{Limits, Member, OpenMember, first_path};
use crate::io::{Fingerprint, ReadAt, Watch};
use crate::sync::{Arc, Mutex, OnceLock, lock};

/// A TIFF file with the offsets of its directories.
pub(super) struct Indexed {
    pub tiff: TiffFile,
    /// Offsets along the main chain.
    pub offsets: Vec<u64>,
    /// Why the chain ended early.
    pub warning: Option<String>,
}

/// Memory for each directory of a chain: its offset, and the set that finds loops while walking.
const BYTES_PER_DIRECTORY: u64 = 32;

impl Indexed {
    /// Walks the chain once; `each` sees every directory.
    ///
    /// # Errors
    /// That of the first directory, of `each`, or of the disk.
    pub fn walk(
        tiff: TiffFile,
        limits: &Limits,
        watch: &Watch,
        mut each: impl FnMut(Ifd) -> Result<()>,
    ) -> Result<Self> {
        let max = usize::try_from(limits.index_bytes / BYTES_PER_DIRECTORY).unwrap_or(usize::MAX);
        let mut chain = tiff.chain(max);
        let mut offsets = Vec::new();
        while let Some(ifd) = chain.next_ifd()? {
            offsets.push(ifd.offset);
            each(ifd)?;
            if offsets.len() % 64 == 0 {
                watch.tick();
                watch.check()?;
            }
        }
        offsets.shrink_to_fit();
        let warning = chain.warning().map(str::to_owned);
        Ok(Indexed { tiff, offsets, warning })
    }

    /// The first directory alone, unread.
    pub fn first(tiff: TiffFile) -> Self {
        Indexed { offsets: vec![tiff.first_ifd], tiff, warning: None }
    }

    /// Offset of directory `index`.
    ///
    /// # Errors
    /// `Malformed` if the chain is shorter, `Truncated` if it broke off.
    pub fn offset(&self, index: u64) -> Result<u64> {
        let found = usize::try_from(index).ok().and_then(|i| self.offsets.get(i));
        found.copied().ok_or_else(|| match &self.warning {
            Some(why) => Error::truncated(format!("directory {index} is lost: {why}")),
            None => Error::malformed(format!("directory {index} of {}", self.offsets.len())),
        })
    }
}

/// A file of the dataset, by number.
enum Entry {
    /// The file that was opened, or the companion that describes it: no planes are read from the latter.
    Opened(Option<Arc<Indexed>>),
    /// Opened when needed.
    Member { name: PathBuf, print: OnceLock<Fingerprint>, member: u32 },
    /// Cannot be opened; its planes are errors.
    Lost(Error),
}

/// All files.
pub(super) struct Files {
    entries: Vec<Entry>,
    members: Vec<Member>,
    /// Index of the companion in `members`, if the opened file names one.
    companion: Option<usize>,
    /// Verified with every plane: the opened file, and a companion.
    described_by: Vec<Arc<dyn ReadAt>>,
    opener: OpenMember,
    open: Mutex<LruCache<u32, Arc<Indexed>>>,
    /// Members are read by the numbers of their directories.
    chains: bool,
    limits: Limits,
}

/// Members held open at a time: each has a file descriptor.
const OPEN_MEMBERS: NonZeroUsize = NonZeroUsize::new(16).unwrap();
/// Most members of a dataset.
const MAX_MEMBERS: usize = 1 << 16;

impl Files {
    /// `path` is the opened file beneath the mount's source; `index` its directories, if it is a TIFF file.
    pub fn new(
        file: Arc<dyn ReadAt>,
        path: &Path,
        index: Option<Arc<Indexed>>,
        opener: OpenMember,
        limits: &Limits,
    ) -> Self {
        Files {
            entries: vec![Entry::Opened(index)],
            members: vec![Member { path: path.to_owned(), print: Some(file.fingerprint()) }],
            companion: None,
            described_by: vec![file],
            opener,
            open: Mutex::new(LruCache::new(OPEN_MEMBERS)),
            chains: true,
            limits: *limits,
        }
    }

    /// Members are read by offsets, or by their first directory: their chains need not be walked.
    pub fn without_chains(mut self) -> Self {
        self.chains = false;
        self
    }

    /// Adds the document that describes the dataset.
    pub fn add_companion(&mut self, name: &Path, file: Arc<dyn ReadAt>) {
        self.companion = Some(self.members.len());
        self.members.push(Member { path: self.beside(name), print: Some(file.fingerprint()) });
        self.described_by.push(file);
    }

    /// Adds a file that planes refer to, and gives its number. It is opened once, to learn its state (rights and generation
    /// depend on it), and not kept; what cannot be opened is remembered as lost.
    ///
    /// # Errors
    /// `Interrupted` if nobody waits any more.
    pub fn add(&mut self, name: &str, watch: &Watch) -> Result<u32> {
        watch.check()?;
        let entry = match self.checked(name).and_then(|name| Ok((name, (self.opener)(name)?))) {
            Ok((name, file)) => self.entry(name, Some(file.fingerprint())),
            Err(e) if e.kind() == Kind::Interrupted => return Err(e),
            Err(e) => Entry::Lost(e.at(format!("member {name:.200}"))),
        };
        watch.tick();
        Ok(self.push(entry))
    }

    /// Adds a file without looking at it: its planes alone depend on it, and it is opened when one of them is read.
    pub fn add_unseen(&mut self, name: &str) -> u32 {
        let entry = match self.checked(name) {
            Ok(name) => self.entry(name, None),
            Err(e) => Entry::Lost(e.at(format!("member {name:.200}"))),
        };
        self.push(entry)
    }

    fn checked<'n>(&self, name: &'n str) -> Result<&'n Path> {
        let name = safe_name(name)?;
        if self.members.len() >= MAX_MEMBERS {
            return Err(Error::over_limit(format!("more than {MAX_MEMBERS} files in a dataset")));
        }
        Ok(name)
    }

    fn entry(&mut self, name: &Path, print: Option<Fingerprint>) -> Entry {
        let member = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        self.members.push(Member { path: self.beside(name), print });
        let known = OnceLock::new();
        if let Some(print) = print {
            let _ = known.set(print);
        }
        Entry::Member { name: name.to_owned(), print: known, member }
    }

    fn push(&mut self, entry: Entry) -> u32 {
        let number = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push(entry);
        number
    }

    /// Ends the opening: files that were looked at since they were added count as looked at.
    pub fn settle(&mut self) {
        for entry in &self.entries {
            if let Entry::Member { print, member, .. } = entry
                && let Some(known) = self.members.get_mut(*member as usize)
            {
                known.print = print.get().copied();
            }
        }
    }

    /// Is there a file that was not looked at when the dataset was opened?
    pub fn has_unseen(&self) -> bool {
        self.members.iter().any(|m| m.print.is_none())
    }

    /// The path that the dataset goes by: that of the document that describes it, else the first of all by its bytes.
    pub fn canonical(&self) -> Option<&Path> {
        let document = match self.entries.first() {
            Some(Entry::Opened(None)) => self.members.first(),
            _ => self.companion.and_then(|at| self.members.get(at)),
        };
        document.map(|m| m.path.as_path()).or_else(|| first_path(&self.members))
    }

    /// Every file; the first is the one that was opened.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Index in [`Files::members`].
    ///
    /// # Errors
    /// Why the file is lost.
    pub fn member(&self, number: u32) -> Result<u32> {
        match self.entries.get(number as usize) {
            Some(Entry::Opened(Some(_))) => Ok(0),
            Some(Entry::Member { member, .. }) => Ok(*member),
            Some(Entry::Lost(e)) => Err(e.clone()),
            Some(Entry::Opened(None)) => Err(Error::malformed("the plane names no file")),
            None => Err(Error::new(Kind::Internal, format!("no file {number}"))),
        }
    }

    /// The file, opened if it is not.
    ///
    /// # Errors
    /// Why it cannot be opened; `Changed` if it is no longer what it was when the image was opened.
    pub fn get(&self, number: u32, watch: &Watch) -> Result<Arc<Indexed>> {
        let (name, print) = match self.entries.get(number as usize) {
            Some(Entry::Opened(Some(index))) => return Ok(Arc::clone(index)),
            Some(Entry::Member { name, print, .. }) => (name, print),
            _ => return Err(self.member(number).err().unwrap_or_else(|| Error::malformed("no such file"))),
        };
        if let Some(open) = lock(&self.open).get(&number) {
            return Ok(Arc::clone(open));
        }
        // Opened outside the lock: a stuck member must not hold up the others. Two may open it at once; one is dropped.
        let named = |e: Error| e.in_file(self.beside(name));
        let file = (self.opener)(name).map_err(named)?;
        // The first to open it says which state is meant.
        if file.fingerprint() != *print.get_or_init(|| file.fingerprint()) {
            return Err(named(Error::new(Kind::Changed, "it is no longer the file that was opened")));
        }
        watch.tick();
        let tiff = TiffFile::open(file).map_err(named)?;
        let index = if self.chains {
            Arc::new(Indexed::walk(tiff, &self.limits, watch, |_| Ok(())).map_err(named)?)
        } else {
            Arc::new(Indexed::first(tiff))
        };
        lock(&self.open).put(number, Arc::clone(&index));
        Ok(index)
    }

    /// Is the file of a plane, and what describes it, still what it was?
    ///
    /// # Errors
    /// `Changed`, `Io`.
    pub fn verify(&self, number: u32) -> Result<()> {
        for file in &self.described_by {
            file.verify()?;
        }
        match self.entries.get(number as usize) {
            Some(Entry::Member { .. }) => self.get(number, &Watch::default())?.tiff.file.verify(),
            _ => Ok(()),
        }
    }

    /// Bytes held, with every member that may be open.
    pub fn heap_bytes(&self) -> u64 {
        let names: usize = self.members.iter().map(|m| size_of::<Member>() + m.path.as_os_str().len()).sum();
        let entries = self.entries.capacity() * size_of::<Entry>();
        let index = |i: &Indexed| i.offsets.capacity() * 8;
        let opened: usize = self
            .entries
            .iter()
            .filter_map(|e| if let Entry::Opened(Some(i)) = e { Some(index(i)) } else { None })
            .sum();
        let open: usize = lock(&self.open).iter().map(|(_, i)| index(i)).sum();
        (2 * names + entries + opened + open) as u64
    }

    fn beside(&self, name: &Path) -> PathBuf {
        self.members.first().and_then(|m| m.path.parent()).map_or_else(|| name.to_owned(), |dir| dir.join(name))
    }
}

/// A name from metadata as a path beneath the directory of the file that holds it. Whatever could mean another place, on any
/// system, is refused before the operating system sees it.
///
/// # Errors
/// `Unsupported`.
pub(super) fn safe_name(name: &str) -> Result<&Path> {
    let path = Path::new(name);
    let plain = !name.is_empty()
        && name.len() <= 4096
        && !name.contains(['\\', '\0'])
        && !name.contains("://")
        && name.as_bytes().get(1) != Some(&b':')
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.len() <= 255);
    if plain { Ok(path) } else { Err(Error::unsupported("a file name that is not one beneath this directory")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "/etc/passwd",
            "../a.tif",
            "a/../b",
            "..\\a",
            "C:\\a",
            "c:a.tif",
            "\\\\h\\s",
            "http://h/a",
            "a//b",
            "./a",
        ] {
            assert!(safe_name(bad).is_err(), "{bad}");
        }
        assert!(safe_name(&"a".repeat(256)).is_err());
        for good in ["a.tif", "sub/a.ome.tif", "a b.tif", "é.tif", "..a.tif"] {
            assert!(safe_name(good).is_ok(), "{good}");
        }
    }
}
