//! From decompressed rows, as a file stores them, to planes of little-endian samples.

use multiversion::multiversion;

use super::{bits, predictor};
use crate::model::{Colormap, Dtype};
use crate::sync::Arc;

/// What kind of number a sample is (SampleFormat, TIFF 6.0 page 80).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Number {
    Unsigned,
    Signed,
    Float,
    ComplexInt,
    ComplexFloat,
}

/// What was done to a row before it was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Predictor {
    None,
    Horizontal,
    Float,
}

/// The samples that readers see for a stored sample; `None` if there is no such type.
/// `bits` is the stored width of a whole sample, both parts of a complex one.
pub fn dtype(number: Number, bits: u32) -> Option<Dtype> {
    use Number::{ComplexFloat, ComplexInt, Float, Signed, Unsigned};
    Some(match (number, bits) {
        (Unsigned, 1..=8) => Dtype::U8,
        (Unsigned, 9..=16) => Dtype::U16,
        (Unsigned, 17..=32) => Dtype::U32,
        (Unsigned, 33..=64) => Dtype::U64,
        (Signed, 1..=8) => Dtype::I8,
        (Signed, 9..=16) => Dtype::I16,
        (Signed, 17..=32) => Dtype::I32,
        (Signed, 33..=64) => Dtype::I64,
        (Float, 16) => Dtype::F16,
        (Float, 24 | 32) => Dtype::F32,
        (Float, 64) => Dtype::F64,
        // float32 holds every 16-bit integer, float64 every 32-bit one.
        (ComplexInt, 16 | 32) | (ComplexFloat, 32 | 64) => Dtype::C64,
        (ComplexInt, 64) | (ComplexFloat, 128) => Dtype::C128,
        _ => return None,
    })
}

/// How the rows of a block are stored once decompressed. `dtype(number, bits)` must be some type.
#[derive(Debug, Clone)]
pub struct Raster {
    /// Pixels of a stored row.
    pub width: usize,
    /// Samples side by side in a pixel.
    pub samples: usize,
    /// Bits of a sample.
    pub bits: u32,
    /// What they mean.
    pub number: Number,
    /// Most significant byte first.
    pub big_endian: bool,
    /// What to undo.
    pub predictor: Predictor,
    /// Expands palette indices to red, green, blue of 8 bits.
    pub palette: Option<Arc<Colormap>>,
}

/// Where rows go: `out` holds planes of `plane` bytes one after the other, rows of `columns` samples in each.
pub struct Target<'a> {
    /// All planes.
    pub out: &'a mut [u8],
    /// Bytes of one plane.
    pub plane: usize,
    /// Columns to keep; at most the stored ones.
    pub columns: usize,
    /// First row to write.
    pub row: usize,
}

impl Raster {
    /// Bytes of a stored row; rows begin on whole bytes.
    pub fn row_bytes(&self) -> usize {
        (self.width * self.samples * self.bits as usize).div_ceil(8)
    }

    /// Bytes of a sample as shown.
    pub fn sample_bytes(&self) -> usize {
        if self.palette.is_some() { 1 } else { dtype(self.number, self.bits).map_or(1, Dtype::size) }
    }

    /// Planes that a block is spread over.
    pub fn planes(&self) -> usize {
        if self.palette.is_some() { 3 } else { self.samples }
    }

    /// Is a stored row already a row as shown?
    pub fn is_plain(&self) -> bool {
        let swapped = self.big_endian && self.component_bytes() > Some(1);
        self.planes() == 1
            && self.palette.is_none()
            && self.predictor == Predictor::None
            && self.is_native()
            && !swapped
    }

    /// Are stored samples, byte order apart, those that are shown?
    fn is_native(&self) -> bool {
        dtype(self.number, self.bits).is_some_and(|d| d.size() as u32 * 8 == self.bits)
    }

    /// Bytes of the number whose byte order counts; `None` if samples are packed bits.
    fn component_bytes(&self) -> Option<usize> {
        let bits = match self.number {
            Number::ComplexInt | Number::ComplexFloat => self.bits / 2,
            _ => self.bits,
        };
        bits.is_multiple_of(8).then_some(bits as usize / 8)
    }

    /// Does a stored row of `columns` pixels become a row as shown without changing places?
    pub fn in_place(&self, columns: usize) -> bool {
        self.planes() == 1 && self.palette.is_none() && self.is_native() && columns == self.width
    }

    /// Turns stored rows into rows as shown where [`Raster::in_place`].
    pub fn finish(&self, rows: &mut [u8]) {
        let mut scratch = Vec::new();
        if !self.is_plain() {
            rows.chunks_exact_mut(self.row_bytes().max(1)).for_each(|row| self.finish_native(row, &mut scratch));
        }
    }

