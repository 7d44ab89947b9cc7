//! Dialects: what vendors mean by the pages of a TIFF file, told by the first page's tags.
//!
//! A dialect is one file here and one line in [`DIALECTS`].

mod aperio;
mod embedded;
mod fields;
mod fluoview;
mod frames;
mod imagej;
mod leica;
mod lsm;
mod micromanager;
mod ndpi;
pub(super) mod noted;
mod ome;
mod philips;
mod pictures;
mod prairie;
mod qptiff;
mod sis;
mod stk;
mod ventana;

use super::files::{Files, Indexed};
use super::header::TiffFile;
use super::ifd::Ifd;
use super::page::Page;
use super::series::tolerate;
use super::tags::tag;
use crate::error::{Error, Kind, Result};
use crate::format::details::{About, Details, Form, Key, key};
use crate::format::{ImageSource, Limits, Place, omexml};
use crate::io::Watch;
use crate::sync::Arc;

/// Every dialect, asked in this order; the first that knows the file assembles it. What none knows is a stack of pages.
pub(super) const DIALECTS: &[&dyn Dialect] = &[
    // Told by a tag, a header or a document of their own.
    &ndpi::Ndpi,
    &lsm::Lsm,
    &ome::OmeTiff,
    &prairie::Prairie,
    &stk::Stk,
    &fluoview::FluoView,
    &sis::Sis,
    &micromanager::MicroManager,
    // Told by descriptions.
    &imagej::ImageJ,
    &aperio::Aperio,
    &leica::Leica,
    &qptiff::Qptiff,
    &philips::Philips,
    &ventana::Ventana,
];

/// A vendor's way to use TIFF.
pub(super) trait Dialect: Sync {
    /// What messages call it.
    fn name(&self) -> &'static str;

    /// Is the file one of this dialect? Judged by the first directory alone; cheap, as every file is asked.
    fn knows(&self, opening: &Opening<'_>) -> bool;

    /// Gives the pages their meaning.
    ///
    /// # Errors
    /// Any kind. A fault of the content (see [`super::series::about_content`]) costs the dialect, not the pixels: the file is then
    /// shown as plain TIFF, with a warning. `OverLimit` and failures of the disk are final.
    fn assemble(&self, opening: &Opening<'_>) -> Result<Arc<dyn ImageSource>>;
}

/// A TIFF file about to be opened, with its first directory.
pub(super) struct Opening<'a> {
    /// The file.
    pub tiff: TiffFile,
    /// Its first directory; whether its pixels can be read is not known yet.
    pub first: Ifd,
    /// ImageDescription of that directory, whole.
    pub description: Option<Vec<u8>>,
    /// What was tolerated so far; goes into the source.
    pub warnings: Vec<String>,
    /// Where the file lies.
    pub place: &'a Place<'a>,
    /// Bounds.
    pub limits: &'a Limits,
    /// Who waits.
    pub watch: &'a Watch,
}

impl<'a> Opening<'a> {
    /// Reads the first directory.
    ///
    /// # Errors
    /// If it is none; `OverLimit` for an OME-XML document too large to hold.
    pub fn new(tiff: TiffFile, place: &'a Place<'a>, limits: &'a Limits, watch: &'a Watch) -> Result<Self> {
        let first = Ifd::read(&tiff, tiff.first_ifd)?;
        watch.tick();
        let mut warnings = Vec::new();
        let description = description(&first, limits, &mut warnings)?;
        Ok(Opening { tiff, first, description, warnings, place, limits, watch })
    }

    /// The first directory as a page.
    ///
    /// # Errors
    /// What is wrong with its pixels.
    pub fn page(&self) -> Result<Page> {
        Page::from_ifd(&self.tiff, self.first.clone(), self.limits)
    }

    /// Walks the chain of directories.
    ///
    /// # Errors
    /// As [`Indexed::walk`].
    pub fn index(&self) -> Result<Arc<Indexed>> {
        Ok(Arc::new(Indexed::walk(self.tiff.clone(), self.limits, self.watch, |_| Ok(()))?))
    }

