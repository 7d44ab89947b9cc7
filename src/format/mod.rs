//! Source formats: how a file becomes series of tiles.
//!
//! A format is one folder here and one line in [`FORMATS`].

pub mod bioformats;
pub mod czi;
pub(crate) mod dates;
pub mod details;
pub mod dicom;
mod hdf5;
pub mod imaris;
mod kept;
pub mod lif;
pub mod mrc;
pub mod nd2;
pub mod nifti;
pub mod nrrd;
pub mod oir;
mod ole2;
pub mod olympus;
pub mod omexml;
mod pieces;
mod stretch;
pub(crate) mod strided;
pub mod tiff;
mod unpacked;
mod witness;
pub(crate) mod xml;

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::io::{Fingerprint, ReadAt, Watch};
use crate::model::plate::{MAX_SIDE, Plate};
use crate::model::{Element, Rois, Role, Series, TileId};

/// Every format that is read natively, asked in this order. [`bioformats`] comes after them.
pub const FORMATS: &[&dyn Format] = &[
    &dicom::Dicom,
    &tiff::Tiff,
    &czi::Czi,
    &nd2::Nd2,
    &lif::Lif,
    &imaris::Imaris,
    &nrrd::Nrrd,
    &nifti::Nifti,
    &mrc::DeltaVision,
    &mrc::Mrc,
    &olympus::Oif,
    &oir::Oir,
    &dicom::Bare,
];

/// Endings of images that are known and not read, and what is said of them: better an error that names it than a picture for
/// previews in the place of a slide.
const UNREAD: &[(&str, &str)] = &[(
    ".mrxs",
    "slides of 3DHISTECH (MRXS) are not read: how they are stored is described under no terms that would allow it",
)];

/// A family of files.
pub trait Format: Send + Sync {
    /// Short lower-case name, as `user.fuzarr.format` shows it.
    fn name(&self) -> &'static str;

    /// Name endings (lower case, with the dot) that make a directory entry an image candidate, longest first.
    fn extensions(&self) -> &'static [&'static str];

    /// Does the file begin like one of mine? `head` holds its first 4 KiB or less.
    fn sniff(&self, head: &[u8]) -> bool;

    /// Parses the structure of `file`; reads no pixels.
    ///
    /// # Errors
    /// Any kind; names the place in the file.
    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>>;
}

/// Where the file lies, for formats that span several files.
pub struct Place<'a> {
    /// Path of the file beneath the mount's source.
    pub path: &'a Path,
    /// Opens other files of the dataset; kept by the image, because members are opened when their planes are read.
    pub open: OpenMember,
}

/// Opens a regular file beneath the directory of the image's own file (never above it, never through a link). The path is
/// relative to that directory.
pub type OpenMember = Arc<dyn Fn(&Path) -> Result<Arc<dyn ReadAt>> + Send + Sync>;

/// Bounds on what opening and decoding may take; they change cost and errors, never the bytes shown.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest unit (decoded) that may be held whole; larger strips are cut into bands of rows.
    pub unit_bytes: u64,
    /// Most bytes a parsed file may keep in memory.
    pub index_bytes: u64,
    /// `--palette rgb`: palette images show colours, not indices.
    pub palette_rgb: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { unit_bytes: 64 << 20, index_bytes: 64 << 20, palette_rgb: false }
    }
}

/// What [`ImageSource::fetch`] found for a unit.
pub enum Stored {
    /// The source never stored it (sparse tile, plane without TiffData): it reads as fill value.
    Absent,
    /// Stored bytes, in `parts` that decode one after the other (several strips of one unit).
    Encoded {
        /// The bytes of all parts.
        bytes: Vec<u8>,
        /// One range of `bytes` for each part, in order; an empty one was never stored.
        parts: Vec<std::ops::Range<usize>>,
        /// Whatever else the format's own `decode` needs, resolved by `fetch`.
        note: Option<Box<dyn Any + Send>>,
    },
    /// Samples already decoded, in the layout that `decode` returns (uncompressed or streamed units).
    Decoded(Vec<u8>),
}

