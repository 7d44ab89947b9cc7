//! LZW as TIFF has it (TIFF 6.0 section 13), and the older variant with the least significant bit first.
//!
//! Streams are the library's. What is whole in memory takes a loop of our own first, which copies strings out of what it has
//! written (a row a strip of 16-bit noise has some 60 million codes in 100 MB); whatever is odd about the data goes to the
//! library, so both accept and refuse the same.

use std::io::{BufRead, Error as IoError, ErrorKind, Read};

use weezl::{BitOrder, LzwStatus, decode::Configuration, decode::Decoder};

use crate::error::Result;

/// Decodes until `out` is full. A stream without its end code is fine if it gives enough.
///
/// # Errors
/// `Malformed` or `Truncated` if the data do not give that much.
pub fn decode(data: &[u8], out: &mut [u8]) -> Result<()> {
    if in_memory(data, out) {
        return Ok(());
    }
    reader(data).read_exact(out).map_err(|e| super::stream_error(&e, "LZW"))
}

const CLEAR: usize = 256;
const END: usize = 257;
const CODES: usize = 4096;

/// Codes, most significant bit first.
struct Codes<'a> {
    data: &'a [u8],
    bits: u64,
    held: u32,
}

impl Codes<'_> {
    fn next(&mut self, width: u32) -> Option<usize> {
        if self.held < width {
            if let Some((head, rest)) = self.data.split_first_chunk::<4>() {
                (self.bits, self.held, self.data) =
                    (self.bits << 32 | u64::from(u32::from_be_bytes(*head)), self.held + 32, rest);
            } else {
                while self.held < width {
                    let (byte, rest) = self.data.split_first()?;
                    (self.bits, self.held, self.data) = (self.bits << 8 | u64::from(*byte), self.held + 8, rest);
                }
            }
        }
        self.held -= width;
        Some((self.bits >> self.held) as usize & ((1 << width) - 1))
    }
}

/// Fills `out` from a stream of the usual variant that has nothing odd about it; else false.
///
/// The string of a code is the string before it and one byte more, and those lie one behind the other in the output: a code
/// is a place there and a length.
fn in_memory(data: &[u8], out: &mut [u8]) -> bool {
    if matches!(data, [0, second, ..] if second & 1 == 1) || u32::try_from(out.len()).is_err() {
        return false;
    }
    let mut table = [(0u32, 0u32); CODES];
    let mut codes = Codes { data, bits: 0, held: 0 };
    let (mut width, mut free) = (9, END + 1);
    let (mut before, mut length_before, mut at) = (0, 0, 0);
    while at < out.len() {
        let Some(code) = codes.next(width) else { return false };
        let length = if code < CLEAR {
            out[at] = code as u8;
            1
        } else if code == CLEAR {
            (width, free, length_before) = (9, END + 1, 0);
            continue;
        } else if code < free && code != END {
            let (start, length) = table[code];
            repeat(out, start as usize, at, length as usize);
            length as usize
        } else if code == free && length_before > 0 && free < CODES {
            repeat(out, before, at, length_before);
            let first = out[before];
            if let Some(last) = out.get_mut(at + length_before) {
                *last = first;
            }
            length_before + 1
        } else {
            return false;
        };
        if length_before > 0 && free < CODES {
            table[free] = (before as u32, length_before as u32 + 1);
            free += 1;
            // One code early, as TIFF has it.
            width += u32::from(width < 12 && free == (1 << width) - 1);
        }
        (before, length_before) = (at, length);
        at += length;
    }
    true
}

/// Writes `length` bytes from `start` again at `at`, as far as there is room; `start + length` is at most `at`.
fn repeat(out: &mut [u8], start: usize, at: usize, length: usize) {
    const SHORT: usize = 8;
    if length <= SHORT
        && let Some(bytes) = out.get(start..start + SHORT).and_then(|b| <[u8; SHORT]>::try_from(b).ok())
        && let Some(to) = out.get_mut(at..at + SHORT)
    {
        // What is written beyond the string is written again by the next ones.
        return to.copy_from_slice(&bytes);
    }
    let length = length.min(out.len() - at);
    out.copy_within(start..start + length, at);
}

