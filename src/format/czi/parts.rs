//! Datasets of several files: the first is `name.czi`, its parts are `name (1).czi` or `name(1).czi` and so on, and name the
//! first by its GUID. Every part lists its own subblocks.

use std::path::{Path, PathBuf};

use super::segment::{FileHeader, Guid};
use crate::error::{Error, Kind, Result};
use crate::format::{OpenMember, Place};
use crate::io::{ReadAt, Watch};
use crate::sync::Arc;

/// More parts are not credible.
const MAX_PARTS: u32 = 1000;

/// A file of a dataset.
pub(super) struct PartFile {
    /// Beneath the mount's source.
    pub path: PathBuf,
    pub file: Arc<dyn ReadAt>,
    pub header: FileHeader,
}

/// All files of the dataset that `file` belongs to, the first one first.
///
/// # Errors
/// Failures of the disk, and what is wrong with the file itself. A first file that is not there leaves its part alone.
pub(super) fn find(
    file: Arc<dyn ReadAt>,
    place: &Place<'_>,
    watch: &Watch,
    warnings: &mut Vec<String>,
) -> Result<Vec<PartFile>> {
    let header = FileHeader::read(file.as_ref())?;
    let own = PartFile { path: place.path.to_owned(), file, header };
    let Some(name) = place.path.file_name().and_then(|n| n.to_str()).and_then(Name::split) else {
        return Ok(vec![own]);
    };
    if header.part == 0 {
        return with_parts(own, &name, place, None, watch);
    }
    let primary = match name.number.is_some().then(|| open(&place.open, &name.first())) {
        Some(Ok((file, first))) if first.own == header.primary && first.part == 0 => {
            PartFile { path: place.path.with_file_name(name.first()), file, header: first }
        }
        Some(Err(e)) if is_of_the_disk(&e) => return Err(e.in_file(place.path.with_file_name(name.first()))),
        _ => {
            warnings.push(format!("the file is part {} of a dataset whose first file is not there", header.part));
            return Ok(vec![own]);
        }
    };
    with_parts(primary, &name, place, Some(own), watch)
}

/// The first file with the parts that are there; `opened` is one of them.
fn with_parts(
    primary: PartFile,
    name: &Name<'_>,
    place: &Place<'_>,
    opened: Option<PartFile>,
    watch: &Watch,
) -> Result<Vec<PartFile>> {
    let guid = primary.header.own;
    let mut all = vec![primary];
    let styles: &[bool] = match name.number {
        Some((_, space)) => &[space],
        None => &[true, false],
    };
    for space in styles {
        for number in 1..=MAX_PARTS {
            watch.check()?;
            let file_name = name.part(number, *space);
            match open(&place.open, &file_name) {
                Ok((file, header)) if is_part(&header, &guid) => {
                    all.push(PartFile { path: place.path.with_file_name(file_name), file, header });
                }
                Err(e) if is_of_the_disk(&e) => return Err(e.in_file(place.path.with_file_name(file_name))),
                _ => break,
            }
            watch.tick();
        }
    }
    if let Some(opened) = opened
        && !all.iter().any(|p| p.path == opened.path)
    {
        all.push(opened);
    }
    Ok(all)
}

fn is_part(header: &FileHeader, primary: &Guid) -> bool {
    header.part > 0 && header.primary == *primary && header.own != *primary
}

/// Will another try perhaps end otherwise?
fn is_of_the_disk(error: &Error) -> bool {
    matches!(error.kind(), Kind::Io | Kind::Interrupted | Kind::Stuck | Kind::Changed)
}

fn open(opener: &OpenMember, name: &str) -> Result<(Arc<dyn ReadAt>, FileHeader)> {
    let file = opener(Path::new(name))?;
    let header = FileHeader::read(file.as_ref())?;
    Ok((file, header))
}

