//! Dates as instruments count them, in ISO 8601.

/// Days since 30 December 1899 as ISO 8601.
pub(crate) fn from_ole(days: f64) -> Option<String> {
    const TO_UNIX_DAYS: f64 = 25_569.0;
    let seconds = ((days - TO_UNIX_DAYS) * 86_400.0).round();
    (seconds.abs() < 1e11).then(|| iso(seconds as i64))
}

/// A day of the Julian calendar's count with its fraction, in universal time: days begin at noon.
pub(crate) fn from_julian_days(days: f64) -> Option<String> {
    const UNIX: f64 = 2_440_587.5;
    let plausible = (1_721_426.0..5_373_485.0).contains(&days);
    plausible.then(|| iso(((days - UNIX) * 86_400.0).round() as i64))
}

/// Tenths of microseconds since 1601, as Windows counts time in files.
pub(crate) fn from_file_time(ticks: u64) -> Option<String> {
    const UNIX_SECONDS: i64 = 11_644_473_600;
    let seconds = i64::try_from(ticks / 10_000_000).ok()?;
    (ticks > 0).then(|| iso(seconds - UNIX_SECONDS))
}

/// Seconds since 1970 as ISO 8601 (civil calendar, proleptic).
fn iso(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Eras of 400 years, which begin on 1 March of year 0.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let in_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let (date, month) = (in_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Year, month, day and hour, minute, second as ISO 8601, if there is such a time and instruments had clocks.
pub(crate) fn civil([year, month, day]: [u32; 3], [hour, minute, second]: [u32; 3]) -> Option<String> {
    let date = (1900..2200).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    (date && hour < 24 && minute < 60 && second < 61)
        .then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"))
}

/// A Julian day number and milliseconds since midnight.
pub(crate) fn from_julian(day: u32, milliseconds: u32) -> Option<String> {
    /// 1 January 1970.
    const UNIX: i64 = 2_440_588;
    let plausible = (1_721_426..5_373_485).contains(&day) && milliseconds <= 86_400_000;
    plausible.then(|| iso((i64::from(day) - UNIX) * 86_400 + i64::from(milliseconds / 1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_calendar() {
        assert_eq!(iso(0), "1970-01-01T00:00:00");
        assert_eq!(iso(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(iso(-1), "1969-12-31T23:59:59");
        assert_eq!(from_ole(36_526.5).as_deref(), Some("2000-01-01T12:00:00"));
        assert_eq!(from_ole(1e300), None);
        assert_eq!(from_julian(2_454_000, 3_600_500).as_deref(), Some("2006-09-21T01:00:00"));
        assert_eq!(from_julian(0, 0), None);
        assert_eq!(from_julian_days(2_440_588.0).as_deref(), Some("1970-01-01T12:00:00"));
        assert_eq!(from_julian_days(0.0), None);
        assert_eq!(from_file_time(116_444_736_000_000_000).as_deref(), Some("1970-01-01T00:00:00"));
    }
}
