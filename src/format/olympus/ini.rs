//! Texts of sections with keys and values, as FluoView writes them: UTF-16 with a mark, or bytes.

use crate::error::{Error, Result};

/// A text, parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ini(Vec<(String, Vec<(String, String)>)>);

/// Most lines: a file of many channels and lasers has some thousand.
const MAX_LINES: usize = 1 << 20;

/// The characters of a text; what is none is replaced.
pub(super) fn decode(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| -> String {
        let units = bytes.as_chunks().0.iter().map(|u| unit(*u));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        // A letter of the first section's name in UTF-16 without a mark.
        [b'[', 0, ..] => wide(bytes, u16::from_le_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
        },
    }
}

impl Ini {
    /// Parses a text. Lines that are neither a section nor a key with a value are left out.
    ///
    /// # Errors
    /// `OverLimit` for too many lines.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let text = decode(bytes);
        let mut ini = Ini::default();
        for (number, line) in text.lines().enumerate() {
            if number >= MAX_LINES {
                return Err(Error::over_limit(format!("more than {MAX_LINES} lines")));
            }
            let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\0');
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                ini.0.push((name.trim().to_owned(), Vec::new()));
            } else if let (Some((key, value)), Some((_, keys))) = (line.split_once('='), ini.0.last_mut()) {
                keys.push((key.trim().to_owned(), bare(value.trim()).to_owned()));
            }
        }
        Ok(ini)
    }

    /// A value; of sections and keys that stand twice, the first one.
    pub fn get(&self, section: &str, key: &str) -> Option<&str> {
        self.pairs(section).find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// A value that is not empty.
    pub fn text(&self, section: &str, key: &str) -> Option<&str> {
        self.get(section, key).map(str::trim).filter(|v| !v.is_empty())
    }

    /// A value that is a number.
    pub fn number(&self, section: &str, key: &str) -> Option<f64> {
        crate::format::details::number(self.get(section, key)?)
    }

    /// A value that is a count.
    pub fn count(&self, section: &str, key: &str) -> Option<u64> {
        self.get(section, key)?.trim().parse().ok()
    }

    /// The keys and values of a section, in order.
    pub fn pairs<'a>(&'a self, section: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let found = self.0.iter().find(|(name, _)| name == section);
        found.map(|(_, pairs)| pairs.as_slice()).unwrap_or_default().iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// Without quotes, single or double.
fn bare(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_all_encodings_are_the_same() {
        let text = "[One]\r\nA=1\r\nB c=\"x = µ\"\r\n\r\nnoise\r\n[Two]\r\nD='2012-07-26 15:13:35'\r\nE=\r\n";
        let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
        for bytes in [
            [&[0xff, 0xfe][..], &wide(u16::to_le_bytes)].concat(),
            [&[0xfe, 0xff][..], &wide(u16::to_be_bytes)].concat(),
            wide(u16::to_le_bytes),
            [&[0xef, 0xbb, 0xbf][..], text.as_bytes()].concat(),
            text.as_bytes().to_vec(),
            latin,
        ] {
            let ini = Ini::parse(&bytes).unwrap();
            assert_eq!((ini.count("One", "A"), ini.get("One", "B c")), (Some(1), Some("x = µ")));
            assert_eq!((ini.get("Two", "D"), ini.get("Two", "E")), (Some("2012-07-26 15:13:35"), Some("")));
            assert_eq!((ini.text("Two", "E"), ini.get("Two", "A")), (None, None));
        }
    }
}
