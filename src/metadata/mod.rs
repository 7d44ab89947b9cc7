//! Generated metadata documents.
