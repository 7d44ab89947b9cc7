//! Values with a form of their own: dates, licences, taxa, imaging methods, people's identifiers.

/// A date, or date and time, of ISO 8601; `None` for anything else. Fractions and time zones stay as they are.
pub fn date(text: &str) -> Option<&str> {
    let (day, time) = match text.split_once(['T', ' ']) {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let mut parts = day.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = digits(parts.next()?, 2)?;
    let number = digits(parts.next()?, 2)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return None,
    };
    if parts.next().is_some() || number == 0 || number > last || year == 0 {
        return None;
    }
    match time {
        Some(time) if text.as_bytes().get(10) != Some(&b'T') || !is_time(time) => None,
        _ => Some(text),
    }
}

fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// `09:30`, `09:30:00`, `09:30:00.5`, each with `Z` or `+01:00`.
fn is_time(time: &str) -> bool {
    let time = match time.strip_suffix('Z') {
        Some(time) => time,
        None => match time.rfind(['+', '-']) {
            Some(at) => {
                let (time, zone) = time.split_at(at);
                let Some((h, m)) = zone.get(1..).and_then(|z| z.split_once(':')) else { return false };
                if digits(h, 2).is_none_or(|h| h > 14) || digits(m, 2).is_none_or(|m| m > 59) {
                    return false;
                }
                time
            }
            None => time,
        },
    };
    let mut parts = time.split(':');
    let (Some(h), Some(m)) = (parts.next(), parts.next()) else { return false };
    let seconds = parts.next().unwrap_or("00");
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    digits(h, 2).is_some_and(|h| h < 24)
        && digits(m, 2).is_some_and(|m| m < 60)
        && digits(whole, 2).is_some_and(|s| s < 60)
        && !fraction.is_empty()
        && fraction.len() <= 9
        && fraction.bytes().all(|b| b.is_ascii_digit())
        && parts.next().is_none()
}

/// An absolute `http` or `https` URL without spaces and quotes.
pub fn url(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let host = rest.split(['/', '?', '#']).next()?;
    let plain = rest.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"<>\"{}|\\^`[]".contains(c));
    (plain && !host.is_empty()).then_some(text)
}

/// Licences that data are given under: short name (as SPDX has it), URL, name, name in full.
const LICENSES: &[(&str, &str, &str, &str)] = &[
    (
        "CC0-1.0",
        "https://creativecommons.org/publicdomain/zero/1.0/",
        "CC0 1.0",
        "Creative Commons Zero 1.0 Universal, no rights reserved",
    ),
    (
        "CC-BY-4.0",
        "https://creativecommons.org/licenses/by/4.0/",
        "CC BY 4.0",
        "Creative Commons Attribution 4.0 International",
    ),
    (
        "CC-BY-SA-4.0",
        "https://creativecommons.org/licenses/by-sa/4.0/",
        "CC BY-SA 4.0",
        "Creative Commons Attribution-ShareAlike 4.0 International",
    ),
    (
        "CC-BY-NC-4.0",
        "https://creativecommons.org/licenses/by-nc/4.0/",
        "CC BY-NC 4.0",
        "Creative Commons Attribution-NonCommercial 4.0 International",
    ),
    (
        "CC-BY-NC-SA-4.0",
        "https://creativecommons.org/licenses/by-nc-sa/4.0/",
        "CC BY-NC-SA 4.0",
        "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International",
    ),
    (
        "CC-BY-ND-4.0",
        "https://creativecommons.org/licenses/by-nd/4.0/",
        "CC BY-ND 4.0",
        "Creative Commons Attribution-NoDerivatives 4.0 International",
    ),
    (
        "CC-BY-NC-ND-4.0",
        "https://creativecommons.org/licenses/by-nc-nd/4.0/",
        "CC BY-NC-ND 4.0",
        "Creative Commons Attribution-NonCommercial-NoDerivatives 4.0 International",
    ),
    (
        "CC-BY-3.0",
        "https://creativecommons.org/licenses/by/3.0/",
        "CC BY 3.0",
        "Creative Commons Attribution 3.0 Unported",
    ),
    ("MIT", "https://opensource.org/licenses/MIT", "MIT", "MIT licence"),
    ("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0", "Apache 2.0", "Apache License 2.0"),
    (
        "PDDL-1.0",
        "https://opendatacommons.org/licenses/pddl/1-0/",
        "PDDL 1.0",
        "Open Data Commons Public Domain Dedication 1.0",
    ),
    (
        "ODbL-1.0",
        "https://opendatacommons.org/licenses/odbl/1-0/",
        "ODbL 1.0",
        "Open Data Commons Open Database License 1.0",
    ),
];