/// What holding a unit costs, known before anything is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitCost {
    /// Bytes of the decoded samples.
    pub decoded: u64,
    /// Compressed bytes and decoder scratch held at the same time.
    pub scratch: u64,
}

/// An open image file: pixels by unit. Fetching and decoding are apart, so that waiting for a disk and burning a
/// processor never share a thread's turn.
pub trait ImageSource: Send + Sync {
    /// The images, in the order of the file.
    fn series(&self) -> &[Series];

    /// Plates whose wells hold the images; none for most sources. Every field is an image of its own.
    fn plates(&self) -> &[Plate] {
        &[]
    }

    /// Every file of the dataset; the first is the one that was opened.
    fn members(&self) -> &[Member];

    /// The member that the whole dataset goes by, whichever was opened: the document that describes it, else the first one by
    /// the bytes of its path.
    fn canonical(&self) -> Option<&Path> {
        first_path(self.members())
    }

    /// Folders whose image files, by their names, make up the dataset, where no file lists its members: beneath the mount's
    /// source.
    fn folders(&self) -> Vec<std::path::PathBuf> {
        Vec::new()
    }

    /// The members that store planes of a series, each once; where any of them was not looked at when the dataset was opened.
    fn series_members(&self, _series: u32) -> Vec<u32> {
        Vec::new()
    }

    /// Which member stores a plane ([`Member::EVERY`]: all); `None` if none was ever written (reads as fill value).
    /// The error is that of a member that is missing or unreadable.
    ///
    /// # Errors
    /// The plane's own failure, such as a missing file.
    fn plane_member(&self, series: u32, t: u64, g: u64, z: u64) -> Result<Option<u32>>;

    /// Is every member still what it was? See [`ReadAt::verify`]. Asked around each fetch.
    ///
    /// # Errors
    /// `Changed`, `Io`.
    fn verify(&self, id: TileId) -> Result<()>;

    /// Reads the stored bytes of a unit. I/O only, except that units which must be streamed are decoded here.
    ///
    /// # Errors
    /// Any kind; never an empty success for something that should be there.
    fn fetch(&self, id: TileId, watch: &Watch) -> Result<Stored>;

    /// Turns what `fetch` gave into samples: little-endian, `samples` planes of `rows * columns` one after the other, cut
    /// to the plane at the right and lower edge ([`crate::model::Level::unit_size`]). No I/O.
    ///
    /// # Errors
    /// Any kind.
    fn decode(&self, id: TileId, stored: Stored) -> Result<Vec<u8>>;

    /// What a unit costs, from the structure alone.
    fn cost(&self, id: TileId) -> UnitCost;

    /// Can a unit be decoded without its neighbours, at its own cost? Bands of one large compressed strip cannot: they are
    /// cheap only in order.
    fn random_access(&self, series: u32, level: u32) -> bool;

    /// Decoded bytes of the file's own unit (tile, strip), whatever bands it is cut into here; 0 where any rows can be read
    /// directly. Decides where contrast is sampled, which must not depend on the memory of this machine.
    fn native_unit_bytes(&self, _series: u32, _level: u32) -> u64 {
        0
    }

