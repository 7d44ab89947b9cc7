//! Reduction kernels: the mean of the 1, 2 or 4 pixels under one pixel of the next level (design: chunks and levels).
//!
//! Integers: floor((sum + n/2) / n), exact. Floats: the upper pair plus the lower pair, in float64, divided by n and
//! rounded once to the sample's type; NaN propagates. Complex numbers: each part by itself.

use half::f16;

use crate::model::Dtype;

/// A line of pixels; `valid` is empty if all are, else has one entry a pixel (pixels of damaged units count for nothing).
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Little-endian samples.
    pub bytes: &'a [u8],
    /// Which pixels hold something.
    pub valid: &'a [bool],
}

/// A line with its own memory.
#[derive(Debug, Default, Clone)]
pub(super) struct LineBuf {
    pub(super) bytes: Vec<u8>,
    pub(super) valid: Vec<bool>,
}

impl LineBuf {
    pub(super) fn copy_from(&mut self, line: Line<'_>) {
        self.bytes.clear();
        self.bytes.extend_from_slice(line.bytes);
        self.valid.clear();
        self.valid.extend_from_slice(line.valid);
    }

    pub(super) fn line(&self) -> Line<'_> {
        Line { bytes: &self.bytes, valid: &self.valid }
    }
}

/// A sample type with its mean.
trait Pixel: Copy {
    const SIZE: usize;
    fn get(bytes: &[u8]) -> Self;
    fn put(self, bytes: &mut [u8]);
    /// Upper left, upper right, lower left, lower right.
    fn four(a: Self, b: Self, c: Self, d: Self) -> Self;
    /// Two that lie side by side or one above the other.
    fn two(a: Self, b: Self) -> Self;
    /// Those that are there, the upper pair first; none if there is none.
    fn some(upper: [Option<Self>; 2], lower: [Option<Self>; 2]) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ty => $sum:ty),*) => {$(
        impl Pixel for $type {
            const SIZE: usize = size_of::<$type>();
            fn get(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$type>()];
                raw.copy_from_slice(bytes);
                <$type>::from_le_bytes(raw)
            }
            fn put(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
            // A mean lies between its operands, so the casts back lose nothing; a shift right is a division that rounds down.
            fn four(a: Self, b: Self, c: Self, d: Self) -> Self {
                ((<$sum>::from(a) + <$sum>::from(b) + <$sum>::from(c) + <$sum>::from(d) + 2) >> 2) as $type
            }
            fn two(a: Self, b: Self) -> Self {
                ((<$sum>::from(a) + <$sum>::from(b) + 1) >> 1) as $type
            }
            fn some(upper: [Option<Self>; 2], lower: [Option<Self>; 2]) -> Option<Self> {
                let there = upper.into_iter().chain(lower).flatten();
                let (mut n, mut sum): ($sum, $sum) = (0, 0);
                for value in there {
                    n += 1;
                    sum += <$sum>::from(value);
                }
                (n > 0).then(|| (sum + n / 2).div_euclid(n) as $type)
            }
        }
    )*};
}

integers!(u8 => u32, i8 => i32, u16 => u32, i16 => i32, u32 => u64, i32 => i64, u64 => u128, i64 => i128);

/// Float types by way of float64.
trait Real: Copy {
    const SIZE: usize;
    fn get(bytes: &[u8]) -> Self;
    fn put(self, bytes: &mut [u8]);
    fn wide(self) -> f64;
    fn narrow(value: f64) -> Self;
}

macro_rules! reals {
    ($($type:ty, $wide:expr, $narrow:expr);*) => {$(
        impl Real for $type {
            const SIZE: usize = size_of::<$type>();
            fn get(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$type>()];
                raw.copy_from_slice(bytes);
                <$type>::from_le_bytes(raw)
            }
            fn put(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
            fn wide(self) -> f64 {
                $wide(self)
            }
            fn narrow(value: f64) -> Self {
                $narrow(value)
            }
        }
    )*};
}

reals!(f16, f16::to_f64, half_from; f32, f64::from, |v: f64| v as f32; f64, |v: f64| v, |v: f64| v);

/// float64 to float16, rounded once to nearest even.
///
/// By float32 with the last bit made sticky ("round to odd"), because rounding twice to nearest can miss by one, and a
/// conversion that looks at the upper half of the mantissa only takes near ties for ties.
fn half_from(value: f64) -> f16 {
    let single = value as f32;
    if !value.is_finite() || single.is_infinite() || f64::from(single) == value {
        return f16::from_f32(single);
    }
    let toward_zero = match f64::from(single).abs() > value.abs() {
        true => single.to_bits() - 1,
        false => single.to_bits(),
    };
    f16::from_f32(f32::from_bits(toward_zero | 1))
}

fn real_four<R: Real>(a: R, b: R, c: R, d: R) -> R {
    R::narrow(((a.wide() + b.wide()) + (c.wide() + d.wide())) / 4.0)
}

fn real_two<R: Real>(a: R, b: R) -> R {
    R::narrow((a.wide() + b.wide()) / 2.0)
}

