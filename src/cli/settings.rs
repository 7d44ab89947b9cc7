//! From raw arguments to a validated configuration: flags over variables over the file over defaults.
//!
//! The file is parsed by the same clap table as the flags: each key becomes the option of that name. So a setting has one
//! name, one parser and one range, wherever it is written.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, FromArgMatches};

use super::args::{DoorArgs, SettingArgs};
use super::values::SHARD_CHUNKS_MAX;
use super::{Failure, report};
use crate::config::{
    Damaged, Deidentify, DiskOptions, EngineOptions, Layout, LogFormat, LogLevel, LogOptions, MountOptions, Ngff,
    Palette, Secret, TreeOptions, ViewOptions,
};
use crate::format::bioformats;

/// Bytes that a disk cache may take, unless it is said.
const DISK_CACHE_SIZE: u64 = 20 << 30;
/// Largest configuration file that is read.
const FILE_MAX: u64 = 1 << 20;

/// The clap table of the settings alone: what a configuration file may hold.
pub fn table() -> clap::Command {
    SettingArgs::augment_args(clap::Command::new("fuzarr.toml").disable_help_flag(true).no_binary_name(true))
}

/// Keys of the configuration file, sorted: every setting but the file itself.
pub fn keys() -> Vec<String> {
    let table = table();
    let mut keys: Vec<String> =
        table.get_arguments().filter_map(|a| a.get_long()).filter(|k| *k != "config").map(str::to_owned).collect();
    keys.sort();
    keys
}

/// Adds what the configuration file says, where flags and variables say nothing.
///
/// # Errors
/// A file that cannot be read or parsed, an unknown key, a bad value; the file and the key are named.
pub fn with_file(flags: &SettingArgs) -> Result<SettingArgs, Failure> {
    let Some(path) = &flags.config else { return Ok(flags.clone()) };
    let file = parse_file(path, &read(path)?)?;
    Ok(merge(flags.clone(), file))
}

fn read(path: &Path) -> Result<String, Failure> {
    let fail = |e: std::io::Error| Failure::usage(format!("{}: configuration file: {e}", path.display()));
    let length = std::fs::metadata(path).map_err(fail)?.len();
    if length > FILE_MAX {
        return Err(Failure::usage(format!("{}: configuration file: larger than 1 MiB", path.display())));
    }
    std::fs::read_to_string(path).map_err(fail)
}

/// Turns TOML into settings.
fn parse_file(path: &Path, text: &str) -> Result<SettingArgs, Failure> {
    let fail = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    let document: toml::Table = toml::from_str(text).map_err(|e| {
        let line = e.span().map(|s| text.bytes().take(s.start).filter(|b| *b == b'\n').count() + 1);
        fail(match line {
            Some(line) => format!("line {line}: {}", e.message()),
            None => e.message().to_owned(),
        })
    })?;
    let known: BTreeSet<String> = keys().into_iter().collect();
    let mut words = Vec::new();
    for (key, value) in &document {
        if !known.contains(key) {
            let all = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(fail(format!("unknown key '{key}'; known are {all}")));
        }
        let items = match value {
            toml::Value::Array(items) if matches!(key.as_str(), "ngff" | "chunk" | "shard") => {
                vec![items.iter().map(|v| scalar(key, v)).collect::<Result<Vec<_>, _>>().map_err(&fail)?.join(",")]
            }
            toml::Value::Array(items) if matches!(key.as_str(), "include" | "exclude") => {
                items.iter().map(|v| scalar(key, v)).collect::<Result<Vec<_>, _>>().map_err(&fail)?
            }
            value => vec![scalar(key, value).map_err(&fail)?],
        };
        words.extend(items.into_iter().map(|item| format!("--{key}={item}")));
    }
    // Variables are seen by this table too, which does no harm: they have won already where they are set.
    let parsed = table().try_get_matches_from(words).and_then(|m| SettingArgs::from_arg_matches(&m));
    let mut settings = parsed.map_err(|e| fail(report::parse_message(&e)))?;
    // A relative path in a file means: beside that file, wherever the program is started.
    for (key, named) in [
        ("bioformats", &mut settings.door.bioformats),
        ("deidentify-key", &mut settings.tree.deidentify_key),
        ("disk-cache", &mut settings.engine.disk_cache),
        ("java-home", &mut settings.door.java_home),
        ("log-file", &mut settings.log.log_file),
    ] {
        if let (Some(named), Some(folder), true) = (named, path.parent(), document.contains_key(key)) {
            *named = folder.join(&*named);
        }
    }
    Ok(settings)
}

