//! Finding image files and those who may read them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::FileType;

use super::Core;
use super::beside::Beside;
use super::node::{ImageNode, beside_key, content_key, image_identity};
use crate::error::{Error, Kind, Result};
use crate::io::Watch;
use crate::tree::{Facts, Link, resolve};

impl Core {
    /// Looks at a file that is shown somewhere else than where it lies: its rights are those of whoever may also pass
    /// every directory that leads to it and not to the place where it is shown.
    pub(super) fn reached(&self, shown_at: &Path, file: &Path) -> Result<Facts> {
        let mut facts = self.source.facts(file)?;
        for directory in file.ancestors().skip(1).take_while(|d| !d.as_os_str().is_empty()) {
            if shown_at.starts_with(directory) {
                break;
            }
            facts.rights = facts.rights.and(self.source.facts(directory)?.rights.search());
        }
        Ok(facts)
    }

    /// The directory `name` of the image file `source` in a source directory. On a lane.
    pub(super) fn image_node(
        &self,
        directory: &Path,
        source: &[u8],
        view: usize,
        name: &[u8],
        watch: &Watch,
    ) -> Result<ImageNode> {
        let gone = || Error::new(Kind::NotFound, "the image file is gone");
        let listed = directory.join(OsStr::from_bytes(source));
        let mut facts = self.source.facts(&listed)?;
        let mut file = listed.clone();
        if facts.kind == FileType::Symlink {
            let Link::Inside(target, _) = resolve(&self.source, &listed)? else { return Err(gone()) };
            facts = self.reached(&listed, &target)?;
            file = target;
        }
        if facts.kind != FileType::RegularFile {
            return Err(gone());
        }
        let (epoch, looked_ms) = self.epoch(&file, &facts, watch);
        let mut beside = self.beside(&file, false, watch)?;
        beside.looked_ms = beside.looked_ms.min(looked_ms);
        let pixels = content_key(&file, &facts.print, epoch);
        Ok(ImageNode {
            pixels,
            key: beside_key(pixels, beside.key),
            beside,
            identity: image_identity(&self.salt, directory, name, &facts, epoch, beside.key),
            view: *self.views.get(view).ok_or_else(gone)?,
            facts,
            link: (file != listed).then(|| listed.into()),
            file: file.into(),
        })
    }

    /// Are an image file and what stands beside it still as they were when its node was made? On a lane. Gives what was seen
    /// beside it.
    ///
    /// # Errors
    /// `Changed` if not.
    pub(super) fn check(&self, node: &ImageNode, watch: &Watch) -> Result<Beside> {
        let now = self.reached(node.listed(), &node.file).map_err(|e| e.with_kind(Kind::Changed))?;
        if now.print == node.facts.print && now.rights == node.facts.rights {
            return self.check_beside(node, false, watch);
        }
        Err(Error::new(Kind::Changed, "it is no longer the file that was looked up").in_file(&node.file))
    }
}