fn real_some<R: Real>(upper: [Option<R>; 2], lower: [Option<R>; 2]) -> Option<R> {
    let pair = |p: [Option<R>; 2]| p.into_iter().flatten().map(R::wide).reduce(|a, b| a + b);
    let sum = [pair(upper), pair(lower)].into_iter().flatten().reduce(|a, b| a + b)?;
    let n = upper.iter().chain(&lower).flatten().count();
    Some(R::narrow(sum / n as f64))
}

/// Makes the kernels see a float.
#[derive(Clone, Copy)]
struct Float<R>(R);

/// Makes the kernels see a complex number.
#[derive(Clone, Copy)]
struct Complex<R>(R, R);

impl<R: Real> Pixel for Float<R> {
    const SIZE: usize = R::SIZE;
    fn get(bytes: &[u8]) -> Self {
        Float(R::get(bytes))
    }
    fn put(self, bytes: &mut [u8]) {
        self.0.put(bytes);
    }
    fn four(a: Self, b: Self, c: Self, d: Self) -> Self {
        Float(real_four(a.0, b.0, c.0, d.0))
    }
    fn two(a: Self, b: Self) -> Self {
        Float(real_two(a.0, b.0))
    }
    fn some(upper: [Option<Self>; 2], lower: [Option<Self>; 2]) -> Option<Self> {
        let bare = |p: [Option<Self>; 2]| p.map(|v| v.map(|f| f.0));
        real_some(bare(upper), bare(lower)).map(Float)
    }
}

impl<R: Real> Pixel for Complex<R> {
    const SIZE: usize = 2 * R::SIZE;
    fn get(bytes: &[u8]) -> Self {
        Complex(R::get(&bytes[..R::SIZE]), R::get(&bytes[R::SIZE..]))
    }
    fn put(self, bytes: &mut [u8]) {
        self.0.put(&mut bytes[..R::SIZE]);
        self.1.put(&mut bytes[R::SIZE..]);
    }
    fn four(a: Self, b: Self, c: Self, d: Self) -> Self {
        Complex(real_four(a.0, b.0, c.0, d.0), real_four(a.1, b.1, c.1, d.1))
    }
    fn two(a: Self, b: Self) -> Self {
        Complex(real_two(a.0, b.0), real_two(a.1, b.1))
    }
    fn some(upper: [Option<Self>; 2], lower: [Option<Self>; 2]) -> Option<Self> {
        let re = |p: [Option<Self>; 2]| p.map(|v| v.map(|c| c.0));
        let im = |p: [Option<Self>; 2]| p.map(|v| v.map(|c| c.1));
        Some(Complex(real_some(re(upper), re(lower))?, real_some(im(upper), im(lower))?))
    }
}

/// Reduces two lines (the second is missing below the last odd one) to one of half the width, rounded up.
pub(super) fn reduce(dtype: Dtype, upper: Line<'_>, lower: Option<Line<'_>>, out: &mut LineBuf) {
    match dtype {
        Dtype::U8 => lines::<u8>(upper, lower, out),
        Dtype::I8 => lines::<i8>(upper, lower, out),
        Dtype::U16 => lines::<u16>(upper, lower, out),
        Dtype::I16 => lines::<i16>(upper, lower, out),
        Dtype::U32 => lines::<u32>(upper, lower, out),
        Dtype::I32 => lines::<i32>(upper, lower, out),
        Dtype::U64 => lines::<u64>(upper, lower, out),
        Dtype::I64 => lines::<i64>(upper, lower, out),
        Dtype::F16 => lines::<Float<f16>>(upper, lower, out),
        Dtype::F32 => lines::<Float<f32>>(upper, lower, out),
        Dtype::F64 => lines::<Float<f64>>(upper, lower, out),
        Dtype::C64 => lines::<Complex<f32>>(upper, lower, out),
        Dtype::C128 => lines::<Complex<f64>>(upper, lower, out),
    }
}

fn lines<P: Pixel>(upper: Line<'_>, lower: Option<Line<'_>>, out: &mut LineBuf) {
    let width = upper.bytes.len() / P::SIZE;
    out.bytes.resize(width.div_ceil(2) * P::SIZE, 0);
    out.valid.clear();
    if !upper.valid.is_empty() || lower.is_some_and(|l| !l.valid.is_empty()) {
        return holes::<P>(upper, lower, out);
    }
    let pairs = width / 2;
    let (body, last) = out.bytes.split_at_mut(pairs * P::SIZE);
    let both = 2 * P::SIZE;
    match lower {
        Some(lower) => {
            let sources = upper.bytes.chunks_exact(both).zip(lower.bytes.chunks_exact(both));
            for ((up, low), to) in sources.zip(body.chunks_exact_mut(P::SIZE)) {
                let (a, b) = up.split_at(P::SIZE);
                let (c, d) = low.split_at(P::SIZE);
                P::four(P::get(a), P::get(b), P::get(c), P::get(d)).put(to);
            }
            if !last.is_empty() {
                let at = pairs * both;
                P::two(P::get(&upper.bytes[at..]), P::get(&lower.bytes[at..])).put(last);
            }
        }
        None => {
            for (up, to) in upper.bytes.chunks_exact(both).zip(body.chunks_exact_mut(P::SIZE)) {
                let (a, b) = up.split_at(P::SIZE);
                P::two(P::get(a), P::get(b)).put(to);
            }
            if !last.is_empty() {
                last.copy_from_slice(&upper.bytes[pairs * both..]);
            }
        }
    }
}

