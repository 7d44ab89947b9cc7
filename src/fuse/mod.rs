//! The only user of `fuser`.
