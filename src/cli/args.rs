//! The clap table: raw arguments as typed. What they come to is decided in [`super::settings`].

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::Styles;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};

use super::values;
use crate::catalog::Form;
use crate::config::{Damaged, Deidentify, Layout, LogFormat, LogLevel, Ngff, Palette};

const EXIT_CODES: &str = "\
Exit codes:
  0  success; for status: every mount asked about is healthy
  1  failure; one line on standard error says why
  2  wrong option, argument, environment variable or configuration file
  3  inspect, metadata, sidecar: the file cannot be read as an image, or --verify found damaged parts;
     validate: errors were found; catalog, warm: a file cannot be read as an image
  4  status: nothing of fuzarr is mounted there
  5  status: mounted, but the daemon does not answer or part of the source is stuck";

const MOUNT_NOTES: &str = "\
Every option can also be given as an environment variable or in a TOML file (--config). A flag wins over a variable, a \
variable over the file, the file over the default.

The mount is read-only. It ends by 'fuzarr unmount MOUNTPOINT', or when the daemon gets SIGTERM, SIGINT or SIGHUP.

With a link /sbin/mount.fuzarr to the program, fstab and mount(8) know the type fuzarr:
  /data/microscopy  /mnt/zarr  fuzarr  allow_other,cache_size=2GiB  0 0";

const VALIDATE_NOTES: &str = "\
Versions 0.4, 0.5 and 0.6 are known. Looked at are the documents (JSON schemas of the specification, which are part of the \
program), whether they fit the arrays, the sizes of chunk files and the indices of shards, labels, plates, \
OME/METADATA.ome.xml and ro-crate-metadata.json. Pixels are not decoded.

An error is what the specification forbids or readers fail on; a warning is what makes some reader show less.";

const WARM_NOTES: &str = "\
A mount with the same --disk-cache, --chunk and --palette then reads all synthesized levels from there, whichever folder of the \
files is mounted. Links are not followed. What is there already is not made again. A file that fails gets a line on standard \
error, and the exit code is 3.";

const CATALOG_NOTES: &str = "\
A dataset of several files counts once, under the file that it goes by. What is known comes from the files and from the \
sidecars beside them. Links are not followed. A file that cannot be read is a row with an error, and the exit code is 3.

url, written, shape, chunks, dimension_names, license, name, description, organismId and fbbiId are the columns that the \
browser of the OME 2024 NGFF challenge reads; File Path, File Name and File Size are those of BioFile Finder.";

const METADATA_NOTES: &str = "\
The tiers are those of the 4DN-BINA-OME specification; required are the fields of the parts that the image has. Values come from \
the file's own OME-XML (ome-xml), the vendor's metadata (vendor), sidecars (sidecar:FILE), or are worked out (derived).";

const SIDECAR_NOTES: &str = "\
Sidecars are dataset.meta.yaml for all images in a folder and below it, and NAME.meta.yaml beside the file NAME. In the template \
every line is a comment: take the first # away in front of what you fill in, and of the lines that it belongs to.";

/// Show microscope images as virtual OME-Zarr directories, without converting them.
#[derive(Debug, Parser)]
#[command(name = "fuzarr", version, styles = Styles::plain(), after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mount a folder or a file; returns when the mount serves.
    #[command(after_help = MOUNT_NOTES)]
    Mount(Box<MountArgs>),
    /// End a mount.
    Unmount(UnmountArgs),
    /// Report on running mounts, without touching them.
    ///
    /// Asks the daemon over its control socket, never through the mount, so it answers even while the mount is stuck.
    /// Without MOUNTPOINT: all mounts of this user (for root: of everybody).
    Status(StatusArgs),
    /// Show what a file holds and how it would appear.
    Inspect(InspectArgs),
    /// Put overviews, contrast and indices of images into a disk cache ahead.
    #[command(after_help = WARM_NOTES)]
    Warm(Box<WarmArgs>),
    /// Make a table of all images in a folder.
    #[command(after_help = CATALOG_NOTES)]
    Catalog(CatalogArgs),
    /// Show what is known about an image, where it comes from, and what is missing.
    #[command(after_help = METADATA_NOTES)]
    Metadata(MetadataArgs),
    /// Write a template for what is missing, to be filled in and laid beside the image.
    #[command(after_help = SIDECAR_NOTES)]
    Sidecar(SidecarArgs),
    /// Check OME-Zarr directories, whoever wrote them.
    #[command(after_help = VALIDATE_NOTES)]
    Validate(ValidateArgs),
    /// Write the man pages into a directory.
    #[command(hide = true)]
    Man(ManArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Work for the fuzarr process that started this one.
    #[command(hide = true)]
    Helper(HelperArgs),
}