/// The same where pixels are missing: only those there count; where none is, the result is fill value and missing too.
fn holes<P: Pixel>(upper: Line<'_>, lower: Option<Line<'_>>, out: &mut LineBuf) {
    let pixel = |line: Line<'_>, i: usize| {
        let bytes = line.bytes.get(i * P::SIZE..(i + 1) * P::SIZE)?;
        (line.valid.is_empty() || line.valid.get(i) == Some(&true)).then(|| P::get(bytes))
    };
    for (i, to) in out.bytes.chunks_exact_mut(P::SIZE).enumerate() {
        let pair = |line| [pixel(line, 2 * i), pixel(line, 2 * i + 1)];
        let mean = P::some(pair(upper), lower.map_or([None, None], pair));
        out.valid.push(mean.is_some());
        match mean {
            Some(mean) => mean.put(to),
            None => to.fill(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(dtype: Dtype, upper: &[u8], lower: Option<&[u8]>) -> Vec<u8> {
        let mut out = LineBuf::default();
        let line = |bytes| Line { bytes, valid: &[] };
        reduce(dtype, line(upper), lower.map(line), &mut out);
        out.bytes
    }

    fn le<T: Copy, const N: usize>(values: &[T], f: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|v| f(*v)).collect()
    }

    #[test]
    fn integers_round_half_up_also_below_zero() {
        assert_eq!(mean(Dtype::U8, &[1, 2, 255], Some(&[2, 2, 254])), [2, 255]);
        // -3/2 -> floor((-3 + 1) / 2) = -1; (-1 - 1 - 1 - 2 + 2) / 4 -> floor(-0.75) = -1.
        let upper: Vec<u8> = le(&[-1i8, -1, -1], i8::to_le_bytes);
        let lower: Vec<u8> = le(&[-1i8, -2, -2], i8::to_le_bytes);
        assert_eq!(mean(Dtype::I8, &upper, Some(&lower)), le(&[-1i8, -1], i8::to_le_bytes));
    }

    #[test]
    fn wide_integers_do_not_overflow() {
        let line = le(&[u64::MAX, u64::MAX], u64::to_le_bytes);
        assert_eq!(mean(Dtype::U64, &line, Some(&line)), u64::MAX.to_le_bytes());
        let line = le(&[i64::MIN, i64::MIN], i64::to_le_bytes);
        assert_eq!(mean(Dtype::I64, &line, Some(&line)), i64::MIN.to_le_bytes());
    }

    #[test]
    fn floats_are_summed_in_float64_and_nan_propagates() {
        let line = le(&[f32::MAX, f32::MAX], f32::to_le_bytes);
        assert_eq!(mean(Dtype::F32, &line, Some(&line)), f32::MAX.to_le_bytes());
        let nan = mean(Dtype::F32, &le(&[1.0, f32::NAN], f32::to_le_bytes), None);
        assert!(f32::from_le_bytes(nan.try_into().unwrap()).is_nan());
        let one = mean(Dtype::F64, &(-0.0f64).to_le_bytes(), None);
        assert_eq!(one, (-0.0f64).to_le_bytes());
    }

    #[test]
    fn half_floats_are_rounded_once() {
        // Just above the tie between 2048 and 2050.
        assert_eq!(half_from(2049.0 + 2f64.powi(-30)).to_f64(), 2050.0);
        assert_eq!(half_from(2049.0).to_f64(), 2048.0);
        assert_eq!(half_from(-2049.0 - 2f64.powi(-30)).to_f64(), -2050.0);
        assert_eq!(half_from(65519.999).to_f64(), 65504.0);
        assert!(half_from(65520.0).is_infinite());
        assert_eq!(half_from(2f64.powi(-25)).to_f64(), 0.0);
        assert_eq!(half_from(2f64.powi(-25) * 1.000_000_001).to_f64(), 2f64.powi(-24));
        for bits in 0..=u16::MAX {
            let value = f16::from_bits(bits);
            assert!(value.is_nan() || half_from(value.to_f64()) == value);
        }
    }

    #[test]
    fn complex_numbers_reduce_by_parts() {
        let line = le(&[1.0f32, -1.0, 3.0, -3.0], f32::to_le_bytes);
        assert_eq!(mean(Dtype::C64, &line, None), le(&[2.0f32, -2.0], f32::to_le_bytes));
    }

    #[test]
    fn missing_pixels_do_not_count() {
        let mut out = LineBuf::default();
        let upper = Line { bytes: &[10, 99, 99, 99, 7], valid: &[true, false, false, false, true] };
        let lower = Line { bytes: &[20, 31, 99, 99, 8], valid: &[true, true, false, false, true] };
        reduce(Dtype::U8, upper, Some(lower), &mut out);
        assert_eq!(out.bytes, [20, 0, 8]);
        assert_eq!(out.valid, [true, false, true]);
    }
}
