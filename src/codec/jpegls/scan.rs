//! The entropy-coded part of JPEG-LS: contexts, prediction, runs (T.87 annex A).

use crate::error::{Error, Result};

/// What a scan is coded with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters {
    maxval: i32,
    near: i32,
    thresholds: [i32; 3],
    reset: i32,
    range: i32,
    qbpp: u32,
    limit: u32,
}

impl Parameters {
    /// Adds what follows from the four (A.2.1).
    pub fn new(maxval: i32, near: i32, thresholds: [i32; 3], reset: i32) -> Self {
        let range = (maxval + 2 * near) / (2 * near + 1) + 1;
        let bits = |n: i32| (n.max(1) as u32 - 1).checked_ilog2().map_or(0, |b| b + 1);
        let bpp = bits(maxval + 1).max(2);
        Parameters { maxval, near, thresholds, reset, range, qbpp: bits(range), limit: 2 * (bpp + bpp.max(8)) }
    }

    /// A local gradient as one of nine (A.3.3).
    fn quantized(&self, d: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        match d.abs() {
            a if a <= self.near => 0,
            a if a < t1 => d.signum(),
            a if a < t2 => 2 * d.signum(),
            a if a < t3 => 3 * d.signum(),
            _ => 4 * d.signum(),
        }
    }

    /// A prediction with its error, back in the range of samples (A.4.5, A.8).
    fn reconstructed(&self, predicted: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let value = predicted + error * step;
        let value = if value < -self.near {
            value + self.range * step
        } else if value > self.maxval + self.near {
            value - self.range * step
        } else {
            value
        };
        value.clamp(0, self.maxval)
    }
}

/// Order of the code of the run lengths (table A.1, array J).
const RUN_ORDER: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Statistics of a context: sum of magnitudes, sum of errors, correction, count. A run's has the count of negative errors
/// in the place of the sum.
#[derive(Debug, Clone, Copy)]
struct Context {
    a: i32,
    b: i32,
    c: i32,
    n: i32,
}

impl Context {
    /// Order of the Golomb code.
    fn order(n: i32, a: i32) -> u32 {
        let mut k = 0;
        while k < 24 && i64::from(n) << k < i64::from(a) {
            k += 1;
        }
        k
    }

    /// After an error (A.6).
    fn update(&mut self, error: i32, parameters: &Parameters) {
        self.b += error * (2 * parameters.near + 1);
        self.a += error.abs();
        if self.n == parameters.reset {
            self.a >>= 1;
            self.b >>= 1;
            self.n >>= 1;
        }
        self.n += 1;
        if self.b <= -self.n {
            self.b = (self.b + self.n).max(1 - self.n);
            self.c = (self.c - 1).max(-128);
        } else if self.b > 0 {
            self.b = (self.b - self.n).min(0);
            self.c = (self.c + 1).min(127);
        }
    }
}

/// A scan being decoded. Rows have a sample more on either side, and there are two: the one above and the current one.
pub(super) struct Scan<'a> {
    bits: Bits<'a>,
    parameters: Parameters,
    contexts: Vec<Context>,
    runs: [Context; 2],
    run_index: Vec<usize>,
    above: Vec<Vec<i32>>,
    current: Vec<Vec<i32>>,
}

impl<'a> Scan<'a> {
    /// Of so many components.
    pub fn new(data: &'a [u8], parameters: Parameters, width: usize, components: usize) -> Self {
        let fresh = Context { a: ((parameters.range + 32) / 64).max(2), b: 0, c: 0, n: 1 };
        Scan {
            bits: Bits::new(data),
            parameters,
            contexts: vec![fresh; 365],
            runs: [fresh; 2],
            run_index: vec![0; components],
            above: vec![vec![0; width + 2]; components],
            current: vec![vec![0; width + 2]; components],
        }
    }

