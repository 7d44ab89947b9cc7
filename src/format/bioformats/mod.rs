//! The door to formats without a reader of their own here: Bio-Formats, in helper processes.
//!
//! Bio-Formats is a Java library under the GPL. It is no part of this program and does not come with it: who has it may name its
//! jar file, and then each of a few helper processes starts a Java virtual machine with it. What a helper says is taken as
//! what a file says: checked, and never trusted with more than the pixels of the file that it was asked about.
//!
//! Names decide. A name that a native reader claims is read natively; all other endings that Bio-Formats knows are its own,
//! but for those that mostly mean something that is no image. What a native reader does not support goes to Bio-Formats if that
//! claims the name too, and the image says so in its warnings (but for TIFF); what is damaged, or unknown under a native name, does not.

mod endings;
mod java;
mod jvm;
mod opening;
mod pixels;
mod source;
mod talk;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Format, ImageSource, Limits, Place};
use crate::error::{Error, Kind, Result};
use crate::helper::{Confinement, Patience, Pool, Refusal, Spec, confine, serve};
use crate::io::{ReadAt, Watch};
use crate::model::Series;
use crate::sync::{Arc, OnceLock};

use java::Java;
use talk::Request;

/// Whatever Bio-Formats reads.
pub struct BioFormats;

/// How the door is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `bioformats_package.jar`.
    pub jar: PathBuf,
    /// Home of the Java installation; looked for if not given.
    pub java_home: Option<PathBuf>,
    /// Helper processes.
    pub helpers: usize,
    /// Bytes of the heap of each.
    pub memory: u64,
    /// How long a read may take; opening a dataset may take four times as long while its helper works.
    pub deadline: Duration,
}

impl Options {
    /// Helpers, if nothing is said.
    pub const HELPERS: usize = 2;
    /// Heap of each, if nothing is said.
    pub const MEMORY: u64 = 1 << 30;
}

/// What is there while the door is open.
struct Door {
    pool: Pool,
    /// Endings that are its own.
    endings: Vec<&'static str>,
    /// All that it knows.
    all: Vec<String>,
    deadline: Duration,
    /// Absolute path beneath which files are read.
    root: PathBuf,
}

static DOOR: OnceLock<Door> = OnceLock::new();

/// How long a virtual machine may take to start.
const START: Duration = Duration::from_secs(60);
/// Most bytes of the list of endings.
const ENDINGS: u64 = 1 << 20;
/// What a virtual machine takes beside its heap: code, classes, stacks, buffers.
const BESIDE_HEAP: u64 = 1 << 30;
/// Largest file that a reader may write into its own folder (libraries that it unpacks).
const SCRATCH_FILE: u64 = 1 << 30;

/// Opens the door for files beneath `root`, once for this process: starts a helper and asks what Bio-Formats reads.
///
/// # Errors
/// `Unsupported` if there is no Java or no Bio-Formats, `Missing` if the jar is not there; what to do is said.
pub fn install(options: &Options, root: &Path) -> Result<()> {
    let named = |e: std::io::Error| Error::new(Kind::Missing, format!("{}: --bioformats: {e}", options.jar.display()));
    let jar = options.jar.canonicalize().map_err(named)?;
    if !jar.is_file() {
        return Err(Error::new(Kind::Invalid, format!("{}: --bioformats names no file", jar.display())));
    }
    let root = root.canonicalize().map_err(|e| Error::io(&e, "SOURCE").in_file(root))?;
    let java = Java::find(options.java_home.as_deref())?;
    let argument = |name: &str, value: OsString| [OsString::from(name), value];
    let arguments = [
        argument("--jar", jar.into()),
        argument("--library", java.library.into()),
        argument("--java-home", java.home.into()),
        argument("--readable", root.clone().into()),
        argument("--memory", options.memory.to_string().into()),
    ];
    let spec = Spec {
        name: "Bio-Formats helper",
        arguments: std::iter::once("bioformats".into()).chain(arguments.into_iter().flatten()).collect(),
        most: options.helpers.max(1),
        start: START,
    };
    let pool = Pool::new(spec);
    let request = serde_json::to_vec(&Request::Endings).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
    let answer = pool.ask(0, &request, ENDINGS, Patience::strict(START), &mut |_| Ok(()))?;
    let said: Vec<String> = serde_json::from_slice(&answer)
        .map_err(|e| Error::new(Kind::Io, format!("a Bio-Formats helper answered with nonsense ({e})")))?;
    let all = endings::known(&said);
    let native: Vec<&str> = super::FORMATS.iter().flat_map(|f| f.extensions()).copied().collect();
    // They live as long as the process, like those of the other formats.
    let own = endings::own(&all, &native).into_iter().map(|e| &*Box::leak(e.into_boxed_str())).collect();
    let deadline = options.deadline;
    let door = Door { pool, endings: own, all, deadline, root };
    DOOR.set(door).map_err(|_| Error::new(Kind::Internal, "Bio-Formats is there already"))
}

