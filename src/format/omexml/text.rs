//! From stored bytes to text: UTF-8, UTF-16 with a mark, ISO-8859-1.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// Decodes a document. Latin-1 is what is declared as such, and what is declared as UTF-8 but is not: a micro sign from an old
/// writer must not cost the whole metadata. The second value says that this happened.
pub fn decode(bytes: &[u8]) -> Result<(Cow<'_, str>, bool)> {
    if let Some(rest) = bytes.strip_prefix(&[0xFF, 0xFE]) {
        return utf16(rest, u16::from_le_bytes).map(|t| (t, false));
    }
    if let Some(rest) = bytes.strip_prefix(&[0xFE, 0xFF]) {
        return utf16(rest, u16::from_be_bytes).map(|t| (t, false));
    }
    let bytes = trim_nul(bytes);
    if let Some(rest) = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]) {
        return Ok(utf8_or_latin1(rest));
    }
    match declared(bytes).as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii" | "ascii") => Ok(utf8_or_latin1(bytes)),
        // A Latin-1 document that names UTF-16 without being it is not worth guessing at; an 8-bit one is read as Latin-1.
        Some(name) if name.starts_with("utf-16") || name.starts_with("ucs") || name.starts_with("utf-32") => {
            Ok(utf8_or_latin1(bytes))
        }
        Some("iso-8859-1" | "latin1" | "latin-1" | "windows-1252" | "cp1252" | "iso-8859-15") => {
            Ok((Cow::Owned(latin1(bytes)), false))
        }
        Some(name) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok((Cow::Borrowed(text), false)),
            Err(_) => Err(Error::unsupported(format!("XML in encoding {name:.40}"))),
        },
    }
}

fn trim_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    &bytes[..end]
}

fn utf8_or_latin1(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (Cow::Owned(latin1(bytes)), true),
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, str>> {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    let text = String::from_utf16(&units).map_err(|_| Error::malformed("broken UTF-16 in XML"))?;
    Ok(Cow::Owned(text.trim_end_matches('\0').to_owned()))
}

/// The encoding that the XML declaration names, in lower case.
fn declared(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(200)];
    let start = head.iter().position(|b| !b.is_ascii_whitespace())?;
    let head = head[start..].strip_prefix(b"<?xml")?;
    let head = &head[..head.windows(2).position(|w| w == b"?>")?];
    let head = std::str::from_utf8(head).ok()?;
    let value = head.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some(value[1..].split(quote).next()?.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin1_is_read_where_declared_and_where_utf8_is_broken() {
        let (text, odd) = decode(b"<?xml version='1.0' encoding='ISO-8859-1'?><a b='\xb5m'/>\0\0").unwrap();
        assert!(text.ends_with("'µm'/>") && !odd);
        let (text, odd) = decode(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><a b='\xb5m'/>").unwrap();
        assert!(text.ends_with("'µm'/>") && odd);
        assert!(decode(b"<?xml version='1.0' encoding='EBCDIC'?>\xff").is_err());
        let (text, _) = decode(b"\xff\xfe<\0a\0/\0>\0").unwrap();
        assert_eq!(text, "<a/>");
    }
}