    /// What follows the scan, from its marker on.
    pub fn rest(&self) -> &'a [u8] {
        let data = self.bits.data;
        let marker = (self.bits.at..data.len().saturating_sub(1)).find(|i| data[*i] == 0xff && data[i + 1] >= 0x80);
        marker.map_or(&[], |at| &data[at..])
    }

    fn begin(&mut self, c: usize) {
        std::mem::swap(&mut self.above[c], &mut self.current[c]);
        let width = self.above[c].len() - 2;
        self.above[c][width + 1] = self.above[c][width];
        self.current[c][0] = self.above[c][1];
    }

    /// The next line of one component; every `step`th of `out` is one of its samples.
    pub fn line(&mut self, c: usize, out: &mut [u16], step: usize) -> Result<()> {
        self.begin(c);
        let width = self.above[c].len() - 2;
        let mut x = 1;
        while x <= width {
            let (ra, rb, rc, rd) = self.neighbours(c, x);
            let gradients = [rd - rb, rb - rc, rc - ra].map(|d| self.parameters.quantized(d));
            if gradients == [0; 3] {
                let run = self.run(c, width + 1 - x)?;
                self.current[c][x..x + run].fill(ra);
                x += run;
                if x <= width {
                    let rb = self.above[c][x];
                    let kind = usize::from((ra - rb).abs() <= self.parameters.near);
                    self.current[c][x] = self.interruption(c, kind, ra, rb)?;
                    self.run_index[c] = self.run_index[c].saturating_sub(1);
                    x += 1;
                }
            } else {
                self.current[c][x] = self.regular(gradients, ra, rb, rc)?;
                x += 1;
            }
        }
        for (o, v) in out.iter_mut().step_by(step).zip(&self.current[c][1..=width]) {
            *o = *v as u16;
        }
        Ok(())
    }

    /// The next line of all components, pixel by pixel: runs are common to all.
    pub fn pixels(&mut self, out: &mut [u16]) -> Result<()> {
        let count = self.above.len();
        (0..count).for_each(|c| self.begin(c));
        let width = self.above[0].len() - 2;
        let mut x = 1;
        let mut gradients = vec![[0; 3]; count];
        while x <= width {
            for (c, g) in gradients.iter_mut().enumerate() {
                let (ra, rb, rc, rd) = self.neighbours(c, x);
                *g = [rd - rb, rb - rc, rc - ra].map(|d| self.parameters.quantized(d));
            }
            if gradients.iter().all(|g| *g == [0; 3]) {
                let run = self.run(0, width + 1 - x)?;
                for line in &mut self.current {
                    let ra = line[x - 1];
                    line[x..x + run].fill(ra);
                }
                x += run;
                if x > width {
                    break;
                }
                for c in 0..count {
                    let (ra, rb) = (self.current[c][x - 1], self.above[c][x]);
                    self.current[c][x] = self.interruption(0, 0, ra, rb)?;
                }
                self.run_index[0] = self.run_index[0].saturating_sub(1);
            } else {
                for (c, g) in gradients.iter().enumerate() {
                    let (ra, rb, rc, _) = self.neighbours(c, x);
                    self.current[c][x] = self.regular(*g, ra, rb, rc)?;
                }
            }
            x += 1;
        }
        for (x, pixel) in out.chunks_exact_mut(count).enumerate() {
            for (o, line) in pixel.iter_mut().zip(&self.current) {
                *o = line[x + 1] as u16;
            }
        }
        Ok(())
    }

    fn neighbours(&self, c: usize, x: usize) -> (i32, i32, i32, i32) {
        let above = &self.above[c];
        (self.current[c][x - 1], above[x], above[x - 1], above[x + 1])
    }

    /// A sample outside of runs (A.4 to A.6).
    fn regular(&mut self, gradients: [i32; 3], ra: i32, rb: i32, rc: i32) -> Result<i32> {
        let number = 81 * gradients[0] + 9 * gradients[1] + gradients[2];
        let sign = if number < 0 { -1 } else { 1 };
        let parameters = self.parameters;
        let at = (number.unsigned_abs() as usize).min(self.contexts.len() - 1);
        let context = self.contexts[at];
        let edge = if rc >= ra.max(rb) {
            ra.min(rb)
        } else if rc <= ra.min(rb) {
            ra.max(rb)
        } else {
            ra + rb - rc
        };
        let predicted = (edge + sign * context.c).clamp(0, parameters.maxval);
        let k = Context::order(context.n, context.a);
        let mapped = self.golomb(k, parameters.limit)?;
        let half = (mapped >> 1) as i32;
        let negative = mapped & 1 == 1;
        let error = if parameters.near == 0 && k == 0 && 2 * context.b <= -context.n {
            if negative { half } else { -half - 1 }
        } else if negative {
            -half - 1
        } else {
            half
        };
        self.contexts[at].update(error, &parameters);
        Ok(parameters.reconstructed(predicted, sign * error))
    }

    /// How many samples repeat (A.7.1), at most `left`.
    fn run(&mut self, c: usize, left: usize) -> Result<usize> {
        let mut run = 0;
        loop {
            let order = RUN_ORDER[self.run_index[c]];
            if self.bits.get(1)? == 0 {
                run += self.bits.get(order)? as usize;
                return if run < left { Ok(run) } else { Err(Error::malformed("a JPEG-LS run beyond its line")) };
            }
            let whole = 1 << order;
            if left - run >= whole {
                run += whole;
                self.run_index[c] = (self.run_index[c] + 1).min(31);
            } else {
                run = left;
            }
            if run == left {
                return Ok(run);
            }
        }
    }

    /// The sample that ends a run (A.7.2).
    fn interruption(&mut self, c: usize, kind: usize, ra: i32, rb: i32) -> Result<i32> {
        let parameters = self.parameters;
        let context = self.runs[kind];
        let sum = if kind == 1 { context.a + (context.n >> 1) } else { context.a };
        let k = Context::order(context.n, sum);
        let limit = parameters.limit - RUN_ORDER[self.run_index[c]] - 1;
        let mapped = self.golomb(k, limit)? as i32;
        let doubled = mapped + kind as i32;
        let odd = doubled & 1;
        let size = (doubled + odd) / 2;
        let odd_is_negative = k != 0 || 2 * context.b >= context.n;
        let error = if (odd == 1) == odd_is_negative { -size } else { size };
        let context = &mut self.runs[kind];
        context.b += i32::from(error < 0);
        context.a += (mapped + 1 - kind as i32) >> 1;
        if context.n == parameters.reset {
            context.a >>= 1;
            context.b >>= 1;
            context.n >>= 1;
        }
        context.n += 1;
        let (predicted, sign) = match (kind, ra > rb) {
            (1, _) => (ra, 1),
            (_, true) => (rb, -1),
            (_, false) => (rb, 1),
        };
        Ok(parameters.reconstructed(predicted, sign * error))
    }

    /// A number in the code of limited length (A.5.3).
    fn golomb(&mut self, k: u32, limit: u32) -> Result<u32> {
        let escape = limit.saturating_sub(self.parameters.qbpp + 1);
        let zeros = self.bits.zeros(escape)?;
        let value =
            if zeros < escape { zeros << k | self.bits.get(k)? } else { self.bits.get(self.parameters.qbpp)? + 1 };
        // No error is larger than the range of samples; damaged data must not make sums grow.
        if value > 2 * self.parameters.range as u32 + 1 {
            return Err(Error::malformed("damaged JPEG-LS data"));
        }
        Ok(value)
    }
}

