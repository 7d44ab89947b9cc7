//! fuzarr shows microscope files as virtual OME-Zarr directories.
//!
//! Imports point one way (`scripts/check-layers` holds the order):
//! `error, sync <- helper <- model <- io, codec <- format <- pyramid <- cache, exec <- zarr, metadata <- tree <- fs <- fuse
//! <- daemon, validate, catalog, cli`.
#![warn(missing_docs)]

#[cfg(target_endian = "big")]
compile_error!("decoded samples are little-endian in memory: port `codec` before building for a big-endian machine");

pub mod cache;
pub mod catalog;
pub mod cli;
pub mod codec;
pub mod config;
pub mod daemon;
pub mod error;
pub mod exec;
pub mod format;
pub mod fs;
pub mod fuse;
pub mod helper;
pub mod io;
pub mod metadata;
pub mod model;
pub mod pyramid;
pub mod sync;
pub mod tree;
pub mod validate;
pub mod zarr;

pub use error::{Error, Kind, Result};
