//! A series as the model has it: what the subblocks show, with what the metadata say of it.

use super::directory::LETTERS;
use super::metadata::{ChannelFacts, Facts};
use super::scenes::{ChannelAt, Plan};
use crate::model::{Channel, Dtype, Reduction, Rgb, Role, Series};

/// Dimensions that multiply into the channels, in the order of [`ChannelAt::extra`].
const EXTRA_NAMES: [(u8, &str); 5] =
    [(b'H', "phase"), (b'I', "illumination"), (b'R', "rotation"), (b'V', "view"), (b'B', "block")];

/// Samples of colours.
const SAMPLES: [(&str, Rgb); 4] =
    [("R", Rgb(255, 0, 0)), ("G", Rgb(0, 255, 0)), ("B", Rgb(0, 0, 255)), ("A", Rgb(255, 255, 255))];

/// The series of a plan; `stored` are the numbers of all channels in the file.
pub(super) fn series(plan: &Plan, facts: &Facts, stored: &[i32]) -> Series {
    let of = |at: &ChannelAt| {
        let rank = stored.iter().position(|c| *c == at.c).unwrap_or(0);
        facts.channel(at.c, rank, stored.len())
    };
    let whole = 8 * plan.pixel.dtype.size() as u32;
    let bits = plan.channels.iter().filter_map(|at| of(at).bits).max();
    let channels = plan.channels.iter().flat_map(|at| samples(plan, at, &of(at))).collect();
    Series {
        name: plan.scene.and_then(|s| facts.scenes.get(&s)).cloned().unwrap_or_default(),
        role: Role::Image,
        dtype: plan.pixel.dtype,
        significant_bits: bits.filter(|b| *b <= whole && plan.pixel.dtype.is_integer()).unwrap_or(whole),
        samples: plan.pixel.samples as u64,
        rgb: plan.pixel.samples >= 3,
        levels: plan.levels.iter().map(|l| l.shape).collect(),
        channels,
        physical: facts.physical.clone(),
        reduction: Reduction::Mean,
        colormap: None,
        acquired: facts.acquired.clone(),
        description: facts.description.clone(),
        objective: facts.objective.clone(),
    }
}

/// The channels that one of the file is shown as.
fn samples(plan: &Plan, at: &ChannelAt, facts: &ChannelFacts) -> Vec<Channel> {
    let name = joined(plan, at, facts.name.as_deref());
    let most = match plan.pixel.dtype {
        Dtype::U8 => Some(255.0),
        Dtype::U16 => Some(65535.0),
        _ => None,
    };
    let one = Channel {
        name,
        color: facts.color,
        window: facts.window.zip(most).map(|((low, high), most)| (low * most, high * most)),
        emission_nm: facts.emission_nm,
        excitation_nm: facts.excitation_nm,
        fluor: facts.fluor.clone(),
    };
    colors(plan.pixel.samples as u64, &one)
}

/// One channel for each sample of a pixel.
pub(super) fn colors(samples: u64, one: &Channel) -> Vec<Channel> {
    if samples < 3 {
        return vec![one.clone()];
    }
    let sample = |(letter, color): &(&str, Rgb)| {
        let name = one.name.as_ref().map_or((*letter).to_owned(), |name| format!("{name} {letter}"));
        Channel { name: Some(name), color: Some(*color), ..one.clone() }
    };
    SAMPLES.iter().take(samples as usize).map(sample).collect()
}

/// The channel's name with its place along the dimensions that multiply into it.
fn joined(plan: &Plan, at: &ChannelAt, name: Option<&str>) -> Option<String> {
    let several = |i: &usize| plan.channels.iter().any(|other| other.extra[*i] != at.extra[*i]);
    let extra = (0..EXTRA_NAMES.len()).filter(several).map(|i| format!("{} {}", EXTRA_NAMES[i].1, at.extra[i]));
    let parts: Vec<String> = name.map(str::to_owned).into_iter().chain(extra).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

const _: () = {
    // The names stand in the order of the letters.
    let mut i = 0;
    while i < EXTRA_NAMES.len() {
        assert!(EXTRA_NAMES[i].0 == LETTERS[LETTERS.len() - EXTRA_NAMES.len() + i]);
        i += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::czi::pixels::PixelType;

    #[test]
    fn names_are_joined_where_there_are_several() {
        let at = |c, h, v| ChannelAt { c, extra: [h, 0, 0, v, 7] };
        let channels = vec![at(0, 0, 0), at(0, 1, 0), at(2, 0, 0), at(2, 1, 0)];
        let plan = Plan::new(None, PixelType::new(1).unwrap(), channels);
        let named = |name: &str| ChannelFacts { name: Some(name.into()), ..ChannelFacts::default() };
        let facts = Facts { channels: vec![named("DAPI"), named("GFP")], ..Facts::default() };
        let names: Vec<_> = series(&plan, &facts, &[0, 2]).channels.into_iter().filter_map(|c| c.name).collect();
        assert_eq!(names, ["DAPI phase 0", "DAPI phase 1", "GFP phase 0", "GFP phase 1"]);
    }

    #[test]
    fn colours_are_channels_of_their_own() {
        let channels = vec![ChannelAt { c: 0, extra: [0; 5] }];
        let plan = Plan::new(Some(3), PixelType::new(4).unwrap(), channels);
        let channel = ChannelFacts { bits: Some(14), window: Some((0.0, 0.2)), ..ChannelFacts::default() };
        let scenes = [(3, "B5".to_owned())].into();
        let one = series(&plan, &Facts { channels: vec![channel], scenes, ..Facts::default() }, &[0]);
        let names: Vec<_> = one.channels.iter().filter_map(|c| c.name.as_deref()).collect();
        assert_eq!((names, one.rgb, one.samples, one.significant_bits), (vec!["R", "G", "B"], true, 3, 14));
        assert_eq!((one.name.as_str(), one.channels[0].window), ("B5", Some((0.0, 13107.0))));
    }
}
