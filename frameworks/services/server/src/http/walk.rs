//! Goes over apps and pods and their instances in turns of bounded work, however many instances one of them has.

use std::ops::Bound;

use chapada_services_core::{AppId, AppState, Instance, InstanceId};

use super::pages::Turn;
use crate::handle::{ServicesHandle, Unavailable};
use crate::render::Assembly;
use crate::seen::Seen;

/// How many apps, pods and instances are looked at in one turn, together.
const AT_ONCE: usize = 256;
/// As many looks is what is shown of an app or pod beside its instances.
const WHOLE: usize = 5;

/// Where a walk goes on.
pub(super) enum Place<A> {
    /// With this app or pod, or the first after it.
    At(AppId),
    /// With the app or pod after this one.
    After(AppId),
    /// With the instances after this one, if there are any yet, of something that was begun.
    Within { app: AppId, after: Option<InstanceId>, begun: A },
}

/// One turn, until there are `most` items. `begin` says what is of interest; what the reader may not see is passed over.
pub(super) fn turn<A: Assembly>(
    seen: &Seen<'_>,
    from: Option<Place<A>>,
    most: usize,
    begin: &impl Fn(&AppState) -> Option<A>,
) -> Turn<Place<A>, A::Out> {
    let mut turn = Turn { items: Vec::new(), next: None };
    let (from, mut under_way) = match from {
        None => (Bound::Unbounded, None),
        Some(Place::At(id)) => (Bound::Included(id), None),
        Some(Place::After(id)) => (Bound::Excluded(id), None),
        Some(Place::Within { app, after, begun }) => {
            (Bound::Included(app.clone()), Some((app, after, begun)))
        }
    };
    let mut looked = 0;
    for state in seen.all_from(from.as_ref()) {
        let id = &state.app.definition.id;
        looked += 1;
        let (after, begun) = match under_way.take() {
            Some((app, after, begun)) if app == *id => (after, Some(begun)),
            // What was begun is gone.
            _ => (None, seen.may_see(state).then(|| begin(state)).flatten()),
        };
        if let Some(mut begun) = begun {
            looked += WHOLE - 1;
            if begun.wants_instances()
                && let Some(after) = add_instances(&mut begun, state, after, &mut looked)
            {
                turn.next = Some(Place::Within { app: id.clone(), after, begun });
                return turn;
            }
            turn.items.push(begun.done(state));
        }
        if turn.items.len() == most || looked >= AT_ONCE {
            turn.next = Some(Place::After(id.clone()));
            return turn;
        }
    }
    turn
}

/// Where to go on if not all could be looked at.
fn add_instances<A: Assembly>(
    begun: &mut A,
    state: &AppState,
    after: Option<InstanceId>,
    looked: &mut usize,
) -> Option<Option<InstanceId>> {
    let mut last = None;
    for instance in state.instances.after(after.as_ref().map(InstanceId::uuid)) {
        if *looked >= AT_ONCE {
            return Some(last.map(|last: &Instance| last.id.clone()).or(after));
        }
        begun.add(state, instance);
        last = Some(instance);
        *looked += 1;
    }
    None
}

/// All of a walk over apps and pods, in the order of their ids.
pub(super) async fn all<A: Assembly>(
    services: &ServicesHandle,
    begin: impl Fn(&AppState) -> Option<A> + Clone + Send + 'static,
) -> Result<Vec<A::Out>, Unavailable> {
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let begin = begin.clone();
        let read = services.read(move |seen, _| turn(seen, from, usize::MAX, &begin));
        let Turn { items, next } = read.await?;
        found.extend(items);
        match next {
            Some(next) => from = Some(next),
            None => return Ok(found),
        }
    }
}