    /// The metadata document that the source holds, untouched, with its file name ("source.ome.xml").
    fn document(&self) -> Option<(&'static str, Arc<[u8]>)>;

    /// What the vendor's metadata say beyond [`Series`]: `OME` with the semantics of 2016-06, whose `Image`s are those of
    /// [`ImageSource::series`], in the same order (fewer, if nothing is known of the last). Identifiers need be no more than
    /// unique.
    fn details(&self) -> Option<Element> {
        None
    }

    /// Regions of interest that the source holds.
    fn rois(&self) -> Option<&Rois> {
        None
    }

    /// What was noticed and tolerated ("BigEndian attribute contradicts the header"), for `inspect`.
    fn warnings(&self) -> &[String];

    /// Bytes of memory held by the parsed structure.
    fn heap_bytes(&self) -> u64;
}

/// One file of a dataset.
#[derive(Debug, Clone)]
pub struct Member {
    /// Path beneath the mount's source.
    pub path: std::path::PathBuf,
    /// The state it was opened in; `None` if it was not looked at yet, because nothing but its planes depends on it.
    pub print: Option<Fingerprint>,
}

impl Member {
    /// Stands for all of them, where a plane is made from what the documents say.
    pub const EVERY: u32 = u32::MAX;
}

/// Does a name look like an image? Gives the stem and the format's extension as written.
/// `.ome.tif` and its like count as one extension; names that begin with a dot never are images.
pub fn split_image_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.first() == Some(&b'.') {
        return None;
    }
    let ends = |ending: &str| {
        let ending = ending.as_bytes();
        let stem = name.len().checked_sub(ending.len()).filter(|n| *n > 0)?;
        name[stem..].eq_ignore_ascii_case(ending).then(|| name.split_at(stem))
    };
    let own = FORMATS.iter().map(|f| f.extensions()).chain([bioformats::BioFormats.extensions()]).flatten();
    let endings = own.chain(UNREAD.iter().map(|(ending, _)| ending));
    endings.filter_map(|e| ends(e)).min_by_key(|(stem, _)| stem.len())
}

/// Does the name end like that of a format that is read natively?
fn is_native(path: &Path) -> bool {
    let name = path.as_os_str().as_encoded_bytes();
    let ends = |ending: &&str| {
        name.len().checked_sub(ending.len()).is_some_and(|n| name[n..].eq_ignore_ascii_case(ending.as_bytes()))
    };
    FORMATS.iter().flat_map(|f| f.extensions()).any(ends)
}

/// The first member by the bytes of its path.
pub fn first_path(members: &[Member]) -> Option<&Path> {
    members.iter().map(|m| m.path.as_path()).min_by_key(|p| p.as_os_str())
}

/// Opens `file` with the first format that knows its content.
///
/// # Errors
/// `Unsupported` if none does, or whatever the format finds; the file is named.
pub fn open(
    file: Arc<dyn ReadAt>,
    place: &Place<'_>,
    limits: &Limits,
    watch: &Watch,
) -> Result<(&'static str, Arc<dyn ImageSource>)> {
    let named = |e: Error| e.in_file(place.path);
    if file.is_empty() {
        return Err(named(Error::truncated("the file is empty")));
    }
    let name = place.path.as_os_str().as_encoded_bytes();
    let ends = |ending: &str| {
        name.len().checked_sub(ending.len()).is_some_and(|n| name[n..].eq_ignore_ascii_case(ending.as_bytes()))
    };
    if let Some((_, why)) = UNREAD.iter().find(|(ending, _)| ends(ending) && !bioformats::knows(place.path)) {
        return Err(named(Error::unsupported(*why)));
    }
    let head = file.read_vec(0, file.len().min(4096)).map_err(named)?;
    // A name that no native reader claims is read by the one that does, whatever the content looks like to others.
    let native = FORMATS.iter().filter(|_| !bioformats::claims(place.path)).find(|f| f.sniff(&head));
    let format: &dyn Format = match native {
        Some(native) => *native,
        // Under the name of a native format, what none of them knows is damaged.
        None if bioformats::is_open() && !is_native(place.path) => &bioformats::BioFormats,
        None => return Err(named(Error::unsupported("no known format begins like this file"))),
    };
    let witness = Arc::new(witness::Witness::new(Arc::clone(&file)));
    let (format, source) = match format.open(Arc::clone(&witness) as Arc<dyn ReadAt>, place, limits, watch) {
        Err(e)
            if e.kind() == Kind::Unsupported
                && native.is_some_and(bioformats::may_replace)
                && bioformats::knows(place.path) =>
        {
            let door: &dyn Format = &bioformats::BioFormats;
            (door, bioformats::instead(&e, file, place, limits, watch).map_err(named)?)
        }
        opened => (format, opened.map_err(named)?),
    };
    if let Some(failure) = witness.failure() {
        return Err(named(failure));
    }
    check(source.series()).map_err(named)?;
    check_plates(source.series(), source.plates()).map_err(named)?;
    Ok((format.name(), source))
}

