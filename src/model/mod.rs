//! What an image is, whatever file it came from. No I/O, no Zarr, no vendor.

mod channel;
mod dtype;
pub mod plate;
mod record;
mod roi;
mod series;
mod units;

pub use channel::{Channel, Rgb};
pub use dtype::Dtype;
pub use record::{Element, Origin, Value};
pub use roi::{Affine, Figure, Mask, Rgba, Roi, Rois, Shape as RoiShape};
pub use series::{Colormap, Level, Objective, Reduction, Role, Series, Shape, TileId, TileSize};
pub use units::{Physical, Quantity, Unit};
