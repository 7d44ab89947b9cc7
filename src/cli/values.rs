//! Values of options as people write them: sizes, durations, chunk shapes, globs.

use std::time::Duration;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::catalog::Form;
use crate::config::{Damaged, Deidentify, Layout, LogFormat, LogLevel, Ngff, Palette};

/// Smallest budget that leaves room for work beside the documents of a few open images.
pub const CACHE_SIZE_MIN: u64 = 16 << 20;
/// Largest: 1 PiB, far above any machine, so that sums of sizes cannot overflow.
pub const CACHE_SIZE_MAX: u64 = 1 << 50;
/// Longest side of a chunk.
pub const CHUNK_SIDE_MAX: u64 = 65_536;
/// Most pixels of a chunk (8192 x 8192).
pub const CHUNK_PIXELS_MAX: u64 = 1 << 26;
/// Longest side of a shard.
pub const SHARD_SIDE_MAX: u64 = 1 << 18;
/// Most chunks in a shard: its index has 16 bytes for each, and readers fetch it whole.
pub const SHARD_CHUNKS_MAX: u64 = 1 << 20;
/// Most decoding threads.
pub const THREADS_MAX: usize = 1024;

/// "512MiB", "2GB", "1.5 GiB", "64M", "1048576": binary units with an i or alone, decimal ones with B alone.
fn size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err("write a number with a unit KiB, MiB, GiB, KB, MB or GB, such as 512MiB".into()),
    };
    let not_a_number = || "write a number with a unit, such as 512MiB".to_owned();
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(|| "too large".to_owned());
    }
    let value = number.parse::<f64>().map_err(|_| not_a_number())? * factor as f64;
    if !value.is_finite() || value < 0.0 || value > CACHE_SIZE_MAX as f64 {
        return Err("too large".into());
    }
    Ok(value as u64)
}

/// `--cache-size`.
pub fn cache_size(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes < CACHE_SIZE_MIN {
        return Err("at least 16MiB are needed".into());
    }
    if bytes > CACHE_SIZE_MAX {
        return Err("at most 1024TiB".into());
    }
    Ok(bytes)
}

/// "30s", "500ms", "2m", "1h"; a number alone counts seconds. Between 100 ms and a day.
pub fn duration(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let factor = match unit.trim() {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("the unit is not one of ms, s, m, h".into()),
    };
    let number: f64 = number.parse().map_err(|_| "write a number with a unit, such as 30s".to_owned())?;
    let seconds = number * factor;
    if !(0.1..=86_400.0).contains(&seconds) {
        return Err("it must lie between 100ms and 24h".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// "512,512": rows, columns, each from 1 to `most`.
fn sides(text: &str, most: u64) -> Result<(u64, u64), String> {
    let (y, x) = text.split_once(',').ok_or("write rows and columns, such as 512,512")?;
    let side = |s: &str| {
        let side: u64 = s.trim().parse().map_err(|_| format!("'{}' is not a number", s.trim()))?;
        if !(1..=most).contains(&side) {
            return Err(format!("{side} is not between 1 and {most}"));
        }
        Ok(side)
    };
    Ok((side(y)?, side(x)?))
}

/// `--chunk`.
pub fn chunk(text: &str) -> Result<(u64, u64), String> {
    let (y, x) = sides(text, CHUNK_SIDE_MAX)?;
    if y * x > CHUNK_PIXELS_MAX {
        return Err(format!("{y} x {x} pixels are more than {CHUNK_PIXELS_MAX} in a chunk"));
    }
    Ok((y, x))
}

/// `--shard`.
pub fn shard(text: &str) -> Result<(u64, u64), String> {
    sides(text, SHARD_SIDE_MAX)
}

/// `--threads`.
pub fn threads(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(n) if (1..=THREADS_MAX).contains(&n) => Ok(n),
        _ => Err(format!("write a number from 1 to {THREADS_MAX}")),
    }
}

/// `--bioformats-helpers`.
pub fn helpers(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(n) if (1..=64).contains(&n) => Ok(n),
        _ => Err("write a number from 1 to 64".into()),
    }
}

/// A glob that `globset` understands.
pub fn glob(text: &str) -> Result<String, String> {
    globset::Glob::new(text).map_err(|e| e.kind().to_string())?;
    Ok(text.to_owned())
}

/// A switch with a value, so that a flag can undo what a file or a variable says.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("write true or false".into()),
    }
}