/// Bits, most significant first; behind a byte FF comes one of seven bits (A.1).
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    cache: u64,
    count: u32,
    stuffed: bool,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Bits { data, at: 0, cache: 0, count: 0, stuffed: false }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(byte) = self.data.get(self.at).copied() else { return };
            if byte == 0xff && self.data.get(self.at + 1).is_none_or(|next| *next >= 0x80) {
                return;
            }
            let width = if self.stuffed { 7 } else { 8 };
            self.cache |= u64::from(byte) << (64 - width - self.count);
            self.count += width;
            self.stuffed = byte == 0xff;
            self.at += 1;
        }
    }

    fn take(&mut self, count: u32) {
        self.cache = self.cache.checked_shl(count).unwrap_or(0);
        self.count -= count;
    }

    fn get(&mut self, count: u32) -> Result<u32> {
        if self.count < count {
            self.fill();
            if self.count < count {
                return Err(Error::truncated("the JPEG-LS data end too early"));
            }
        }
        if count == 0 {
            return Ok(0);
        }
        let value = self.cache >> (64 - count);
        self.take(count);
        Ok(value as u32)
    }

    /// Zeros before the next one, which is taken too; at most `most`.
    fn zeros(&mut self, most: u32) -> Result<u32> {
        let mut zeros = 0;
        loop {
            self.fill();
            let here = self.cache.leading_zeros().min(self.count);
            zeros += here;
            if zeros > most {
                return Err(Error::malformed("damaged JPEG-LS data"));
            }
            if here < self.count {
                self.take(here + 1);
                return Ok(zeros);
            }
            if here == 0 {
                return Err(Error::truncated("the JPEG-LS data end too early"));
            }
            self.take(here);
        }
    }
}