/// One value as it would be typed.
fn scalar(key: &str, value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(n) => Ok(n.to_string()),
        toml::Value::Float(n) => Ok(n.to_string()),
        toml::Value::Boolean(b) => Ok(b.to_string()),
        other => Err(format!("key '{key}': a {} is not a value of this option", other.type_str())),
    }
}

/// `first` where it says something, else `second`.
fn merge(first: SettingArgs, second: SettingArgs) -> SettingArgs {
    let SettingArgs { config, view, tree, engine, door, log } = first;
    SettingArgs {
        config,
        view: super::args::ViewArgs {
            ngff: view.ngff.or(second.view.ngff),
            layout: view.layout.or(second.view.layout),
            chunk: view.chunk.or(second.view.chunk),
            shard: view.shard.or(second.view.shard),
            squeeze: view.squeeze.or(second.view.squeeze),
            palette: view.palette.or(second.view.palette),
            damaged: view.damaged.or(second.view.damaged),
        },
        tree: super::args::TreeArgs {
            show_sources: tree.show_sources.or(second.tree.show_sources),
            include: tree.include.or(second.tree.include),
            exclude: tree.exclude.or(second.tree.exclude),
            deidentify: tree.deidentify.or(second.tree.deidentify),
            deidentify_key: tree.deidentify_key.or(second.tree.deidentify_key),
            allow_other: tree.allow_other.or(second.tree.allow_other),
        },
        engine: super::args::EngineArgs {
            cache_size: engine.cache_size.or(second.engine.cache_size),
            threads: engine.threads.or(second.engine.threads),
            deadline: engine.deadline.or(second.engine.deadline),
            disk_cache: engine.disk_cache.or(second.engine.disk_cache),
            disk_cache_size: engine.disk_cache_size.or(second.engine.disk_cache_size),
        },
        door: super::args::DoorArgs {
            bioformats: door.bioformats.or(second.door.bioformats),
            bioformats_helpers: door.bioformats_helpers.or(second.door.bioformats_helpers),
            bioformats_memory: door.bioformats_memory.or(second.door.bioformats_memory),
            java_home: door.java_home.or(second.door.java_home),
        },
        log: super::args::LogArgs {
            log_level: log.log_level.or(second.log.log_level),
            log_format: log.log_format.or(second.log.log_format),
            log_file: log.log_file.or(second.log.log_file),
        },
    }
}

