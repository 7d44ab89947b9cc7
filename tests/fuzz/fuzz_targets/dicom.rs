#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code)]
mod checks;
#[path = "../panics.rs"]
mod panics;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    panics::forgive_jpegxr();
    checks::by_name("dicom").expect("a target of this name")(data);
});