/// A file name of a dataset: `stem`, perhaps a number in brackets (after a space or not), extension.
#[derive(Debug, PartialEq)]
struct Name<'a> {
    stem: &'a str,
    number: Option<(u32, bool)>,
    extension: &'a str,
}

impl<'a> Name<'a> {
    fn split(name: &'a str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        let whole = Name { stem, number: None, extension };
        let Some((first, digits)) = stem.strip_suffix(')').and_then(|s| s.rsplit_once('(')) else { return Some(whole) };
        let number = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
        Some(match (number, first.strip_suffix(' ')) {
            (Some(number), Some(first)) if !first.is_empty() => {
                Name { stem: first, number: Some((number, true)), extension }
            }
            (Some(number), None) if !first.is_empty() => Name { stem: first, number: Some((number, false)), extension },
            _ => whole,
        })
    }

    fn first(&self) -> String {
        format!("{}.{}", self.stem, self.extension)
    }

    fn part(&self, number: u32, space: bool) -> String {
        format!("{}{}({number}).{}", self.stem, if space { " " } else { "" }, self.extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::czi::segment::tests::{header, segment};
    use crate::io::MemoryFile;

    #[test]
    fn names_come_apart() {
        let name = |stem, number| Some(Name { stem, number, extension: "czi" });
        assert_eq!(Name::split("a.b.czi"), name("a.b", None));
        assert_eq!(Name::split("a (12).czi"), name("a", Some((12, true))));
        assert_eq!(Name::split("a(3).czi"), name("a", Some((3, false))));
        assert_eq!(Name::split("a (x).czi"), name("a (x)", None));
        assert_eq!(Name::split("(3).czi"), name("(3)", None));
        assert_eq!(Name::split("czi"), None);
    }

    /// The paths of the dataset that `opened` belongs to; of each file its name and part.
    fn paths(opened: &str, files: &[(&'static str, i32)]) -> Vec<String> {
        let files: Vec<(&str, MemoryFile)> =
            files.iter().map(|(n, p)| (*n, MemoryFile(segment(FileHeader::ID, &header(*p, 9, 0, 0))))).collect();
        let file = |name: &Path| {
            let found = files.iter().find(|(n, _)| Path::new(n) == name);
            found.map(|(_, f)| Arc::new(f.clone()) as Arc<dyn ReadAt>).ok_or_else(|| Error::new(Kind::Missing, "no"))
        };
        let own = file(Path::new(opened)).unwrap();
        let files = files.clone();
        let open: OpenMember = Arc::new(move |name: &Path| {
            let found = files.iter().find(|(n, _)| Path::new(n) == name);
            found.map(|(_, f)| Arc::new(f.clone()) as Arc<dyn ReadAt>).ok_or_else(|| Error::new(Kind::Missing, "no"))
        });
        let path = Path::new("dir").join(opened);
        let place = Place { path: &path, open };
        let found = find(own, &place, &Watch::default(), &mut Vec::new()).unwrap();
        found.iter().map(|p| p.path.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn parts_are_found_from_any_of_them() {
        let set = [("x.czi", 0), ("x (1).czi", 1), ("x (2).czi", 2), ("x (4).czi", 4)];
        let want = ["dir/x.czi", "dir/x (1).czi", "dir/x (2).czi"];
        assert_eq!(paths("x.czi", &set), want);
        assert_eq!(paths("x (2).czi", &set), want);
        assert_eq!(paths("x (4).czi", &set), [&want[..], &["dir/x (4).czi"]].concat());
        assert_eq!(paths("y(1).czi", &[("y.czi", 0), ("y(1).czi", 1)]), ["dir/y.czi", "dir/y(1).czi"]);
    }

    #[test]
    fn copies_and_orphans_stand_alone() {
        assert_eq!(paths("x.czi", &[("x.czi", 0), ("x (1).czi", 0)]), ["dir/x.czi"]);
        assert_eq!(paths("x (1).czi", &[("x (1).czi", 1)]), ["dir/x (1).czi"]);
    }
}