/// Puts defaults where nothing was said. `source` and `mountpoint` are absolute already.
///
/// # Errors
/// A combination that makes no sense.
pub fn resolve(
    settings: SettingArgs,
    source: PathBuf,
    mountpoint: PathBuf,
) -> Result<(MountOptions, LogOptions), Failure> {
    let SettingArgs { view, tree, engine, log, .. } = settings;
    let ngff = view.ngff.unwrap_or_else(|| vec![Ngff::V05]);
    if ngff.is_empty() || (1..ngff.len()).any(|i| ngff[..i].contains(&ngff[i])) {
        return Err(Failure::usage("--ngff: name each version once, such as 0.5,0.4"));
    }
    check_shard(&ngff, view.chunk, view.shard)?;
    let (deidentify, deidentify_key) = deidentify(&tree)?;
    let default = EngineOptions::default();
    if engine.disk_cache.is_none() && engine.disk_cache_size.is_some() {
        return Err(Failure::usage("--disk-cache-size: name a folder: --disk-cache"));
    }
    let disk =
        engine.disk_cache.map(|folder| DiskOptions { folder, size: engine.disk_cache_size.unwrap_or(DISK_CACHE_SIZE) });
    let options = MountOptions {
        source,
        mountpoint,
        allow_other: tree.allow_other.unwrap_or(false),
        view: ViewOptions {
            ngff,
            layout: view.layout.unwrap_or(Layout::Auto),
            chunk: view.chunk,
            shard: view.shard,
            squeeze: view.squeeze.unwrap_or(false),
            palette: view.palette.unwrap_or(Palette::Index),
            damaged: view.damaged.unwrap_or(Damaged::Error),
            deidentify,
            deidentify_key,
        },
        tree: TreeOptions {
            show_sources: tree.show_sources.unwrap_or(false),
            include: tree.include.unwrap_or_default(),
            exclude: tree.exclude.unwrap_or_default(),
        },
        engine: EngineOptions {
            cache_size: engine.cache_size.unwrap_or(default.cache_size),
            threads: engine.threads.unwrap_or(default.threads),
            deadline: engine.deadline.unwrap_or(default.deadline),
            disk,
        },
    };
    let log = LogOptions {
        level: log.log_level.unwrap_or(LogLevel::Info),
        format: log.log_format.unwrap_or(LogFormat::Text),
        file: log.log_file,
        discreet: deidentify != Deidentify::Off,
    };
    Ok((options, log))
}

/// The door to Bio-Formats, if it is to be opened.
///
/// # Errors
/// A path that cannot be made absolute.
pub fn door(door: &DoorArgs, deadline: Option<Duration>) -> Result<Option<bioformats::Options>, Failure> {
    let Some(jar) = &door.bioformats else { return Ok(None) };
    // The daemon changes its working directory.
    let absolute = |p: &Path| std::path::absolute(p).map_err(|e| Failure::new(format!("{}: {e}", p.display())));
    Ok(Some(bioformats::Options {
        jar: absolute(jar)?,
        java_home: door.java_home.as_deref().map(absolute).transpose()?,
        helpers: door.bioformats_helpers.unwrap_or(bioformats::Options::HELPERS),
        memory: door.bioformats_memory.unwrap_or(bioformats::Options::MEMORY),
        deadline: deadline.unwrap_or(EngineOptions::default().deadline),
    }))
}

/// Opens the door for a command that reads files beneath `root` itself.
///
/// # Errors
/// Whatever keeps it shut.
pub fn open_door(args: &DoorArgs, root: &Path) -> Result<(), Failure> {
    match door(args, None)? {
        Some(options) => bioformats::install(&options, root).map_err(|e| Failure::new(e.what())),
        None => Ok(()),
    }
}

/// Fewer bytes could be tried out.
const KEY_MIN: u64 = 16;
/// Whatever is longer is no key.
const KEY_MAX: u64 = 64 << 10;

/// The level with the key that it needs.
fn deidentify(tree: &super::args::TreeArgs) -> Result<(Deidentify, Option<Secret>), Failure> {
    let level = tree.deidentify.unwrap_or_default();
    if level == Deidentify::Off {
        return Ok((level, None));
    }
    if tree.show_sources == Some(true) {
        return Err(Failure::usage("--show-sources: sources are not shown under --deidentify"));
    }
    let Some(path) = tree.deidentify_key.as_deref().filter(|_| level == Deidentify::Strict) else {
        return match level {
            Deidentify::Strict => {
                Err(Failure::usage("--deidentify strict: name a file with a secret: --deidentify-key"))
            }
            _ => Ok((level, None)),
        };
    };
    let fail = |what: String| Failure::usage(format!("{}: --deidentify-key: {what}", path.display()));
    let (length, mode) = std::fs::metadata(path).map(|m| (m.len(), m.mode())).map_err(|e| fail(e.to_string()))?;
    if mode & 0o007 != 0 {
        return Err(fail("everybody may use it, so that it hides nothing; take away the rights of others".to_owned()));
    }
    if !(KEY_MIN..=KEY_MAX).contains(&length) {
        return Err(fail(format!("{length} bytes; a key has from {KEY_MIN} to {KEY_MAX}")));
    }
    Ok((level, Some(Secret::new(std::fs::read(path).map_err(|e| fail(e.to_string()))?))))
}

