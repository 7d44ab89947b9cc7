//! Names in the mount: `NAME.EXT` appears as `NAME.ome.zarr`, or under its whole name where two sources would share one.

use siphasher::sip::SipHasher13;

use crate::zarr::View;

/// Ending of the first view.
const PLAIN: &str = ".ome.zarr";
/// What a file system of ours accepts as one name.
const NAME_MAX: usize = 255;

/// The directory names that the views of a mount give to an image.
#[derive(Debug, Clone)]
pub struct Names {
    suffixes: Vec<&'static str>,
}

/// A hash of a name, as it stands at its end.
fn mark(name: &[u8]) -> String {
    format!("~{:016x}", SipHasher13::new_with_keys(0x6675_7a61_7272, 1).hash(name))
}

impl Names {
    /// For these views; the first has the plain name.
    pub fn new(views: &[View]) -> Self {
        let further = views.iter().skip(1).map(|v| v.suffix());
        Names { suffixes: std::iter::once(PLAIN).chain(further).collect() }
    }

    /// Does a name end as the directories of images do, in any view?
    pub fn is_directory(name: &[u8]) -> bool {
        name.ends_with(PLAIN.as_bytes())
    }

    /// Number of views.
    pub fn views(&self) -> usize {
        self.suffixes.len()
    }

    /// The directory name for `base` (a stem or a whole file name) in a view. Names that grow beyond 255 bytes are cut
    /// and get a hash of what they were.
    pub fn shown(&self, base: &[u8], view: usize) -> Vec<u8> {
        let suffix = self.suffixes.get(view).copied().unwrap_or(PLAIN).as_bytes();
        if base.len() + suffix.len() <= NAME_MAX {
            return [base, suffix].concat();
        }
        let hash = mark(base);
        let mut keep = NAME_MAX - suffix.len() - hash.len();
        // Never half a UTF-8 character; a name in another encoding loses up to three more bytes.
        let continues = |byte: &u8| byte & 0xC0 == 0x80;
        while keep > 1 && base.get(keep).is_some_and(continues) && base.len() - keep > 0 {
            keep -= 1;
        }
        [&base[..keep], hash.as_bytes(), suffix].concat()
    }

    /// The views that `name` could belong to, with what precedes their ending. `a.v04.ome.zarr` may be the second view
    /// of `a` and the first of `a.v04`: the longer ending comes first.
    pub fn split<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = (&'a [u8], usize)> + 'a {
        self.suffixes.iter().enumerate().rev().filter_map(move |(view, suffix)| {
            let base = name.strip_suffix(suffix.as_bytes())?;
            (!base.is_empty()).then_some((base, view))
        })
    }

    /// A base for an image that shares its stem with another, from its whole file name; it looks like one that was cut.
    pub fn told_apart(stem: &[u8], whole: &[u8]) -> Vec<u8> {
        [stem, mark(whole).as_bytes()].concat()
    }

    /// Was this base cut by [`Names::shown`]? Then the sources must be searched by what they would be shown as.
    pub fn is_cut(base: &[u8]) -> bool {
        let Some(at) = base.len().checked_sub(17) else { return false };
        base[at] == b'~' && base[at + 1..].iter().all(u8::is_ascii_hexdigit)
    }

    /// What `stem` would be cut to if it ends in the mark of a further view (`a.v04` -> `a`): such a short name could
    /// be meant for another image's further view.
    pub fn without_view_mark<'a>(&self, stem: &'a [u8]) -> Option<&'a [u8]> {
        let marks = self.suffixes.iter().skip(1).filter_map(|s| s.strip_suffix(PLAIN));
        marks.filter_map(|mark| stem.strip_suffix(mark.as_bytes())).find(|base| !base.is_empty())
    }
}

/// Text for documents: bytes that are not UTF-8 are percent-escaped.
pub fn escaped(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Ngff, ViewOptions};

    fn names(ngff: &[Ngff]) -> Names {
        Names::new(&View::all(&ViewOptions { ngff: ngff.to_vec(), ..ViewOptions::default() }))
    }

    #[test]
    fn plain_and_further_views() {
        let both = names(&[Ngff::V05, Ngff::V04]);
        assert_eq!(both.shown(b"a", 0), b"a.ome.zarr");
        assert_eq!(both.shown(b"a", 1), b"a.v04.ome.zarr");
        let split: Vec<_> = both.split(b"a.v04.ome.zarr").collect();
        assert_eq!(split, [(&b"a"[..], 1), (&b"a.v04"[..], 0)]);
        assert_eq!(both.split(b".ome.zarr").count(), 0);
        assert_eq!(both.split(b"a.zarr").count(), 0);
        assert_eq!(both.without_view_mark(b"a.v04"), Some(&b"a"[..]));
        assert_eq!(names(&[Ngff::V04]).without_view_mark(b"a.v04"), None);
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let names = names(&[Ngff::V05]);
        let one = [b"x".repeat(249), b"1".to_vec()].concat();
        let two = [b"x".repeat(249), b"2".to_vec()].concat();
        let (a, b) = (names.shown(&one, 0), names.shown(&two, 0));
        assert!(a.len() <= 255 && a != b);
        assert!(names.split(&a).any(|(base, _)| Names::is_cut(base)));
        assert!(!Names::is_cut(b"x"));
        let wide = "ä".repeat(125);
        let shown = names.shown(wide.as_bytes(), 0);
        assert!(std::str::from_utf8(&shown).is_ok());
        assert!(shown.len() <= 255);
    }

    #[test]
    fn bytes_that_are_not_text_are_escaped() {
        assert_eq!(escaped(b"a\xff\xfeb"), "a%FF%FEb");
        assert_eq!(escaped("é".as_bytes()), "é");
    }
}
