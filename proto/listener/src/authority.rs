//! Who may do what: the one function through which every call goes, HTTP and gRPC alike.

use std::collections::BTreeSet;
use std::fmt;

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
    /// Create, change or delete apps, their tasks and deployments.
    ChangeApps,
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

/// The rules that calls are held against.
///
/// So far everyone who passes the listener's other checks may do everything (a daemon listens on loopback, or was told
/// `--insecure`), except for what was denied by name. Credentials and rules on objects have their place here.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    denied_actions: BTreeSet<Action>,
    denied_endpoints: BTreeSet<String>,
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
        Decision::Allow
    }
}
