//! One error for the whole program: what went wrong, in which file, at which place, and what a reader is told.
//!
//! Users act differently on an unsupported, a malformed and a truncated file, so the kinds stay apart from the first
//! byte read to the man page.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The result type of every layer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure this is. The order is that of the exit codes and of the `status` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A legal file that uses something this program does not read.
    Unsupported,
    /// The file contradicts its own format.
    Malformed,
    /// The file ends before what it promises.
    Truncated,
    /// More memory, entries or depth would be needed than is allowed.
    OverLimit,
    /// A file that belongs to the dataset is not there, or lies where it may not be opened.
    Missing,
    /// The operating system failed a call on the source.
    Io,
    /// The source is no longer the file that was opened.
    Changed,
    /// The source made no progress within the deadline.
    Stuck,
    /// The reader has a fatal signal pending.
    Interrupted,
    /// A bug: a contained panic or a broken invariant.
    Internal,
    /// No such name in the mount.
    NotFound,
    /// A path component is not a directory.
    NotADirectory,
    /// A directory was opened as a file.
    IsADirectory,
    /// The caller may not read this.
    AccessDenied,
    /// A mutating call on the read-only tree.
    ReadOnly,
    /// A request or an argument that makes no sense.
    Invalid,
    /// No such extended attribute.
    NoAttribute,
    /// Attributes of that kind (lists of access rights, labels) are not kept at all.
    NoAttributes,
    /// The buffer given for an attribute is too small.
    Range,
    /// A call on an ordinary file of the source failed; the caller sees the source's own error number.
    Source(i32),
}

impl Kind {
    /// The error number a reader of the mount sees.
    ///
    /// Whatever keeps an existing chunk from being decoded is EIO: zarr readers take ENOENT for "all fill value".
    pub fn errno(self) -> i32 {
        match self {
            Kind::Unsupported
            | Kind::Malformed
            | Kind::Truncated
            | Kind::OverLimit
            | Kind::Missing
            | Kind::Io
            | Kind::Changed
            | Kind::Stuck
            | Kind::Internal => libc::EIO,
            Kind::Interrupted => libc::EINTR,
            Kind::NotFound => libc::ENOENT,
            Kind::NotADirectory => libc::ENOTDIR,
            Kind::IsADirectory => libc::EISDIR,
            Kind::AccessDenied => libc::EACCES,
            Kind::ReadOnly => libc::EROFS,
            Kind::Invalid => libc::EINVAL,
            Kind::NoAttribute => libc::ENODATA,
            Kind::NoAttributes => libc::EOPNOTSUPP,
            Kind::Range => libc::ERANGE,
            Kind::Source(errno) => errno,
        }
    }

    /// The word used in messages, logs and `status`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Unsupported => "unsupported",
            Kind::Malformed => "malformed",
            Kind::Truncated => "truncated",
            Kind::OverLimit => "over the limit",
            Kind::Missing => "missing",
            Kind::Io => "I/O error",
            Kind::Changed => "changed",
            Kind::Stuck => "no progress",
            Kind::Interrupted => "interrupted",
            Kind::Internal => "internal error",
            Kind::NotFound => "not found",
            Kind::NotADirectory => "not a directory",
            Kind::IsADirectory => "is a directory",
            Kind::AccessDenied => "access denied",
            Kind::ReadOnly => "read-only",
            Kind::Invalid => "invalid",
            Kind::NoAttribute => "no such attribute",
            Kind::NoAttributes => "no attributes of this kind",
            Kind::Range => "buffer too small",
            Kind::Source(_) => "source error",
        }
    }
}

/// A failure with its cause. Cheap to clone, because one failed decode answers every reader that waits for it.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    what: String,
    place: Option<String>,
    file: Option<Arc<Path>>,
}

