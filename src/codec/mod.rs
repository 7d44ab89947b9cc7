//! Decoders: bytes in, samples out; no I/O.
