//! Bytes as text (RFC 4648 section 4).

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::error::{Error, Result};

/// Padding may be missing, as in files that were cut by hand; bits left over do not matter.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The bytes; white space between the digits is passed over.
///
/// # Errors
/// `Malformed` for other characters, and for text that ends inside a byte.
pub fn decode(text: &str) -> Result<Vec<u8>> {
    let digits = match text.bytes().any(|b| b.is_ascii_whitespace()) {
        true => Cow::Owned(text.bytes().filter(|b| !b.is_ascii_whitespace()).collect()),
        false => Cow::Borrowed(text.as_bytes()),
    };
    ENGINE.decode(digits).map_err(|e| Error::malformed(format!("base64 that is none ({e})")))
}

/// The text, padded.
pub fn encode(bytes: &[u8]) -> String {
    ENGINE.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_there_and_back() {
        // RFC 4648, section 10.
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmE=", "fooba")]
        {
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        assert_eq!(decode(" Zm\n9v ").unwrap(), b"foo");
        assert_eq!(decode("Zm8").unwrap(), b"fo", "padding may be missing");
        for bad in ["Z", "Zm9v!", "Zg==Zg=="] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
