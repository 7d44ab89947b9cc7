//! Replays the kept inputs of every fuzz target (`scripts/fuzz` makes and keeps them).

use std::fs;
use std::path::Path;

#[path = "fuzz/checks.rs"]
mod checks;

#[test]
fn kept_inputs_do_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut replayed = 0;
    for target in fs::read_dir(corpus).unwrap().map(Result::unwrap) {
        let name = target.file_name().into_string().unwrap();
        let check = checks::by_name(&name).unwrap_or_else(|| panic!("no target {name}"));
        for input in fs::read_dir(target.path()).unwrap().map(Result::unwrap) {
            let data = fs::read(input.path()).unwrap();
            println!("{name}/{}", input.file_name().display());
            check(&data);
            replayed += 1;
        }
    }
    assert!(replayed > 20, "{replayed} inputs");
}