/// The URL of a licence that is given as URL or short name, spelled with spaces or hyphens, in any case.
pub fn license(text: &str) -> Option<&str> {
    let text = text.trim();
    if url(text).is_some() {
        return Some(text);
    }
    let plain = |t: &str| t.to_ascii_uppercase().replace([' ', '_'], "-");
    let wanted = plain(text);
    LICENSES
        .iter()
        .find(|(short, ..)| plain(short) == wanted || (*short == "CC0-1.0" && wanted == "CC0"))
        .map(|(_, url, ..)| *url)
}

/// Name and name in full of the licence at a URL, whether `http` or `https`, with or without the last slash.
pub fn license_names(url: &str) -> Option<(&'static str, &'static str)> {
    let plain =
        |u: &str| u.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let wanted = plain(url);
    LICENSES.iter().find(|(_, url, ..)| plain(url) == wanted).map(|(_, _, name, full)| (*name, *full))
}

/// The number of a taxon of NCBI.
pub fn taxon(text: &str) -> Option<u64> {
    let number = [
        "NCBI:txid",
        "NCBITaxon_",
        "NCBITaxon:",
        "txid",
        "obo:NCBITaxon_",
        "http://purl.obolibrary.org/obo/NCBITaxon_",
    ]
    .iter()
    .find_map(|prefix| text.strip_prefix(prefix))
    .unwrap_or(text);
    (number.len() <= 10 && number.bytes().all(|b| b.is_ascii_digit()))
        .then(|| number.parse().ok())
        .flatten()
        .filter(|n| *n > 0)
}

/// A term of FBbi as `FBbi_00000252`.
pub fn method(text: &str) -> Option<String> {
    let number = ["FBbi_", "FBbi:", "FBBI_", "FBBI:", "obo:FBbi_", "http://purl.obolibrary.org/obo/FBbi_"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))?;
    (number.len() == 8 && number.bytes().all(|b| b.is_ascii_digit())).then(|| format!("FBbi_{number}"))
}

/// An ORCID as `0000-0002-1825-0097`, its check character looked at (ISO 7064 mod 11-2).
pub fn orcid(text: &str) -> Option<&str> {
    let id = ["https://orcid.org/", "http://orcid.org/"].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text);
    let bytes = id.as_bytes();
    if bytes.len() != 19 || [4, 9, 14].iter().any(|at| bytes[*at] != b'-') {
        return None;
    }
    let mut characters = bytes.iter().filter(|b| **b != b'-');
    let mut sum = 0u32;
    for digit in characters.by_ref().take(15) {
        sum = (sum + char::from(*digit).to_digit(10)?) * 2 % 11;
    }
    let wanted = match (12 - sum) % 11 {
        10 => 'X',
        n => char::from_digit(n, 10)?,
    };
    (characters.next().map(|b| char::from(*b)) == Some(wanted)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for good in
            ["2026-11-20", "2024-02-29", "2026-11-03T09:30:00+01:00", "2026-11-03T09:30Z", "2026-11-03T09:30:00.123"]
        {
            assert_eq!(date(good), Some(good));
        }
        for bad in [
            "2026",
            "2026-13-01",
            "2023-02-29",
            "20.11.2026",
            "2026-11-03T25:00",
            "2026-11-03 09:30",
            "2026-11-03T",
            "é026-11-03",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn licences_are_urls_or_known_names() {
        assert_eq!(license("CC BY 4.0"), Some("https://creativecommons.org/licenses/by/4.0/"));
        assert_eq!(license("cc0"), Some("https://creativecommons.org/publicdomain/zero/1.0/"));
        assert_eq!(license("https://example.org/own"), Some("https://example.org/own"));
        assert_eq!(license("all rights reserved"), None);
        assert_eq!(license("https:// x"), None);
        assert_eq!(license_names("http://creativecommons.org/licenses/by/4.0").map(|n| n.0), Some("CC BY 4.0"));
    }

    #[test]
    fn identifiers() {
        assert_eq!(
            (taxon("9606"), taxon("NCBI:txid10090"), taxon("human"), taxon("0")),
            (Some(9606), Some(10090), None, None)
        );
        assert_eq!(method("FBbi:00000252").as_deref(), Some("FBbi_00000252"));
        assert_eq!((method("confocal"), method("FBbi_252")), (None, None));
        assert_eq!(orcid("https://orcid.org/0000-0002-1825-0097"), Some("0000-0002-1825-0097"));
        assert_eq!(orcid("0000-0002-1694-233X"), Some("0000-0002-1694-233X"));
        assert_eq!((orcid("0000-0002-1825-0098"), orcid("0000-0002-1825-009é")), (None, None));
    }
}
