//! `-o` options and the `mount.fuzarr` name: how mount(8) and fstab call the program.
//!
//! A line `SOURCE MOUNTPOINT fuzarr allow_other,cache_size=2GiB 0 0` makes mount(8) run `mount.fuzarr SOURCE MOUNTPOINT -o
//! rw,allow_other,cache_size=2GiB`; with a link of that name to the program it is rewritten here to `fuzarr mount`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::Failure;

/// Words of mount(8) that mean nothing here: the mount is always read-only, without devices and set-user-id programs.
const GENERIC: &[&str] = &[
    "ro",
    "rw",
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "group",
    "owner",
    "_netdev",
    "nofail",
    "dev",
    "nodev",
    "suid",
    "nosuid",
    "exec",
    "noexec",
    "async",
    "sync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "lazytime",
    "silent",
    "loud",
    "default_permissions",
];

/// Rewrites the command line of a mount helper, and every `-o`, into ordinary options.
pub fn expand(argv: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let helper = argv.first().is_some_and(|name| {
        Path::new(name).file_name().is_some_and(|n| n == "mount.fuzarr" || n == "mount.fuse.fuzarr")
    });
    if helper {
        return helper_line(&argv);
    }
    if argv.get(1).is_none_or(|word| word != "mount") {
        return Ok(argv);
    }
    let mut out = Vec::with_capacity(argv.len());
    let mut words = argv.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            out.push(word);
            out.extend(words.by_ref());
        } else if word == "-o" {
            let value = words.next().ok_or_else(|| Failure::usage("-o needs options, such as -o allow_other"))?;
            options(&value, &mut out);
        } else if let Some(value) = word.as_bytes().strip_prefix(b"-o").filter(|v| !v.is_empty()) {
            options(OsStr::from_bytes(value), &mut out);
        } else {
            out.push(word);
        }
    }
    Ok(out)
}

/// `mount.fuzarr SOURCE MOUNTPOINT [-sfnv] [-N namespace] [-o options] [-t type]`.
fn helper_line(argv: &[OsString]) -> Result<Vec<OsString>, Failure> {
    let mut out: Vec<OsString> = vec!["fuzarr".into(), "mount".into()];
    let mut places = Vec::new();
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_bytes() {
            b"-o" => options(words.next().ok_or_else(|| Failure::usage("-o needs options"))?, &mut out),
            b"-t" | b"-N" => {
                words.next();
            }
            [b'-', flags @ ..] if !flags.is_empty() && flags.iter().all(|f| b"sfnv".contains(f)) => {
                if flags.contains(&b'f') {
                    return Ok(vec!["fuzarr".into(), "--version".into()]);
                }
            }
            [b'-', ..] if word.len() > 1 => {
                return Err(Failure::usage(format!("{}: not an option of mount.fuzarr", word.display())));
            }
            _ => places.push(word.clone()),
        }
    }
    out.push("--".into());
    out.extend(places);
    Ok(out)
}

/// `a_b=c,d` becomes `--a-b=c --d`. In values that hold commas themselves, write colons (`ngff=0.5:0.4`).
fn options(list: &OsStr, out: &mut Vec<OsString>) {
    for word in list.as_bytes().split(|b| *b == b',').filter(|w| !w.is_empty()) {
        if GENERIC.iter().any(|g| g.as_bytes() == word) || word.starts_with(b"x-") || word.starts_with(b"comment=") {
            continue;
        }
        let equals = word.iter().position(|b| *b == b'=').unwrap_or(word.len());
        let (key, value) = word.split_at(equals);
        let key: Vec<u8> = key.iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect();
        let mut option = b"--".to_vec();
        option.extend_from_slice(&key);
        let listed = key == b"ngff" || key == b"chunk" || key == b"shard";
        option.extend(value.iter().map(|b| if listed && *b == b':' { b',' } else { *b }));
        out.push(OsString::from_vec(option));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(words: &[&str]) -> Vec<String> {
        let argv = words.iter().map(OsString::from).collect();
        expand(argv).unwrap().into_iter().map(|w| w.into_string().unwrap()).collect()
    }

    #[test]
    fn options_of_mount_become_flags() {
        assert_eq!(
            expanded(&[
                "fuzarr",
                "mount",
                "-o",
                "ro,allow_other,ngff=0.5:0.4,include=a:b*",
                "S",
                "-ocache_size=1GiB",
                "M"
            ]),
            ["fuzarr", "mount", "--allow-other", "--ngff=0.5,0.4", "--include=a:b*", "S", "--cache-size=1GiB", "M"]
        );
        assert_eq!(expanded(&["fuzarr", "mount", "--", "-o", "M"]), ["fuzarr", "mount", "--", "-o", "M"]);
        assert_eq!(expanded(&["fuzarr", "status", "-o"]), ["fuzarr", "status", "-o"]);
    }

    #[test]
    fn the_helper_of_mount() {
        assert_eq!(
            expanded(&[
                "/sbin/mount.fuzarr",
                "S",
                "M",
                "-n",
                "-o",
                "rw,nodev,x-systemd.automount,squeeze",
                "-t",
                "fuzarr"
            ]),
            ["fuzarr", "mount", "--squeeze", "--", "S", "M"]
        );
        assert!(expand(vec!["mount.fuzarr".into(), "--wrong".into()]).is_err());
    }
}
