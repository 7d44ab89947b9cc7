//! The serving process: background, control socket, signals, log.

mod background;
mod check;
mod control;
mod limits;
mod log;
mod mounts;
mod notify;
mod runtime;
mod serve;
mod signals;

pub use check::{absolute_mountpoint, checked_disk_cache, checked_places};
pub use control::{ask, reachable};
pub use limits::close_inherited;
pub use mounts::{Pulse, Unmount, is_ours, mounts_of_user, pulse, unmount, unmount_patiently};
pub use runtime::{Endpoint, endpoints, endpoints_of};
pub use serve::{Ended, start};
