//! `fuzarr man DIR`: the man pages, from the same table as everything else.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::args::{Cli, ManArgs};
use super::{Exit, Failure, settings};

const FILE_PAGE: &str = "fuzarr.toml.5";

/// Writes `fuzarr.1`, `fuzarr-mount.1`, ... and `fuzarr.toml.5`.
pub fn run(args: &ManArgs) -> Result<Exit, Failure> {
    let fail = |path: &Path, e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
    fs::create_dir_all(&args.directory).map_err(|e| fail(&args.directory, e))?;
    let mut table = Cli::command().disable_help_subcommand(true);
    table.build();
    let mut pages = vec![page(table.clone()), (FILE_PAGE.to_owned(), file_page())];
    pages.extend(table.get_subcommands().filter(|s| !s.is_hide_set()).cloned().map(page));
    for (name, text) in pages {
        let path = args.directory.join(name);
        fs::write(&path, text).map_err(|e| fail(&path, e))?;
    }
    Ok(Exit::Success)
}

/// Name and text of the page of one command.
fn page(command: clap::Command) -> (String, Vec<u8>) {
    let man = Man::new(command).source(concat!("fuzarr ", env!("CARGO_PKG_VERSION"))).manual("fuzarr manual");
    let mut text = Vec::new();
    // Writing into a vector cannot fail.
    let _ = man.render(&mut text);
    let text = String::from_utf8_lossy(&text).replace(".SH EXTRA\n", ".SH NOTES\n");
    (man.get_filename(), text.into_bytes())
}

/// The page of the configuration file: every setting with its help, its variable and an example of the syntax.
fn file_page() -> Vec<u8> {
    let mut roff = Roff::new();
    roff.control("TH", ["fuzarr.toml", "5", "", concat!("fuzarr ", env!("CARGO_PKG_VERSION")), "fuzarr manual"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("fuzarr.toml - settings of fuzarr mount")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([
        roman("The file given to "),
        bold("fuzarr mount --config"),
        roman(" is TOML. Its keys are the long names of the options, without the dashes in front. There is no section, and "),
        roman("no file is read unless it is named. An unknown key is an error. A flag wins over an environment variable, a "),
        roman("variable over this file. A relative path counts from the folder of the file."),
    ]);
    roff.control("SH", ["KEYS"]);
    let table = settings::table();
    for key in settings::keys() {
        let Some(arg) = table.get_arguments().find(|a| a.get_long() == Some(&key)) else { continue };
        roff.control("TP", []);
        roff.text([bold(&key)]);
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let mut line = vec![roman(format!("{}.", help.trim_end_matches('.')))];
        let values: Vec<String> = arg
            .get_value_parser()
            .possible_values()
            .map(|all| all.map(|v| v.get_name().to_owned()).collect())
            .unwrap_or_default();
        if !values.is_empty() {
            line.push(roman(format!(" One of: {}.", values.join(", "))));
        }
        if let Some(variable) = arg.get_env() {
            line.push(roman(" Variable: "));
            line.push(italic(variable.to_string_lossy()));
            line.push(roman("."));
        }
        roff.text(line);
    }
    roff.control("SH", ["EXAMPLE"]);
    roff.control("nf", []);
    for line in [
        "ngff = [\"0.5\", \"0.4\"]",
        "cache-size = \"2GiB\"",
        "chunk = [512, 512]",
        "include = [\"plates/**\"]",
        "exclude = [\"**/*_thumb.tif\"]",
        "allow-other = true",
        "log-format = \"json\"",
    ] {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("fuzarr-mount"), roman("(1)")]);
    let mut out = Vec::new();
    // Writing into a vector cannot fail.
    let _ = roff.to_writer(&mut out);
    out
}