    /// Decodes the rows of `raw` (whole rows; it is used as scratch) and writes them to `target`.
    pub fn spread(&self, raw: &mut [u8], target: &mut Target<'_>) {
        let row_bytes = self.row_bytes();
        if row_bytes == 0 {
            return;
        }
        let mut scratch = Vec::new();
        let mut wide = Vec::new();
        for row in raw.chunks_exact_mut(row_bytes) {
            if self.is_native() {
                self.finish_native(row, &mut scratch);
                self.place(row, target);
            } else {
                self.widen(row, &mut wide, &mut scratch);
                self.place(&wide, target);
            }
            target.row += 1;
        }
    }

    fn finish_native(&self, row: &mut [u8], scratch: &mut Vec<u8>) {
        let size = self.component_bytes().unwrap_or(1);
        let numbers = row.len() / (size * self.width);
        if self.predictor == Predictor::Float {
            return predictor::floating(row, size, numbers, scratch);
        }
        if self.big_endian {
            swap(row, size);
        }
        if self.predictor == Predictor::Horizontal {
            predictor::horizontal(row, size, numbers, size as u32 * 8);
        }
    }

    /// Rows of samples that no type has the width of.
    fn widen(&self, row: &mut [u8], wide: &mut Vec<u8>, scratch: &mut Vec<u8>) {
        let complex = matches!(self.number, Number::ComplexInt | Number::ComplexFloat);
        let (part_bits, parts) = if complex { (self.bits / 2, 2) } else { (self.bits, 1) };
        let count = self.width * self.samples * parts;
        let size = bits::container(part_bits);
        wide.clear();
        wide.resize(count * size, 0);
        if self.predictor == Predictor::Float {
            predictor::floating(row, part_bits as usize / 8, self.samples, scratch);
            bits::widen(row, part_bits, false, wide);
        } else {
            match self.component_bytes() {
                Some(1 | 2 | 4 | 8) => {
                    if self.big_endian {
                        swap(row, size);
                    }
                    wide.copy_from_slice(&row[..count * size]);
                }
                Some(_) => bits::widen(row, part_bits, self.big_endian, wide),
                None => bits::unpack(row, part_bits, wide),
            }
            if self.predictor == Predictor::Horizontal {
                predictor::horizontal(wide, size, self.samples * parts, part_bits);
            }
        }
        match self.number {
            Number::Unsigned => {}
            Number::Signed => bits::extend_sign(wide, part_bits),
            Number::Float => bits::float24(wide),
            Number::ComplexInt => *wide = complex_from_integers(wide, size),
            Number::ComplexFloat => {
                *wide = wide
                    .as_chunks()
                    .0
                    .iter()
                    .flat_map(|h| half::f16::from_le_bytes(*h).to_f32().to_le_bytes())
                    .collect();
            }
        }
    }

    /// Writes one row of little-endian samples to the planes.
    fn place(&self, row: &[u8], target: &mut Target<'_>) {
        let size = self.sample_bytes();
        let line = target.columns * size;
        let at = target.row * line;
        if let Some(map) = &self.palette {
            let index_bytes = bits::container(self.bits);
            for (table, plane) in
                [&map.red, &map.green, &map.blue].into_iter().zip(target.out.chunks_exact_mut(target.plane))
            {
                for (o, index) in plane[at..at + line].iter_mut().zip(row.chunks_exact(index_bytes)) {
                    let index = usize::from(index[0]) | usize::from(index.get(1).copied().unwrap_or(0)) << 8;
                    *o = table.get(index).map_or(0, |v| (v >> 8) as u8);
                }
            }
            return;
        }
        if self.samples == 1 {
            target.out[at..at + line].copy_from_slice(&row[..line]);
            return;
        }
        if (size, self.samples) == (1, 3) {
            let mut planes = target.out.chunks_exact_mut(target.plane);
            if let (Some(red), Some(green), Some(blue)) = (planes.next(), planes.next(), planes.next()) {
                return split(row, [red, green, blue].map(|plane| &mut plane[at..at + line]));
            }
        }
        for (s, plane) in target.out.chunks_exact_mut(target.plane).take(self.samples).enumerate() {
            let out = &mut plane[at..at + line];
            match (size, self.samples) {
                (1, 4) => pick::<1, 4>(row, s, out),
                (2, 3) => pick::<2, 6>(row, s, out),
                (1, n) => {
                    out.iter_mut().zip(row.chunks_exact(n)).for_each(|(o, pixel)| *o = pixel[s]);
                }
                (_, n) => {
                    for (o, pixel) in out.chunks_exact_mut(size).zip(row.chunks_exact(n * size)) {
                        o.copy_from_slice(&pixel[s * size..(s + 1) * size]);
                    }
                }
            }
        }
    }
}