/// A decoder that gives the samples piece by piece.
pub fn reader<R: BufRead>(data: R) -> impl Read + use<R> {
    Lzw { data, decoder: None }
}

struct Lzw<R> {
    data: R,
    decoder: Option<Decoder>,
}

/// The first code is the clear code, 256 in nine bits. The old variant stores it from the low end and switches code
/// lengths one code later, as GIF does.
fn decoder(head: &[u8]) -> Decoder {
    match head {
        [0, second, ..] if second & 1 == 1 => Configuration::new(BitOrder::Lsb, 8).build(),
        _ => Configuration::with_tiff_size_switch(BitOrder::Msb, 8).build(),
    }
}

impl<R: BufRead> Read for Lzw<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let input = self.data.fill_buf()?;
            let ended = input.is_empty();
            let decoder = self.decoder.get_or_insert_with(|| decoder(input));
            let result = decoder.decode_bytes(input, out);
            self.data.consume(result.consumed_in);
            match result.status {
                Err(e) if result.consumed_out == 0 => return Err(IoError::new(ErrorKind::InvalidData, e)),
                // What came before the damage is handed over; the next call meets the error again.
                Err(_) => return Ok(result.consumed_out),
                Ok(_) if result.consumed_out > 0 => return Ok(result.consumed_out),
                Ok(LzwStatus::Done) => return Ok(0),
                Ok(_) if ended => return Ok(0),
                Ok(LzwStatus::NoProgress) if result.consumed_in == 0 => return Ok(0),
                Ok(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn in_memory_is_what_the_library_gives(
            seed in proptest::collection::vec(0u8.., 1..40), times in 1usize..900, step in 0usize..4, cut in 0usize..64,
        ) {
            // Runs, repeats and noise; long enough for every code length and for a full table.
            let data: Vec<u8> = (0..times)
                .flat_map(|i| seed.iter().map(move |b| b.wrapping_add((i * i * step) as u8)))
                .collect();
            let packed = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(&data).unwrap();
            let mut out = vec![0; data.len()];
            assert!(in_memory(&packed, &mut out) && out == data);
            // Cut short, either says so; asked for less, either gives it.
            let less = data.len() - cut.min(data.len());
            let mut part = vec![0; less];
            assert!(in_memory(&packed, &mut part) && part == data[..less]);
            assert!(!in_memory(&packed, &mut vec![0; data.len() + 1]));
        }

        #[test]
        fn what_is_odd_is_the_librarys(data in proptest::collection::vec(0u8.., 0..600), size in 0usize..5000) {
            let (mut ours, mut theirs) = (vec![0; size], vec![0; size]);
            if in_memory(&data, &mut ours) {
                reader(&data[..]).read_exact(&mut theirs).unwrap();
                assert_eq!(ours, theirs);
            }
        }
    }

    #[test]
    fn both_variants() {
        let data: Vec<u8> = (0..20_000_u32).map(|i| ((i * i) >> 9) as u8).collect();
        let new = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(&data).unwrap();
        let old = weezl::encode::Encoder::new(BitOrder::Lsb, 8).encode(&data).unwrap();
        for packed in [new, old] {
            let mut out = vec![0; data.len()];
            decode(&packed, &mut out).unwrap();
            assert_eq!(out, data);
            assert!(decode(&packed, &mut vec![0; data.len() + 1]).is_err());
            assert!(decode(&packed[..packed.len() / 2], &mut out).is_err());
            // Without the end code.
            decode(&packed[..packed.len() - 2], &mut out[..19_990]).unwrap();
        }
        assert!(decode(&[], &mut [0; 1]).is_err());
    }
}
