//! Who may do what: the one function through which every call goes, HTTP and gRPC alike.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// Nobody gave credentials.
    Anonymous,
    /// The holder of credentials in this name.
    Named(String),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a call does. A route cannot be declared without one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action { $($(#[$doc])* $name,)* }

        impl Action {
            /// Every action there is, in a fixed order.
            pub const ALL: &'static [Action] = &[$(Action::$name,)*];
        }
    };
}

actions! {
    /// Ask whether the daemon lives, its version, who leads.
    ViewHealth,
    /// Read flags.
    ViewFlags,
    /// Read metrics.
    ViewMetrics,
    /// Read agents, frameworks, tasks, offers, roles.
    ViewCluster,
    /// Follow the stream of what changes in the cluster.
    ViewEvents,
    /// Load the web UI's files.
    ViewUi,
    /// Read the sandbox of a task.
    AccessSandbox,
    /// Reach a framework's own pages through the master.
    UseProxy,
    /// Act as a framework: subscribe, accept, kill.
    ActAsFramework,
    /// Join the cluster as an agent.
    ActAsAgent,
    /// Act as an executor of a task on this agent.
    ActAsExecutor,
    /// Change the cluster: quota, weights, maintenance, draining.
    OperateCluster,
    /// Start or enter containers beside the tasks of frameworks.
    UseContainers,
    /// Read apps, their tasks and deployments.
    ViewApps,
    /// Create, change or delete apps, their tasks and deployments: what of these is said for each object.
    ChangeApps,
    /// Make an app.
    CreateApps,
    /// Change an app, its tasks and its deployments.
    UpdateApps,
    /// Delete an app.
    DeleteApps,
    /// Act on the services framework itself: give leadership away, change its log.
    OperateServices,
}

/// What a call acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object<'a> {
    /// An endpoint: the pattern of the route, or the full name of a gRPC method.
    Endpoint(&'a str),
    /// One named thing of a kind: ("framework", id), ("task", id), ("role", name).
    Named {
        /// What kind of thing.
        kind: &'static str,
        /// Its id or name.
        id: &'a str,
    },
}

/// The answer to "may this principal do this to that?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not, and this sentence says why.
    Deny(String),
}

/// What one principal may do, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who; `*` for everyone.
    pub principal: String,
    /// What.
    pub actions: BTreeSet<Action>,
    /// To the things with these paths and to all below them; `/` for all.
    pub under: Vec<String>,
}

impl Grant {
    fn is_for(&self, principal: &Principal) -> bool {
        match principal {
            _ if self.principal == "*" => true,
            Principal::Named(name) => *name == self.principal,
            Principal::Anonymous => false,
        }
    }

