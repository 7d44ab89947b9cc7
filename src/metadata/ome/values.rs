//! Values of the schema's types: what is valid, and what can be made so without changing its meaning.

use std::borrow::Cow;

use super::schema::Type;
use crate::model::Unit;

/// The value as the schema wants it; `None` if it cannot be said there.
pub(super) fn fitted(text: &str, kind: Type) -> Option<Cow<'_, str>> {
    let trimmed = text.trim();
    let as_is = |ok: bool| ok.then_some(Cow::Borrowed(trimmed));
    match kind {
        Type::String => Some(clean(text)),
        Type::Float => number(trimmed, |_| true),
        Type::PositiveFloat => number(trimmed, |v| v > 0.0),
        Type::NonNegativeFloat => number(trimmed, |v| v >= 0.0),
        Type::Fraction => number(trimmed, |v| (0.0..=1.0).contains(&v)),
        Type::Double => decimal(trimmed).map(|_| Cow::Borrowed(trimmed)),
        Type::Int(least) => whole(trimmed, i64::from(least), i64::from(i32::MAX)),
        Type::Long(least) => whole(trimmed, least, i64::MAX),
        Type::Boolean => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(Cow::Borrowed("true")),
            "false" | "0" => Some(Cow::Borrowed("false")),
            _ => None,
        },
        Type::DateTime => date_time(trimmed),
        Type::Uri => as_is(is_uri(trimmed)),
        Type::Uuid => as_is(is_uuid(trimmed)),
        Type::Hex40 => as_is(trimmed.len() == 40 && trimmed.bytes().all(|b| b.is_ascii_hexdigit())),
        Type::Base64 => {
            as_is(trimmed.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b) || b.is_ascii_whitespace()))
        }
        Type::Id(class) | Type::Ref(class) => as_is(is_id(trimmed, class)),
        Type::OneOf(all) => one_of(trimmed, all),
        Type::ListOf(all) => {
            let known: Vec<_> = trimmed.split_whitespace().filter_map(|t| one_of(t, all)).collect();
            (!known.is_empty()).then(|| Cow::Owned(known.join(" ")))
        }
    }
}

/// Text without the characters that XML 1.0 has no way to write.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_xml) { Cow::Borrowed(text) } else { text.chars().filter(|c| is_xml(*c)).collect() }
}

/// Characters that XML 1.0 allows (production `Char`).
pub(super) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

/// A number as XML Schema writes them: the words for infinity and its like are none.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    text.parse::<f64>().ok().filter(|v| plain && v.is_finite())
}

/// A number that stays finite, and apart from zero, in 32 bits.
fn number(text: &str, holds: impl Fn(f64) -> bool) -> Option<Cow<'_, str>> {
    let value = decimal(text)?;
    let single = value as f32;
    let fits = single.is_finite() && (single == 0.0) == (value == 0.0);
    if !fits || !holds(value) {
        return None;
    }
    // Not every reader takes "1." and ".5" for numbers.
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let whole = bytes.iter().position(|b| *b == b'.').is_none_or(|at| digit(at.checked_sub(1)) && digit(Some(at + 1)));
    Some(if whole { Cow::Borrowed(text) } else { Cow::Owned(value.to_string()) })
}

/// A reference to a resource (RFC 3986), without the escapes and brackets that few writers get right.
fn is_uri(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"{}|\\^`%[]".contains(&b));
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = first.split_once(':').map(|(scheme, _)| scheme);
    let known = scheme.is_none_or(|s| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    let rest = text.split_once(':').filter(|_| scheme.is_some()).map_or(text, |(_, rest)| rest);
    let host = rest.strip_prefix("//").map(|r| r.split(['/', '?', '#']).next().unwrap_or_default());
    let named = host.is_none_or(|h| {
        let (name, port) = h.rsplit_once(':').unwrap_or((h, ""));
        port.bytes().all(|b| b.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~@".contains(&b))
    });
    plain && known && named && text.matches('#').count() <= 1
}

/// A whole number; old writers put `60.0` where later releases want one.
fn whole(text: &str, least: i64, most: i64) -> Option<Cow<'_, str>> {
    let allowed = |v: &i64| (least..=most).contains(v);
    if let Ok(value) = text.parse::<i64>() {
        return allowed(&value).then_some(Cow::Borrowed(text));
    }
    let value = decimal(text).filter(|v| v.fract() == 0.0 && v.abs() < 9e15)?;
    Some(value as i64).filter(allowed).map(|v| Cow::Owned(v.to_string()))
}

/// A value of an enumeration. Case, hyphens and blanks differ between releases and writers; the micro sign has two forms.
fn one_of<'a>(text: &'a str, all: &'static str) -> Option<Cow<'a, str>> {
    let same =
        |v: &str| v.len() == text.len() && v.bytes().zip(text.bytes()).all(|(a, b)| a == b || a == b'_' && b == b' ');
    if all.split('|').any(same) {
        return Some(Cow::Borrowed(text));
    }
    let bare = |t: &str| t.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let wanted = bare(text);
    // Units differ by case alone ("Mm", "mm"): only names of units stand for them.
    if all.split('|').any(|v| v == "µm" || v == "µs") {
        let unit = Unit::parse(text).filter(|u| all.split('|').any(|v| v == u.0));
        return unit.map(|u| Cow::Owned(u.0));
    }
    if all.starts_with('Y') {
        let micro = text.replace('\u{3bc}', "µ");
        return all.split('|').any(|v| v == micro).then_some(Cow::Owned(micro));
    }
    let found = all.split('|').find(|v| bare(v) == wanted).or_else(|| {
        let known = wanted == "unknown" || !wanted.is_empty();
        all.split('|').find(|v| known && *v == "Other")
    });
    found.map(|v| Cow::Owned(v.replace('_', " ")))
}

