//! Sidecars for many files: a table that speaks of a hundred thousand files is read once, and each file is given its own rows.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::format::split_image_name;
use crate::metadata::sidecar::{Beneath, Beside};
use crate::sync::lock;

/// Name of the table of a folder.
const TABLE: &str = "dataset.meta.csv";
/// Tables that are kept; one has 16 MiB at most.
const TABLES_MAX: usize = 8;
/// Smaller ones are searched as they are.
const SMALL: usize = 16 << 10;

/// The tables read so far.
pub struct Shelf {
    beneath: Beneath,
    tables: Mutex<HashMap<PathBuf, Arc<Kept>>>,
}

/// The shelf, for one file.
pub struct Look<'a> {
    shelf: &'a Shelf,
    name: &'a [u8],
}

impl Shelf {
    /// An empty one.
    pub fn new(beneath: Beneath) -> Self {
        Shelf { beneath, tables: Mutex::default() }
    }

    /// What it shows to `file`.
    pub fn of<'a>(&'a self, file: &'a Path) -> Look<'a> {
        Look { shelf: self, name: file.file_name().unwrap_or_default().as_encoded_bytes() }
    }

    fn table(&self, file: &Path, limit: u64) -> Result<Arc<Kept>> {
        if let Some(kept) = lock(&self.tables).get(file) {
            return Ok(Arc::clone(kept));
        }
        let kept = Arc::new(Kept::new(self.beneath.read(file, limit)?));
        let mut tables = lock(&self.tables);
        if tables.len() >= TABLES_MAX {
            tables.clear();
        }
        tables.insert(file.to_owned(), Arc::clone(&kept));
        Ok(kept)
    }
}

impl Beside for Look<'_> {
    fn has(&self, directory: &Path, name: &OsStr) -> Result<bool> {
        self.shelf.beneath.has(directory, name)
    }

    fn read(&self, file: &Path, limit: u64) -> Result<Vec<u8>> {
        if file.file_name() != Some(OsStr::new(TABLE)) {
            return self.shelf.beneath.read(file, limit);
        }
        Ok(self.shelf.table(file, limit)?.of(self.name))
    }
}

/// A table, with the lines on which names of image files stand.
struct Kept {
    bytes: Vec<u8>,
    /// Lines by name, counted from 0; none for a table that is searched as a whole.
    lines: Option<HashMap<Vec<u8>, Vec<u32>>>,
    /// Where each line begins, and where the last one ends.
    starts: Vec<usize>,
}

impl Kept {
    fn new(bytes: Vec<u8>) -> Self {
        // A quotation mark may hold the end of a line; what is not UTF-8 is for others to read.
        let plain = bytes.len() > SMALL && !bytes.contains(&b'"') && std::str::from_utf8(&bytes).is_ok();
        if !plain {
            return Kept { bytes, lines: None, starts: Vec::new() };
        }
        let (mut starts, mut lines) = (vec![0], HashMap::<Vec<u8>, Vec<u32>>::new());
        let mut at = 0;
        for (number, line) in (0u32..).zip(bytes.split_inclusive(|b| *b == b'\n')) {
            at += line.len();
            starts.push(at);
            for cell in line.split(|b| matches!(b, b',' | b';' | b'\t')) {
                let name = cell.trim_ascii().rsplit(|b| matches!(b, b'/' | b'\\')).next().unwrap_or_default();
                if split_image_name(name).is_some() {
                    lines.entry(name.to_owned()).or_default().push(number);
                }
            }
        }
        Kept { bytes, lines: Some(lines), starts }
    }

    /// The heading and the lines that name a file, each on the line where it stands in the table.
    fn of(&self, name: &[u8]) -> Vec<u8> {
        let Some(lines) = &self.lines else { return self.bytes.clone() };
        let line = |n: u32| {
            let n = n as usize;
            let (start, end) = (self.starts.get(n).copied()?, self.starts.get(n + 1).copied()?);
            self.bytes.get(start..end)
        };
        let mut own = line(0).unwrap_or_default().to_vec();
        let mut next = 1;
        for number in lines.get(name).map_or(&[][..], Vec::as_slice) {
            // The heading is there already, and a line that has the name twice comes once.
            if *number < next {
                continue;
            }
            own.resize(own.len() + (*number - next) as usize, b'\n');
            own.extend_from_slice(line(*number).unwrap_or_default());
            next = *number + 1;
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::sidecar::gather;
    use std::os::fd::OwnedFd;

    #[test]
    fn each_file_is_told_what_the_whole_table_says() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = "file,series,name,license,biosample.organism.ncbi_taxon\r\n".to_owned();
        for n in 0..1000 {
            table.push_str(&format!("deep/{n}.tif,,name {n},CC-BY-4.0,9606\r\n"));
        }
        // Faults keep their lines.
        table.push_str("deep/7.tif,1,other,no licence at all,human\r\n.\\deep\\9.tif,0,x,,\r\n");
        std::fs::write(folder.path().join(TABLE), &table).unwrap();
        let root: OwnedFd = std::fs::File::open(folder.path()).unwrap().into();
        let beneath = Beneath::new(Arc::new(root));
        let shelf = Shelf::new(beneath.clone());
        for name in ["deep/0.tif", "deep/7.tif", "deep/9.tif", "deep/999.tif", "7.tif", "deep/none.tif"] {
            let file = Path::new(name);
            let own = gather(&shelf.of(file), file);
            assert_eq!(own, gather(&beneath, file), "{name}");
            if name == "deep/7.tif" {
                assert_eq!(own.dataset.text(&["name"]).as_deref(), Some("name 7"));
                assert_eq!(own.problems.iter().map(|p| p.line).collect::<Vec<_>>(), [Some(1002), Some(1002)]);
            }
        }
        assert!(Kept::new(table.clone().into_bytes()).of(b"7.tif").len() < 2000);
        assert_eq!(
            Kept::new(table.replacen("name 3", "\"name 3\"", 1).into_bytes()).of(b"7.tif").len(),
            table.len() + 2
        );
    }
}
