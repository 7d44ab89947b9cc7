//! The loops that an image was acquired in: time points, stage positions, focal planes, nested in any order.
//!
//! The levels of the experiment lie inside each other, outermost first; frames are numbered by counting through them, the
//! innermost fastest. Channels are no loop of their own: they lie side by side in a frame.

use super::variant::{Node, Value};
use crate::error::{Error, Result};
use crate::format::strided::Stage;

/// What a loop goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Time,
    Position,
    Focus,
    /// Anything else: shown as channels.
    Other,
}

/// A loop.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Loop {
    pub kind: Kind,
    pub count: u64,
    /// Micrometres between focal planes, seconds between time points.
    pub step: Option<f64>,
    /// Stage positions, where they are described.
    pub stages: Vec<Stage>,
}

/// Most levels of an experiment.
const MAX_LOOPS: usize = 16;

/// The loops, outermost first.
///
/// # Errors
/// `Malformed` for experiments that nobody has.
pub(super) fn loops(root: &Node) -> Result<Vec<Loop>> {
    let mut found: Vec<(usize, Loop)> = Vec::new();
    // Old files list their levels: LoopNo00, LoopNo01, ...
    if let Some(list) = root.holding("LoopNo00") {
        for (level, node) in list.items().into_iter().filter(|n| n.name.starts_with("LoopNo")).enumerate() {
            found.extend(read(node).map(|l| (level, l)));
        }
    } else if let Some(first) = root.holding("LoopPars") {
        walk(first, 0, &mut found)?;
    }
    if found.len() > MAX_LOOPS {
        return Err(Error::malformed(format!("an experiment of {} loops", found.len())));
    }
    Ok(found.into_iter().map(|(_, l)| l).filter(|l| l.count > 0).collect())
}

/// A level and those inside of it. Of several on the same level that go over the same, the longest counts: they are phases of
/// one.
fn walk(node: &Node, level: usize, found: &mut Vec<(usize, Loop)>) -> Result<()> {
    if level > MAX_LOOPS {
        return Err(Error::malformed("an experiment that is nested too deep"));
    }
    let mut inside = level + 1;
    match read(node) {
        // Channels of a frame, not a level of frames.
        None => inside = level,
        Some(one) => match found.last_mut() {
            Some((last, before)) if *last >= level => {
                if *last == level && before.kind == one.kind && before.count < one.count {
                    *before = one;
                }
            }
            _ => found.push((level, one)),
        },
    }
    let next = |node: &Node| {
        node.get("NextLevelEx").map(|n| {
            if n.get("LoopPars").is_some() { vec![n.clone()] } else { n.items().into_iter().cloned().collect() }
        })
    };
    let mut children = next(node).unwrap_or_default();
    if children.is_empty()
        && let Some(first) = node.get("LoopPars").and_then(|p| p.holding("SubLoops")).and_then(|p| p.get("SubLoops"))
    {
        // Several phases of time, each with levels of its own, which are alike.
        children = first.items().first().and_then(|n| next(n)).unwrap_or_default();
    }
    for child in &children {
        if let Some(child) = child.holding("LoopPars") {
            walk(child, inside, found)?;
        }
    }
    Ok(())
}

/// One level; `None` if it is not one of frames.
fn read(node: &Node) -> Option<Loop> {
    let mut parameters = node.get("LoopPars")?;
    if !["Count", "PeriodCount", "Points", "PosX"].iter().any(|name| parameters.get(name).is_some()) {
        // Before version 3 they lie in a list of one.
        parameters = parameters.items().first().copied()?;
    }
    let count = parameters.count("Count").unwrap_or(0);
    let one = |kind, count, step: Option<f64>| {
        Some(Loop { kind, count, step: step.filter(|s| s.is_finite() && *s > 0.0), stages: Vec::new() })
    };
    // ELxExpType of the format's makers.
    match node.count("Type")? {
        1 | 9 => one(Kind::Time, count, period(parameters)),
        2 | 3 => Some(positions(node, parameters, count)),
        4 | 10 => one(Kind::Focus, count, step(parameters, count)),
        6 => None,
        8 => {
            let periods = parameters.get("Period").map(Node::items).unwrap_or_default();
            let valid = parameters.get("PeriodValid").map(Node::flags).unwrap_or_default();
            let kept: Vec<_> = periods
                .iter()
                .enumerate()
                .filter(|(i, _)| valid.get(*i).copied().unwrap_or(true))
                .map(|(_, p)| *p)
                .collect();
            let total = kept.iter().map(|p| p.count("Count").unwrap_or(0)).fold(0, u64::saturating_add);
            let step = kept
                .first()
                .and_then(|p| period(p))
                .filter(|first| kept.iter().all(|p| period(p).is_some_and(|s| (s - first).abs() < 1e-9)));
            one(Kind::Time, if total == 0 { count } else { total }, step)
        }
        _ => one(Kind::Other, count, None),
    }
}

/// Seconds between time points: as asked for, else as measured.
fn period(parameters: &Node) -> Option<f64> {
    let milliseconds = |name| parameters.number(name).filter(|ms| *ms > 0.0);
    milliseconds("Period").or_else(|| milliseconds("AvgPeriodDiff")).map(|ms| ms / 1000.0)
}

/// Micrometres between focal planes.
fn step(parameters: &Node, count: u64) -> Option<f64> {
    let step = parameters.number("ZStep").map(f64::abs).filter(|s| *s > 0.0);
    step.or_else(|| {
        let range = (parameters.number("ZHigh")? - parameters.number("ZLow")?).abs();
        (count > 1).then(|| range / (count - 1) as f64)
    })
}