/// The same of one app or pod; `None` when `begin` wants nothing of it, or when it is not there for the reader.
pub(super) async fn one<A: Assembly>(
    services: &ServicesHandle,
    id: AppId,
    begin: impl Fn(&AppState) -> Option<A> + Clone + Send + 'static,
) -> Result<Option<A::Out>, Unavailable> {
    let mut from = Place::At(id.clone());
    loop {
        let (begin, id) = (begin.clone(), id.clone());
        let only = move |state: &AppState| (state.app.definition.id == id).then(|| begin(state)).flatten();
        let read = services.read(move |seen, _| turn(seen, Some(from), 1, &only));
        let Turn { mut items, next } = read.await?;
        match next {
            Some(next @ Place::Within { .. }) if items.is_empty() => from = next,
            _ => return Ok(items.pop()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::tests::cluster::Cluster;

    /// Counts the instances of one app or pod, and all looks.
    struct Count {
        instances: usize,
        looks: Arc<AtomicUsize>,
    }

    impl Assembly for Count {
        type Out = (String, usize);

        fn add(&mut self, _state: &AppState, _instance: &Instance) {
            self.instances += 1;
            self.looks.fetch_add(1, Ordering::Relaxed);
        }

        fn done(self, state: &AppState) -> Self::Out {
            (state.app.definition.id.to_string(), self.instances)
        }
    }

    async fn crowded() -> Cluster {
        let cluster = Cluster::start().await;
        let apps = [("/a/many", 600), ("/b", 1), ("/c", 300)].map(
            |(id, instances)| json!({"id": id, "cmd": "x", "cpus": 0.001, "mem": 1, "instances": instances}),
        );
        assert_eq!(cluster.put("/v2/apps", &json!(apps)).await.status, 200);
        let container =
            json!({"name": "c", "exec": {"command": {"shell": "x"}}, "resources": {"cpus": 0.001, "mem": 1}});
        let pod =
            json!({"id": "/p", "containers": [container], "scaling": {"kind": "fixed", "instances": 300}});
        assert_eq!(cluster.post("/v2/pods", &pod).await.status, 201);
        cluster.eventually("/v2/deployments", |deployments| *deployments == json!([])).await;
        cluster
    }

    #[tokio::test]
    async fn no_turn_looks_at_more_than_it_may_and_together_they_see_all() {
        let cluster = crowded().await;
        let looks = Arc::new(AtomicUsize::new(0));
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let counted = looks.clone();
            let begin = move |_: &AppState| Some(Count { instances: 0, looks: counted.clone() });
            let read = cluster.services.read(move |seen, _| turn(seen, from, usize::MAX, &begin));
            let Turn { items, next } = read.await.expect("in time");
            assert!(looks.swap(0, Ordering::Relaxed) <= AT_ONCE);
            found.extend(items);
            from = next;
            if from.is_none() {
                break;
            }
        }
        let expected = [("/a/many", 600), ("/b", 1), ("/c", 300), ("/p", 300)];
        assert_eq!(found, expected.map(|(id, count)| (id.to_owned(), count)));
    }

    #[tokio::test]
    async fn what_is_read_in_several_turns_is_whole() {
        let cluster = crowded().await;
        let count = |list: &Value| list.as_array().map_or(0, Vec::len);
        let one = cluster.get("/v2/apps//a/many").await.json();
        assert_eq!((count(&one["app"]["tasks"]), &one["app"]["tasksRunning"]), (600, &json!(600)));
        let stats = cluster.get("/v2/apps//a/many?embed=app.taskStats").await.json();
        let total = &stats["app"]["taskStats"]["totalSummary"]["stats"];
        assert_eq!(total["counts"]["running"], 600, "{total}");
        let tasks = cluster.get("/v2/apps//a/many/tasks").await.json();
        assert_eq!(tasks["tasks"], one["app"]["tasks"]);
        let all = cluster.get("/v2/apps?embed=apps.tasks").await.json();
        let counts: Vec<usize> =
            all["apps"].as_array().expect("a list").iter().map(|app| count(&app["tasks"])).collect();
        assert_eq!(counts, [600, 1, 300]);
        let page = cluster.get("/v2/apps?embed=apps.tasks&limit=1&after=/b").await.json();
        assert_eq!((count(&page["apps"]), count(&page["apps"][0]["tasks"])), (1, 300));
        let below = cluster.get("/v2/apps/a/*?embed=apps.tasks").await.json();
        assert_eq!((count(&below["*"]), count(&below["*"][0]["tasks"])), (1, 600));
        assert_eq!(count(&cluster.get("/v2/apps/*/tasks").await.json()["tasks"]), 901);
        let group =
            cluster.get("/v2/groups?embed=group.groups&embed=group.apps&embed=group.apps.tasks").await;
        let group = group.json();
        assert_eq!(count(&group["groups"][0]["apps"][0]["tasks"]), 600);
        assert_eq!(count(&cluster.get("/v2/groups/a/apps").await.json()["apps"]), 1);
        let status = cluster.get("/v2/pods/p::status").await.json();
        assert_eq!((count(&status["instances"]), &status["status"]), (300, &json!("STABLE")));
        assert_eq!(cluster.get("/v2/pods/::status").await.json(), json!([status]));
        let accept = [("accept", "text/plain")];
        let text = cluster.ask(http::Method::GET, "/v2/tasks", &accept, "").await.text;
        let lines: Vec<usize> = text.lines().map(|line| line.matches("host-1:").count()).collect();
        assert_eq!(lines, [600, 1, 300]);
        for path in ["/v2/apps//none", "/v2/apps//p", "/v2/pods/b::status", "/v2/groups/none"] {
            assert_eq!(cluster.get(path).await.status, 404, "{path}");
        }
    }
}
