//! Slides whose metadata were changed at random do no harm: they open or they do not, and what opens reads or fails.

mod common;

use std::fs;

#[path = "fuzz/checks.rs"]
mod checks;

/// One small slide of each dialect.
const SLIDES: [&str; 6] = [
    "svs/openslide_small.svs",
    "svs/own_jpeg.svs",
    "scn/own_brightfield_jpeg.scn",
    "qptiff/own_fluo_c4_u8.qptiff",
    "philips/own_philips_lzw.tiff",
    "bif/own_bif_nooverlap_lzw.bif",
];

/// Positions inside of text: a changed number there is still well-formed, and goes deeper than noise does.
fn digits(data: &[u8]) -> Vec<usize> {
    let text = |b: &u8| matches!(b, b' '..=b'~' | b'\n');
    let inside = |at: usize| data.get(at.saturating_sub(8)..at + 8).is_some_and(|w| w.iter().all(text));
    (0..data.len()).filter(|at| data[*at].is_ascii_digit() && inside(*at)).take(4096).collect()
}

#[test]
fn changed_numbers_and_bytes_are_harmless() {
    let Some(corpus) = common::corpus() else { return };
    let check = checks::by_name("image").unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    for slide in SLIDES {
        let good = fs::read(corpus.join(slide)).unwrap();
        let digits = digits(&good);
        assert!(digits.len() > 20, "{slide} has no metadata");
        check(&good);
        for round in 0..60 {
            let mut data = good.clone();
            for _ in 0..1 + random(4) {
                let at = if round % 2 == 0 { digits[random(digits.len())] } else { random(4096.min(good.len())) };
                data[at] = if round % 2 == 0 { b'0' + random(10) as u8 } else { random(256) as u8 };
            }
            println!("{slide}, round {round}");
            check(&data);
        }
    }
}
