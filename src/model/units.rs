//! Physical quantities with the units of OME-XML 2016-06.

/// A unit of length or time, by its OME-XML symbol (`UnitsLength`, `UnitsTime` of the 2016-06 schema).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit(pub String);

/// A number with a unit; the unit is absent where the source has none ("pixel", "reference frame").
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// The value, finite and positive.
    pub value: f64,
    /// The unit, if it is a real one.
    pub unit: Option<Unit>,
}

impl Quantity {
    /// A length in micrometres, the OME default.
    pub fn micrometer(value: f64) -> Self {
        Quantity { value, unit: Some(Unit("µm".into())) }
    }

    /// A time in seconds, the OME default.
    pub fn second(value: f64) -> Self {
        Quantity { value, unit: Some(Unit("s".into())) }
    }

    /// `value` if it is finite and positive, else nothing: readers need a positive scale.
    pub fn checked(value: f64, unit: Option<Unit>) -> Option<Self> {
        (value.is_finite() && value > 0.0).then_some(Quantity { value, unit })
    }
}

/// The calibration of a series: pixel size along x, y, z and the time between frames.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs)]
pub struct Physical {
    pub x: Option<Quantity>,
    pub y: Option<Quantity>,
    pub z: Option<Quantity>,
    pub t: Option<Quantity>,
}

/// (OME-XML symbol, NGFF name, factor to metre or second). `None`: NGFF has no such unit and the axis goes without.
const UNITS: &[(&str, Option<&str>, f64)] = &[
    ("Ym", Some("yottameter"), 1e24),
    ("Zm", Some("zettameter"), 1e21),
    ("Em", Some("exameter"), 1e18),
    ("Pm", Some("petameter"), 1e15),
    ("Tm", Some("terameter"), 1e12),
    ("Gm", Some("gigameter"), 1e9),
    ("Mm", Some("megameter"), 1e6),
    ("km", Some("kilometer"), 1e3),
    ("hm", Some("hectometer"), 1e2),
    ("dam", None, 1e1),
    ("m", Some("meter"), 1.0),
    ("dm", Some("decimeter"), 1e-1),
    ("cm", Some("centimeter"), 1e-2),
    ("mm", Some("millimeter"), 1e-3),
    ("µm", Some("micrometer"), 1e-6),
    ("nm", Some("nanometer"), 1e-9),
    ("pm", Some("picometer"), 1e-12),
    ("fm", Some("femtometer"), 1e-15),
    ("am", Some("attometer"), 1e-18),
    ("zm", Some("zeptometer"), 1e-21),
    ("ym", Some("yoctometer"), 1e-24),
    ("Å", Some("angstrom"), 1e-10),
    ("in", Some("inch"), 0.0254),
    ("ft", Some("foot"), 0.3048),
    ("yd", Some("yard"), 0.9144),
    ("mi", Some("mile"), 1609.344),
    ("pc", Some("parsec"), 3.085_677_581_491_367e16),
    ("Ys", Some("yottasecond"), 1e24),
    ("Zs", Some("zettasecond"), 1e21),
    ("Es", Some("exasecond"), 1e18),
    ("Ps", Some("petasecond"), 1e15),
    ("Ts", Some("terasecond"), 1e12),
    ("Gs", None, 1e9),
    ("Ms", Some("megasecond"), 1e6),
    ("ks", Some("kilosecond"), 1e3),
    ("hs", None, 1e2),
    ("das", None, 1e1),
    ("s", Some("second"), 1.0),
    ("ds", Some("decisecond"), 1e-1),
    ("cs", Some("centisecond"), 1e-2),
    ("ms", Some("millisecond"), 1e-3),
    ("µs", Some("microsecond"), 1e-6),
    ("ns", Some("nanosecond"), 1e-9),
    ("ps", Some("picosecond"), 1e-12),
    ("fs", Some("femtosecond"), 1e-15),
    ("as", Some("attosecond"), 1e-18),
    ("zs", Some("zeptosecond"), 1e-21),
    ("ys", Some("yoctosecond"), 1e-24),
    ("min", Some("minute"), 60.0),
    ("h", Some("hour"), 3600.0),
    ("d", Some("day"), 86400.0),
];

impl Unit {
    /// Recognises an OME-XML symbol or an English or NGFF name ("um", "micron", "\u{3bc}m", "micrometer", "sec");
    /// `None` for whatever is not a physical unit ("pixel").
    pub fn parse(text: &str) -> Option<Unit> {
        let text = text.trim().replace('\u{3bc}', "µ").replace("\\u00B5", "µ");
        let symbol = |s: &str| UNITS.iter().any(|(u, _, _)| *u == s).then(|| Unit(s.to_owned()));
        if let Some(unit) = symbol(&text) {
            return Some(unit);
        }
        let lower = text.to_lowercase();
        let known = match lower.as_str() {
            "um" | "micron" | "microns" | "micrometre" | "micrometres" | "micrometers" => "µm",
            "inches" | "inch" => "in",
            "centimetre" => "cm",
            "millimetre" => "mm",
            "nanometre" => "nm",
            "metre" => "m",
            "sec" | "secs" | "seconds" => "s",
            "msec" | "milliseconds" => "ms",
            "us" | "usec" => "µs",
            "minutes" => "min",
            "hours" | "hr" => "h",
            "days" => "d",
            "\u{212b}" | "å" => "Å",
            name => {
                let found = UNITS
                    .iter()
                    .find(|(_, n, _)| *n == Some(name.strip_suffix('s').unwrap_or(name)) || *n == Some(name));
                return found.map(|(s, _, _)| Unit((*s).to_owned()));
            }
        };
        symbol(known)
    }

    /// The NGFF name, if the specification lists one (OME-NGFF 0.5, section "axes").
    pub fn ngff(&self) -> Option<&'static str> {
        UNITS.iter().find(|(s, _, _)| *s == self.0).and_then(|(_, n, _)| *n)
    }

    /// Factor to metre or second.
    pub fn factor(&self) -> f64 {
        UNITS.iter().find(|(s, _, _)| *s == self.0).map_or(1.0, |(_, _, f)| *f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_and_names_meet() {
        for (text, symbol) in [
            ("µm", "µm"),
            ("\u{3bc}m", "µm"),
            ("um", "µm"),
            ("micron", "µm"),
            ("nm", "nm"),
            ("inch", "in"),
            ("Mm", "Mm"),
            ("mm", "mm"),
            ("sec", "s"),
            ("micrometers", "µm"),
        ] {
            assert_eq!(Unit::parse(text).map(|u| u.0), Some(symbol.to_owned()), "{text}");
        }
        assert_eq!(Unit::parse("pixel"), None);
        assert_eq!(Unit::parse("reference frame"), None);
        assert_eq!(Unit::parse("µm").unwrap().ngff(), Some("micrometer"));
    }
}
