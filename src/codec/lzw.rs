//! LZW as TIFF has it (TIFF 6.0 section 13), and the older variant with the least significant bit first.

use std::io::{BufRead, Error as IoError, ErrorKind, Read};

use weezl::{BitOrder, LzwStatus, decode::Configuration, decode::Decoder};

use crate::error::Result;

/// Decodes until `out` is full. A stream without its end code is fine if it gives enough.
///
/// # Errors
/// `Malformed` or `Truncated` if the data do not give that much.
pub fn decode(data: &[u8], out: &mut [u8]) -> Result<()> {
    reader(data).read_exact(out).map_err(|e| super::stream_error(&e, "LZW"))
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
