//! Deployments as the API lists them, read in turns of bounded work, however many apps and instances they touch. One that has
//! ended before it was read whole is not listed.

use std::collections::VecDeque;
use std::ops::Bound;

use chapada_services_core::{AppId, AppState, Deployment, DeploymentId, Uuid};
use serde_json::Value;

use crate::handle::{ServicesHandle, Unavailable};
use crate::render;
use crate::render::deployments::Shown;
use crate::seen::Seen;

/// How many apps, actions and instances are looked at in one turn, together.
const AT_ONCE: usize = 256;

/// A deployment, and the first of the apps that it is at.
pub(super) struct Underway {
    pub(super) json: Value,
    pub(super) at: Vec<AppId>,
}

/// Every deployment that the reader may see, each with at most so many of the apps that it is at.
pub(super) async fn all(services: &ServicesHandle, most: usize) -> Result<Vec<Underway>, Unavailable> {
    let ids = |seen: &Seen, _| seen.all_deployments().map(|deployment| deployment.id).collect();
    let mut walk = Walk { left: services.read(ids).await?, under_way: None, found: Vec::new(), most };
    while !walk.is_over() {
        walk = services.read(move |seen, _| walk.turn(seen)).await?;
    }
    Ok(walk.found)
}

struct Walk {
    left: VecDeque<DeploymentId>,
    under_way: Option<Reading>,
    found: Vec<Underway>,
    most: usize,
}

impl Walk {
    fn is_over(&self) -> bool {
        self.left.is_empty() && self.under_way.is_none()
    }

    fn turn(mut self, seen: &Seen<'_>) -> Self {
        let mut left = AT_ONCE;
        while left > 0 {
            let next = self.under_way.take().or_else(|| self.left.pop_front().map(Reading::of));
            let Some(mut reading) = next else { break };
            left -= 1;
            let Some(deployment) = seen.deployment(reading.id) else { continue };
            match reading.go_on(seen, deployment, &mut left) {
                Read::Hidden => {}
                Read::InPart => self.under_way = Some(reading),
                Read::Whole => self.found.push(reading.done(deployment, self.most)),
            }
        }
        self
    }
}

/// What became of a turn.
enum Read {
    /// There is more of it.
    InPart,
    Whole,
    /// It touches something that the reader may not see.
    Hidden,
}

/// A deployment that is being read. What it changes and its steps stay what they are; how far it is may change meanwhile.
struct Reading {
    id: DeploymentId,
    shown: Shown,
    place: Place,
    at: Vec<AppId>,
}

/// Where it goes on.
enum Place {
    /// With what it changes after this app or pod.
    Changes(Option<AppId>),
    /// With this action of this step.
    Steps(usize, usize),
    /// With what is remembered of the apps after this one.
    Progress(Option<AppId>),
    /// With this action of the present step, with its instances after this one.
    Present(usize, Option<Uuid>),
    End,
}

impl Reading {
    fn of(id: DeploymentId) -> Self {
        Self { id, shown: Shown::default(), place: Place::Changes(None), at: Vec::new() }
    }

    /// Reads on until it took all the looks that are `left`.
    fn go_on(&mut self, seen: &Seen<'_>, deployment: &Deployment, left: &mut usize) -> Read {
        loop {
            self.place = match std::mem::replace(&mut self.place, Place::End) {
                Place::Changes(after) => match self.changes(seen, deployment, after, left) {
                    Some(place) => place,
                    None => return Read::Hidden,
                },
                Place::Steps(step, action) => self.steps(deployment, (step, action), left),
                Place::Progress(after) => self.progress(deployment, after, left),
                Place::Present(action, after) => self.present(seen, deployment, (action, after), left),
                Place::End => return Read::Whole,
            };
            if *left == 0 && !matches!(self.place, Place::End) {
                return Read::InPart;
            }
        }
    }

    /// `None` when the reader may not see one of them.
    fn changes(
        &mut self,
        seen: &Seen<'_>,
        deployment: &Deployment,
        after: Option<AppId>,
        left: &mut usize,
    ) -> Option<Place> {
        let mut last: Option<&AppId> = None;
        for (id, change) in deployment.changes.range::<AppId, _>(from(after.as_ref())) {
            if *left == 0 {
                return Some(Place::Changes(last.cloned().or(after)));
            }
            *left -= 1;
            if !seen.may_see_app(id) {
                return None;
            }
            self.shown.add_change(id, change);
            last = Some(id);
        }
        Some(Place::Steps(0, 0))
    }

    fn steps(&mut self, deployment: &Deployment, (step, action): (usize, usize), left: &mut usize) -> Place {
        let mut first = action;
        for (number, actions) in deployment.steps.iter().enumerate().skip(step) {
            self.shown.begin_step(number);
            for (index, one) in actions.iter().enumerate().skip(std::mem::take(&mut first)) {
                if *left == 0 {
                    return Place::Steps(number, index);
                }
                *left -= 1;
                self.shown.add_action(one);
            }
        }
        Place::Progress(None)
    }

    fn progress(&mut self, deployment: &Deployment, after: Option<AppId>, left: &mut usize) -> Place {
        let mut last: Option<&AppId> = None;
        for (id, known) in deployment.progress.apps.range::<AppId, _>(from(after.as_ref())) {
            if *left == 0 {
                return Place::Progress(last.cloned().or(after));
            }
            *left -= 1;
            self.shown.add_progress(id, known);
            last = Some(id);
        }
        self.shown.is_at(deployment.current);
        Place::Present(0, None)
    }

