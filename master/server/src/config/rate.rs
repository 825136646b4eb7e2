//! How many agents may be given up within some time, as Mesos writes it: `1/10mins`; or as a share: `5%/10mins`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chapada_master_core::{Brake, RateLimit};

/// `--agent-removal-rate-limit`: so many within so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemovalRate(pub(crate) RateLimit);

/// `--agent-removal-brake`: a share of all agents within so long, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemovalBrake(pub(crate) Option<Brake>);

/// A rate that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no {what}")]
pub struct InvalidRate {
    text: String,
    what: &'static str,
}

/// `N/duration`; nothing of it may be zero.
fn parts(text: &str) -> Option<(usize, Duration)> {
    let (count, window) = text.split_once('/')?;
    let count = count.trim().parse().ok().filter(|count| *count > 0)?;
    let window = humantime::parse_duration(window.trim()).ok().filter(|window| !window.is_zero())?;
    Some((count, window))
}

impl FromStr for RemovalRate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let rate = parts(text).map(|(count, window)| Self(RateLimit { count, window }));
        rate.ok_or_else(|| InvalidRate { text: text.to_owned(), what: "rate such as 1/10mins" })
    }
}

impl FromStr for RemovalBrake {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        if text == "off" {
            return Ok(Self(None));
        }
        let plain = text.replacen('%', "", 1);
        let brake = parts(&plain).filter(|(percent, _)| text.contains('%') && *percent <= 100);
        let brake = brake.map(|(percent, window)| Self(Some(Brake { percent, window, ..Brake::default() })));
        brake.ok_or_else(|| InvalidRate { text: text.to_owned(), what: "share such as 5%/10mins, nor off" })
    }
}

impl Default for RemovalBrake {
    fn default() -> Self {
        Self(Some(Brake::default()))
    }
}

impl fmt::Display for RemovalRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.count, humantime::format_duration(self.0.window))
    }
}

impl fmt::Display for RemovalBrake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(brake) => write!(f, "{}%/{}", brake.percent, humantime::format_duration(brake.window)),
            None => f.write_str("off"),
        }
    }
}

impl TryFrom<String> for RemovalRate {
    type Error = InvalidRate;
    fn try_from(text: String) -> Result<Self, InvalidRate> {
        text.parse()
    }
}

impl TryFrom<String> for RemovalBrake {
    type Error = InvalidRate;
    fn try_from(text: String) -> Result<Self, InvalidRate> {
        text.parse()
    }
}

impl From<RemovalRate> for String {
    fn from(rate: RemovalRate) -> Self {
        rate.to_string()
    }
}

impl From<RemovalBrake> for String {
    fn from(brake: RemovalBrake) -> Self {
        brake.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_written_or_refused() {
        for text in ["1/10m", "20/3h"] {
            assert_eq!(text.parse::<RemovalRate>().map(|rate| rate.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("2/3hrs".parse::<RemovalRate>().map(|rate| rate.to_string()), Ok("2/3h".to_owned()));
        for text in ["5%/10m", "off", "100%/1h"] {
            assert_eq!(text.parse::<RemovalBrake>().map(|brake| brake.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(RemovalBrake::default().to_string(), "5%/10m");
        for text in ["", "1", "0/1h", "1/0s", "-1/1h", "1/never"] {
            assert!(text.parse::<RemovalRate>().is_err(), "{text}");
        }
        for text in ["5/10m", "0%/10m", "101%/10m", "%/1m"] {
            assert!(text.parse::<RemovalBrake>().is_err(), "{text}");
        }
    }
}
