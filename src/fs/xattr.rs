//! Extended attributes. Image directories say where they come from; ordinary files pass on what users wrote on them.
//! Nothing that grants or limits access is ever shown: the modes say it all.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::images::Parsed;
use super::node::At;
use super::{Core, Fs};
use crate::config::Deidentify;
use crate::error::{Error, Kind, Result};
use crate::exec::{Class, Reader};
use crate::io::Watch;
use crate::model::TileId;
use crate::sync::Arc;
use crate::tree::{EntryKind, Virtual};

const OURS: &str = "user.fuzarr.";
/// The kernel passes on no longer value.
const LONGEST: usize = 64 << 10;

fn none() -> Error {
    Error::new(Kind::NoAttribute, "no such attribute")
}

fn user_entry(at: &At) -> Option<std::path::PathBuf> {
    match at {
        At::Mirror(m) if matches!(m.kind, EntryKind::File | EntryKind::Directory) => Some(m.path.clone()),
        _ => None,
    }
}

impl Fs {
    /// The value of an attribute. On an image directory, those that depend on the content open the image.
    pub fn attribute(&self, id: u64, name: &[u8], reader: Reader, done: impl FnOnce(Result<Vec<u8>>) + Send + 'static) {
        // `ls -l` asks every entry for security attributes and lists of rights. Told that there are none of any, it asks for
        // the first entry of a mount only.
        if !name.starts_with(b"user.") {
            return done(Err(Error::new(Kind::NoAttributes, "only user attributes are shown")));
        }
        let core = Arc::clone(&self.0);
        let at = match self.0.node(id) {
            Ok(at) => at,
            Err(e) => return done(Err(e)),
        };
        if let At::Inside(node, Virtual::ROOT) = &at {
            let name = String::from_utf8_lossy(name).into_owned();
            let Some(name) = name.strip_prefix(OURS).map(str::to_owned) else { return done(Err(none())) };
            match name.as_str() {
                "source" if self.0.veil().is_none() => done(Ok(node.file.as_os_str().as_bytes().to_vec())),
                "version" => done(Ok(env!("CARGO_PKG_VERSION").as_bytes().to_vec())),
                "format" | "dataset" | "error" | "damaged" | "deidentified" | "sidecars" => {
                    self.0.with_image(node, reader, move |parsed| done(image_attribute(&core, &name, parsed)));
                }
                _ => done(Err(none())),
            }
            return;
        }
        match user_entry(&at).filter(|_| self.0.veil().is_none()) {
            Some(path) => {
                let name = name.to_vec();
                let lane = path.parent().unwrap_or(Path::new("")).to_owned();
                let job = move |_: &Arc<Watch>| core.source.user_attribute(&path, &name);
                self.0.run(&lane, Class::Meta, reader, job, done);
            }
            None => done(Err(none())),
        }
    }

    /// Names of the attributes, each ended by a zero byte. Opens no image: what depends on an image that is not open is
    /// not listed, but answered when asked for.
    pub fn attributes(&self, id: u64, reader: Reader, done: impl FnOnce(Result<Vec<u8>>) + Send + 'static) {
        let core = Arc::clone(&self.0);
        let at = match self.0.node(id) {
            Ok(at) => at,
            Err(e) => return done(Err(e)),
        };
        if let At::Inside(node, Virtual::ROOT) = &at {
            let mut names = if self.0.veil().is_none() { vec!["source", "version"] } else { vec!["version"] };
            let known = self.0.images.known(node.key);
            for name in ["format", "dataset", "error", "damaged", "deidentified", "sidecars"] {
                if known.clone().is_some_and(|k| image_attribute(&self.0, name, k).is_ok()) {
                    names.push(name);
                }
            }
            let list = names.iter().flat_map(|n| format!("{OURS}{n}\0").into_bytes()).collect();
            return done(Ok(list));
        }
        match user_entry(&at).filter(|_| self.0.veil().is_none()) {
            Some(path) => {
                let lane = path.parent().unwrap_or(Path::new("")).to_owned();
                self.0.run(&lane, Class::Meta, reader, move |_: &Arc<Watch>| core.source.user_attributes(&path), done);
            }
            None => done(Ok(Vec::new())),
        }
    }
}

/// What synthesized levels left out so far, one line for each unit.
fn damage(core: &Core, key: u64) -> Result<Vec<u8>> {
    let mut text = String::new();
    for (id, why) in core.engine.damaged(key) {
        let TileId { series, level, t, g, z, ty, tx } = id;
        let place = format!("series {series} level {level} t {t} c {g} z {z} row {ty} column {tx}");
        let line = format!("{place}: {}\n", core.withheld(&why).unwrap_or(why).reason());
        if text.len() + line.len() > LONGEST {
            break;
        }
        text.push_str(&line);
    }
    if text.is_empty() { Err(none()) } else { Ok(text.into_bytes()) }
}

fn image_attribute(core: &Core, name: &str, parsed: Result<Arc<Parsed>>) -> Result<Vec<u8>> {
    match (name, parsed) {
        ("error", Err(e)) => Ok(core.withheld(&e).unwrap_or(e).reason().into_bytes()),
        ("error", Ok(_)) => Err(none()),
        (_, Err(e)) if matches!(e.kind(), Kind::Stuck | Kind::Interrupted) => Err(e),
        (_, Err(_)) => Err(none()),
        ("damaged", Ok(parsed)) => damage(core, parsed.image.key),
        ("format", Ok(parsed)) => Ok(parsed.image.format.as_bytes().to_vec()),
        ("sidecars", Ok(parsed))
            if parsed.deidentify == Deidentify::Off && !parsed.written.sidecars.files.is_empty() =>
        {
            let files = parsed.written.sidecars.files.iter().map(|f| f.as_os_str().as_bytes());
            Ok(files.collect::<Vec<&[u8]>>().join(&b'\n'))
        }
        ("deidentified", Ok(parsed)) if parsed.deidentify == Deidentify::Off => Err(none()),
        ("deidentified", Ok(parsed)) => Ok(parsed.deidentify.name().as_bytes().to_vec()),
        ("dataset", Ok(parsed)) => {
            let source = &parsed.image.source;
            let path = source.canonical().filter(|_| core.veil().is_none()).filter(|_| source.members().len() > 1);
            path.map(|p| p.as_os_str().as_bytes().to_vec()).ok_or_else(none)
        }
        _ => Err(none()),
    }
}
