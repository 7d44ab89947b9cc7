//! Which frame holds a plane, and where it is.

use super::chunks::{self, Frames};
use super::experiment::{Kind, Loop};
use crate::error::{Error, Result};
use crate::format::strided::{Planes, Spot};
use crate::io::ReadAt;

/// The numbers of frames: loops, each with the number of frames that one step of it goes on.
#[derive(Debug, Clone)]
pub(super) struct Order(Vec<(Kind, u64, u64)>);

/// More frames than any file has that was not made to do harm.
const MAX_FRAMES: u64 = 1 << 31;

impl Order {
    /// Of these loops, outermost first.
    ///
    /// # Errors
    /// `OverLimit` for more frames than there can be.
    pub fn new(loops: &[Loop]) -> Result<Self> {
        let mut stride = 1_u64;
        let mut order = Vec::new();
        for one in loops.iter().rev() {
            order.push((one.kind, one.count, stride));
            stride = stride
                .checked_mul(one.count)
                .filter(|n| *n <= MAX_FRAMES)
                .ok_or_else(|| Error::over_limit(format!("an experiment of over {MAX_FRAMES} frames")))?;
        }
        Ok(Order(order))
    }

    /// Steps of all loops of a kind together.
    pub fn count(&self, kind: Kind) -> u64 {
        self.0.iter().filter(|l| l.0 == kind).map(|l| l.1).product()
    }

    /// All frames.
    pub fn frames(&self) -> u64 {
        self.0.iter().map(|l| l.1).product()
    }

    /// The step of a kind of loop at a frame.
    pub fn step(&self, kind: Kind, frame: u64) -> u64 {
        // Outermost first.
        self.0
            .iter()
            .rev()
            .filter(|l| l.0 == kind)
            .fold(0, |step, (_, count, stride)| step * count + frame / stride % count)
    }

    /// The frame at these steps; of two loops of one kind, the inner one goes faster.
    pub fn frame(&self, steps: &[(Kind, u64)]) -> u64 {
        let mut left = steps.to_vec();
        let mut frame = 0;
        for (kind, count, stride) in &self.0 {
            if let Some((_, step)) = left.iter_mut().find(|s| s.0 == *kind) {
                frame += *step % count * stride;
                *step /= count;
            }
        }
        frame
    }
}

/// The planes of a chunk-map file.
pub(super) struct FramePlanes {
    pub order: Order,
    /// For each level the frames, what the name of their chunks begins with, bytes before the first sample, and bytes of
    /// samples that must be there (0: that is not known).
    pub levels: Vec<(Frames, &'static [u8], u64, u64)>,
}

impl Planes for FramePlanes {
    fn find(&self, series: usize, level: usize, t: u64, g: u64, z: u64) -> Result<Option<Spot>> {
        let Some((frames, ..)) = self.levels.get(level) else { return Ok(None) };
        let steps = [(Kind::Position, series as u64), (Kind::Time, t), (Kind::Focus, z), (Kind::Other, g)];
        let offset = frames.find(self.order.frame(&steps));
        // What is not in the map was never acquired.
        Ok(offset.map(|offset| Spot { member: 0, offset, length: 0 }))
    }

    fn resolve(&self, spot: Spot, _series: usize, level: usize, file: &dyn ReadAt) -> Result<Spot> {
        let Some((_, name, before, needed)) = self.levels.get(level) else { return Ok(spot) };
        let head = chunks::head(file, spot.offset, name)?;
        let length = head.length.saturating_sub(*before);
        if length < *needed || length == 0 {
            return Err(Error::truncated(format!(
                "the chunk at offset {} holds {length} bytes of samples, {needed} are needed",
                spot.offset
            )));
        }
        Ok(Spot { offset: head.data.saturating_add(*before), length, ..spot })
    }

    fn heap_bytes(&self) -> u64 {
        self.levels.iter().map(|(frames, ..)| frames.heap_bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: Kind, count: u64) -> Loop {
        Loop { kind, count, step: None, stages: Vec::new() }
    }

    #[test]
    fn frames_are_counted_through_the_loops() {
        let order = Order::new(&[one(Kind::Position, 3), one(Kind::Time, 4), one(Kind::Focus, 5)]).unwrap();
        assert_eq!((order.frames(), order.count(Kind::Focus), order.count(Kind::Other)), (60, 5, 1));
        assert_eq!(order.frame(&[(Kind::Position, 2), (Kind::Time, 1), (Kind::Focus, 3)]), 2 * 20 + 5 + 3);
        // Time in two loops around the positions.
        let order = Order::new(&[one(Kind::Time, 2), one(Kind::Position, 3), one(Kind::Time, 4)]).unwrap();
        assert_eq!(order.count(Kind::Time), 8);
        assert_eq!(order.frame(&[(Kind::Position, 1), (Kind::Time, 6)]), 12 + 4 + 2);
        assert_eq!(
            (order.step(Kind::Position, 18), order.step(Kind::Time, 18), order.step(Kind::Focus, 18)),
            (1, 6, 0)
        );
        assert!(Order::new(&[one(Kind::Time, 1 << 20), one(Kind::Focus, 1 << 20)]).is_err());
    }
}
