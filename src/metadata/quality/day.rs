//! Days of the calendar, as quality control counts them.

use std::fmt;

/// A day, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    /// The day at the start of `2026-11-03T09:30:00+01:00`, `2026-11-03`; the first of what `2026-11` or `2026` names. The time of
    /// day and its zone are left out: an acquisition date in OME-XML has no zone.
    pub fn parse(text: &str) -> Option<Day> {
        let date = text.trim().split(['T', ' ']).next()?;
        let mut parts = date.split('-');
        let mut number = |digits: usize, range: std::ops::RangeInclusive<i64>| match parts.next() {
            None => Some(None),
            Some(p) if p.len() == digits && p.bytes().all(|b| b.is_ascii_digit()) => {
                p.parse().ok().filter(|n| range.contains(n)).map(Some)
            }
            Some(_) => None,
        };
        let year = number(4, 1..=9999)??;
        let (month, day) = (number(2, 1..=12)?, number(2, 1..=31)?);
        let (month, day) = (month.unwrap_or(1), day.unwrap_or(1));
        if parts.next().is_some() || day > days_in(year, month) {
            return None;
        }
        // Years that begin in March have their odd day at the end (days from civil, as in the proleptic Gregorian calendar).
        let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        Some(Day(365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468))
    }

    /// Days from another to this.
    pub fn since(self, other: Day) -> i64 {
        self.0 - other.0
    }
}

impl fmt::Display for Day {
    /// `2026-11-03`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0 + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let m = (5 * of_year + 2) / 153;
        let day = of_year - (153 * m + 2) / 5 + 1;
        let (month, carry) = if m < 10 { (m + 3, 0) } else { (m - 9, 1) };
        write!(f, "{:04}-{month:02}-{day:02}", era * 400 + year + carry)
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_1970() {
        let day = |text| Day::parse(text).map(|d| d.0);
        assert_eq!((day("1970-01-01"), day("1969-12-31"), day("2000-03-01")), (Some(0), Some(-1), Some(11_017)));
        assert_eq!(
            (day("2026-11-03T09:30:00+01:00"), day("2026-11"), day("2026")),
            (Some(20_760), Some(20_758), Some(20_454))
        );
        let (acquired, measured) = (Day::parse("2010-02-23T12:51:30").unwrap(), Day::parse("2026-11-03").unwrap());
        assert_eq!(acquired.since(measured), -6097);
        for bad in [
            "",
            "2026-13-01",
            "2026-02-29",
            "26-1-1",
            "2026-01-01-01",
            "yesterday",
            "2026-1-1",
            "-2026-01-01",
            "２０２６",
        ] {
            assert_eq!(day(bad), None, "{bad}");
        }
        for text in ["1970-01-01", "2024-02-29", "2024-12-31", "2026-11-03", "0001-01-01", "9999-12-31", "2000-03-01"] {
            assert_eq!(Day::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(day("2024-02-29").unwrap() + 1, day("2024-03-01").unwrap());
    }
}
