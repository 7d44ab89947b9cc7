//! Samples that are not whole bytes, or not of a size that readers know: unpacked to the next wider type.

/// Reverses the bits of every byte (FillOrder 2, TIFF 6.0 page 32).
pub fn reverse(bytes: &mut [u8]) {
    for b in bytes {
        *b = b.reverse_bits();
    }
}

/// Bytes of the smallest of 1, 2, 4, 8 that holds `bits` (1 to 64).
pub fn container(bits: u32) -> usize {
    match bits {
        0..=8 => 1,
        9..=16 => 2,
        17..=32 => 4,
        _ => 8,
    }
}

/// Unpacks samples of `bits` bits, most significant first and without gaps, into little-endian containers of
/// [`container`] bytes. Stops at the end of the shorter of the two.
pub fn unpack(packed: &[u8], bits: u32, out: &mut [u8]) {
    match bits {
        1 => {
            for (byte, out) in packed.iter().zip(out.chunks_mut(8)) {
                for (i, o) in out.iter_mut().enumerate() {
                    *o = byte >> (7 - i) & 1;
                }
            }
        }
        2 => {
            for (byte, out) in packed.iter().zip(out.chunks_mut(4)) {
                for (i, o) in out.iter_mut().enumerate() {
                    *o = byte >> (6 - 2 * i) & 3;
                }
            }
        }
        4 => {
            for (byte, out) in packed.iter().zip(out.chunks_mut(2)) {
                out[0] = byte >> 4;
                if let Some(low) = out.get_mut(1) {
                    *low = byte & 15;
                }
            }
        }
        12 => {
            for (three, out) in packed.chunks(3).zip(out.chunks_mut(4)) {
                let at = |i: usize| u16::from(three.get(i).copied().unwrap_or(0));
                let pair = [at(0) << 4 | at(1) >> 4, (at(1) & 15) << 8 | at(2)];
                for (o, v) in out.chunks_exact_mut(2).zip(pair) {
                    o.copy_from_slice(&v.to_le_bytes());
                }
            }
        }
        _ => unpack_any(packed, bits, out),
    }
}

fn unpack_any(packed: &[u8], bits: u32, out: &mut [u8]) {
    let size = container(bits);
    let mask = if bits >= 64 { u128::from(u64::MAX) } else { (1 << bits) - 1 };
    let mut source = packed.iter();
    let (mut held, mut have) = (0_u128, 0_u32);
    for o in out.chunks_exact_mut(size) {
        while have < bits {
            let Some(byte) = source.next() else { return };
            held = held << 8 | u128::from(*byte);
            have += 8;
        }
        have -= bits;
        let value = (held >> have & mask) as u64;
        o.copy_from_slice(&value.to_le_bytes()[..size]);
    }
}

/// Widens samples of whole bytes (3, 5, 6 or 7 of them) to little-endian containers, keeping the byte order in mind.
pub fn widen(bytes: &[u8], bits: u32, big_endian: bool, out: &mut [u8]) {
    let (size, wide) = ((bits / 8) as usize, container(bits));
    for (value, o) in bytes.chunks_exact(size).zip(out.chunks_exact_mut(wide)) {
        o.fill(0);
        o[..size].copy_from_slice(value);
        if big_endian {
            o[..size].reverse();
        }
    }
}

/// Copies the sign bit of `bits`-bit numbers through their containers.
pub fn extend_sign(out: &mut [u8], bits: u32) {
    let size = container(bits);
    let shift = size as u32 * 8 - bits;
    if shift == 0 {
        return;
    }
    match size {
        1 => out.iter_mut().for_each(|b| *b = ((*b << shift) as i8 >> shift) as u8),
        2 => {
            for o in out.as_chunks_mut().0 {
                *o = ((u16::from_le_bytes(*o) << shift) as i16 >> shift).to_le_bytes();
            }
        }
        4 => {
            for o in out.as_chunks_mut().0 {
                *o = ((u32::from_le_bytes(*o) << shift) as i32 >> shift).to_le_bytes();
            }
        }
        _ => {
            for o in out.as_chunks_mut().0 {
                *o = ((u64::from_le_bytes(*o) << shift) as i64 >> shift).to_le_bytes();
            }
        }
    }
}