/// `fuzarr mount`.
#[derive(Debug, Args)]
pub struct MountArgs {
    /// Folder to show, or one image file.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub source: PathBuf,
    /// Empty folder where the virtual tree appears.
    #[arg(value_hint = ValueHint::DirPath)]
    pub mountpoint: PathBuf,
    /// Stay in the foreground and log to standard error; for systemd (Type=notify) and for trying things out.
    #[arg(long)]
    pub foreground: bool,
    /// Options in the style of mount(8): allow_other,cache_size=2GiB. Colons stand for the commas of ngff, chunk
    /// and shard.
    #[arg(short = 'o', value_name = "OPTIONS", action = ArgAction::Append)]
    pub mount_options: Vec<String>,
    /// Everything that has a variable and a key in the configuration file.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// The settings: flags, variables and keys of the file have the same names.
#[derive(Debug, Args, Clone, Default)]
pub struct SettingArgs {
    /// TOML file with further settings; its keys are the long names of these options.
    #[arg(long, value_name = "FILE", env = "FUZARR_CONFIG", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// What images look like.
    #[command(flatten)]
    pub view: ViewArgs,
    /// What is shown, and to whom.
    #[command(flatten)]
    pub tree: TreeArgs,
    /// What the daemon may take.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// What other programs read for it.
    #[command(flatten)]
    pub door: DoorArgs,
    /// What it says.
    #[command(flatten)]
    pub log: LogArgs,
}

/// How images look.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Images")]
pub struct ViewArgs {
    /// OME-Zarr versions to show; the first has the plain name x.ome.zarr, a further one x.v04.ome.zarr, x.v05.ome.zarr
    /// or x.v06.ome.zarr [default: 0.5].
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',', env = "FUZARR_NGFF", hide_env_values = true)]
    pub ngff: Option<Vec<Ngff>>,
    /// Layout of a file with one image [default: auto].
    #[arg(long, value_name = "LAYOUT", env = "FUZARR_LAYOUT", hide_env_values = true)]
    pub layout: Option<Layout>,
    /// Rows and columns of a chunk [default: the tile of the file if it is a square power of two from 256 to 2048, else
    /// 512,512].
    #[arg(long, value_name = "Y,X", value_parser = values::chunk, env = "FUZARR_CHUNK", hide_env_values = true)]
    pub chunk: Option<(u64, u64)>,
    /// Show one file for as many chunks as make these rows and columns, rounded up to whole chunks (Zarr shards); not in
    /// 0.4, which has none [default: a file for each chunk].
    #[arg(long, value_name = "Y,X", value_parser = values::shard, env = "FUZARR_SHARD", hide_env_values = true)]
    pub shard: Option<(u64, u64)>,
    /// Leave out axes of length one; the default is always t, c, z, y, x.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = values::switch, env = "FUZARR_SQUEEZE", hide_env_values = true)]
    pub squeeze: Option<bool>,
    /// How palette images are shown [default: index].
    #[arg(long, value_name = "HOW", env = "FUZARR_PALETTE", hide_env_values = true)]
    pub palette: Option<Palette>,
    /// What a synthesized level does over a damaged tile [default: error].
    #[arg(long, value_name = "HOW", env = "FUZARR_DAMAGED", hide_env_values = true)]
    pub damaged: Option<Damaged>,
}

/// What the tree shows.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Tree")]
pub struct TreeArgs {
    /// List the source images beside their directories.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = values::switch, env = "FUZARR_SHOW_SOURCES", hide_env_values = true)]
    pub show_sources: Option<bool>,
    /// Only image files whose path beneath SOURCE matches become images; may be repeated.
    #[arg(long, value_name = "GLOB", value_parser = values::glob, env = "FUZARR_INCLUDE", hide_env_values = true)]
    pub include: Option<Vec<String>>,
    /// Image files whose path beneath SOURCE matches stay ordinary files; may be repeated.
    #[arg(long, value_name = "GLOB", value_parser = values::glob, env = "FUZARR_EXCLUDE", hide_env_values = true)]
    pub exclude: Option<Vec<String>>,
    /// Leave out what tells of people, places and devices [default: off]. The mount then holds image directories alone: no
    /// other files, labels of slides, documents of vendors; nothing names a source.
    #[arg(long, value_name = "LEVEL", env = "FUZARR_DEIDENTIFY", hide_env_values = true)]
    pub deidentify: Option<Deidentify>,
    /// File with a secret of 16 bytes or more, which --deidentify strict needs: names of images and directories are replaced
    /// by their HMAC-SHA-256 with it, so that machines with the same file agree.
    #[arg(long, value_name = "FILE", env = "FUZARR_DEIDENTIFY_KEY", hide_env_values = true,
          value_hint = ValueHint::FilePath)]
    pub deidentify_key: Option<PathBuf>,
    /// Let other users in, each with his own rights on the sources; needs root or user_allow_other in /etc/fuse.conf.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = values::switch, env = "FUZARR_ALLOW_OTHER", hide_env_values = true)]
    pub allow_other: Option<bool>,
}

