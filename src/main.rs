//! The `fuzarr` program: parse, run, exit code.

fn main() {}
