//! Levels, stored and synthesized; plans; reduction.

mod image;
mod plan;

pub use image::{ChunkId, OpenImage, Origin, Pyramid, PyramidLevel};
pub use plan::{ChunkFrame, ChunkPlan, Part};
