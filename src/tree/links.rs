//! Symbolic links, followed by hand and never out of SOURCE.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;

use super::source::{Facts, Source};
use crate::error::Result;

/// How many links one name may lead through, as in the kernel.
const MOST_LINKS: u32 = 40;
/// How many steps one name may take: a link can hold 2000 of them.
const MOST_STEPS: u32 = 4096;

/// Where a link ends.
#[derive(Debug, Clone)]
pub enum Link {
    /// At this entry beneath SOURCE, named without any link.
    Inside(PathBuf, Facts),
    /// Outside SOURCE, nowhere, or too many links away.
    Elsewhere,
}

/// Follows the link at `path`.
///
/// # Errors
/// `Source` if an entry that exists cannot be looked at.
pub fn resolve(source: &Source, path: &Path) -> Result<Link> {
    let parts = |path: &Path| path.components().map(|c| c.as_os_str().to_owned()).collect::<Vec<OsString>>();
    let mut ahead: VecDeque<OsString> = parts(path).into();
    let mut here = PathBuf::new();
    let (mut links, mut steps) = (0, 0);
    let mut last = None;
    while let Some(part) = ahead.pop_front() {
        steps += 1;
        if steps > MOST_STEPS {
            return Ok(Link::Elsewhere);
        }
        if part == "." {
            continue;
        }
        if part == ".." {
            if !here.pop() {
                return Ok(Link::Elsewhere);
            }
            last = None;
            continue;
        }
        let next = here.join(&part);
        let facts = match source.facts(&next) {
            Ok(facts) => facts,
            Err(e) if matches!(e.errno(), libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => return Ok(Link::Elsewhere),
            Err(e) => return Err(e),
        };
        if facts.kind != FileType::Symlink {
            here = next;
            last = Some(facts);
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Ok(Link::Elsewhere);
        }
        let target = source.read_link(&next)?;
        let relative = if target.is_absolute() {
            here = PathBuf::new();
            match target.strip_prefix(source.canonical()) {
                Ok(inside) => inside,
                Err(_) => return Ok(Link::Elsewhere),
            }
        } else {
            target.as_path()
        };
        if relative.components().any(|c| matches!(c, Component::RootDir | Component::Prefix(_))) {
            return Ok(Link::Elsewhere);
        }
        for part in parts(relative).into_iter().rev() {
            ahead.push_front(part);
        }
        last = None;
    }
    Ok(last.map_or(Link::Elsewhere, |facts| Link::Inside(here, facts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_inside_and_nowhere_else() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("source");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/x.tif"), b"x").unwrap();
        std::fs::write(outer.path().join("secret.tif"), b"x").unwrap();
        symlink("a/b/x.tif", root.join("one.tif")).unwrap();
        symlink("one.tif", root.join("two.tif")).unwrap();
        symlink(root.canonicalize().unwrap().join("a/b/x.tif"), root.join("absolute.tif")).unwrap();
        symlink("b", root.join("a/dir")).unwrap();
        symlink("a/dir/x.tif", root.join("through.tif")).unwrap();
        symlink("../../one.tif", root.join("a/b/up.tif")).unwrap();
        symlink("../secret.tif", root.join("out.tif")).unwrap();
        symlink("/etc/passwd", root.join("far.tif")).unwrap();
        symlink("loop.tif", root.join("loop.tif")).unwrap();
        symlink("missing.tif", root.join("broken.tif")).unwrap();
        let source = Source::open(&root, Path::new("/nonexistent")).unwrap();
        let inside = |name: &str| match resolve(&source, Path::new(name)).unwrap() {
            Link::Inside(path, _) => Some(path),
            Link::Elsewhere => None,
        };
        for name in ["one.tif", "two.tif", "absolute.tif", "through.tif", "a/b/up.tif"] {
            assert_eq!(inside(name).as_deref(), Some(Path::new("a/b/x.tif")), "{name}");
        }
        for name in ["out.tif", "far.tif", "loop.tif", "broken.tif"] {
            assert_eq!(inside(name), None, "{name}");
        }
    }
}
