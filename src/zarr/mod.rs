//! Zarr and NGFF documents, chunk layout.