/// Takes each sample of pixels of three bytes to a row of its own.
#[multiversion(targets("x86_64+avx2"))]
fn split(row: &[u8], [red, green, blue]: [&mut [u8]; 3]) {
    let pixels = row.as_chunks::<3>().0.iter();
    for (((pixel, red), green), blue) in pixels.zip(red).zip(green).zip(blue) {
        [*red, *green, *blue] = *pixel;
    }
}

/// Takes sample `s` of pixels of `PIXEL` bytes, samples of `SIZE` bytes.
fn pick<const SIZE: usize, const PIXEL: usize>(row: &[u8], s: usize, out: &mut [u8]) {
    let pixels = row.as_chunks::<PIXEL>().0;
    for (o, pixel) in out.as_chunks_mut::<SIZE>().0.iter_mut().zip(pixels) {
        o.copy_from_slice(&pixel[s * SIZE..(s + 1) * SIZE]);
    }
}

/// Reverses the bytes of numbers of `size` bytes.
fn swap(row: &mut [u8], size: usize) {
    match size {
        1 => {}
        2 => row.as_chunks_mut::<2>().0.iter_mut().for_each(|v| v.reverse()),
        4 => row.as_chunks_mut::<4>().0.iter_mut().for_each(|v| v.reverse()),
        8 => row.as_chunks_mut::<8>().0.iter_mut().for_each(|v| v.reverse()),
        _ => row.chunks_exact_mut(size).for_each(<[u8]>::reverse),
    }
}

/// Signed integers of 1, 2 or 4 bytes to float32 (from 1 or 2) or float64 (from 4).
fn complex_from_integers(parts: &[u8], size: usize) -> Vec<u8> {
    match size {
        1 => parts.iter().flat_map(|b| f32::from(*b as i8).to_le_bytes()).collect(),
        2 => parts.as_chunks().0.iter().flat_map(|b| f32::from(i16::from_le_bytes(*b)).to_le_bytes()).collect(),
        _ => parts.as_chunks().0.iter().flat_map(|b| f64::from(i32::from_le_bytes(*b)).to_le_bytes()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raster(width: usize, samples: usize, bits: u32, number: Number) -> Raster {
        Raster { width, samples, bits, number, big_endian: false, predictor: Predictor::None, palette: None }
    }

    fn spread(raster: &Raster, raw: &[u8], rows: usize, columns: usize) -> Vec<u8> {
        let plane = rows * columns * raster.sample_bytes();
        let mut out = vec![0; plane * raster.planes()];
        raster.spread(&mut raw.to_vec(), &mut Target { out: &mut out, plane, columns, row: 0 });
        out
    }

    #[test]
    fn chunky_becomes_planar_and_is_cut() {
        let r = raster(3, 3, 8, Number::Unsigned);
        let raw: Vec<u8> = (0..18).collect();
        assert_eq!(spread(&r, &raw, 2, 2), [0, 3, 9, 12, 1, 4, 10, 13, 2, 5, 11, 14]);
    }

    #[test]
    fn big_endian_samples_are_swapped() {
        let mut r = raster(2, 1, 16, Number::Unsigned);
        assert!(r.is_plain());
        r.big_endian = true;
        assert!(!r.is_plain());
        assert_eq!(spread(&r, &[1, 2, 3, 4], 1, 2), [2, 1, 4, 3]);
        let mut c = raster(1, 1, 64, Number::ComplexFloat);
        c.big_endian = true;
        assert_eq!(spread(&c, &[1, 2, 3, 4, 5, 6, 7, 8], 1, 1), [4, 3, 2, 1, 8, 7, 6, 5]);
    }

    #[test]
    fn every_row_begins_on_a_byte() {
        let r = raster(3, 1, 1, Number::Unsigned);
        assert_eq!(spread(&r, &[0b1010_0000, 0b0110_0000], 2, 3), [1, 0, 1, 0, 1, 1]);
    }

    #[test]
    fn complex_integers_become_floats() {
        let r = raster(1, 1, 32, Number::ComplexInt);
        let out = spread(&r, &[0xff, 0xff, 2, 0], 1, 1);
        assert_eq!(out, [(-1.0_f32).to_le_bytes(), 2.0_f32.to_le_bytes()].concat());
    }

    #[test]
    fn a_palette_becomes_three_planes() {
        let map = Colormap { red: vec![0, 0xff00], green: vec![0x1234, 0], blue: vec![0, 0x80ff] };
        let mut r = raster(2, 1, 1, Number::Unsigned);
        r.palette = Some(Arc::new(map));
        assert_eq!(spread(&r, &[0b0100_0000], 1, 2), [0, 255, 0x12, 0, 0, 0x80]);
    }
}
