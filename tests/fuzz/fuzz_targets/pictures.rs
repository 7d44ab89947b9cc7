#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code)]
mod checks;

use std::sync::Once;

static HOOK: Once = Once::new();

/// The JPEG XR decoder panics on damaged data, which the codec catches; every other panic is a finding.
fn forgive_jpegxr() {
    let findings = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|l| l.file().contains("jpegxr")) {
            findings(panic);
        }
    }));
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    HOOK.call_once(forgive_jpegxr);
    checks::pictures(data);
});
