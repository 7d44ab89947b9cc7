//! Background process, signals, log.