/// Shards need a version that has them and, where chunks are given too, whole ones in a number that an index can hold.
fn check_shard(ngff: &[Ngff], chunk: Option<(u64, u64)>, shard: Option<(u64, u64)>) -> Result<(), Failure> {
    let Some(shard) = shard else { return Ok(()) };
    if ngff.iter().all(|v| *v == Ngff::V04) {
        return Err(Failure::usage("--shard: version 0.4 has no shards; show 0.5 or 0.6 too"));
    }
    let Some(chunk) = chunk else { return Ok(()) };
    if shard.0 % chunk.0 != 0 || shard.1 % chunk.1 != 0 {
        let what = format!("{},{} is no multiple of --chunk {},{}", shard.0, shard.1, chunk.0, chunk.1);
        return Err(Failure::usage(format!("--shard: {what}")));
    }
    let chunks = (shard.0 / chunk.0) * (shard.1 / chunk.1);
    if chunks > SHARD_CHUNKS_MAX {
        return Err(Failure::usage(format!("--shard: {chunks} chunks are more than {SHARD_CHUNKS_MAX} in a shard")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn file(text: &str) -> Result<SettingArgs, Failure> {
        parse_file(Path::new("/etc/f.toml"), text)
    }

    fn flags(words: &[&str]) -> SettingArgs {
        SettingArgs::from_arg_matches(&table().try_get_matches_from(words).unwrap()).unwrap()
    }

    #[test]
    fn file_values_in_toml_types_or_as_typed() {
        let s = file(
            "ngff = [0.5, \"0.4\"]\nchunk = [256, 128]\ncache-size = \"64MiB\"\nthreads = 3\nsqueeze = true\n\
             deadline = 5\ndisk-cache = \"d\"\ninclude = [\"a/*\", \"b\"]\nexclude = \"c\"\nlog-file = \"x.log\"\n",
        )
        .unwrap();
        let (options, log) = resolve(s, "/s".into(), "/m".into()).unwrap();
        assert_eq!(options.view.ngff, [Ngff::V05, Ngff::V04]);
        assert_eq!(options.view.chunk, Some((256, 128)));
        assert_eq!(options.engine.cache_size, 64 << 20);
        assert_eq!(options.engine.threads, 3);
        assert_eq!(options.engine.deadline, Duration::from_secs(5));
        assert_eq!(options.engine.disk, Some(DiskOptions { folder: "/etc/d".into(), size: DISK_CACHE_SIZE }));
        assert!(options.view.squeeze);
        assert_eq!(options.tree.include, ["a/*", "b"]);
        assert_eq!(options.tree.exclude, ["c"]);
        assert_eq!(log.file.as_deref(), Some(Path::new("/etc/x.log")));
    }

    #[test]
    fn mistakes_name_file_and_key() {
        for (text, word) in [
            ("cash-size = 1", "'cash-size'"),
            ("config = \"x\"", "'config'"),
            ("foreground = true", "'foreground'"),
            ("threads = 0", "threads"),
            ("threads = { a = 1 }", "'threads'"),
            ("threads = [1]", "'threads'"),
            ("layout = \"round\"", "layout"),
            ("threads = 1\nthreads = 2", "line 2"),
            ("[mount]\nthreads = 1", "'mount'"),
            ("squeeze = \"perhaps\"", "squeeze"),
        ] {
            let failure = file(text).unwrap_err();
            assert_eq!(failure.exit, super::super::Exit::Usage);
            assert!(failure.message.starts_with("/etc/f.toml: "), "{}", failure.message);
            assert!(failure.message.contains(word), "{text}: {}", failure.message);
        }
    }

    #[test]
    fn flags_win_over_the_file_and_can_undo_it() {
        let from_file = file("threads = 3\nsqueeze = true\nshow-sources = true\ninclude = [\"a\", \"b\"]").unwrap();
        let merged = merge(flags(&["--threads", "2", "--squeeze=false", "--include", "c"]), from_file);
        let (options, _) = resolve(merged, "/s".into(), "/m".into()).unwrap();
        assert_eq!(options.engine.threads, 2);
        assert!(!options.view.squeeze);
        assert!(options.tree.show_sources);
        assert_eq!(options.tree.include, ["c"]);
    }

    #[test]
    fn strict_needs_a_key_that_others_cannot_read() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        let options = |words: &[&str]| resolve(flags(words), "/s".into(), "/m".into()).map(|(o, _)| o.view);
        let message = |words: &[&str]| options(words).unwrap_err().message;
        let strict = ["--deidentify", "strict", "--deidentify-key", key.to_str().unwrap()];
        assert!(message(&strict[..2]).contains("--deidentify-key"));
        assert!(message(&strict).contains("No such file"));
        std::fs::write(&key, [7; 15]).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(message(&strict).contains("15 bytes"));
        std::fs::write(&key, [7; 16]).unwrap();
        let view = options(&strict).unwrap();
        assert_eq!((view.deidentify, view.deidentify_key), (Deidentify::Strict, Some(Secret::new([7; 16]))));
        assert!(!format!("{:?}", options(&strict).unwrap()).contains("7, 7"));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o604)).unwrap();
        assert!(message(&strict).contains("everybody"));
        assert_eq!(options(&["--deidentify", "standard"]).unwrap().deidentify, Deidentify::Standard);
        assert!(message(&["--deidentify", "standard", "--show-sources"]).contains("--show-sources"));
        let from_file = file("deidentify = \"strict\"\ndeidentify-key = \"k\"").unwrap();
        assert_eq!(from_file.tree.deidentify_key.as_deref(), Some(Path::new("/etc/k")));
    }

    #[test]
    fn shards_are_whole_chunks_of_a_version_that_has_them() {
        let view = |words: &[&str]| resolve(flags(words), "/s".into(), "/m".into()).map(|(o, _)| o.view);
        let both = view(&["--ngff", "0.5,0.4", "--shard", "1000,2048"]).unwrap();
        assert_eq!(both.shard, Some((1000, 2048)));
        assert_eq!(view(&["--chunk", "256,128", "--shard", "512,128"]).unwrap().shard, Some((512, 128)));
        for (words, part) in [
            (&["--ngff", "0.4", "--shard", "512,512"][..], "no shards"),
            (&["--chunk", "300,128", "--shard", "512,512"], "no multiple"),
            (&["--chunk", "1,1", "--shard", "2048,2048"], "4194304 chunks"),
        ] {
            let failure = view(words).unwrap_err();
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }

    #[test]
    fn defaults_and_repeats() {
        let (options, log) = resolve(flags(&[]), "/s".into(), "/m".into()).unwrap();
        assert_eq!(options.view, ViewOptions::default());
        assert_eq!(options.engine.cache_size, 512 << 20);
        assert_eq!(log.level, LogLevel::Info);
        assert!(options.engine.disk.is_none());
        assert!(resolve(flags(&["--disk-cache-size", "1GiB"]), "/s".into(), "/m".into()).is_err());
        assert!(resolve(flags(&["--ngff", "0.5,0.5"]), "/s".into(), "/m".into()).is_err());
    }
}