/// What the engine may take.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Resources")]
pub struct EngineArgs {
    /// Memory for the cache and for work in flight together; units KiB, MiB, GiB [default: 512MiB].
    #[arg(long, value_name = "SIZE", value_parser = values::cache_size, env = "FUZARR_CACHE_SIZE",
          hide_env_values = true)]
    pub cache_size: Option<u64>,
    /// Decoding threads [default: the number of processors].
    #[arg(long, value_name = "N", value_parser = values::threads, env = "FUZARR_THREADS", hide_env_values = true)]
    pub threads: Option<usize>,
    /// How long a request waits for work that makes no progress; units ms, s, m, h [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = values::duration, env = "FUZARR_DEADLINE", hide_env_values = true)]
    pub deadline: Option<Duration>,
    /// Private folder where overviews, contrast and indices of files are kept from one mount to the next; never in SOURCE
    /// [default: nothing is kept].
    #[arg(long, value_name = "FOLDER", env = "FUZARR_DISK_CACHE", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub disk_cache: Option<PathBuf>,
    /// What the files in --disk-cache may take together; those used longest ago go first [default: 20GiB].
    #[arg(long, value_name = "SIZE", value_parser = values::cache_size, env = "FUZARR_DISK_CACHE_SIZE",
          hide_env_values = true)]
    pub disk_cache_size: Option<u64>,
}

/// The door to Bio-Formats.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Bio-Formats")]
pub struct DoorArgs {
    /// bioformats_package.jar, which is not part of this program: what it reads and fuzarr does not become images too, by
    /// helper processes with a Java virtual machine [default: such files stay ordinary files].
    #[arg(long, value_name = "JAR", env = "FUZARR_BIOFORMATS", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub bioformats: Option<PathBuf>,
    /// Helper processes, each of which reads for one request at a time [default: 2].
    #[arg(long, value_name = "N", value_parser = values::helpers, env = "FUZARR_BIOFORMATS_HELPERS", hide_env_values = true)]
    pub bioformats_helpers: Option<usize>,
    /// Heap of each helper; its memory comes on top of --cache-size [default: 1GiB].
    #[arg(long, value_name = "SIZE", value_parser = values::cache_size, env = "FUZARR_BIOFORMATS_MEMORY",
          hide_env_values = true)]
    pub bioformats_memory: Option<u64>,
    /// Home of the Java installation [default: $JAVA_HOME, else that of the java in the search path].
    #[arg(long, value_name = "FOLDER", env = "FUZARR_JAVA_HOME", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub java_home: Option<PathBuf>,
}

/// The log.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// Least important lines that are written [default: info].
    #[arg(long, value_name = "LEVEL", env = "FUZARR_LOG_LEVEL", hide_env_values = true)]
    pub log_level: Option<LogLevel>,
    /// Form of a line [default: text].
    #[arg(long, value_name = "FORMAT", env = "FUZARR_LOG_FORMAT", hide_env_values = true)]
    pub log_format: Option<LogFormat>,
    /// File to append to [default: standard error with --foreground; else a file named after the mountpoint in
    /// /var/log/fuzarr for root, in ~/.local/state/fuzarr or $XDG_STATE_HOME/fuzarr for others].
    #[arg(long, value_name = "FILE", env = "FUZARR_LOG_FILE", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub log_file: Option<PathBuf>,
}

/// `fuzarr unmount`.
#[derive(Debug, Args)]
pub struct UnmountArgs {
    /// Where it is mounted.
    #[arg(value_hint = ValueHint::DirPath)]
    pub mountpoint: PathBuf,
    /// Detach at once, even while files in it are open; the daemon ends when the last one is closed.
    #[arg(long)]
    pub lazy: bool,
    /// How long to wait while the mount is busy.
    #[arg(long, value_name = "TIME", value_parser = values::duration, default_value = "10s", conflicts_with = "lazy")]
    pub wait: Duration,
}

/// `fuzarr status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Where it is mounted.
    #[arg(value_hint = ValueHint::DirPath)]
    pub mountpoint: Option<PathBuf>,
    /// JSON: an object for MOUNTPOINT, a list of them without.
    #[arg(long)]
    pub json: bool,
}

/// `fuzarr inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The image file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// One JSON document.
    #[arg(long)]
    pub json: bool,
    /// Decode every stored tile and strip, and list those that are damaged.
    #[arg(long)]
    pub verify: bool,
    /// Rows and columns of a chunk, as for mount.
    #[arg(long, value_name = "Y,X", value_parser = values::chunk, env = "FUZARR_CHUNK", hide_env_values = true)]
    pub chunk: Option<(u64, u64)>,
    /// How palette images are shown, as for mount.
    #[arg(long, value_name = "HOW", env = "FUZARR_PALETTE", hide_env_values = true)]
    pub palette: Option<Palette>,
    /// Other formats.
    #[command(flatten)]
    pub door: DoorArgs,
}

