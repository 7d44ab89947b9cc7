//! The report as a table for people.

use std::fmt::Write;

use super::{LevelReport, Report, SeriesReport};
use crate::cli::exit::one_line;

/// Channels that are listed one a line; of more, the first ones.
const CHANNELS_MAX: usize = 32;
/// Damaged units that are listed.
const DAMAGED_MAX: usize = 50;

/// Everything, with aligned columns. Strings out of the file are stripped of control characters.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    line(&mut out, &report.file);
    line(&mut out, &format!("  format    {}", report.format));
    if report.members.len() > 1 {
        for member in &report.members {
            let size = member.bytes.map_or(String::new(), |bytes| format!("  {bytes} bytes"));
            line(&mut out, &format!("  member    {}{size}", member.path));
        }
    } else if let Some(member) = report.members.first() {
        line(&mut out, &format!("  size      {} bytes", member.bytes.unwrap_or_default()));
    }
    for series in &report.series {
        render_series(&mut out, series);
    }
    for warning in &report.warnings {
        line(&mut out, &format!("  warning   {warning}"));
    }
    if let Some(damage) = &report.damaged {
        out.push('\n');
        line(&mut out, &format!("  verified  {} of {} stored units damaged", damage.damaged, damage.units));
        for unit in damage.listed.iter().take(DAMAGED_MAX) {
            let place = format!(
                "series {} level {} t {} c {} z {} row {} column {}",
                unit.series, unit.level, unit.t, unit.c, unit.z, unit.row, unit.column
            );
            line(&mut out, &format!("  damaged   {place}: {}", unit.reason));
        }
        let more = damage.damaged.saturating_sub(damage.listed.len().min(DAMAGED_MAX) as u64);
        if more > 0 {
            line(&mut out, &format!("  damaged   and {more} more"));
        }
        if !damage.complete {
            line(&mut out, "  stopped   so much is damaged that the rest was not looked at");
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(&one_line(text));
    out.push('\n');
}

fn times(sizes: &[u64]) -> String {
    sizes.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ")
}

fn render_series(out: &mut String, series: &SeriesReport) {
    out.push('\n');
    let name = if series.name.is_empty() { String::new() } else { format!("  \"{}\"", series.name) };
    let role = if series.role == "image" { String::new() } else { format!("  ({})", series.role) };
    line(out, &format!("series {}{name}{role}", series.index));
    line(out, &format!("  shape     {}  ({})", times(&series.shape), series.axes.join(", ")));
    let mut kind = format!("  dtype     {}", series.dtype);
    let _ = write!(kind, ", {} significant bits", series.significant_bits);
    if series.rgb {
        kind.push_str(", RGB");
    }
    if series.palette {
        kind.push_str(", palette");
    }
    line(out, &kind);
    if !series.physical_size.is_empty() {
        let sizes = series.physical_size.iter().map(|a| match &a.unit {
            Some(unit) => format!("{} {} {unit}", a.axis, a.value),
            None => format!("{} {}", a.axis, a.value),
        });
        line(out, &format!("  step      {}", sizes.collect::<Vec<_>>().join(", ")));
    }
    if let Some(acquired) = &series.acquired {
        line(out, &format!("  acquired  {acquired}"));
    }
    for (n, channel) in series.channels.iter().enumerate().take(CHANNELS_MAX) {
        let mut text = format!("  channel   {n}");
        for part in [&channel.name, &channel.color].into_iter().flatten() {
            let _ = write!(text, "  {part}");
        }
        if let Some(nm) = channel.excitation_nm {
            let _ = write!(text, "  excitation {nm} nm");
        }
        if let Some(nm) = channel.emission_nm {
            let _ = write!(text, "  emission {nm} nm");
        }
        line(out, &text);
    }
    if series.channels.len() > CHANNELS_MAX {
        line(out, &format!("  channel   and {} more", series.channels.len() - CHANNELS_MAX));
    }
    render_levels(out, &series.levels);
}

fn render_levels(out: &mut String, levels: &[LevelReport]) {
    let row = |l: &LevelReport| {
        let unit = match l.stored_unit {
            Some([y, x]) if l.tiled => format!("tiles {y} x {x}"),
            Some([y, x]) if l.random_access => format!("strips, read as {y} x {x}"),
            Some([y, x]) => format!("one strip, read in order as {y} x {x}"),
            None if l.origin == "drawn" => "regions of interest".to_owned(),
            None => "2 x 2 pixels of the level before".to_owned(),
        };
        [l.path.clone(), times(&l.shape), l.origin.to_owned(), times(&l.chunks[3..]), unit]
    };
    let head = ["level", "shape", "origin", "chunk", "from"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(levels.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|r| r[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        line(out, &format!("  {}", cells.join("  ")));
    }
}
