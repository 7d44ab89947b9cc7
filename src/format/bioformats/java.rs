//! Where the Java virtual machine is.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Below the home of a Java installation: since 9, and before.
const LIBRARY: [&str; 5] = [
    "lib/server/libjvm.so",
    "jre/lib/server/libjvm.so",
    "lib/amd64/server/libjvm.so",
    "jre/lib/amd64/server/libjvm.so",
    "lib/client/libjvm.so",
];

/// A Java installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Java {
    pub home: PathBuf,
    pub library: PathBuf,
}

impl Java {
    /// Looks in `home` if it is given; else in `$JAVA_HOME`, beside the `java` of the search path, and where Linux systems put
    /// such things.
    pub fn find(home: Option<&Path>) -> Result<Self> {
        if let Some(home) = home {
            return Self::at(home).ok_or_else(|| {
                Error::unsupported(format!("{}: no Java runtime, it has no libjvm.so", home.display()))
            });
        }
        let named = std::env::var_os("JAVA_HOME").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let beside = std::env::split_paths(&path).filter_map(|folder| {
            let java = folder.join("java").canonicalize().ok()?;
            java.parent().and_then(Path::parent).map(Path::to_owned)
        });
        let mut usual: Vec<PathBuf> = ["/usr/lib/jvm", "/usr/java", "/opt/java"]
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        usual.sort();
        named.into_iter().chain(beside).chain(usual).find_map(|home| Self::at(&home)).ok_or_else(|| {
            Error::unsupported(
                "no Java runtime was found; install one (openjdk-17-jre-headless), or name it with --java-home",
            )
        })
    }

    fn at(home: &Path) -> Option<Self> {
        let home = home.canonicalize().ok()?;
        let library = LIBRARY.iter().map(|l| home.join(l)).find(|l| l.is_file())?;
        Some(Java { home, library })
    }

    /// What the virtual machine reads by itself: its own files and what they are links to, system libraries, facts about the
    /// machine.
    pub fn readable(&self) -> Vec<PathBuf> {
        let system = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/proc", "/sys"];
        let files = [
            "/dev/urandom",
            "/dev/random",
            "/etc/ld.so.cache",
            "/etc/localtime",
            "/etc/timezone",
            "/etc/nsswitch.conf",
        ];
        let settings = std::fs::read_dir("/etc").into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
        let settings = settings.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("java")));
        let all = system.iter().chain(&files).map(PathBuf::from).chain(settings);
        all.chain([self.home.clone()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_without_a_machine_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let error = Java::find(Some(dir.path())).unwrap_err();
        assert!(error.what().contains("libjvm.so"), "{error}");
        std::fs::create_dir_all(dir.path().join("lib/server")).unwrap();
        std::fs::write(dir.path().join("lib/server/libjvm.so"), "").unwrap();
        let java = Java::find(Some(dir.path())).unwrap();
        assert!(java.library.ends_with("lib/server/libjvm.so") && java.readable().contains(&java.home));
    }
}
