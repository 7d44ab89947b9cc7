//! File system operations without a kernel.
