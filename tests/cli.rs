//! The command line from outside: exit codes, messages, help, man pages, precedence.

use std::path::Path;
use std::process::{Command, Output};

/// The program, without any variable of ours in its environment.
fn fuzarr(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fuzarr"));
    command.args(words).stdin(std::process::Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FUZARR_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(words: &[&str]) -> Output {
    fuzarr(words).output().expect("the program starts")
}

/// Exit code and standard error, which must be one line.
fn refused(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8(output.stderr.clone()).expect("messages are UTF-8");
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    assert!(text.starts_with("fuzarr: "), "{text}");
    assert!(output.stdout.is_empty());
    (output.status.code(), text)
}

#[test]
fn help_lists_the_commands_but_not_the_hidden_one() {
    for words in [&["--help"][..], &["help"], &["-h"]] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        for command in [
            "mount",
            "unmount",
            "status",
            "inspect",
            "warm",
            "catalog",
            "metadata",
            "sidecar",
            "validate",
            "completions",
        ] {
            assert!(text.contains(&format!("  {command}")), "{command}: {text}");
        }
        assert!(!text.contains("  man "), "{text}");
        assert!(text.contains("Exit codes:"), "{text}");
    }
    let version = run(&["--version"]);
    assert_eq!(String::from_utf8(version.stdout).unwrap(), format!("fuzarr {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_setting_has_a_variable_of_its_name() {
    let text = String::from_utf8(run(&["mount", "--help"]).stdout).unwrap();
    for option in [
        "ngff",
        "layout",
        "cache-size",
        "threads",
        "allow-other",
        "chunk",
        "squeeze",
        "show-sources",
        "deidentify",
        "deidentify-key",
        "include",
        "exclude",
        "damaged",
        "palette",
        "deadline",
        "disk-cache",
        "disk-cache-size",
        "log-level",
        "log-format",
        "log-file",
        "config",
    ] {
        assert!(text.contains(&format!("--{option}")), "{option}");
        assert!(text.contains(&format!("FUZARR_{}", option.to_uppercase().replace('-', "_"))), "{option}");
    }
}

#[test]
fn mistakes_in_the_call_are_usage_errors_in_one_line() {
    for (words, part) in [
        (&["mont"][..], "did you mean mount?"),
        (&["mount", "only-source"], "<MOUNTPOINT>"),
        (&["mount", "--no-such", "s", "m"], "--no-such"),
        (&["mount", "--cache-size", "1MiB", "s", "m"], "16MiB"),
        (&["mount", "--cache-size", "plenty", "s", "m"], "MiB"),
        (&["mount", "--threads", "0", "s", "m"], "1 to 1024"),
        (&["mount", "--chunk", "512", "s", "m"], "512,512"),
        (&["mount", "--chunk", "0,512", "s", "m"], "between 1 and 65536"),
        (&["mount", "--chunk", "65536,65536", "s", "m"], "65536 x 65536"),
        (&["mount", "--deadline", "5 weeks", "s", "m"], "ms, s, m, h"),
        (&["mount", "--ngff", "0.3", "s", "m"], "0.5, 0.4"),
        (&["mount", "--layout", "heap", "s", "m"], "auto, bf2raw"),
        (&["mount", "--include", "a[", "s", "m"], "--include"),
        (&["mount", "-o", "cache_sise=1GiB", "s", "m"], "--cache-sise"),
        (&["unmount", "--lazy", "--wait", "3s", "m"], "--lazy"),
        (&["completions", "klingon"], "bash"),
    ] {
        let (code, text) = refused(&run(words));
        assert_eq!(code, Some(2), "{words:?}: {text}");
        assert!(text.contains(part), "{words:?}: {text}");
    }
}

/// A mount that is refused after all settings are read: its mountpoint does not exist.
fn mount_with(folder: &Path, toml: &str, words: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let config = folder.join("f.toml");
    std::fs::write(&config, toml).unwrap();
    let mut command = fuzarr(&["mount", "--config"]);
    command.arg(&config).args(words).arg(folder).arg("/nonexistent/mountpoint");
    command.envs(variables.iter().copied());
    refused(&command.output().unwrap())
}

#[test]
fn the_configuration_file_is_checked_key_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = mount_with(folder.path(), "cache-sise = \"1GiB\"\n", &[], &[]);
    assert_eq!(code, Some(2));
    assert!(text.contains("f.toml: unknown key 'cache-sise'"), "{text}");
    let (code, text) = mount_with(folder.path(), "threads = 2\nsqueeze = [\n", &[], &[]);
    assert_eq!(code, Some(2));
    assert!(text.contains("f.toml"), "{text}");
    // A sound one gets as far as the mountpoint.
    let (code, text) = mount_with(folder.path(), "threads = 2\ncache-size = \"64MiB\"\n", &[], &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("/nonexistent/mountpoint"), "{text}");
    let missing = run(&["mount", "--config", "/nonexistent/f.toml", "s", "m"]);
    assert_eq!(refused(&missing).0, Some(2));
}

#[test]
fn variables_are_checked_and_flags_win_over_them() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = mount_with(folder.path(), "", &[], &[("FUZARR_THREADS", "none")]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("threads"), "{text}");
    // Both orders of --ngff are fine; twice the same version is not, wherever it comes from.
    let twice = ("FUZARR_NGFF", "0.5,0.5");
    assert!(mount_with(folder.path(), "ngff = \"0.4\"", &[], &[]).1.contains("/nonexistent"));
    for (toml, variables) in [("", &[twice][..]), ("ngff = \"0.4\"", &[twice]), ("ngff = [0.4, 0.4]", &[])] {
        // The mountpoint is looked at first, so name one that exists.
        let mount = folder.path().join("mount");
        std::fs::create_dir_all(&mount).unwrap();
        let source = folder.path().join("source");
        std::fs::create_dir_all(&source).unwrap();
        let config = folder.path().join("f.toml");
        std::fs::write(&config, toml).unwrap();
        let mut command = fuzarr(&["mount", "--config"]);
        command.arg(&config).arg(&source).arg(&mount).envs(variables.iter().copied());
        let (code, text) = refused(&command.output().unwrap());
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("each version once"), "{text}");
    }
}

