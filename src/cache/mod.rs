//! Decoded tiles within one byte budget.
