//! Undoing the predictors of TIFF: horizontal differencing (TIFF 6.0 section 14) and the floating-point predictor
//! (Adobe's TIFF Technical Note 3). One row at a time, in place.

/// Adds up a row of little-endian integers of `size` bytes (1, 2, 4, 8), pixels of `samples` integers.
/// `bits` below the full width wraps sums to that width.
pub fn horizontal(row: &mut [u8], size: usize, samples: usize, bits: u32) {
    match (size, samples) {
        (1, 1) => {
            let mut sum = 0_u8;
            for b in row.iter_mut() {
                sum = sum.wrapping_add(*b);
                *b = sum;
            }
        }
        (1, 3) => add_bytes::<3>(row),
        (1, 4) => add_bytes::<4>(row),
        (2, 1) => {
            let mut sum = 0_u16;
            for b in row.as_chunks_mut().0 {
                sum = sum.wrapping_add(u16::from_le_bytes(*b));
                *b = sum.to_le_bytes();
            }
        }
        _ => add_any(row, size, samples),
    }
    let unused = size as u32 * 8 - bits;
    if unused > 0 {
        for value in row.chunks_exact_mut(size) {
            let wrapped = load(value) & (u64::MAX >> (64 - bits));
            value.copy_from_slice(&wrapped.to_le_bytes()[..size]);
        }
    }
}

fn add_bytes<const N: usize>(row: &mut [u8]) {
    let mut sums = [0_u8; N];
    for pixel in row.as_chunks_mut::<N>().0 {
        for (s, b) in sums.iter_mut().zip(pixel) {
            *s = s.wrapping_add(*b);
            *b = *s;
        }
    }
}

fn load(value: &[u8]) -> u64 {
    let mut wide = [0; 8];
    wide[..value.len()].copy_from_slice(value);
    u64::from_le_bytes(wide)
}

fn add_any(row: &mut [u8], size: usize, samples: usize) {
    let step = size * samples;
    for at in (step..row.len() / size * size).step_by(size) {
        let sum = load(&row[at..at + size]).wrapping_add(load(&row[at - step..at - step + size]));
        row[at..at + size].copy_from_slice(&sum.to_le_bytes()[..size]);
    }
}

/// Turns a row of byte planes, most significant first and byte-wise differenced, into little-endian floats of `size`
/// bytes. The order does not depend on that of the file. `scratch` is reused between rows.
pub fn floating(row: &mut [u8], size: usize, samples: usize, scratch: &mut Vec<u8>) {
    for at in samples..row.len() {
        row[at] = row[at].wrapping_add(row[at - samples]);
    }
    scratch.clear();
    scratch.extend_from_slice(row);
    let count = row.len() / size;
    if count == 0 {
        return;
    }
    for (plane, source) in scratch.chunks_exact(count).enumerate() {
        let byte = size - 1 - plane;
        for (value, b) in row.chunks_exact_mut(size).zip(source) {
            value[byte] = *b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_add_up_and_wrap() {
        let mut row = [250, 3, 4, 255];
        horizontal(&mut row, 1, 1, 8);
        assert_eq!(row, [250, 253, 1, 0]);
        let mut row = [1, 2, 3, 1, 1, 1, 255, 0, 2];
        horizontal(&mut row, 1, 3, 8);
        assert_eq!(row, [1, 2, 3, 2, 3, 4, 1, 3, 6]);
        let mut row = [1, 10, 1, 1];
        horizontal(&mut row, 1, 2, 8);
        assert_eq!(row, [1, 10, 2, 11]);
    }

    #[test]
    fn wider_integers_carry() {
        let mut row = [0xff, 0x00, 0x01, 0x00, 0xff, 0xff];
        horizontal(&mut row, 2, 1, 16);
        assert_eq!(row, [0xff, 0x00, 0x00, 0x01, 0xff, 0x00]);
        let mut row: Vec<u8> = [u32::MAX, 2, 3].iter().flat_map(|v| v.to_le_bytes()).collect();
        horizontal(&mut row, 4, 1, 32);
        assert_eq!(row, [u32::MAX, 1, 4].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
        let mut row: Vec<u8> = [u64::MAX, 5, 2, 1].iter().flat_map(|v| v.to_le_bytes()).collect();
        horizontal(&mut row, 8, 2, 64);
        assert_eq!(row, [u64::MAX, 5, 1, 6].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    }

    #[test]
    fn narrow_integers_wrap_at_their_width() {
        let mut row = [15, 2, 15];
        horizontal(&mut row, 1, 1, 4);
        assert_eq!(row, [15, 1, 0]);
    }

    #[test]
    fn floats_come_back() {
        let values = [1.5_f32, -2.25, 1e9, 0.1];
        let mut planes: Vec<u8> = (0..4).flat_map(|b| values.map(|v| v.to_be_bytes()[b])).collect();
        for at in (1..planes.len()).rev() {
            planes[at] = planes[at].wrapping_sub(planes[at - 1]);
        }
        floating(&mut planes, 4, 1, &mut Vec::new());
        assert_eq!(planes, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    }
}
