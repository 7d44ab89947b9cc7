//! Classic image stacks: up to 4 GiB a file, with a map of (channel, slice, frame, position, offset of directory).

use std::collections::BTreeMap;

use super::summary::Summary;
use super::{METADATA, SUMMARY, document, word};
use crate::error::{Error, Kind, Result};
use crate::format::tiff::dialect::Opening;
use crate::format::tiff::dialect::fields::Fields;
use crate::format::tiff::dialect::frames::{FRAME_BYTES, Frame, Frames, Layout};
use crate::format::tiff::files::Indexed;
use crate::format::tiff::header::TiffFile;
use crate::format::tiff::series::tolerate;
use crate::format::tiff::source::TiffSource;
use crate::io::ReadAt;
use crate::sync::Arc;

/// At the beginning of the map.
const MAP: u32 = 3_453_623;
/// Bytes of an entry.
const ENTRY: u64 = 20;
/// Most files of one stack.
const MAX_FILES: usize = 4096;

/// Assembles the stack that begins with the opened file, or goes on in it.
///
/// # Errors
/// `Malformed` if the map cannot be followed; failures of the disk.
pub(super) fn assemble(opening: &Opening<'_>) -> Result<TiffSource> {
    let index = Arc::new(Indexed::first(opening.tiff.clone()));
    let mut files = opening.files(&index).without_chains();
    let mut frames = Vec::new();
    let mut warnings = Vec::new();
    let mut lost = None;
    read_map(&opening.tiff, 0, opening, &mut frames)?;
    let name = opening.place.path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    for (name, file) in siblings(name, opening)? {
        let number = files.add(&name, opening.watch)?;
        match TiffFile::open(file).and_then(|tiff| read_map(&tiff, number, opening, &mut frames)) {
            Ok(()) => {}
            Err(e) => {
                // Which planes it holds is not known; those that no other file has may be its.
                let e = e.at(name);
                lost.get_or_insert_with(|| e.clone());
                tolerate::<()>(e, "another file of the stack", &mut warnings)?;
            }
        }
    }
    let mut summary = Summary::default();
    if word(opening, 32)? == SUMMARY {
        let json = document(opening, 40, word(opening, 36)?)?;
        summary.add(&json).or_else(|e| tolerate(e, "summary", &mut warnings))?;
    }
    if let Some(json) = opening.first.bytes(METADATA, 1 << 20)? {
        summary.add(&json).or_else(|e| tolerate(e, "metadata of the first plane", &mut warnings))?;
    }
    let (layout, positions, about) = (Layout::Directory, BTreeMap::new(), summary.about(&[]));
    let frames = Frames { layout, frames, positions, about, warnings, lost };
    frames.assemble(opening, files)
}

/// The other files of a stack: `name.ome.tif` goes on in `name_1.ome.tif`, `name_2.ome.tif`, until one is not there.
fn siblings(name: &str, opening: &Opening<'_>) -> Result<Vec<(String, Arc<dyn ReadAt>)>> {
    let open = |name: &str| match (opening.place.open)(name.as_ref()) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == Kind::Missing => Ok(None),
        Err(e) => Err(e),
    };
    let Some((stem, number, ending)) = parts(name) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    // A number at the end may belong to the name of a position: then there is no file without it.
    let mut base = format!("{stem}{number}");
    if !number.is_empty()
        && let Some(first) = open(&format!("{stem}{ending}"))?
    {
        found.push((format!("{stem}{ending}"), first));
        base = stem.to_owned();
    }
    for number in 1..=MAX_FILES {
        let other = format!("{base}_{number}{ending}");
        if other == name {
            continue;
        }
        opening.watch.check()?;
        let Some(file) = open(&other)? else { break };
        opening.watch.tick();
        found.push((other, file));
    }
    Ok(found)
}

/// The name of a stack's file without its number, the number with its underscore, and the ending; only names that
/// Micro-Manager gives are taken apart.
fn parts(name: &str) -> Option<(&str, &str, &str)> {
    let lower = name.to_ascii_lowercase();
    let ending = [".ome.tiff", ".ome.tif", ".tiff", ".tif"].into_iter().find(|e| lower.ends_with(e))?;
    let (stem, ending) = name.split_at(name.len() - ending.len());
    if !stem.contains("_MMStack") {
        return None;
    }
    let at = stem.rfind('_').filter(|at| {
        let number = &stem[at + 1..];
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    });
    let (stem, number) = stem.split_at(at.unwrap_or(stem.len()));
    Some((stem, number, ending))
}

fn read_map(tiff: &TiffFile, file: u32, opening: &Opening<'_>, frames: &mut Vec<Frame>) -> Result<()> {
    let place = |e: Error| e.at("index map");
    let head = tiff.file.read_vec(8, 8).map_err(place)?;
    let head = Fields::new(tiff, &head);
    let offset = u64::from(head.u32(4).unwrap_or(0));
    if head.u32(0).map(u64::from) != Some(super::INDEX_MAP) {
        return Err(place(Error::malformed("there is none")));
    }
    let begin = tiff.file.read_vec(offset, 8).map_err(place)?;
    let begin = Fields::new(tiff, &begin);
    let count = u64::from(begin.u32(4).unwrap_or(0));
    if begin.u32(0) != Some(MAP) {
        return Err(place(Error::malformed("it does not begin with its magic number")));
    }
    if (frames.len() as u64 + count) * FRAME_BYTES > opening.limits.index_bytes {
        return Err(place(Error::over_limit(format!("{count} planes"))));
    }
    let bytes = tiff.file.read_vec(offset + 8, count * ENTRY).map_err(place)?;
    let fields = Fields::new(tiff, &bytes);
    for at in (0..bytes.len()).step_by(ENTRY as usize) {
        let number = |i: usize| fields.u32(at + 4 * i).unwrap_or(0);
        let coordinate = |i| i64::from(number(i));
        // An entry without a directory was never written.
        if number(4) == 0 {
            continue;
        }
        frames.push(Frame {
            channel: coordinate(0),
            z: coordinate(1),
            time: coordinate(2),
            position: coordinate(3),
            file,
            at: u64::from(number(4)),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn names_of_a_stack() {
        assert_eq!(parts("a_MMStack_Pos0.ome.tif"), Some(("a_MMStack_Pos0", "", ".ome.tif")));
        assert_eq!(parts("a_MMStack_Pos0_12.ome.tif"), Some(("a_MMStack_Pos0", "_12", ".ome.tif")));
        assert_eq!(parts("a_MMStack.TIF"), Some(("a_MMStack", "", ".TIF")));
        assert_eq!(parts("a_1.tif"), None);
    }
}