#[test]
fn inspect_tells_missing_from_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let missing = run(&["inspect", "/nonexistent/a.tif"]);
    let (code, text) = refused(&missing);
    assert_eq!(code, Some(1));
    assert!(text.contains("/nonexistent/a.tif: "), "{text}");
    let (code, text) = refused(&fuzarr(&["inspect"]).arg(folder.path()).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(text.contains("is a folder"), "{text}");
    for (name, content, word) in [
        ("empty.tif", &b""[..], "empty"),
        ("text.tif", b"no image at all", "unsupported"),
        ("cut.tif", b"II*\0\x08\0\0\0", ""),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let (code, text) = refused(&fuzarr(&["inspect"]).arg(&path).output().unwrap());
        assert_eq!(code, Some(3), "{name}: {text}");
        assert!(text.contains(name) && text.contains(word), "{name}: {text}");
    }
}

#[test]
fn validate_judges_a_directory_and_finds_them_in_folders() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = refused(&fuzarr(&["validate"]).arg(folder.path()).output().unwrap());
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("no OME-Zarr directory"), "{text}");
    let (code, _) = refused(&run(&["validate", "/nonexistent/x.zarr"]));
    assert_eq!(code, Some(1));
    let inside = folder.path().join("deep/x.ome.zarr");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(inside.join("zarr.json"), r#"{"zarr_format":3,"node_type":"group","attributes":{"a":1}}"#).unwrap();
    let output = fuzarr(&["validate"]).arg(folder.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("without OME-Zarr metadata (keys: none) [zarr.document]"), "{text}");
    assert!(text.ends_with("  1 error, 0 warnings; 0 images, 0 arrays, 0 chunk files\n"), "{text}");
    let output = fuzarr(&["validate", "--json"]).arg(&inside).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["errors"], &json["datasets"][0]["findings"][0]["rule"]), (&1.into(), &"zarr.document".into()));
}

#[test]
fn status_and_unmount_of_a_place_without_a_mount() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = refused(&fuzarr(&["status"]).arg(folder.path()).output().unwrap());
    assert_eq!(code, Some(4));
    assert!(text.contains("nothing of fuzarr is mounted there"), "{text}");
    let (code, _) = refused(&fuzarr(&["unmount"]).arg(folder.path()).output().unwrap());
    assert_eq!(code, Some(1));
}

#[test]
fn places_that_cannot_be_mounted_are_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let (source, mount) = (folder.path().join("source"), folder.path().join("mount"));
    std::fs::create_dir_all(&source).unwrap();
    let attempt = |source: &Path, mount: &Path| refused(&fuzarr(&["mount"]).arg(source).arg(mount).output().unwrap());
    let (code, text) = attempt(&source, &mount);
    assert_eq!(code, Some(1));
    assert!(text.contains("mkdir -p"), "{text}");
    std::fs::create_dir_all(mount.join("inside")).unwrap();
    assert!(attempt(&source, &mount).1.contains("not empty"));
    std::fs::remove_dir(mount.join("inside")).unwrap();
    assert!(attempt(&mount, &mount).1.contains("inside the mountpoint"));
    assert!(attempt(&source.join("gone"), &mount).1.contains("no such file or folder"));
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains("cache-size"), "{shell}");
    }
}

#[test]
fn man_pages_are_current() {
    let fresh = tempfile::tempdir().unwrap();
    let output = fuzarr(&["man"]).arg(fresh.path()).env("FUZARR_THREADS", "7").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let names = |dir: &Path| {
        let mut names: Vec<String> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(fresh.path()), names(&kept), "run scripts/gen-man");
    for name in names(&kept) {
        let read = |dir: &Path| std::fs::read_to_string(dir.join(&name)).unwrap();
        assert!(read(fresh.path()) == read(&kept), "man/{name} is stale: run scripts/gen-man");
    }
}