macro_rules! value_enum {
    ($type:ty { $($variant:path => $name:literal, $help:literal;)+ }) => {
        impl ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                &[$($variant),+]
            }
            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(match self {
                    $($variant => PossibleValue::new($name).help($help),)+
                })
            }
        }
    };
}

value_enum!(Ngff {
    Ngff::V06 => "0.6", "OME-Zarr 0.6 on Zarr v3";
    Ngff::V05 => "0.5", "OME-Zarr 0.5 on Zarr v3";
    Ngff::V04 => "0.4", "OME-Zarr 0.4 on Zarr v2";
});
value_enum!(Layout {
    Layout::Auto => "auto", "one image at the root of its directory, several as a collection";
    Layout::Bf2raw => "bf2raw", "always a bioformats2raw.layout collection";
});
value_enum!(Damaged {
    Damaged::Error => "error", "a synthesized level over a damaged tile cannot be read there";
    Damaged::Fill => "fill", "it is made from what is intact, and the image is marked";
});
value_enum!(Palette {
    Palette::Index => "index", "the stored indices";
    Palette::Rgb => "rgb", "three channels of colour";
});
value_enum!(Deidentify {
    Deidentify::Off => "off", "everything is shown";
    Deidentify::Standard => "standard", "people and institutions, vendor documents and labels of slides are left out";
    Deidentify::Strict => "strict", "and free text, serial numbers, days and months, names of images and directories";
});
value_enum!(Form {
    Form::Csv => "csv", "comma-separated values with a heading";
    Form::JsonLines => "jsonl", "one JSON object a line";
    Form::Parquet => "parquet", "Apache Parquet";
});
value_enum!(LogLevel {
    LogLevel::Error => "error", "what failed";
    LogLevel::Warn => "warn", "and what was tolerated";
    LogLevel::Info => "info", "and start, end, images that cannot be shown";
    LogLevel::Debug => "debug", "and decisions";
    LogLevel::Trace => "trace", "and every request";
});
value_enum!(LogFormat {
    LogFormat::Text => "text", "time, level, message";
    LogFormat::Json => "json", "one JSON object a line";
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("512MiB", 512 << 20),
            ("512mib", 512 << 20),
            ("64M", 64 << 20),
            ("1.5 GiB", 3 << 29),
            ("2GB", 2_000_000_000),
            ("1tib", 1 << 40),
            ("104857600", 104_857_600),
        ] {
            assert_eq!(cache_size(text), Ok(bytes), "{text}");
        }
        for bad in
            ["", "MiB", "12XB", "-5MiB", "1MiB", "99999999999999999999", "1e400", "1.2.3GiB", "2000TiB", "nanGiB"]
        {
            assert!(cache_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in
            [("30s", 30_000), ("30", 30_000), ("500ms", 500), ("2m", 120_000), ("0.5h", 1_800_000), ("1.5s", 1_500)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "s", "0", "50ms", "25h", "-1s", "3 parsecs", "inf"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn chunks() {
        assert_eq!(chunk("512,256"), Ok((512, 256)));
        assert_eq!(chunk(" 1 , 65536 "), Ok((1, 65536)));
        for bad in ["", "512", "512,", "0,512", "512,65537", "65536,65536", "a,b", "1,2,3", "-1,5"] {
            assert!(chunk(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shards() {
        assert_eq!(shard("4096,262144"), Ok((4096, 262_144)));
        for bad in ["", "4096", "0,512", "262145,1", "a,b"] {
            assert!(shard(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn switches_threads_globs() {
        assert_eq!(switch("Yes"), Ok(true));
        assert_eq!(switch("0"), Ok(false));
        assert!(switch("perhaps").is_err());
        assert_eq!(threads("8"), Ok(8));
        assert!(threads("0").is_err() && threads("1025").is_err() && threads("-1").is_err());
        assert!(glob("plate*/{a,b}.tif").is_ok());
        assert!(glob("plate[").is_err());
    }
}
