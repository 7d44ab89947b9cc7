//! What several test programs need.

use std::path::{Path, PathBuf};

/// The sample set, if it is there; says so if not.
pub fn corpus() -> Option<PathBuf> {
    // Some codecs run in helpers, which this test program is none of.
    fuzarr::helper::use_program(env!("CARGO_BIN_EXE_fuzarr"));
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let corpus = std::env::var_os("FUZARR_CORPUS").map_or(beside, PathBuf::from);
    let found = corpus.join("manifest.json").is_file();
    if !found {
        eprintln!("SKIPPED: no sample set at {} (set FUZARR_CORPUS)", corpus.display());
    }
    found.then_some(corpus)
}
