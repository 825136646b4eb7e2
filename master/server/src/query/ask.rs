//! What a request asks for.

use chapada_listener::Query;
use chapada_model::TaskState;

/// Items on a page when nobody says.
const DEFAULT_LIMIT: usize = 50;
/// The most items on a page.
const MAX_LIMIT: usize = 500;

/// A kind of thing that is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Agents,
    Drains,
    Frameworks,
    Offers,
    Roles,
    Tasks,
}

impl Kind {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "agents" => Self::Agents,
            "drains" => Self::Drains,
            "frameworks" => Self::Frameworks,
            "offers" => Self::Offers,
            "roles" => Self::Roles,
            "tasks" => Self::Tasks,
            _ => return None,
        })
    }
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    pub(super) limit: usize,
    /// The key of the last item of the page before.
    pub(super) after: Option<String>,
    pub(super) framework: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) state: Option<TaskState>,
    /// Lower case; part of an id or a name.
    pub(super) search: Option<String>,
}

impl List {
    /// Reads the parameters of a list.
    ///
    /// # Errors
    /// A sentence that names the parameter.
    pub(super) fn from_query(query: &Query) -> Result<Self, String> {
        for (name, _) in query.pairs() {
            if !matches!(name.as_str(), "of" | "limit" | "after" | "framework" | "agent" | "state" | "search")
            {
                return Err(format!("there is no filter '{name}'"));
            }
        }
        let text = |name: &str| query.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let limit = match query.get("limit") {
            Some(limit) => {
                limit.parse().map_err(|_| format!("'limit' must be a whole number, not '{limit}'"))?
            }
            None => DEFAULT_LIMIT,
        };
        Ok(Self {
            limit: usize::clamp(limit, 1, MAX_LIMIT),
            after: text("after"),
            framework: text("framework"),
            agent: text("agent"),
            state: text("state").map(|name| state(&name)).transpose()?,
            search: text("search").map(|text| text.to_lowercase()),
        })
    }

    /// Whether one of the texts has what is searched for.
    pub(super) fn finds(&self, texts: &[&str]) -> bool {
        match &self.search {
            Some(search) => texts.iter().any(|text| text.to_lowercase().contains(search)),
            None => true,
        }
    }
}

/// Takes `TASK_RUNNING` and `running`.
fn state(name: &str) -> Result<TaskState, String> {
    let upper = name.to_ascii_uppercase();
    TaskState::from_name(&upper)
        .or_else(|| TaskState::from_name(&format!("TASK_{upper}")))
        .ok_or_else(|| format!("'state' must be a task state such as TASK_RUNNING, not '{name}'"))
}
