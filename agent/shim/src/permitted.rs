//! Who of its users a container may be on this machine, and what its processes may not ask for.

use chapada_isolation::user::{NO_GROUP, User};
use chapada_isolation::{IsolationError, capabilities};

use crate::spec::{ContainerSpec, SystemCalls};

/// The greatest value of a limit of whoever is not privileged.
const GREATEST: [(&str, u64, &str); 2] = [
    (
        "rtprio",
        0,
        "real time beats the shares of others: ask for none (0), or run privileged where an operator has started the \
         agent with --allow-privileged",
    ),
    (
        "nice",
        20,
        "a priority above the normal one beats the shares of others: ask for 20 at most, or run privileged where an \
         operator has started the agent with --allow-privileged",
    ),
];

impl ContainerSpec {
    /// Whether this user of the container is the machine's root, and must not be.
    pub fn forbids(&self, uid: u32) -> bool {
        let on_host = self.user_namespace.map_or(Some(uid), |range| range.on_host(uid));
        self.never_host_root && on_host == Some(0)
    }

    /// This user, of the machine or of the image, as the container may run as it. Where root of the machine is forbidden and
    /// group ids are the machine's, an image chooses none of them, since whatever its files and its `user:group` say would
    /// open what root gave to a group; a user of the machine has the groups that the machine gives it, but not root's.
    ///
    /// # Errors
    /// Refuses root of the machine, and a user whose group is root's.
    pub fn permitted(&self, mut user: User) -> Result<User, IsolationError> {
        let name = self.user.as_deref().unwrap_or("0");
        if self.forbids(user.uid) {
            let reason = "it is root of this machine: name another user, give the container an image and a user \
                          namespace, or have an operator start the agent with --allow-host-root";
            return Err(IsolationError::invalid("become user", name, reason));
        }
        if !self.never_host_root || self.user_namespace.is_some() {
            return Ok(user);
        }
        if self.root.is_some() {
            return Ok(User { gid: NO_GROUP, groups: Vec::new(), ..user });
        }
        if user.gid == 0 {
            let reason = "its group is root's of this machine: name a user with another, or have an operator start the \
                          agent with --allow-host-root";
            return Err(IsolationError::invalid("become user", name, reason));
        }
        user.groups.retain(|group| *group != 0);
        Ok(user)
    }

    /// Checks that it asks for no limit of a process by which it would run before everybody else, whatever its share of the
    /// processors: only a privileged container may, which has all capabilities and no filter.
    ///
    /// # Errors
    /// Names the limit, and what to do.
    pub fn check_rlimits(&self) -> Result<(), IsolationError> {
        let bounding = self.privileges.bounding.as_deref().unwrap_or_default();
        let privileged = self.system_calls == SystemCalls::Unconfined
            && capabilities::ALL.into_iter().all(|number| bounding.contains(&number));
        for limit in &self.rlimits {
            let (soft, hard) = limit.values()?;
            let most = GREATEST.iter().find(|(name, ..)| *name == limit.name);
            if let Some((.., reason)) = most.filter(|(_, most, _)| !privileged && soft.max(hard) > *most) {
                return Err(IsolationError::invalid("set the limit", &limit.name, reason));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chapada_isolation::ids::IdRange;
    use chapada_isolation::rlimits::Rlimit;
    use chapada_isolation::root::RootSource;

    use super::*;
    use crate::files::RootFileSystem;
    use crate::spec::Command;

    fn groups(spec: &ContainerSpec, gid: u32) -> Result<(u32, Vec<u32>), String> {
        let user = User { uid: 1001, gid, groups: vec![0, 44], home: None };
        let user = spec.permitted(user).map_err(|error| format!("{error:?}"))?;
        Ok((user.gid, user.groups))
    }

    #[test]
    fn only_the_privileged_have_real_time() {
        let command = Command::Shell("true".into());
        let mut spec = ContainerSpec::new("a", Path::new("/run/c"), "/sandbox", command);
        let limit = |name: &str, soft, hard| Rlimit { name: name.to_owned(), soft, hard };
        let greedy = [
            limit("rtprio", Some(0), Some(1)),
            limit("rtprio", None, None),
            limit("nice", Some(21), Some(21)),
            limit("nice", Some(0), Some(u64::MAX)),
        ];
        for limit in &greedy {
            spec.rlimits = vec![limit.clone()];
            let error = format!("{:?}", spec.check_rlimits().unwrap_err());
            assert!(error.contains(&limit.name) && error.contains("--allow-privileged"), "{error}");
        }
        spec.rlimits = vec![limit("rtprio", Some(0), Some(0)), limit("nice", Some(0), Some(20))];
        spec.check_rlimits().unwrap();
        spec.rlimits = greedy.to_vec();
        spec.system_calls = SystemCalls::Unconfined;
        spec.check_rlimits().unwrap_err();
        spec.privileges.bounding = Some(capabilities::ALL.collect());
        spec.check_rlimits().unwrap();
        spec.system_calls = SystemCalls::Standard;
        spec.check_rlimits().unwrap_err();
    }

    #[test]
    fn groups_are_the_machines_or_none() {
        let command = Command::Shell("true".into());
        let mut spec = ContainerSpec::new("a", Path::new("/run/c"), "/sandbox", command);
        assert_eq!(groups(&spec, 0), Ok((0, vec![0, 44])), "root is allowed");
        spec.never_host_root = true;
        assert_eq!(groups(&spec, 100), Ok((100, vec![44])));
        assert!(groups(&spec, 0).unwrap_err().contains("--allow-host-root"));
        spec.root = Some(RootFileSystem::new(RootSource::Directory("/image".into())));
        assert_eq!(groups(&spec, 0), Ok((NO_GROUP, vec![])));
        assert_eq!(groups(&spec, 100), Ok((NO_GROUP, vec![])));
        spec.user_namespace = Some(IdRange { first: 100_000, count: 65_536 });
        assert_eq!(groups(&spec, 0), Ok((0, vec![0, 44])), "ids are its own");
    }
}
