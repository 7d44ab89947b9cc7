//! The virtual tree: names, node ids, directories.
