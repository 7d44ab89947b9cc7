//! Datasets in memory whose files can be cut short, fail once, or count what is read of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fuzarr::error::{Error, Kind, Result};
use fuzarr::format::{self, ImageSource, Limits, Place};
use fuzarr::io::{Fingerprint, MemoryFile, ReadAt, Watch};

/// A file with what lies beside and beneath its folder.
pub struct Dataset {
    /// What messages call it.
    pub label: String,
    name: PathBuf,
    folder: Option<PathBuf>,
    loaded: Mutex<HashMap<PathBuf, Arc<Vec<u8>>>>,
}

/// How the files of a dataset misbehave.
#[derive(Clone, Default)]
pub struct Fault {
    /// The opened file ends here.
    pub cut: Option<u64>,
    /// The call of this number fails, counted from 0 over all files; the later ones work.
    pub fails: Option<u64>,
    /// Calls so far.
    pub calls: Arc<AtomicU64>,
}

impl Dataset {
    /// A file on disk.
    pub fn on_disk(path: &Path, label: String) -> Self {
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        Dataset { label, name, folder: path.parent().map(Path::to_owned), loaded: Mutex::default() }
    }

    /// Bytes of one file, or `None` if there is no such file.
    pub fn bytes(&self, name: &Path) -> Option<Arc<Vec<u8>>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = loaded.get(name) {
            return Some(Arc::clone(bytes));
        }
        let bytes = Arc::new(std::fs::read(self.folder.as_ref()?.join(name)).ok()?);
        loaded.insert(name.to_owned(), Arc::clone(&bytes));
        Some(bytes)
    }

    /// Length of the opened file.
    pub fn len(&self) -> u64 {
        self.bytes(&self.name).map_or(0, |b| b.len() as u64)
    }

    /// Opens the dataset.
    pub fn open(self: &Arc<Self>, limits: &Limits, fault: &Fault) -> Result<(&'static str, Arc<dyn ImageSource>)> {
        let (dataset, fault) = (Arc::clone(self), fault.clone());
        let open = move |name: &Path| {
            let bytes = dataset.bytes(name).ok_or_else(|| Error::new(Kind::Missing, "no such file"))?;
            let cut = if name == dataset.name { fault.cut } else { None };
            let end = cut.map_or(bytes.len(), |cut| cut as usize);
            Ok(Arc::new(Faulty { file: MemoryFile(bytes[..end].to_vec()), fault: fault.clone() }) as Arc<dyn ReadAt>)
        };
        let (own, open) = (open(&self.name)?, Arc::new(open));
        format::open(own, &Place { path: &self.name, open }, limits, &Watch::default())
    }
}

struct Faulty {
    file: MemoryFile,
    fault: Fault,
}

impl ReadAt for Faulty {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if self.fault.fails == Some(self.fault.calls.fetch_add(1, Ordering::Relaxed)) {
            return Err(Error::io(&std::io::Error::from_raw_os_error(libc::EIO), "pread"));
        }
        self.file.read_exact_at(offset, buf)
    }

    fn verify(&self) -> Result<()> {
        Ok(())
    }

    fn fingerprint(&self) -> Fingerprint {
        self.file.fingerprint()
    }
}