impl Error {
    /// A failure of `kind`; `what` says in one phrase what is wrong, with the offending value.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Error(Arc::new(Inner { kind, what: what.into(), place: None, file: None }))
    }

    /// A legal feature that is not read.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, what)
    }

    /// A contradiction inside the file.
    pub fn malformed(what: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, what)
    }

    /// The file ends too early.
    pub fn truncated(what: impl Into<String>) -> Self {
        Self::new(Kind::Truncated, what)
    }

    /// More than is allowed.
    pub fn over_limit(what: impl Into<String>) -> Self {
        Self::new(Kind::OverLimit, what)
    }

    /// A failed system call while reading image content; always EIO for the reader.
    pub fn io(error: &std::io::Error, what: impl fmt::Display) -> Self {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            return Self::truncated(format!("{what}: the file ends here"));
        }
        Self::new(Kind::Io, format!("{what}: {error}"))
    }

    /// A failed system call on an ordinary entry of the source tree; its error number is passed on.
    pub fn source(error: &std::io::Error, what: impl fmt::Display) -> Self {
        Self::new(Kind::Source(error.raw_os_error().unwrap_or(libc::EIO)), format!("{what}: {error}"))
    }

    /// Adds the place inside the file ("IFD 3, tag 273", "tile 4 of level 1"); an inner place is kept behind it.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        let outer = place.into();
        inner.place = Some(match inner.place.take() {
            Some(p) => format!("{outer}, {p}"),
            None => outer,
        });
        self
    }

    /// Names the file, unless an inner layer already did.
    #[must_use]
    pub fn in_file(mut self, path: impl AsRef<Path>) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.file.get_or_insert_with(|| Arc::from(path.as_ref()));
        self
    }

    /// The same failure under another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        Arc::make_mut(&mut self.0).kind = kind;
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Is this about what the file holds, and not about reading it?
    pub fn about_content(&self) -> bool {
        matches!(self.0.kind, Kind::Malformed | Kind::Truncated | Kind::Unsupported | Kind::OverLimit)
    }

    /// The error number a reader of the mount sees.
    pub fn errno(&self) -> i32 {
        self.0.kind.errno()
    }

    /// The phrase without file and place.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// The file, if one is named.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// Everything but the file: place, kind and phrase. What attributes show, so that no path of the server leaks.
    pub fn reason(&self) -> String {
        match &self.0.place {
            Some(p) => format!("{p}: {}: {}", self.0.kind.name(), self.0.what),
            None => format!("{}: {}", self.0.kind.name(), self.0.what),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.0.file {
            write!(f, "{}: ", file.display())?;
        }
        f.write_str(&self.reason())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_breaks_a_chunk_is_eio() {
        for kind in [
            Kind::Unsupported,
            Kind::Malformed,
            Kind::Truncated,
            Kind::OverLimit,
            Kind::Missing,
            Kind::Io,
            Kind::Changed,
            Kind::Stuck,
            Kind::Internal,
        ] {
            assert_eq!(kind.errno(), libc::EIO, "{kind:?}");
        }
    }

    #[test]
    fn file_system_kinds_have_their_own_numbers() {
        assert_eq!(Kind::Interrupted.errno(), libc::EINTR);
        assert_eq!(Kind::NotFound.errno(), libc::ENOENT);
        assert_eq!(Kind::NotADirectory.errno(), libc::ENOTDIR);
        assert_eq!(Kind::IsADirectory.errno(), libc::EISDIR);
        assert_eq!(Kind::AccessDenied.errno(), libc::EACCES);
        assert_eq!(Kind::ReadOnly.errno(), libc::EROFS);
        assert_eq!(Kind::Invalid.errno(), libc::EINVAL);
        assert_eq!(Kind::NoAttribute.errno(), libc::ENODATA);
        assert_eq!(Kind::NoAttributes.errno(), libc::EOPNOTSUPP);
        assert_eq!(Kind::Range.errno(), libc::ERANGE);
        assert_eq!(Kind::Source(libc::ENAMETOOLONG).errno(), libc::ENAMETOOLONG);
    }

    #[test]
    fn a_missing_member_is_never_no_such_file() {
        let e = std::io::Error::from_raw_os_error(libc::ENOENT);
        assert_eq!(Error::io(&e, "open").errno(), libc::EIO);
        assert_eq!(Error::source(&e, "open").errno(), libc::ENOENT);
    }

    #[test]
    fn message_names_file_place_kind_and_value() {
        let e = Error::malformed("width 0").at("IFD 3").at("page 2").in_file("/a/b.tif").in_file("/other");
        assert_eq!(e.to_string(), "/a/b.tif: page 2, IFD 3: malformed: width 0");
        assert_eq!(e.reason(), "page 2, IFD 3: malformed: width 0");
    }
}