/// Did a value lose its meaning when it was fitted?
pub(super) fn is_coarser(text: &str, fitted: &str) -> bool {
    fitted == "Other" && !["other", "unknown"].contains(&text.trim().to_ascii_lowercase().as_str())
}

fn is_uuid(text: &str) -> bool {
    text.strip_prefix("urn:uuid:").is_some_and(|rest| {
        let lengths: Vec<usize> = rest.split('-').map(str::len).collect();
        lengths == [8, 4, 4, 4, 12] && rest.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
    })
}

/// `Detector:0`, or `urn:lsid:example.org:Detector:0`.
fn is_id(text: &str, class: &str) -> bool {
    let graphic = |t: &str| !t.is_empty() && t.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let local = |t: &str| t.strip_prefix(class).and_then(|t| t.strip_prefix(':')).is_some_and(graphic);
    let Some(rest) = text.strip_prefix("urn:lsid:") else { return local(text) };
    let Some((authority, rest)) = rest.split_once(':') else { return false };
    let label = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    authority.contains('.') && authority.split('.').all(label) && local(rest)
}

/// A date with a time; a blank in place of the `T` is mended, a date alone gets no invented time.
fn date_time(text: &str) -> Option<Cow<'_, str>> {
    if is_date_time(text) {
        return Some(Cow::Borrowed(text));
    }
    let joined = text.replacen(' ', "T", 1);
    is_date_time(&joined).then_some(Cow::Owned(joined))
}

/// Is this an `xsd:dateTime`? A date that is not would make the whole document invalid.
pub(super) fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let number = |t: &str, digits: usize| -> Option<u32> {
        (t.len() == digits && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse().ok()).flatten()
    };
    let mut parts = date.split('-');
    let (Some(y), Some(m), Some(d), None) = (
        parts.next().and_then(|t| number(t, 4)),
        parts.next().and_then(|t| number(t, 2)),
        parts.next().and_then(|t| number(t, 2)),
        parts.next(),
    ) else {
        return false;
    };
    let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let days = match m {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    if y == 0 || d == 0 || d > days {
        return false;
    }
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(c, f)| (c, Some(f)));
    let hms: Vec<Option<u32>> = clock.split(':').map(|t| number(t, 2)).collect();
    let clock_ok = matches!(hms[..], [Some(0..=23), Some(0..=59), Some(0..=59)]);
    let fraction_ok = fraction.is_none_or(|f| !f.is_empty() && f.bytes().all(|b| b.is_ascii_digit()));
    let zone_ok = zone.is_empty() || zone == "Z" || {
        let parts: Vec<Option<u32>> = zone[1..].split(':').map(|t| number(t, 2)).collect();
        matches!(parts[..], [Some(0..=13), Some(0..=59)] | [Some(14), Some(0)])
    };
    clock_ok && fraction_ok && zone_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_dates_are_written() {
        for good in ["2010-02-23T12:51:30", "2024-02-29T00:00:00.123Z", "2010-02-23T12:51:30+01:00"] {
            assert!(is_date_time(good), "{good}");
        }
        for bad in
            ["", "2010", "2010-02-30T00:00:00", "2010-2-3T00:00:00", "2010-02-23 12:51:30", "2010-02-23T24:51:30", "T"]
        {
            assert!(!is_date_time(bad), "{bad}");
        }
    }

    #[test]
    fn values_are_mended_where_their_meaning_is_clear() {
        let length = Type::OneOf("m|mm|Mm|µm|nm|pixel|reference_frame");
        for (text, kind, wanted) in [
            ("\u{3bc}m", length, Some("µm")),
            ("um", length, Some("µm")),
            ("reference frame", length, Some("reference frame")),
            ("MM", length, None),
            ("EM-CCD", Type::OneOf("CCD|EMCCD|Other"), Some("EMCCD")),
            ("Unknown", Type::OneOf("CCD|EMCCD|Other"), Some("Other")),
            ("Unknown", Type::OneOf("1x1|2x2"), None),
            ("60.0", Type::Int(1), Some("60")),
            ("60.5", Type::Int(1), None),
            ("4294967295", Type::Int(i32::MIN), None),
            ("1e39", Type::Float, None),
            ("NaN", Type::Float, None),
            ("0.0", Type::PositiveFloat, None),
            ("1.2", Type::Fraction, None),
            ("True", Type::Boolean, Some("true")),
            ("2010-02-23 12:51:30", Type::DateTime, Some("2010-02-23T12:51:30")),
            ("2010-02-23", Type::DateTime, None),
            ("Detector:0", Type::Id("Detector"), Some("Detector:0")),
            ("urn:lsid:foo.org:Detector:0", Type::Id("Detector"), Some("urn:lsid:foo.org:Detector:0")),
            ("Filter:0", Type::Id("Detector"), None),
            ("a b", Type::Uri, None),
            ("http://host:port/x", Type::Uri, None),
            ("1:2", Type::Uri, None),
            ("openmicroscopy.org/OriginalMetadata", Type::Uri, Some("openmicroscopy.org/OriginalMetadata")),
            ("http://a.org:80/b?c#d", Type::Uri, Some("http://a.org:80/b?c#d")),
            (".5", Type::Float, Some("0.5")),
            ("-1.e2", Type::Float, Some("-100")),
            ("1.0E-5", Type::Float, Some("1.0E-5")),
            ("FRAP Nonsense", Type::ListOf("FRAP|FLIP"), Some("FRAP")),
        ] {
            assert_eq!(fitted(text, kind).as_deref(), wanted, "{text} as {kind:?}");
        }
        assert!(is_coarser("Ultra", "Other") && !is_coarser("unknown", "Other"));
    }
}