/// The series that a helper's description of a file comes to, without the file: for those who look for faults in taking it apart.
///
/// # Errors
/// Whatever is wrong with the description.
pub fn described(answer: &[u8], limits: &Limits) -> Result<Vec<Series>> {
    opening::described(answer, limits)
}

/// What is left to do in a helper process: be one.
#[derive(Debug)]
pub struct Helper {
    /// Process that started it.
    pub parent: u32,
    /// Bio-Formats.
    pub jar: PathBuf,
    /// `libjvm.so`.
    pub library: PathBuf,
    /// Home of the Java installation.
    pub java_home: PathBuf,
    /// Folder of the images.
    pub readable: PathBuf,
    /// Folder of its own.
    pub scratch: PathBuf,
    /// Bytes of the heap.
    pub memory: u64,
}

/// Answers requests on standard input.
///
/// # Errors
/// Whatever keeps it from doing so; nobody may be there to hear it.
pub fn help(with: &Helper) -> Result<()> {
    let java = Java { home: with.java_home.clone(), library: with.library.clone() };
    let mut readable = java.readable();
    readable.extend([with.jar.clone(), with.readable.clone()]);
    confine(&Confinement {
        parent: with.parent,
        readable,
        writable: Some(with.scratch.clone()),
        memory: Some(with.memory.saturating_add(BESIDE_HEAP)),
        file: SCRATCH_FILE,
    })?;
    let start = jvm::Start { library: &with.library, jar: &with.jar, heap: with.memory, scratch: &with.scratch };
    let answer = |machine: &mut jvm::Machine, request: &[u8]| -> std::result::Result<Vec<u8>, Refusal> {
        machine.answer(request)
    };
    serve(|| jvm::Machine::start(&start), answer)
}

impl Door {
    /// Asks a helper; `watch` hears that something moves.
    fn ask(&self, topic: u64, request: &Request, most: u64, patience: Patience, watch: &Watch) -> Result<Vec<u8>> {
        let request = serde_json::to_vec(request).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
        let answer = self.pool.ask(topic, &request, most, patience, &mut |moves| {
            if moves {
                watch.tick();
            }
            watch.check()
        });
        // Where the source lies is nobody's business who reads the mount.
        let root = format!("{}/", self.root.display());
        answer.map_err(|e| match e.what().contains(&root) {
            true => Error::new(e.kind(), e.what().replace(&root, "")),
            false => e,
        })
    }

    /// A read is over before the request that waits for it is, so that it is the helper that goes and not the folder that
    /// counts as stuck.
    fn reading(&self) -> Patience {
        Patience::strict(self.deadline.mul_f64(0.8))
    }

    fn opening(&self) -> Patience {
        Patience { idle: self.deadline.mul_f64(0.8), total: self.deadline.saturating_mul(4) }
    }
}

/// Is this name Bio-Formats' own?
pub(super) fn claims(path: &Path) -> bool {
    DOOR.get().is_some_and(|door| endings::ends_with(path, door.endings.iter().copied()))
}

/// Does Bio-Formats know this name, whoever else does?
pub(super) fn knows(path: &Path) -> bool {
    DOOR.get().is_some_and(|door| endings::ends_with(path, door.all.iter().map(String::as_str)))
}

/// May Bio-Formats be asked in place of a native reader? Not for TIFF: what is refused there are codings of samples, of which
/// Bio-Formats shows some in wrong colours (old-style JPEG), and an error is better.
pub(super) fn may_replace(native: &&dyn Format) -> bool {
    native.name() != super::tiff::Tiff.name()
}

/// Is the door open?
pub(super) fn is_open() -> bool {
    DOOR.get().is_some()
}

/// Opens what a native reader refused as unsupported.
pub(super) fn instead(
    refused: &Error,
    file: Arc<dyn ReadAt>,
    place: &Place<'_>,
    limits: &Limits,
    watch: &Watch,
) -> Result<Arc<dyn ImageSource>> {
    let door = DOOR.get().ok_or_else(|| refused.clone())?;
    let why = format!("read by Bio-Formats, since the native reader says: {}", refused.reason());
    match opening::open(door, file, place, limits, watch, Some(why)) {
        Ok(source) => Ok(Arc::new(source)),
        // What the native reader says of the file is more to the point.
        Err(e) if e.about_content() && e.kind() != Kind::OverLimit => Err(refused.clone()),
        Err(e) => Err(e),
    }
}

impl Format for BioFormats {
    fn name(&self) -> &'static str {
        "bioformats"
    }

    fn extensions(&self) -> &'static [&'static str] {
        DOOR.get().map_or(&[], |door| &door.endings)
    }

    fn sniff(&self, _head: &[u8]) -> bool {
        // Any file may be one of its own; `format::open` asks it by name, or when nobody else knows the content.
        is_open()
    }

    fn open(
        &self,
        file: Arc<dyn ReadAt>,
        place: &Place<'_>,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Arc<dyn ImageSource>> {
        let door = DOOR.get().ok_or_else(|| Error::unsupported("this needs Bio-Formats (--bioformats)"))?;
        Ok(Arc::new(opening::open(door, file, place, limits, watch, None)?))
    }
}
