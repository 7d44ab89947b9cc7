//! A document with the line of every value: what YAML, JSON and CSV come to before their meaning is looked at.

use std::fmt;

/// A value and the line that it begins on, counted from one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub line: u64,
    pub data: Data,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    /// `~`, `null`, nothing.
    Null,
    /// A scalar as it is written. A bare one may be a number or a truth value, a quoted one is text.
    Scalar { text: String, bare: bool },
    /// In the order given.
    List(Vec<Node>),
    /// In the order given; no key twice.
    Map(Vec<(String, Node)>),
}

/// Why a document could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub line: Option<u64>,
    pub reason: String,
}

impl Fault {
    pub fn at(line: u64, reason: impl Into<String>) -> Self {
        Fault { line: Some(line), reason: reason.into() }
    }

    /// Of a key that is too long.
    pub fn long_key(line: u64, key: &str) -> Self {
        Fault::at(line, format!("{}: a key of {} bytes is left out", Shown(key), key.len()))
    }
}

/// Lists and maps inside each other.
pub(super) const MAX_DEPTH: usize = 32;

/// Values in one document, those that aliases repeat included.
pub(super) const MAX_VALUES: usize = 100_000;

/// Keys in one mapping.
pub(super) const MAX_KEYS: usize = 10_000;

/// Bytes of a key: they come back in paths and messages.
pub(super) const MAX_KEY: usize = 200;

/// Bytes of text in one document, those that aliases repeat included.
pub(super) const MAX_TEXT: usize = 4 << 20;

impl Node {
    pub fn map(line: u64) -> Self {
        Node { line, data: Data::Map(Vec::new()) }
    }

    /// How a message calls this.
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Scalar { bare: true, text } if matches!(&**text, "true" | "false") => "a truth value",
            Data::Scalar { bare: true, text } if text.parse::<f64>().is_ok() => "a number",
            Data::Scalar { .. } => "a text",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }
}

/// The value of a scalar in a message: short, and on one line.
pub(super) struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut short: String = self.0.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if short.len() < self.0.len() {
            short.push('…');
        }
        write!(f, "\"{short}\"")
    }
}

/// Text of a file: UTF-8, or UTF-16 with its mark, as spreadsheets save it.
pub(super) fn decoded(bytes: &[u8]) -> Result<String, Fault> {
    let mark = encoding_rs::Encoding::for_bom(bytes);
    if let Some((encoding, mark)) = mark.filter(|(encoding, _)| *encoding != encoding_rs::UTF_8) {
        let (text, damaged) = encoding.decode_without_bom_handling(bytes.get(mark..).unwrap_or_default());
        return if damaged {
            Err(Fault { line: None, reason: "not valid UTF-16".into() })
        } else {
            Ok(text.into_owned())
        };
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(e) => {
            let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|b| **b == b'\n').count() as u64;
            Err(Fault::at(line, "not UTF-8"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf8_or_marked_utf16() {
        assert_eq!(decoded(b"\xef\xbb\xbfa\nb").unwrap(), "a\nb");
        assert_eq!(decoded(b"\xff\xfea\0\xb5\0").unwrap(), "aµ");
        assert_eq!(decoded(b"a\nb\xb5"), Err(Fault::at(2, "not UTF-8")));
        assert_eq!(decoded(b"\xfe\xff\xd8\x00").unwrap_err().reason, "not valid UTF-16");
    }
}
