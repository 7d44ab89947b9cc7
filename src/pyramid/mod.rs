//! Levels, stored and synthesized; plans; reduction.

mod cascade;
mod image;
mod keep;
mod nearest;
mod plan;
mod reduce;
mod rois;
mod sweep;
#[cfg(test)]
pub(crate) mod synthetic;

pub use image::{ChunkId, OpenImage, Origin, Pyramid, PyramidLevel};
pub use keep::Finished;
pub use nearest::Nearest;
pub use plan::{ChunkFrame, ChunkPlan, Part};
pub use sweep::{Base, Need, Sweep, Target};
