//! Names that stand for names: what `--deidentify strict` shows instead of those of images and directories.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::config::Secret;

/// A name as shown has so many digits.
pub const PSEUDONYM_DIGITS: usize = 32;

/// Makes pseudonyms with a secret: HMAC-SHA-256 (RFC 2104) of the bytes of a name, its first 128 bits in lower-case
/// hexadecimal. The same name has the same pseudonym wherever the secret is the same, and nobody without it can try out names.
#[derive(Clone)]
pub struct Pseudonyms(Hmac<Sha256>);

impl Pseudonyms {
    /// With a secret of any length.
    pub fn new(secret: &Secret) -> Self {
        // HMAC takes keys of any length; the error is that of ciphers which do not.
        Pseudonyms(Hmac::new_from_slice(secret.bytes()).unwrap_or_else(|_| Hmac::new(&Default::default())))
    }

    /// 128 bits for a name.
    pub fn bits(&self, name: &[u8]) -> [u8; 16] {
        let code = self.0.clone().chain_update(name).finalize().into_bytes();
        let mut first = [0; 16];
        first.copy_from_slice(&code[..16]);
        first
    }

    /// The pseudonym of a name.
    pub fn of(&self, name: &[u8]) -> String {
        self.bits(name).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The bits that a pseudonym stands for.
pub fn pseudonym_bits(shown: &[u8]) -> Option<[u8; 16]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    if shown.len() != PSEUDONYM_DIGITS {
        return None;
    }
    let mut bits = [0; 16];
    for (byte, pair) in bits.iter_mut().zip(shown.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 1, 2 and 6.
    #[test]
    fn codes_are_those_of_the_standard() {
        for (key, name, code) in [
            (vec![0x0b; 20], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b"),
            (b"Jefe".to_vec(), "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c7"),
            (
                vec![0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f",
            ),
        ] {
            let pseudonyms = Pseudonyms::new(&Secret::new(key));
            assert_eq!(pseudonyms.of(name.as_bytes()), code);
            assert_eq!(pseudonym_bits(code.as_bytes()), Some(pseudonyms.bits(name.as_bytes())));
        }
        for other in ["", "b0344c61d8db38535ca8afceaf0bf12", "B0344c61d8db38535ca8afceaf0bf12b"] {
            assert_eq!(pseudonym_bits(other.as_bytes()), None);
        }
    }
}
