//! Moments as the API writes them: UTC, ISO 8601, milliseconds. They double as app versions.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chapada_model::Wall;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MS_PER_DAY: u64 = 86_400_000;
/// The first instant of the year 10000; ISO 8601 as clients read it has four digits for the year.
const END: u64 = 253_402_300_800_000;

/// Milliseconds since 1970-01-01T00:00:00Z, written `2015-01-08T15:06:07.123Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A text that is no timestamp of the form `2015-01-08T15:06:07.123Z`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a timestamp such as 2015-01-08T15:06:07.123Z")]
pub struct InvalidTimestamp(String);

impl Timestamp {
    /// Milliseconds since the epoch; later than the year 9999 is cut to its end.
    pub fn from_millis(millis: u64) -> Self {
        Self(millis.min(END - 1))
    }

    /// Milliseconds since the epoch.
    pub fn millis(self) -> u64 {
        self.0
    }

    /// The moment one millisecond after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self::from_millis(self.0 + 1)
    }

    /// The moment so much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from an earlier moment to this one; none if that one is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<Wall> for Timestamp {
    fn from(wall: Wall) -> Self {
        Self::from_millis(wall.as_millis())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0 / MS_PER_DAY);
        let ms = self.0 % MS_PER_DAY;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            ms / 3_600_000,
            ms / 60_000 % 60,
            ms / 1_000 % 60,
            ms % 1_000
        )
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        parse(text).ok_or_else(|| InvalidTimestamp(text.to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    exact(text).or_else(|| lenient(text))
}

/// As it is written here: very many are read at a start.
fn exact(text: &str) -> Option<Timestamp> {
    let text: &[u8; 24] = text.as_bytes().try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if marks.iter().any(|(at, mark)| text[*at] != *mark) {
        return None;
    }
    let number = |digits: &[u8]| {
        digits
            .iter()
            .try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
    };
    let date = [number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?];
    let clock = [number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?];
    moment(date, clock, number(&text[20..23])?)
}

/// As clients may write it, with more digits of a second or none.
fn lenient(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let digits = fraction.get(..fraction.len().min(3))?;
    let scale = 10u64.pow(3 - u32::try_from(digits.len()).ok()?);
    moment(numbers(date, '-')?, numbers(clock, ':')?, digits.parse::<u64>().ok()? * scale)
}

fn moment([year, month, day]: [u64; 3], [hour, minute, second]: [u64; 3], millis: u64) -> Option<Timestamp> {
    let valid =
        (1970..=9999).contains(&year) && (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 60;
    if !valid || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    (civil_from_days(days) == (year, month, day)).then_some(())?;
    Some(Timestamp::from_millis(
        days * MS_PER_DAY + hour * 3_600_000 + minute * 60_000 + second * 1_000 + millis,
    ))
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse::<u64>().ok());
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

/// The date of a day counted from 1970-01-01, in the proleptic Gregorian calendar. Years are counted from March, so
/// that a leap day is the last day of a year.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let calendar_month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + u64::from(calendar_month <= 2), calendar_month, day)
}

fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_iso_8601_with_milliseconds() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_420_729_567_123, "2015-01-08T15:06:07.123Z"),
            (END - 1, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp::from_millis(millis)));
        }
        assert_eq!("2015-01-08T15:06:07.1234Z".parse(), Ok(Timestamp::from_millis(1_420_729_567_123)));
        assert_eq!("2015-01-08T15:06:07Z".parse(), Ok(Timestamp::from_millis(1_420_729_567_000)));
    }

    #[test]
    fn refuses_what_is_no_moment() {
        for text in [
            "",
            "today",
            "2015-02-30T00:00:00.000Z",
            "2015-01-01T24:00:00.000Z",
            "2015-01-01",
            "2015-01-08T15:06:07.12:Z",
            "2015-01-08T15:06-07.123Z",
            "2015-01-08 15:06:07.123Z",
            "1-1-1T1:1:1.é1Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