    /// As [`Opening::index`], for slides: each of their pages is looked at.
    ///
    /// # Errors
    /// `Malformed` for more pages than a slide has; as [`Opening::index`].
    pub fn slide_index(&self) -> Result<Arc<Indexed>> {
        const MAX_PAGES: usize = 1 << 14;
        let index = self.index()?;
        if index.offsets.len() > MAX_PAGES {
            return Err(Error::malformed(format!("{} pages, a slide has at most {MAX_PAGES}", index.offsets.len())));
        }
        Ok(index)
    }

    /// A dataset of this file alone, to which members may be added.
    pub fn files(&self, index: &Arc<Indexed>) -> Files {
        let file = Arc::clone(&self.tiff.file);
        Files::new(file, self.place.path, Some(Arc::clone(index)), Arc::clone(&self.place.open), self.limits)
    }

    /// Does the first page's description begin so?
    pub fn described_as(&self, prefix: &[u8]) -> bool {
        self.description.as_deref().is_some_and(|d| d.starts_with(prefix))
    }

    /// Do the first 4 KiB of the first page's description hold these words?
    pub fn mentions(&self, words: &[u8]) -> bool {
        let text = self.description.as_deref().unwrap_or_default();
        text[..text.len().min(4096)].windows(words.len()).any(|w| w == words)
    }

    /// Does the first page's Software begin so?
    pub fn made_by(&self, prefix: &str) -> bool {
        matches!(self.first.text(tag::SOFTWARE, 4096), Ok(Some(text)) if text.starts_with(prefix.as_bytes()))
    }
}

/// What tags of TIFF itself say of the device, where it is known to be a microscope or scanner.
const DEVICE: &[(u16, Key)] = &[
    (tag::MAKE, key("Make", "Instrument/Microscope/@Manufacturer", Form::Text)),
    (tag::MODEL, key("Model", "Instrument/Microscope/@Model", Form::Text)),
];
/// What they say of people.
const PEOPLE: &[(u16, Key)] = &[
    (tag::ARTIST, key("Artist", "Experimenter/@LastName", Form::Text)),
    (tag::COPYRIGHT, key("Copyright", "Rights/RightsHolder", Form::Text)),
];
/// What has no place in OME-XML.
const KEPT: &[(u16, &str)] = &[(tag::SOFTWARE, "Software"), (tag::HOST_COMPUTER, "HostComputer")];

/// What the tags of a page say beyond its pixels; `device`: Make and Model are those of a microscope or scanner.
pub(super) fn tag_details(ifd: &Ifd, details: &mut Details, device: bool) {
    let text = |tag| fields::text(&ifd.text(tag, 4096).ok().flatten()?);
    for (tag, row) in PEOPLE.iter().chain(DEVICE.iter().filter(|_| device)) {
        if let Some(value) = text(*tag) {
            details.put(row.place, row.form, About::default(), &value);
        }
    }
    for (tag, name) in KEPT {
        if let Some(value) = text(*tag) {
            details.keep("tiff", 0, name, &value);
        }
    }
}

/// The first page's description, whole. What cannot be read is as good as none; a document too large to hold is an error,
/// because what is shown must not depend on limits.
fn description(first: &Ifd, limits: &Limits, warnings: &mut Vec<String>) -> Result<Option<Vec<u8>>> {
    match first.text(tag::IMAGE_DESCRIPTION, limits.index_bytes) {
        Err(e) if e.kind() == Kind::OverLimit => {
            let head = first.bytes(tag::IMAGE_DESCRIPTION, 64 << 10)?.unwrap_or_default();
            if omexml::looks_like(&head) {
                return Err(e.at("OME-XML"));
            }
            warnings.push(format!("ImageDescription: {}", e.reason()));
            Ok(None)
        }
        Err(e) => tolerate(e, "ImageDescription", warnings),
        ok => ok,
    }
}

/// Text of unknown encoding: UTF-8 if it is, else ISO-8859-1.
pub(super) fn latin_or_utf8(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}
