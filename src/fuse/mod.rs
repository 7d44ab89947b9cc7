//! The kernel's side: the only part that knows `fuser`. Thin, so that everything else is tested without a kernel.

mod adapter;
mod mount;
mod reply;

pub use mount::serve;