/// Stage positions; those that were switched off have no frames.
fn positions(node: &Node, parameters: &Node, count: u64) -> Loop {
    let text = |node: Option<&Node>| match node.map(|n| &n.value) {
        Some(Value::Text(t)) => t.trim().to_owned(),
        _ => String::new(),
    };
    let relative = parameters.number("RelativeXY").is_some_and(|v| v != 0.0);
    let origin = |name| if relative { parameters.number(name).unwrap_or(0.0) } else { 0.0 };
    let origin = [origin("ReferenceX"), origin("ReferenceY"), 0.0];
    let place = |i: usize, value: Option<f64>| value.zip(origin.get(i)).map(|(v, o)| v + o);
    const AXES: [&str; 3] = ["PosX", "PosY", "PosZ"];
    let points: Vec<Stage> = if let Some(points) = parameters.get("Points") {
        let point =
            |p: &Node| Stage { name: text(p.get("PosName")), position: [0, 1, 2].map(|i| place(i, p.number(AXES[i]))) };
        points.items().into_iter().map(point).collect()
    } else {
        // Before version 3, a list for each axis.
        let list = |name: &str| parameters.get(name).map(Node::items).unwrap_or_default();
        let (lists, names) = (AXES.map(list), list("PosName"));
        let point = |n: usize| Stage {
            name: text(names.get(n).copied()),
            position: [0, 1, 2].map(|i| place(i, lists[i].get(n).and_then(|v| v.as_number()))),
        };
        (0..lists[0].len()).map(point).collect()
    };
    let valid = node.get("ItemValid").map(Node::flags).unwrap_or_default();
    let kept = points.into_iter().enumerate().filter(|(i, _)| valid.get(*i).copied().unwrap_or(true));
    let stages: Vec<Stage> = kept.map(|(_, stage)| stage).collect();
    let count = if stages.is_empty() { count } else { stages.len() as u64 };
    Loop { kind: Kind::Position, count, step: None, stages }
}

#[cfg(test)]
mod tests {
    use super::super::variant::tests::{f64, level, record, text, u32};
    use super::*;

    fn parse(data: &[u8]) -> Vec<(Kind, u64, Option<f64>)> {
        let all = loops(&Node::parse(data).unwrap()).unwrap();
        all.into_iter().map(|l| (l.kind, l.count, l.step)).collect()
    }

    fn experiment(kind: u32, parameters: &[Vec<u8>], next: &[Vec<u8>]) -> Vec<Vec<u8>> {
        vec![u32("eType", kind), level("uLoopPars", parameters), level("ppNextLevelEx", next)]
    }

    #[test]
    fn loops_nest_in_any_order() {
        let z = experiment(4, &[u32("uiCount", 5), f64("dZStep", 0.0), f64("dZLow", -1.0), f64("dZHigh", 1.0)], &[]);
        let spectral = experiment(6, &[u32("uiCount", 3)], &[level("i0000000000", &z)]);
        let time = experiment(1, &[u32("uiCount", 7), f64("dPeriod", 250.0)], &[level("i0000000000", &spectral)]);
        let points = level(
            "Points",
            &[
                level("", &[text("dPosName", "A"), f64("dPosX", 3.0)]),
                level("", &[text("dPosName", "")]),
                level("", &[]),
            ],
        );
        let mut all = experiment(
            2,
            &[u32("uiCount", 3), f64("dReferenceX", 10.0), record(1, "bRelativeXY", &[1]), points],
            &[level("i0000000000", &time)],
        );
        all.push(record(9, "pItemValid", &[&3_u64.to_le_bytes()[..], &[1, 0, 1]].concat()));
        let data = level("SLxExperiment", &all);
        assert_eq!(parse(&data), [(Kind::Position, 2, None), (Kind::Time, 7, Some(0.25)), (Kind::Focus, 5, Some(0.5))]);
        let stages = loops(&Node::parse(&data).unwrap()).unwrap().remove(0).stages;
        assert_eq!((stages[0].name.as_str(), stages[0].position[0]), ("A", Some(13.0)));
        assert_eq!(stages[1], Stage::default());
    }

    #[test]
    fn phases_of_time_follow_each_other() {
        let phase = |count, ms| level("", &[u32("uiCount", count), f64("dPeriod", ms)]);
        let valid =
            |flags: &[u8]| record(9, "pPeriodValid", &[&(flags.len() as u64).to_le_bytes()[..], flags].concat());
        let of = |periods: &[Vec<u8>], flags: &[u8]| {
            let parameters = [u32("uiPeriodCount", periods.len() as u32), level("pPeriod", periods), valid(flags)];
            parse(&level("SLxExperiment", &experiment(8, &parameters, &[])))
        };
        assert_eq!(of(&[phase(3, 100.0), phase(4, 100.0)], &[1, 1]), [(Kind::Time, 7, Some(0.1))]);
        assert_eq!(of(&[phase(3, 100.0), phase(4, 900.0)], &[1, 1]), [(Kind::Time, 7, None)]);
        assert_eq!(of(&[phase(3, 100.0), phase(4, 900.0)], &[0, 1]), [(Kind::Time, 4, Some(0.9))]);
    }

    #[test]
    fn no_experiment_has_no_loops() {
        assert!(parse(&level("SLxExperiment", &[u32("eType", 0)])).is_empty());
    }
}
