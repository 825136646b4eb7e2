//! Devices of the machine that containers may use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AllowedDevice {
    path: String,
    write: bool,
}

impl AllowedDevice {
    pub(crate) fn allows(&self, path: &str, write: bool) -> bool {
        self.path == path && (self.write || !write)
    }
}

impl FromStr for AllowedDevice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, access) = text.split_once(':').unwrap_or((text, "rw"));
        let is_plain = path
            .strip_prefix("/dev/")
            .is_some_and(|name| name.split('/').all(|part| !part.is_empty() && part != ".." && part != "."));
        match access {
            "r" | "rw" if is_plain => Ok(Self { path: path.to_owned(), write: access == "rw" }),
            _ => Err(format!("{text:?} is no /dev/NAME, /dev/NAME:r or /dev/NAME:rw")),
        }
    }
}

impl TryFrom<String> for AllowedDevice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AllowedDevice> for String {
    fn from(device: AllowedDevice) -> Self {
        device.to_string()
    }
}

impl fmt::Display for AllowedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path, if self.write { "rw" } else { "r" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_it_is_written() {
        for (text, shown) in [("/dev/fuse", "/dev/fuse:rw"), ("/dev/dri/card0:r", "/dev/dri/card0:r")] {
            let device: AllowedDevice = text.parse().unwrap();
            assert_eq!((device.to_string(), shown.parse()), (shown.to_owned(), Ok(device)));
        }
        for wrong in ["", "fuse", "/dev", "/dev/", "/dev/../mem", "/dev/fuse:x", "/etc/passwd", "/dev//x"] {
            assert!(wrong.parse::<AllowedDevice>().is_err(), "{wrong}");
        }
    }
}
