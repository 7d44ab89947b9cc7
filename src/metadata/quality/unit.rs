//! Units of quality-control values, and their conversion.

/// A unit: what it measures, its power of ten and a further factor.
type Unit = (&'static str, i32, f64);

/// Units by the names that people write; what has no entry is converted into nothing but itself.
const UNITS: &[(&[&str], Unit)] = &[
    (&["pm"], ("length", -12, 1.0)),
    (&["nm", "nanometer", "nanometre"], ("length", -9, 1.0)),
    (&["um", "µm", "μm", "micron", "micrometer", "micrometre"], ("length", -6, 1.0)),
    (&["mm", "millimeter", "millimetre"], ("length", -3, 1.0)),
    (&["cm"], ("length", -2, 1.0)),
    (&["m", "meter", "metre"], ("length", 0, 1.0)),
    (&["nW"], ("power", -9, 1.0)),
    (&["uW", "µW", "μW"], ("power", -6, 1.0)),
    (&["mW"], ("power", -3, 1.0)),
    (&["W"], ("power", 0, 1.0)),
    (&["mW/um2", "mW/µm2", "mW/μm2", "mW/µm²", "mW/um^2"], ("irradiance", 9, 1.0)),
    (&["uW/um2", "µW/µm2", "μW/μm2", "µW/µm²", "uW/um^2", "W/mm2", "W/mm²", "W/mm^2"], ("irradiance", 6, 1.0)),
    (&["mW/mm2", "mW/mm²", "mW/mm^2"], ("irradiance", 3, 1.0)),
    (&["kW/cm2", "kW/cm²", "kW/cm^2"], ("irradiance", 7, 1.0)),
    (&["W/cm2", "W/cm²", "W/cm^2"], ("irradiance", 4, 1.0)),
    (&["mW/cm2", "mW/cm²", "mW/cm^2"], ("irradiance", 1, 1.0)),
    (&["W/m2", "W/m²", "W/m^2"], ("irradiance", 0, 1.0)),
    (&["%", "percent"], ("ratio", -2, 1.0)),
    (&["1", "ratio", "dimensionless"], ("ratio", 0, 1.0)),
    (&["ms"], ("time", -3, 1.0)),
    (&["s", "sec", "second"], ("time", 0, 1.0)),
    (&["min", "minute"], ("time", 0, 60.0)),
    (&["h", "hour"], ("time", 0, 3600.0)),
    (&["nm/s"], ("speed", -9, 1.0)),
    (&["nm/min"], ("speed", -9, 1.0 / 60.0)),
    (&["nm/h"], ("speed", -9, 1.0 / 3600.0)),
    (&["um/s", "µm/s", "μm/s"], ("speed", -6, 1.0)),
    (&["um/min", "µm/min", "μm/min"], ("speed", -6, 1.0 / 60.0)),
    (&["um/h", "µm/h", "μm/h"], ("speed", -6, 1.0 / 3600.0)),
    (&["e-", "e", "electron", "electrons"], ("charge", 0, 1.0)),
    (&["ke-"], ("charge", 3, 1.0)),
    (&["e- rms", "e- RMS", "e-rms"], ("noise", 0, 1.0)),
    (&["e-/pixel/s", "e-/px/s", "e-/pixel/sec"], ("dark current", 0, 1.0)),
    (&["pixel", "pixels", "px"], ("pixel", 0, 1.0)),
];

fn unit(name: &str) -> Option<Unit> {
    UNITS.iter().find(|(names, _)| names.contains(&name)).map(|(_, unit)| *unit)
}

/// How a value in one unit becomes one in another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Conversion {
    power: i32,
    factor: f64,
}

impl Conversion {
    /// From one unit to another; none if they do not measure the same.
    pub fn between(from: &str, to: &str) -> Option<Conversion> {
        let (from, to) = (from.trim(), to.trim());
        if from == to {
            return Some(Conversion { power: 0, factor: 1.0 });
        }
        let ((of, from, a), (other, to, b)) = (unit(from)?, unit(to)?);
        (of == other).then(|| Conversion { power: from - to, factor: a / b })
    }

    /// Whether values stay as they are.
    pub fn is_none(self) -> bool {
        self == Conversion { power: 0, factor: 1.0 }
    }

    /// The value in the other unit. Powers of ten are moved in decimal: 221 nm are 0.221 um, not 0.22100000000000003.
    pub fn apply(self, value: f64) -> f64 {
        let value = value * self.factor;
        let text = format!("{value:e}");
        let moved = text.split_once('e').and_then(|(digits, exponent)| {
            let exponent = exponent.parse::<i32>().ok()?.checked_add(self.power)?;
            format!("{digits}e{exponent}").parse().ok()
        });
        moved.unwrap_or(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_those_of_the_other_unit() {
        let convert = |value, from, to| Conversion::between(from, to).map(|c| c.apply(value));
        assert_eq!(convert(221.0, "nm", "um"), Some(0.221));
        assert_eq!(convert(0.064, "µm", "nm"), Some(64.0));
        assert_eq!(convert(1.42, "W", "mW"), Some(1420.0));
        assert_eq!(convert(0.991, "1", "%"), Some(99.1));
        assert_eq!(convert(2.0, "min", "s"), Some(120.0));
        assert_eq!(convert(120.0, "nm/min", "um/min"), Some(0.12));
        assert_eq!(convert(3.5, "W/cm2", "mW/um2"), Some(0.000_035));
        assert_eq!(convert(7.0, "furlong", "furlong"), Some(7.0));
        assert_eq!((convert(1.0, "nm", "mW"), convert(1.0, "furlong", "um")), (None, None));
        assert_eq!(convert(0.0, "nm", "um"), Some(0.0));
        assert!(Conversion::between("um", "µm").unwrap().is_none());
    }
}
