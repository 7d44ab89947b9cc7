//! Metadata documents beside the pixels.

pub mod crates;
mod deidentify;
mod modality;
pub mod ome;
mod pseudonyms;
pub mod quality;
mod record;
pub mod sidecar;
pub mod tables;
pub mod tiers;

pub use deidentify::{RULES as DEIDENTIFICATION_RULES, Removed, deidentify, scrub};
pub use modality::{Term, fbbi, modality};
pub use pseudonyms::{PSEUDONYM_DIGITS, Pseudonyms, pseudonym_bits};
pub use record::{Mounted, Record, Source, record};