/// `fuzarr warm`.
#[derive(Debug, Args)]
pub struct WarmArgs {
    /// Image files, or folders with image files in them.
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    /// Show no progress.
    #[arg(long, short)]
    pub quiet: bool,
    /// The settings of the mount.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// `fuzarr catalog`.
#[derive(Debug, Args)]
pub struct CatalogArgs {
    /// Folder, as for mount.
    #[arg(value_hint = ValueHint::DirPath)]
    pub source: PathBuf,
    /// File to write [default: standard output].
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Form of the table [default: by the ending of FILE, else csv].
    #[arg(long, value_name = "FORM")]
    pub format: Option<Form>,
    /// Put before the path of each image to make its address: the URL that the mount is served at, or its mountpoint.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub url_prefix: String,
    /// Only image files whose path beneath SOURCE matches; may be repeated.
    #[arg(long, value_name = "GLOB", value_parser = values::glob)]
    pub include: Vec<String>,
    /// Not the image files whose path beneath SOURCE matches; may be repeated.
    #[arg(long, value_name = "GLOB", value_parser = values::glob)]
    pub exclude: Vec<String>,
    /// Threads that open files [default: twice the number of processors].
    #[arg(long, value_name = "N", value_parser = values::threads)]
    pub threads: Option<usize>,
    /// Show no progress.
    #[arg(long, short)]
    pub quiet: bool,
    /// Other formats.
    #[command(flatten)]
    pub door: DoorArgs,
}

/// `fuzarr metadata`.
#[derive(Debug, Args)]
pub struct MetadataArgs {
    /// The image file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Folder from which sidecars are inherited, as the SOURCE of a mount [default: the folder of the file].
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// What is missing for this tier and those below it, not what is known.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub tier: Option<u8>,
    /// One JSON document with everything.
    #[arg(long)]
    pub json: bool,
    /// Other formats.
    #[command(flatten)]
    pub door: DoorArgs,
}

/// `fuzarr sidecar`.
#[derive(Debug, Args)]
pub struct SidecarArgs {
    /// The image file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Folder from which sidecars are inherited, as the SOURCE of a mount [default: the folder of the file].
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Highest tier whose missing fields are asked for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3), default_value = "1")]
    pub tier: u8,
    /// Write FILE.meta.yaml beside the file, unless it is there already, and not to standard output.
    #[arg(long)]
    pub write: bool,
    /// Other formats.
    #[command(flatten)]
    pub door: DoorArgs,
}

/// `fuzarr validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// An OME-Zarr directory, or a folder with such directories in it.
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub paths: Vec<PathBuf>,
    /// One JSON document.
    #[arg(long)]
    pub json: bool,
    /// Look for every chunk, not for a thousand of each array.
    #[arg(long)]
    pub all_chunks: bool,
    /// Report what the specification recommends, too; a warning counts as an error for the exit code.
    #[arg(long)]
    pub strict: bool,
}

/// `fuzarr man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Directory to write to.
    pub directory: PathBuf,
}

/// `fuzarr completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// `fuzarr helper`.
#[derive(Debug, Args)]
pub struct HelperArgs {
    /// Process that started this one.
    #[arg(long)]
    pub parent: u32,
    /// Folder of its own.
    #[arg(long)]
    pub scratch: PathBuf,
    /// What it does.
    #[command(subcommand)]
    pub kind: HelperKind,
}

/// The kinds of helpers.
#[derive(Debug, Subcommand)]
pub enum HelperKind {
    /// Decodes JPEG XR.
    Jpegxr,
    /// Reads by Bio-Formats.
    Bioformats {
        /// Bio-Formats.
        #[arg(long)]
        jar: PathBuf,
        /// `libjvm.so`.
        #[arg(long)]
        library: PathBuf,
        /// Home of the Java installation.
        #[arg(long)]
        java_home: PathBuf,
        /// Folder of the images.
        #[arg(long)]
        readable: PathBuf,
        /// Bytes of the heap.
        #[arg(long)]
        memory: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_table_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn exit_codes_are_those_of_the_table() {
        for (exit, text) in super::super::exit::TABLE {
            assert!(EXIT_CODES.contains(&format!("  {}  ", exit.code())), "{text}");
        }
        let codes = EXIT_CODES.lines().filter(|l| !l.starts_with("     ")).count();
        assert_eq!(codes, super::super::exit::TABLE.len() + 1);
    }
}
