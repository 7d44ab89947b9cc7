//! Names of parts of planes: `t002z003_0_1_4ecc4022-10fa-4920-a77a-0dcc8aacd07f_0`.

/// What a name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Uid {
    /// Steps of time, wavelength and focus, from zero.
    pub t: u32,
    pub l: u32,
    pub z: u32,
    /// Which channel.
    pub channel: Box<str>,
    /// Which part of the plane.
    pub part: u32,
}

/// More steps along a dimension are not credible.
const MAX_STEPS: u32 = 1 << 24;

impl Uid {
    /// Reads a name; `None` for one of another kind.
    pub fn parse(name: &str) -> Option<Self> {
        if name.starts_with("REF_") {
            return None;
        }
        let (head, part) = name.rsplit_once('_')?;
        let (head, channel) = head.rsplit_once('_').unwrap_or(("", head));
        let part = part.parse().ok()?;
        let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
        if channel.is_empty() || channel.len() > 64 || !channel.chars().all(hex) {
            return None;
        }
        let (t, l, z) = steps(head)?;
        Some(Uid { t, l, z, channel: channel.into(), part })
    }
}

/// The steps of time, wavelength and focus that a name says, which counts from one.
pub(super) fn steps(name: &str) -> Option<(u32, u32, u32)> {
    let of = |letter: char| {
        let mut rest = name;
        while let Some((_, after)) = rest.split_once(letter) {
            let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if let Some(number) = after.get(..digits).filter(|d| !d.is_empty()) {
                return number.parse::<u32>().ok().filter(|n| *n <= MAX_STEPS).map(|n| n.saturating_sub(1));
            }
            rest = after;
        }
        Some(0)
    };
    Some((of('t')?, of('l')?, of('z')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_where_a_part_belongs() {
        let guid = "4ecc4022-10fa-4920-a77a-0dcc8aacd07f";
        let at = |name: String| Uid::parse(&name).map(|u| (u.t, u.l, u.z, u.part));
        assert_eq!(at(format!("z003_0_1_{guid}_0")), Some((0, 0, 2, 0)));
        assert_eq!(at(format!("t012z003_0_1_{guid}_7")), Some((11, 0, 2, 7)));
        assert_eq!(at(format!("l002z003t004_{guid}_1")), Some((3, 1, 2, 1)));
        assert_eq!(at(format!("{guid}_1")), Some((0, 0, 0, 1)));
        assert_eq!(&*Uid::parse(&format!("_0_1_{guid}_0")).unwrap().channel, guid);
        for bad in [format!("REF_LSM0_{guid}_0"), format!("t99999999999_{guid}_0"), "plain".into(), "a_xyz_0".into()] {
            assert_eq!(Uid::parse(&bad), None, "{bad}");
        }
    }
}
