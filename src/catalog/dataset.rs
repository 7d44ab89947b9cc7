//! Opening a file beneath a folder as a mount would, with what is known about it.

use std::path::{Component, Path};
use std::sync::Arc;

use crate::config::{Damaged, ViewOptions};
use crate::error::{Error, Result};
use crate::format::{self, Limits, OpenMember, Place};
use crate::io::{ReadAt, Watch};
use crate::metadata::sidecar::{Beneath, Beside, gather};
use crate::metadata::{self, Record};
use crate::pyramid::OpenImage;
use crate::tree::{Source, escaped};
use crate::zarr::View;

/// Most memory that the parsed structure of one file may take.
const INDEX_MAX: u64 = 64 << 20;

/// An open image with its record.
pub struct Dataset {
    /// Pixels and structure.
    pub image: OpenImage,
    /// What is known about it.
    pub record: Record,
}

/// Opens `file`, a path beneath `source`, and gathers what is known about it.
///
/// # Errors
/// Whatever keeps the file from being shown as an image.
pub fn open(source: &Arc<Source>, file: &Path) -> Result<Dataset> {
    let image = opened(source, file)?;
    let record = recorded(source, &Beneath::new(Arc::clone(source.root())), file, &image)?;
    Ok(Dataset { image, record })
}

/// Opens `file`, a path beneath `source`, with the default options of a view.
///
/// # Errors
/// Whatever keeps the file from being shown as an image; the file is named.
pub fn opened(source: &Arc<Source>, file: &Path) -> Result<OpenImage> {
    let own: Arc<dyn ReadAt> = Arc::new(source.open_image(file)?);
    let directory = file.parent().unwrap_or(Path::new("")).to_owned();
    let members = Arc::clone(source);
    let open: OpenMember = Arc::new(move |path: &Path| {
        if path.components().any(|c| !matches!(c, Component::Normal(_))) {
            return Err(Error::malformed(format!("{} is not below the folder of the image", path.display())));
        }
        Ok(Arc::new(members.open_image(&directory.join(path))?) as Arc<dyn ReadAt>)
    });
    let limits = Limits { index_bytes: INDEX_MAX, ..Limits::default() };
    let (format, parsed) = format::open(own, &Place { path: file, open }, &limits, &Watch::default())?;
    Ok(OpenImage::new(0, format, parsed, None, Damaged::Error))
}

/// What is known about an open image; `look` finds its sidecars.
///
/// # Errors
/// `Source` if the file cannot be looked at any more, `Malformed` if it has no main image.
pub fn recorded(source: &Source, look: &dyn Beside, file: &Path, image: &OpenImage) -> Result<Record> {
    let facts = source.facts(file)?;
    let name = file.file_name().unwrap_or_default().as_encoded_bytes();
    let stem = format::split_image_name(name).map_or(name, |(stem, _)| stem);
    let about = metadata::Source {
        name: escaped(stem),
        file: escaped(name),
        format: image.format,
        bytes: facts.size,
        modified: facts.mtime.0,
        members: image.source.members().len(),
    };
    let paths = View::all(&ViewOptions::default()).first().map_or_else(Vec::new, |view| view.image_paths(image));
    metadata::record(image, paths, about, gather(look, file))
}
