//! Lines that fall through level after level, each rounded before the next is made from it.

use super::reduce::{Line, LineBuf, reduce};
use crate::model::Dtype;

/// Takes a line of a level: how many reductions below the input, its row, its pixels.
pub(super) type Sink<'a> = &'a mut dyn FnMut(u32, u64, Line<'_>);

struct Stage {
    rows: u64,
    seen: u64,
    /// An even row that waits for the odd one below it.
    upper: LineBuf,
    out: LineBuf,
}

/// Reduces an area of one sample, fed line by line from the top.
pub(super) struct Cascade {
    dtype: Dtype,
    stages: Vec<Stage>,
}

impl Cascade {
    /// For an area of `rows` rows, to be reduced `steps` times.
    pub(super) fn new(dtype: Dtype, rows: u64, steps: u32) -> Self {
        let stage =
            |s: u32| Stage { rows: rows.div_ceil(1 << s), seen: 0, upper: LineBuf::default(), out: LineBuf::default() };
        Cascade { dtype, stages: (0..=steps).map(stage).collect() }
    }

    /// Bytes of lines it holds for an input of `width` pixels: two for each level, of half the width each time.
    pub(super) fn bytes(dtype: Dtype, width: u64) -> u64 {
        4 * width * (dtype.size() as u64 + 1)
    }

    /// The next line; `sink` sees it and all lines of coarser levels that it completes.
    pub(super) fn push(&mut self, line: Line<'_>, sink: Sink<'_>) {
        self.push_at(0, line, sink);
    }

    fn push_at(&mut self, step: usize, line: Line<'_>, sink: Sink<'_>) {
        let row = self.stages[step].seen;
        self.stages[step].seen += 1;
        sink(u32::try_from(step).unwrap_or(u32::MAX), row, line);
        if step + 1 == self.stages.len() {
            return;
        }
        let dtype = self.dtype;
        let stage = &mut self.stages[step];
        if row % 2 == 1 {
            reduce(dtype, stage.upper.line(), Some(line), &mut stage.out);
        } else if row + 1 == stage.rows {
            reduce(dtype, line, None, &mut stage.out);
        } else {
            stage.upper.copy_from(line);
            return;
        }
        let out = std::mem::take(&mut stage.out);
        self.push_at(step + 1, out.line(), sink);
        self.stages[step].out = out;
    }
}
