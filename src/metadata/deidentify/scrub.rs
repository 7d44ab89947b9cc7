//! E-mail addresses and paths of file systems inside of text.

use std::borrow::Cow;

/// What stands for them.
const GONE: &str = "[removed]";

/// The text without the words in it that are addresses of people or places of files; as it is, if there are none.
pub fn scrub(text: &str) -> Cow<'_, str> {
    if !text.contains(['@', '\\', '/']) {
        return Cow::Borrowed(text);
    }
    let is_end = |c: char| c.is_whitespace() || "\"'<>|,;()[]{}=".contains(c);
    let mut out = String::new();
    let mut changed = false;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(is_end).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        // Paths of Windows go on after blanks; what follows up to the end of the line belongs to them.
        if is_windows_path(word) {
            let line = rest.find(['\n', '\r', '"', '|']).unwrap_or(rest.len());
            out.push_str(GONE);
            changed = true;
            rest = &rest[line..];
            continue;
        }
        if is_address(word) || is_path(word) {
            out.push_str(GONE);
            changed = true;
        } else {
            out.push_str(word);
        }
        let step = after.chars().next().map_or(0, char::len_utf8);
        out.push_str(&after[..step]);
        rest = &after[step..];
    }
    if changed { Cow::Owned(out) } else { Cow::Borrowed(text) }
}

/// `someone@example.org`
fn is_address(word: &str) -> bool {
    let word = word.trim_start_matches("mailto:");
    let Some((user, host)) = word.rsplit_once('@') else { return false };
    !user.is_empty() && host.contains('.') && host.chars().all(|c| c.is_alphanumeric() || "-._".contains(c))
}

/// `C:\Users\someone`, `\\server\share`
fn is_windows_path(word: &str) -> bool {
    let bytes = word.as_bytes();
    let drive = matches!(bytes, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    drive || word.starts_with("\\\\") && word.len() > 3
}

/// `/home/someone`, `file:///data/x`, `~/x`; one slash alone makes no path ("1/2", "/s").
fn is_path(word: &str) -> bool {
    if let Some(rest) = word.strip_prefix("file:") {
        return rest.starts_with('/');
    }
    word.starts_with("~/") || word.strip_prefix('/').is_some_and(|rest| rest.trim_end_matches('/').contains('/'))
}

#[cfg(test)]
mod tests {
    use super::scrub;

    #[test]
    fn addresses_and_paths_go_and_the_rest_stays() {
        for (text, wanted) in [
            ("by jane.doe@example.org, at noon", "by [removed], at noon"),
            ("saved C:\\Users\\Jane Doe\\a b.tif\nnext", "saved [removed]\nnext"),
            ("\\\\server\\share", "[removed]"),
            ("from /home/jane/x.tif on", "from [removed] on"),
            ("path=/data/lab/jane", "path=[removed]"),
            ("<mailto:a@b.cd>", "<[removed]>"),
            ("file:///data/x", "[removed]"),
            ("1/2 of 20x/0.8 at 3 m/s @ 4", "1/2 of 20x/0.8 at 3 m/s @ 4"),
            ("https://creativecommons.org/licenses/by/4.0/", "https://creativecommons.org/licenses/by/4.0/"),
            ("µ@", "µ@"),
            ("", ""),
        ] {
            assert_eq!(scrub(text), wanted);
        }
    }
}
