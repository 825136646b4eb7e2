//! What a path below `/v2/apps/` names. App ids hold slashes, so their sub-resources are told by the words at the end.

use chapada_services_core::AppId;

/// What a path names. An id that is none is kept as it came: there is no such app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// All apps.
    Apps,
    /// One app.
    App(Result<AppId, String>),
    /// The apps below a group.
    Below(String),
    /// The tasks of the apps below a group.
    TasksBelow(String),
    /// The tasks of an app.
    Tasks(Result<AppId, String>),
    /// One task of an app.
    Task(Result<AppId, String>, String),
    /// The versions of an app.
    Versions(Result<AppId, String>),
    /// One version of an app.
    Version(Result<AppId, String>, String),
    /// The restart of an app.
    Restart(Result<AppId, String>),
    /// Why it is not where it should be.
    Why(Result<AppId, String>),
    /// What a change of it would do.
    Plan(Result<AppId, String>),
    /// What a change of several apps would do.
    PlanOfAll,
}

#[cfg(test)]
impl Target {
    /// Where the OpenAPI document has it. Whoever adds one says so here, and a test asks for the row.
    pub(crate) fn documented(&self) -> &'static str {
        match self {
            Self::Apps => "/v2/apps",
            Self::App(_) => "/v2/apps/{id}",
            Self::Below(_) => "/v2/apps/{group}/*",
            Self::TasksBelow(_) => "/v2/apps/{group}/*/tasks",
            Self::Tasks(_) => "/v2/apps/{id}/tasks",
            Self::Task(..) => "/v2/apps/{id}/tasks/{task}",
            Self::Versions(_) => "/v2/apps/{id}/versions",
            Self::Version(..) => "/v2/apps/{id}/versions/{version}",
            Self::Restart(_) => "/v2/apps/{id}/restart",
            Self::Why(_) => "/v2/apps/{id}/why",
            Self::Plan(_) => "/v2/apps/{id}/plan",
            Self::PlanOfAll => "/v2/apps/*/plan",
        }
    }

    /// One of each.
    pub(crate) fn one_of_each() -> Vec<Self> {
        let (app, text) = (|| Ok("/a".parse().expect("an id")), || "x".to_owned());
        vec![
            Self::Apps,
            Self::App(app()),
            Self::Below(text()),
            Self::TasksBelow(text()),
            Self::Tasks(app()),
            Self::Task(app(), text()),
            Self::Versions(app()),
            Self::Version(app(), text()),
            Self::Restart(app()),
            Self::Why(app()),
            Self::Plan(app()),
            Self::PlanOfAll,
        ]
    }
}

/// Reads a decoded path; doubled and trailing slashes do not matter.
pub(crate) fn target(path: &str) -> Target {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        [] => Target::Apps,
        [group @ .., "*"] => Target::Below(format!("/{}", group.join("/"))),
        [group @ .., "*", "tasks"] => Target::TasksBelow(format!("/{}", group.join("/"))),
        [app @ .., "tasks"] if !app.is_empty() => Target::Tasks(id(app)),
        [app @ .., "tasks", task] if !app.is_empty() => Target::Task(id(app), (*task).to_owned()),
        [app @ .., "versions"] if !app.is_empty() => Target::Versions(id(app)),
        [app @ .., "versions", version] if !app.is_empty() => Target::Version(id(app), (*version).to_owned()),
        [app @ .., "restart"] if !app.is_empty() => Target::Restart(id(app)),
        [app @ .., "why"] if !app.is_empty() => Target::Why(id(app)),
        ["*", "plan"] => Target::PlanOfAll,
        [app @ .., "plan"] if !app.is_empty() => Target::Plan(id(app)),
        app => Target::App(id(app)),
    }
}

fn id(segments: &[&str]) -> Result<AppId, String> {
    let path = format!("/{}", segments.join("/"));
    path.parse().map_err(|_| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_tell_what_is_meant() {
        let app = || Ok("/prod/web".parse::<AppId>().unwrap());
        for (path, expected) in [
            ("", Target::Apps),
            ("/", Target::Apps),
            ("/prod/web", Target::App(app())),
            ("prod//web/", Target::App(app())),
            ("*", Target::Below("/".into())),
            ("prod/*", Target::Below("/prod".into())),
            ("prod/*/tasks", Target::TasksBelow("/prod".into())),
            ("prod/web/tasks", Target::Tasks(app())),
            ("prod/web/tasks/t.1", Target::Task(app(), "t.1".into())),
            ("prod/web/versions", Target::Versions(app())),
            ("prod/web/versions/v", Target::Version(app(), "v".into())),
            ("prod/web/restart", Target::Restart(app())),
            ("prod/web/why", Target::Why(app())),
            ("prod/web/plan", Target::Plan(app())),
            ("*/plan", Target::PlanOfAll),
            ("plan", Target::App(Ok("/plan".parse().unwrap()))),
            ("Web", Target::App(Err("/Web".into()))),
        ] {
            assert_eq!(target(path), expected, "{path}");
        }
    }
}
