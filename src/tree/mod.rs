//! The tree that the mount shows: names, listings, rights, node ids. No threads and no kernel here; whatever touches the
//! source blocks, so callers run it on a source lane.

mod filter;
mod ids;
mod layout;
mod links;
mod listing;
mod names;
mod rights;
mod source;
mod store;
mod veil;

pub use filter::Filter;
pub use ids::{Identity, ROOT, Table};
pub use layout::{ArrayNodes, GROUP_NODES, Group, IMAGE_NODES, Place, Shown, Virtual};
pub use links::{Link, resolve};
pub use listing::{Cursor, Entry, EntryKind, FRESH_MS, Found, Listing};
pub use names::{Names, escaped};
pub use rights::{Acl, Rights};
pub use source::{Facts, Source};
pub use store::Store;
pub use veil::Veil;
