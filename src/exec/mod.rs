//! Source lanes, workers, deadlines.
