//! Decoded tiles, the flights that make them, and the one byte budget that they share with everything else.

mod budget;
pub mod disk;
mod flight;
mod tiles;

#[cfg(test)]
mod tests;

pub use budget::{Budget, Lease, Share};
pub use flight::{Flights, Joined, Lead, Waiter};
pub use tiles::{CacheStats, Key, Tile, TileCache};
