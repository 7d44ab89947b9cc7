//! Levels, stored and synthesized; plans; reduction.

mod image;

pub use image::{ChunkId, OpenImage, Origin, Pyramid, PyramidLevel};