    /// What readiness checks have found of the tasks of each app that the deployment is at.
    fn present(
        &mut self,
        seen: &Seen<'_>,
        deployment: &Deployment,
        (first, after): (usize, Option<Uuid>),
        left: &mut usize,
    ) -> Place {
        let actions = deployment.steps.get(self.shown.current()).map_or(&[][..], Vec::as_slice);
        let mut after = after;
        for (index, action) in actions.iter().enumerate().skip(first) {
            if *left == 0 {
                return Place::Present(index, after);
            }
            *left -= 1;
            self.shown.begin_present(index, action);
            let state = seen.even_ending(&action.app).filter(|state| render::tasks::is_asked(state));
            if let Some(state) = state
                && let Some(after) = self.results(state, after, left)
            {
                return Place::Present(index, after);
            }
            after = None;
        }
        Place::End
    }

    /// Where to go on if not all of its instances could be looked at.
    fn results(
        &mut self,
        state: &AppState,
        mut after: Option<Uuid>,
        left: &mut usize,
    ) -> Option<Option<Uuid>> {
        for instance in state.instances.after(after) {
            if *left == 0 {
                return Some(after);
            }
            *left -= 1;
            let results = instance.task().map(|task| render::tasks::readiness_of(state, task));
            self.shown.add_results(results.unwrap_or_default());
            after = Some(instance.id.uuid());
        }
        None
    }

    fn done(mut self, deployment: &Deployment, most: usize) -> Underway {
        let actions = deployment.steps.get(self.shown.current()).map_or(&[][..], Vec::as_slice);
        self.at.extend(actions.iter().take(most).map(|action| action.app.clone()));
        Underway { json: self.shown.json(deployment), at: self.at }
    }
}

fn from(after: Option<&AppId>) -> (Bound<&AppId>, Bound<&AppId>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::cluster::Cluster;

    /// A deployment of an app of many instances that nobody says are ready, one of many apps, and a small one.
    async fn crowded() -> Cluster {
        let cluster = Cluster::start().await;
        let port = json!([{"port": 0, "name": "http"}]);
        let app = |id: &str, instances: usize| json!({"id": id, "cmd": "x", "cpus": 0.001, "mem": 1, "instances": instances, "portDefinitions": []});
        let mut asked = app("/asked", 0);
        asked["readinessChecks"] = json!([{"portName": "http", "intervalSeconds": 30, "timeoutSeconds": 1}]);
        asked["portDefinitions"] = port;
        assert_eq!(cluster.post("/v2/apps", &asked).await.status, 201);
        cluster.eventually("/v2/deployments", |deployments| *deployments == json!([])).await;
        assert_eq!(cluster.put("/v2/apps/asked", &json!({"instances": 90})).await.status, 200);
        let mut large: Vec<Value> = (0..400).map(|number| app(&format!("/large/a{number}"), 1)).collect();
        large[0]["mem"] = json!(1_000_000);
        assert_eq!(cluster.put("/v2/apps", &json!(large)).await.status, 200);
        let mut small = app("/small", 1);
        small["mem"] = json!(1_000_000);
        assert_eq!(cluster.post("/v2/apps", &small).await.status, 201);
        let staying = |apps: &Value| apps["apps"][0]["tasksRunning"] == 90;
        cluster.eventually("/v2/apps?id=asked", staying).await;
        cluster
    }

    #[tokio::test]
    async fn no_turn_looks_at_more_than_it_may_and_together_they_see_all() {
        let cluster = crowded().await;
        let found = all(&cluster.services, 3).await.expect("in time");
        let of = |app: &str| {
            let touches = |one: &&Underway| {
                one.json["affectedApps"].as_array().is_some_and(|apps| apps.contains(&json!(app)))
            };
            found.iter().find(touches).expect("it is listed")
        };
        let count = |list: &Value| list.as_array().map_or(0, Vec::len);
        assert_eq!(found.len(), 3);
        let asked = &of("/asked").json["currentActions"];
        assert_eq!((count(asked), count(&asked[0]["readinessCheckResults"])), (1, 90), "{asked}");
        assert_eq!(asked[0]["readinessCheckResults"][0]["ready"], false);
        let large = &of("/large/a0").json;
        let steps: Vec<usize> =
            large["steps"].as_array().expect("a list").iter().map(|step| count(&step["actions"])).collect();
        assert_eq!((count(&large["affectedApps"]), steps), (400, vec![400, 400]));
        assert_eq!((count(&large["currentActions"]), &large["currentStep"]), (400, &json!(2)));
        assert_eq!(of("/large/a0").at.len(), 3, "the first of them");
        let small = &of("/small").json;
        let actions = json!([{"action": "ScaleApplication", "app": "/small", "readinessCheckResults": []}]);
        assert_eq!(small["currentActions"], actions);
        assert_eq!(small["steps"][1], json!({"actions": [{"action": "ScaleApplication", "app": "/small"}]}));

        let ids = found
            .iter()
            .map(|one| one.json["id"].as_str().expect("a text").parse().expect("an id"))
            .collect();
        let mut walk = Walk { left: ids, under_way: None, found: Vec::new(), most: 3 };
        let mut turns = 0;
        while !walk.is_over() {
            walk = cluster.services.read(move |seen, _| walk.turn(seen)).await.expect("in time");
            turns += 1;
        }
        let looks = 400 + 800 + 400 + 90;
        assert!(turns >= looks / AT_ONCE, "{turns} turns");
        let json = |found: Vec<Underway>| found.into_iter().map(|one| one.json).collect::<Vec<Value>>();
        assert_eq!(json(walk.found), json(found));
    }
}
