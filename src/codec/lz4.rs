//! Blocks of LZ4 (the format as its author describes it in `lz4_Block_format.md`).

use crate::error::{Error, Result};

/// Fills `out` from one block, which must give exactly that many bytes.
///
/// # Errors
/// `Malformed` or `Truncated` if it does not.
pub fn decode(data: &[u8], out: &mut [u8]) -> Result<()> {
    let short = || Error::truncated("the LZ4 data end early");
    let (mut from, mut to) = (0, 0);
    let next = |from: &mut usize| {
        let byte = data.get(*from).copied().ok_or_else(short)?;
        *from += 1;
        Ok::<usize, Error>(usize::from(byte))
    };
    loop {
        let token = next(&mut from)?;
        let long = |mut length: usize, from: &mut usize| {
            // Fifteen: more follows, for as long as bytes are full.
            if length == 15 {
                loop {
                    let more = next(from)?;
                    length += more;
                    if more < 255 {
                        break;
                    }
                }
            }
            Ok::<usize, Error>(length)
        };
        let literals = long(token >> 4, &mut from)?;
        let end = from.checked_add(literals).ok_or_else(short)?;
        let letters = data.get(from..end).ok_or_else(short)?;
        let room = out.get_mut(to..).and_then(|o| o.get_mut(..literals)).ok_or_else(too_much)?;
        room.copy_from_slice(letters);
        (from, to) = (end, to + literals);
        if from == data.len() {
            // The last sequence has no match.
            let missing = out.len() - to;
            return if missing == 0 {
                Ok(())
            } else {
                Err(Error::truncated(format!("the LZ4 data lack {missing} bytes")))
            };
        }
        let distance =
            data.get(from..from + 2).map(|b| usize::from(b[0]) | usize::from(b[1]) << 8).ok_or_else(short)?;
        from += 2;
        let length = long(token & 15, &mut from)? + 4;
        let start = to.checked_sub(distance).filter(|_| distance > 0);
        let start =
            start.ok_or_else(|| Error::malformed(format!("LZ4 data that repeat what lies {distance} bytes back")))?;
        if length > out.len() - to {
            return Err(too_much());
        }
        if distance >= length {
            out.copy_within(start..start + length, to);
        } else {
            for i in 0..length {
                out[to + i] = out[start + i];
            }
        }
        to += length;
    }
}

fn too_much() -> Error {
    Error::malformed("LZ4 data give more than belongs here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_repetitions() {
        // "abc", then seven letters from three back, then "z".
        let data = [0x33, b'a', b'b', b'c', 3, 0, 0x10, b'z'];
        let mut out = [0; 11];
        decode(&data, &mut out).unwrap();
        assert_eq!(&out, b"abcabcabcaz");
        assert_eq!(decode(&data, &mut [0; 12]).unwrap_err().kind(), crate::Kind::Truncated);
        assert_eq!(decode(&data, &mut [0; 10]).unwrap_err().kind(), crate::Kind::Malformed);
        for end in 0..data.len() {
            assert!(decode(&data[..end], &mut out).is_err(), "{end}");
        }
        // Farther back than there is anything.
        assert_eq!(decode(&[0x10, b'a', 2, 0, 0x10, b'z'], &mut [0; 6]).unwrap_err().kind(), crate::Kind::Malformed);
    }

    #[test]
    fn long_runs() {
        let mut data = vec![0x1f, 7, 1, 0, 255, 255, 1, 0x10, 9];
        let mut out = vec![0; 1 + 15 + 255 + 255 + 1 + 4 + 1];
        decode(&data, &mut out).unwrap();
        assert!(out[..out.len() - 1].iter().all(|b| *b == 7) && out.last() == Some(&9));
        data[4] = 254;
        assert!(decode(&data, &mut out).is_err());
    }
}
