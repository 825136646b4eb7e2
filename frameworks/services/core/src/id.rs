//! The names things have in Marathon's API: apps are paths, instances and deployments are UUIDs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chapada_model::TaskId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest app id. A task id adds the instance and the incarnation to it and must stay within 255 bytes.
pub const MAX_APP_ID: usize = 180;

/// Endings that would be read as a sub-resource of the app before them.
const RESERVED: [&str; 3] = ["restart", "tasks", "versions"];

/// An app's absolute path, such as `/prod/web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(Arc<str>);

/// Why a text is no app id. The text names the rule, in the words the API answers with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAppId {
    /// Nothing but slashes.
    #[error("must not be empty")]
    Empty,
    /// A segment has letters the rule does not know.
    #[error(
        "must fully match regular expression '^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$'"
    )]
    Segment,
    /// It ends in a word with a meaning of its own in URLs.
    #[error("must not end with any of the reserved keywords: restart, tasks, versions, ., ..")]
    Reserved,
    /// More than [`MAX_APP_ID`] bytes.
    #[error("must not be longer than {MAX_APP_ID} characters")]
    TooLong,
}

impl AppId {
    /// The path with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path as it stands in task ids: without the leading slash, `_` between segments.
    pub fn safe(&self) -> String {
        self.0[1..].replace('/', "_")
    }

    /// The path reversed with dots (`/prod/web` is `web.prod`): the task's name, which DNS tools key on.
    pub fn hostname_form(&self) -> String {
        self.0[1..].split('/').rev().collect::<Vec<_>>().join(".")
    }

    /// Whether the app lies below the group `path` (`/` is above everything).
    pub fn is_below(&self, path: &str) -> bool {
        let path = path.trim_matches('/');
        path.is_empty() || self.0[1..].strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
    }

    fn from_safe(safe: &str) -> Option<Self> {
        safe.replace('_', "/").parse().ok()
    }
}

impl std::borrow::Borrow<str> for AppId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppId {
    type Err = InvalidAppId;

    /// Takes relative paths as below the root and forgives doubled and trailing slashes.
    fn from_str(text: &str) -> Result<Self, InvalidAppId> {
        if text.len() > MAX_APP_ID {
            return Err(InvalidAppId::TooLong);
        }
        let segments = text.split('/').filter(|segment| !segment.is_empty());
        let last = segments.clone().next_back().ok_or(InvalidAppId::Empty)?;
        if RESERVED.contains(&last) || last == "." || last == ".." {
            return Err(InvalidAppId::Reserved);
        }
        let mut path = String::with_capacity(text.len() + 1);
        for segment in segments {
            if !is_segment(segment) {
                return Err(InvalidAppId::Segment);
            }
            path.push('/');
            path.push_str(segment);
        }
        Ok(Self(path.into()))
    }
}

