//! Which names are taken to Bio-Formats.

use std::path::Path;

/// Endings that its readers list and that, in most folders, are no images: text, tables, settings, archives, programs' own
/// files. A dataset that has such files is opened by the one that is an image. `fake` and `pattern` make up images from names.
const OTHERS: &[&str] = &[
    "ano", "bin", "cfg", "csv", "dat", "db", "env", "exp", "fake", "h5", "hdf", "htd", "htm", "html", "inf", "ini",
    "java", "log", "lut", "map", "mdb", "mea", "mod", "par", "pattern", "pnl", "pst", "pty", "raw", "rec", "res",
    "set", "st", "thm", "tim", "top", "txt", "v", "wav", "wpi", "xlog", "xml", "zip", "zpo",
];

/// Endings with their dot, in lower case, longest first, each once.
pub(super) fn known(said: &[String]) -> Vec<String> {
    let clean = said.iter().map(|s| s.trim().trim_start_matches('.').to_ascii_lowercase());
    let plain = |s: &String| {
        (1..=32).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    let mut all: Vec<String> = clean.filter(plain).map(|s| format!(".{s}")).take(4096).collect();
    all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    all.dedup();
    all
}

/// Those that no native reader claims and that mean images.
pub(super) fn own(all: &[String], native: &[&str]) -> Vec<String> {
    let other = |ending: &str| OTHERS.iter().any(|o| ending.trim_start_matches('.') == *o || ending.ends_with(".log"));
    let taken = |ending: &str| native.iter().any(|n| ending.eq_ignore_ascii_case(n) || ending.ends_with(n));
    all.iter().filter(|e| !other(e) && !taken(e)).cloned().collect()
}

/// Does a name end with one of them, and have something before?
pub(super) fn ends_with<'a>(path: &Path, mut endings: impl Iterator<Item = &'a str>) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    endings.any(|ending| {
        let at = name.len().checked_sub(ending.len()).filter(|at| *at > 0);
        at.is_some_and(|at| name[at..].eq_ignore_ascii_case(ending.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_taken_and_notes_are_left() {
        let said: Vec<String> = ["PNG", "ome.xml", "txt", " tif", "dv.log", "companion.ome", "png", "", "a/b", "zvi"]
            .map(String::from)
            .to_vec();
        let all = known(&said);
        assert_eq!(all, [".companion.ome", ".ome.xml", ".dv.log", ".png", ".tif", ".txt", ".zvi"]);
        assert_eq!(own(&all, &[".tif", ".companion.ome"]), [".ome.xml", ".png", ".zvi"]);
        let ends = |name: &str| ends_with(Path::new(name), all.iter().map(String::as_str));
        assert!(ends("a/b.ZVI") && ends("x.ome.xml") && !ends(".png") && !ends("a.xml"));
    }
}