/// Widens 24-bit floats (1 sign, 7 exponent, 16 fraction bits; Adobe's TIFF Technical Note 3), given as little-endian
/// 32-bit containers, to float32 in place.
pub fn float24(samples: &mut [u8]) {
    for s in samples.as_chunks_mut().0 {
        let v = u32::from_le_bytes(*s);
        let (sign, exponent, fraction) = ((v >> 23 & 1) << 31, v >> 16 & 0x7f, v & 0xffff);
        let wide = match (exponent, fraction) {
            (0, 0) => sign,
            (0x7f, f) => sign | 0x7f80_0000 | f << 7,
            // A subnormal is fraction * 2^-78; every one of them is a normal float32.
            (0, f) => sign | (f as f32 * 2_f32.powi(-78)).to_bits(),
            (e, f) => sign | (e + 127 - 63) << 23 | f << 7,
        };
        *s = wide.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(packed: &[u8], bits: u32, n: usize) -> Vec<u8> {
        let mut out = vec![0; n * container(bits)];
        unpack(packed, bits, &mut out);
        out
    }

    #[test]
    fn small_widths() {
        assert_eq!(unpacked(&[0b1010_0001, 0b1000_0000], 1, 9), [1, 0, 1, 0, 0, 0, 0, 1, 1]);
        assert_eq!(unpacked(&[0b0001_1011], 2, 4), [0, 1, 2, 3]);
        assert_eq!(unpacked(&[0xab, 0xc0], 4, 3), [10, 11, 12]);
        assert_eq!(unpacked(&[0b1010_1111, 0], 3, 3), [5, 3, 6]);
    }

    #[test]
    fn twelve_bits_and_the_general_way_agree() {
        let packed = [0xab, 0xcd, 0xef, 0x12, 0x30];
        let out = unpacked(&packed, 12, 3);
        assert_eq!(out, [0xbc, 0x0a, 0xef, 0x0d, 0x23, 0x01]);
        let mut any = vec![0; 6];
        unpack_any(&packed, 12, &mut any);
        assert_eq!(out, any);
    }

    #[test]
    fn wide_widths() {
        assert_eq!(unpacked(&[0xff, 0xff, 0x80, 0, 0x40], 17, 2), [0xff, 0xff, 1, 0, 1, 0, 0, 0]);
        let all: Vec<u8> = (1..=16).collect();
        assert_eq!(unpacked(&all, 63, 1), 0x0081_0182_0283_0384_u64.to_le_bytes());
    }

    #[test]
    fn three_bytes_in_both_orders() {
        let mut out = [0; 4];
        widen(&[1, 2, 3], 24, false, &mut out);
        assert_eq!(out, [1, 2, 3, 0]);
        widen(&[1, 2, 3], 24, true, &mut out);
        assert_eq!(out, [3, 2, 1, 0]);
    }

    #[test]
    fn signs() {
        let mut out = [0b1000, 0b0111];
        extend_sign(&mut out, 4);
        assert_eq!(out.map(|b| b as i8), [-8, 7]);
        let mut out = 0x0fff_u16.to_le_bytes();
        extend_sign(&mut out, 12);
        assert_eq!(i16::from_le_bytes(out), -1);
    }

    #[test]
    fn floats_of_three_bytes() {
        for (bits, value) in
            [(0x3f_0000_u32, 1.0_f32), (0xc0_0000, -2.0), (0x40_8000, 3.0), (0, 0.0), (0x7f_0000, f32::INFINITY)]
        {
            let mut s = bits.to_le_bytes();
            float24(&mut s);
            assert_eq!(f32::from_le_bytes(s), value);
        }
        let mut s = 1_u32.to_le_bytes();
        float24(&mut s);
        assert_eq!(f32::from_le_bytes(s), 2_f32.powi(-78));
    }
}