    fn covers(&self, path: &str) -> bool {
        self.under.iter().any(|under| {
            let under = under.trim_end_matches('/');
            path.strip_prefix(under).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// What grants say nothing about: it shows no one's things.
const UNGOVERNED: [Action; 4] = [Action::ViewHealth, Action::ViewFlags, Action::ViewMetrics, Action::ViewUi];

/// The rules that calls are held against.
///
/// Without grants everyone who passes the listener's other checks may do everything (a daemon listens on loopback, or asks for
/// credentials, or was told `--insecure`), except for what was denied by name. With grants, what none of them allows is
/// denied: an endpoint to those who may do its action to nothing at all, and each thing by its path.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    denied_actions: BTreeSet<Action>,
    denied_endpoints: BTreeSet<String>,
    grants: Option<Vec<Grant>>,
}

impl Policy {
    /// Everyone may do everything.
    pub fn allow_all() -> Self {
        Self::default()
    }

    /// The same policy with one action denied to everyone.
    #[must_use]
    pub fn deny_action(mut self, action: Action) -> Self {
        self.denied_actions.insert(action);
        self
    }

    /// The same policy with one endpoint denied to everyone: the pattern of a route or the path of a gRPC method.
    #[must_use]
    pub fn deny_endpoint(mut self, pattern: &str) -> Self {
        self.denied_endpoints.insert(pattern.to_owned());
        self
    }

    /// The same policy, and only what one of these allows is allowed.
    #[must_use]
    pub fn with_grants(mut self, grants: Vec<Grant>) -> Self {
        self.grants = Some(grants);
        self
    }

    /// Says whether `principal` may do `action` to `object`. Every call of every door passes here.
    pub fn authorise(&self, principal: &Principal, action: Action, object: &Object<'_>) -> Decision {
        if self.denied_actions.contains(&action) {
            return Decision::Deny(format!("{principal} is not allowed to {action:?}"));
        }
        if let Object::Endpoint(pattern) = object
            && self.denied_endpoints.contains(*pattern)
        {
            return Decision::Deny(format!("{principal} is not allowed to use {pattern}"));
        }
        if self.grants.as_ref().is_none_or(|grants| is_granted(grants, principal, action, object)) {
            return Decision::Allow;
        }
        Decision::Deny(match object {
            Object::Endpoint(_) => format!("{principal} is not allowed to {action:?}"),
            Object::Named { kind, id } => format!("{principal} is not allowed to {action:?}: {kind} {id}"),
        })
    }
}

fn is_granted(grants: &[Grant], principal: &Principal, action: Action, object: &Object<'_>) -> bool {
    if UNGOVERNED.contains(&action) {
        return true;
    }
    let mut own = grants.iter().filter(|grant| grant.is_for(principal) && grant.actions.contains(&action));
    match object {
        Object::Endpoint(_) => own.next().is_some(),
        Object::Named { id, .. } => own.any(|grant| grant.covers(id)),
    }
}

/// A principal with the rules it is held against. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Principal,
    policy: Arc<Policy>,
}

impl Caller {
    pub(crate) fn new(principal: Principal, policy: Arc<Policy>) -> Self {
        Self { principal, policy }
    }

    /// One who may do everything: the daemon itself.
    pub fn itself() -> Self {
        Self { principal: Principal::Anonymous, policy: Arc::default() }
    }

    /// As [`Policy::authorise`].
    pub fn authorise(&self, action: Action, object: &Object<'_>) -> Decision {
        self.policy.authorise(&self.principal, action, object)
    }

    /// Whether it may do `action` to the `kind` of thing named `id`.
    pub fn may(&self, action: Action, kind: &'static str, id: &str) -> bool {
        self.authorise(action, &Object::Named { kind, id }) == Decision::Allow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_grant_allows_is_denied() {
        let grant = |principal: &str, actions: &[Action], under: &str| Grant {
            principal: principal.to_owned(),
            actions: actions.iter().copied().collect(),
            under: vec![under.to_owned()],
        };
        let policy = Arc::new(Policy::allow_all().with_grants(vec![
            grant("ann", &[Action::ViewApps, Action::UpdateApps], "/prod"),
            grant("*", &[Action::ViewApps], "/open/"),
            grant("root", Action::ALL, "/"),
        ]));
        let caller = |name: &str| Caller::new(Principal::Named(name.to_owned()), policy.clone());
        for (name, action, path, allowed) in [
            ("ann", Action::ViewApps, "/prod/web", true),
            ("ann", Action::ViewApps, "/prod", true),
            ("ann", Action::ViewApps, "/production", false),
            ("ann", Action::ViewApps, "/", false),
            ("ann", Action::ViewApps, "/open/x", true),
            ("ann", Action::UpdateApps, "/open/x", false),
            ("ann", Action::DeleteApps, "/prod/web", false),
            ("eve", Action::ViewApps, "/prod/web", false),
            ("eve", Action::ViewApps, "/open", true),
            ("root", Action::DeleteApps, "/prod/web", true),
            ("root", Action::ViewApps, "/", true),
        ] {
            assert_eq!(caller(name).may(action, "app", path), allowed, "{name} {action:?} {path}");
        }
        let endpoint = Object::Endpoint("/v2/apps");
        assert_eq!(caller("ann").authorise(Action::UpdateApps, &endpoint), Decision::Allow);
        assert_ne!(caller("ann").authorise(Action::DeleteApps, &endpoint), Decision::Allow);
        assert_eq!(caller("eve").authorise(Action::ViewHealth, &endpoint), Decision::Allow);
        assert!(Caller::itself().may(Action::DeleteApps, "app", "/x"));
    }
}