/// Whether a text may stand between two slashes.
pub(crate) fn is_segment(segment: &str) -> bool {
    segment.split('.').all(|part| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    })
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for AppId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AppId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One place of an app in which one task after another runs: `prod_web.instance-<uuid>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    app: AppId,
    uuid: Uuid,
}

/// A text that is no instance or task id of this framework.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an instance id such as prod_web.instance-<uuid>")]
pub struct InvalidInstanceId(String);

impl InstanceId {
    /// A new place of `app`.
    pub fn new(app: AppId, uuid: Uuid) -> Self {
        Self { app, uuid }
    }

    /// The app it belongs to.
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// Which of the app's places it is.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The id of the task that runs here in the given incarnation, counted from 1.
    pub fn task(&self, incarnation: u32) -> TaskId {
        format!("{self}._app.{incarnation}")
            .parse()
            .expect("an app id is short and has no letters a task id refuses")
    }

    /// The id of the task of a pod's container in the given incarnation.
    pub fn container_task(&self, container: &str, incarnation: u32) -> TaskId {
        format!("{self}.{container}.{incarnation}")
            .parse()
            .expect("the names of pods and their containers are short and have no letters a task id refuses")
    }

    /// The instance a task id of ours names, whether or not it exists.
    pub fn of_task(task: &str) -> Option<Self> {
        let (rest, incarnation) = task.rsplit_once('.')?;
        incarnation.parse::<u32>().ok()?;
        let (instance, container) = rest.rsplit_once('.')?;
        if container.is_empty() {
            return None;
        }
        instance.parse().ok()
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.instance-{}", self.app.safe(), self.uuid)
    }
}

impl FromStr for InstanceId {
    type Err = InvalidInstanceId;

    fn from_str(text: &str) -> Result<Self, InvalidInstanceId> {
        let invalid = || InvalidInstanceId(text.to_owned());
        let before = text.len().checked_sub(UUID_LENGTH).ok_or_else(invalid)?;
        let (app, uuid) = text.split_at_checked(before).ok_or_else(invalid)?;
        let app = app.strip_suffix(".instance-").and_then(AppId::from_safe).ok_or_else(invalid)?;
        Ok(Self { app, uuid: uuid.parse().map_err(|_| invalid())? })
    }
}

impl Serialize for InstanceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InstanceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// 128 bits in the usual five groups of hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(u128);

const UUID_LENGTH: usize = 36;
/// Where a `-` stands.
const GROUP_ENDS: [usize; 4] = [8, 13, 18, 23];

impl Uuid {
    /// The last one.
    pub(crate) const MAX: Self = Self(u128::MAX);
}

/// A text that is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct InvalidUuid;

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest] = [(self.0 >> 64) as u64, self.0 as u64];
        let (low, high, mid) = (first as u16, first >> 32, (first >> 16) as u16);
        write!(f, "{high:08x}-{mid:04x}-{low:04x}-{:04x}-{:012x}", rest >> 48, rest & 0xffff_ffff_ffff)
    }
}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        // Very many are read at a start.
        let text: &[u8; UUID_LENGTH] = text.as_bytes().try_into().map_err(|_| InvalidUuid)?;
        let mut number = 0;
        for (at, byte) in text.iter().copied().enumerate() {
            let digit = match byte {
                b'-' if GROUP_ENDS.contains(&at) => continue,
                b'0'..=b'9' if !GROUP_ENDS.contains(&at) => byte - b'0',
                b'a'..=b'f' if !GROUP_ENDS.contains(&at) => byte - b'a' + 10,
                _ => return Err(InvalidUuid),
            };
            number = number << 4 | u128::from(digit);
        }
        Ok(Self(number))
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The id of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentId(pub Uuid);

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DeploymentId {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        text.parse().map(Self)
    }
}

impl Serialize for DeploymentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeploymentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Numbers that look random, from a seed the shell draws once per start. The core draws none itself, so that a
/// history replays to the same ids.
#[derive(Clone, Debug)]
pub struct Seed(u64, u64);

impl Seed {
    /// Two starts of the process must not use the same two numbers, or their instances share ids.
    pub fn new(high: u64, low: u64) -> Self {
        Self(high, low)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.1 = self.1.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.1 ^ mix(self.0))
    }

    /// The next UUID, of version 4.
    pub fn uuid(&mut self) -> Uuid {
        let bits = (u128::from(self.number()) << 64) | u128::from(self.number());
        Uuid((bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62))
    }
}

/// A bijection that spreads each bit over all the others (the finaliser of SplitMix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_id_is_a_path_of_lower_case_segments() {
        for (text, id) in
            [("web", "/web"), ("/prod/web-1.v2", "/prod/web-1.v2"), ("//prod//web/", "/prod/web")]
        {
            assert_eq!(text.parse::<AppId>().map(|id| id.0), Ok(id.into()));
        }
        for text in ["", "/", "/Web", "/web_1", "/-a", "/a-", "/a/../b", "/a..b", "/a/tasks", "/é", "/a b"] {
            assert!(text.parse::<AppId>().is_err(), "{text}");
        }
        assert_eq!("a".repeat(MAX_APP_ID + 1).parse::<AppId>(), Err(InvalidAppId::TooLong));
    }

    #[test]
    fn a_task_id_leads_back_to_its_instance() {
        let instance = InstanceId::new("/prod/web".parse().unwrap(), Seed::new(1, 2).uuid());
        let task = instance.task(3);
        assert!(task.as_str().starts_with("prod_web.instance-"), "{task}");
        assert!(task.as_str().ends_with("._app.3"), "{task}");
        assert_eq!(InstanceId::of_task(task.as_str()), Some(instance.clone()));
        let container = instance.container_task("side-car", 2);
        assert!(container.as_str().ends_with(".side-car.2"), "{container}");
        assert_eq!(InstanceId::of_task(container.as_str()), Some(instance.clone()));
        assert_eq!(InstanceId::of_task(&format!("{instance}..1")), None);
        assert_eq!(instance.to_string().parse(), Ok(instance));
        for foreign in ["task-1", "web.instance-1._app.1", "web._app.1", "web.instance-x._app.y"] {
            assert_eq!(InstanceId::of_task(foreign), None);
        }
    }

    #[test]
    fn a_uuid_has_one_form() {
        let text = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!((uuid.0, uuid.to_string().as_str()), (0x0a1b_2c3d_4e5f_6071_8293_a4b5_c6d7_e8f9, text));
        for other in [
            "",
            "0A1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
            "0a1b2c3d4-e5f-6071-8293-a4b5c6d7e8f9",
            "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f",
            "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f90",
            "0a1b2c3d-4e5f-6071-82930a4b5c6d7e8f9",
            "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8g9",
        ] {
            assert_eq!(other.parse::<Uuid>(), Err(InvalidUuid), "{other}");
        }
    }

    #[test]
    fn the_longest_app_id_still_makes_a_task_id() {
        let app: AppId = "a".repeat(MAX_APP_ID - 1).parse().unwrap();
        InstanceId::new(app, Seed::new(0, 0).uuid()).task(u32::MAX);
    }

    #[test]
    fn below_is_by_whole_segments() {
        let app: AppId = "/prod/web".parse().unwrap();
        assert!(app.is_below("/") && app.is_below("/prod") && app.is_below("prod/"));
        assert!(!app.is_below("/pro") && !app.is_below("/prod/web"));
        assert_eq!(app.hostname_form(), "web.prod");
    }
}