/// More channels than any instrument has; every one is an entry in the documents.
const MAX_CHANNELS: u64 = 1 << 14;
/// More series than any file has that was not made to do harm.
const MAX_SERIES: usize = 1 << 16;

/// What every layer above relies on, whatever the format did.
fn check(all: &[Series]) -> Result<()> {
    if all.is_empty() {
        return Err(Error::malformed("no image in the file"));
    }
    if all.len() > MAX_SERIES {
        return Err(Error::over_limit(format!("{} images in one file, {MAX_SERIES} are allowed", all.len())));
    }
    for (index, series) in all.iter().enumerate() {
        check_series(series).map_err(|e| e.at(format!("series {index}")))?;
    }
    Ok(())
}

/// Every field is a main image of its own, every well has one, lies on the plate and is there once.
fn check_plates(series: &[Series], plates: &[Plate]) -> Result<()> {
    let wrong = |what: String| Err(Error::new(crate::error::Kind::Internal, what));
    let mut free: Vec<bool> = series.iter().map(|s| s.role == Role::Image).collect();
    for (number, plate) in plates.iter().enumerate() {
        if plate.wells.is_empty() || plate.rows > MAX_SIDE || plate.columns > MAX_SIDE {
            let (wells, rows, columns) = (plate.wells.len(), plate.rows, plate.columns);
            return wrong(format!("plate {number} of {rows} rows and {columns} columns with {wells} wells"));
        }
        let mut seen = std::collections::HashSet::new();
        for well in &plate.wells {
            let known = well.row < plate.rows && well.column < plate.columns && seen.insert((well.row, well.column));
            let mut own = |s: u32| free.get_mut(s as usize).is_some_and(std::mem::take);
            if !known
                || well.fields.is_empty()
                || !well
                    .fields
                    .iter()
                    .all(|f| own(f.series) && f.acquisition.is_none_or(|a| (a as usize) < plate.acquisitions.len()))
            {
                return wrong(format!("plate {number}, well at row {}, column {}", well.row, well.column));
            }
        }
    }
    Ok(())
}

fn check_series(series: &Series) -> Result<()> {
    let Some(first) = series.levels.first() else {
        return Err(Error::malformed("no resolution is stored"));
    };
    let full = first.shape;
    if full.c > MAX_CHANNELS {
        return Err(Error::over_limit(format!("{} channels, {MAX_CHANNELS} are allowed", full.c)));
    }
    if series.samples == 0 || !full.c.is_multiple_of(series.samples) {
        return Err(Error::malformed(format!("{} channels of {} samples each", full.c, series.samples)));
    }
    for (index, level) in series.levels.iter().enumerate() {
        let sizes = level.shape.tczyx();
        if sizes.contains(&0) || level.unit.y == 0 || level.unit.x == 0 {
            return Err(Error::malformed(format!("level {index} has a size of zero: {sizes:?}")));
        }
        // Offsets of samples and numbers of chunks are computed in 64 bits everywhere.
        let bytes = sizes.iter().try_fold(series.dtype.size() as u64, |n, s| n.checked_mul(*s));
        if bytes.is_none_or(|b| b > 1 << 62) {
            return Err(Error::over_limit(format!("level {index} of size {sizes:?} has more than 2^62 bytes")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::split_image_name;

    #[test]
    fn compound_extensions_count_as_one_in_any_case() {
        let split = |name: &'static str| split_image_name(name.as_bytes()).map(|(s, e)| (s.to_vec(), e.to_vec()));
        let want = |stem: &str, ext: &str| Some((stem.as_bytes().to_vec(), ext.as_bytes().to_vec()));
        assert_eq!(split("cells.ome.tif"), want("cells", ".ome.tif"));
        assert_eq!(split("Cells.OME.TIFF"), want("Cells", ".OME.TIFF"));
        assert_eq!(split("a.b.tif"), want("a.b", ".tif"));
        // Known, and not read.
        assert_eq!(split("slide.MRXS"), want("slide", ".MRXS"));
        for name in [".hidden.tif", ".tif", "notes.txt", "tif", ".ome.tif"] {
            assert_eq!(split(name), None, "{name}");
        }
    }
}
