//! Helper processes: work that must not be done in the process that serves a mount, because it may crash, hang or take all memory.
//!
//! A helper is this program, started again with `helper` as its subcommand. It has one socket and nothing else that is open
//! (never the FUSE device), is kept from gaining rights, may read only what it is there for where the kernel has Landlock, and
//! ends with whoever started it. A [`Pool`] starts helpers when they are needed, gives each one request at a time, and ends one
//! that does not answer in time or answers nonsense; the request it had fails, the next one gets a new helper.

mod confine;
mod pool;
mod process;
mod serve;
mod wire;

pub use confine::{Confinement, confine};
pub use pool::{Patience, Pool, Spec};
pub use process::{Scratch, tidy, use_program};
pub use serve::{Refusal, serve};
