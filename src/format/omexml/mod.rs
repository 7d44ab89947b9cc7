//! OME-XML as a source of structure: tolerant parsing of every namespace since 2007.
