//! Gathers what an explanation rests on: what keeps an app before any offer is looked at, and what is known of agents.

use chapada_model::{Now, Role};
use serde_json::{Map, json};

use super::inquiring::{Homes, Noticed, Several};
use super::{AppState, KnownOffer, Services};
use crate::deployment::Deployment;
use crate::instance::{Condition, Task};
use crate::timestamp::Timestamp;
use crate::why::{Cause, Inquiry, Reason, Suggestion, and, counted, seconds};

impl Services {
    /// The inquiry, after a look at all instances and all agents.
    pub(super) fn inquiry(
        &self,
        now: Now,
        state: &AppState,
        tasks: &Noticed,
        (known, newest, absent): (Vec<KnownOffer>, Option<Timestamp>, usize),
    ) -> Inquiry {
        let waiting = state.instances.waiting();
        let room = self.most_at_once(state).saturating_sub(state.alive(now.mono));
        let definition = &state.app.definition;
        let looking = if definition.is_resident() { tasks.homeless.min(waiting) } else { waiting };
        Inquiry {
            id: definition.id.clone(),
            definition: (!state.app.is_pod()).then(|| definition.clone()),
            request: self.settings.request(definition),
            placed: state.instances.placed().clone(),
            now: now.wall,
            waiting,
            seeking: looking.min(room),
            reasons: self.reasons_to_wait(now, state, tasks),
            after: self.reasons_to_be_unfinished(now, state, tasks),
            known,
            absent,
            newest,
            role: self.role_of_offers(state),
        }
    }

    /// The role in which an app is offered something.
    pub(super) fn role_of_offers(&self, state: &AppState) -> Role {
        state.app.definition.role.parse().unwrap_or_else(|_| self.role.clone())
    }

    /// What keeps instances from taking an offer.
    fn reasons_to_wait(&self, now: Now, state: &AppState, tasks: &Noticed) -> Vec<Reason> {
        let waiting = state.instances.waiting();
        let room = self.most_at_once(state).saturating_sub(state.alive(now.mono));
        let held_back = waiting.saturating_sub(room);
        let mut reasons = Vec::new();
        if waiting > 0 && !self.connected {
            let sentence = "No master is connected; nothing can start until one is".to_owned();
            reasons.push(Reason {
                cause: Cause::Disconnected,
                count: waiting,
                sentence,
                suggestions: Vec::new(),
            });
        }
        reasons.extend(self.deployment_of(state).and_then(|deployment| held(state, deployment)));
        if waiting > 0 {
            reasons.extend(delayed(now, state, waiting));
            // Nothing but their agents has what they need.
            reasons.extend(waits_for_volume(&tasks.away, "not offered"));
        }
        if held_back > 0 {
            let unknown = self.unknown(state, tasks);
            let mut capacity = self.capacity(now, state, (held_back, tasks.unreachable.count));
            if unknown.is_some() {
                // Others go as soon as it is known who is there, and room for more would not be kept.
                capacity.suggestions.clear();
            }
            reasons.extend(unknown);
            reasons.push(capacity);
        }
        reasons
    }

    fn capacity(&self, now: Now, state: &AppState, (held_back, unreachable): (usize, usize)) -> Reason {
        let (most, alive) = (self.most_at_once(state), state.alive(now.mono));
        let stopping = state.instances.stopping();
        let mut whom = Vec::new();
        whom.extend((stopping > 0).then(|| format!("{stopping} on the way out")));
        whom.extend((unreachable > 0).then(|| format!("{unreachable} out of reach")));
        let whom = if whom.is_empty() { String::new() } else { format!(", {}", and(&whom)) };
        let replaced = self.is_replacing(state);
        let until = if replaced { "until old ones are gone" } else { "until surplus ones are gone" };
        let sentence = format!(
            "{} {until}: at most {most} may be there at once, and {alive} {}{whom}",
            if held_back == 1 {
                "1 instance waits".to_owned()
            } else {
                format!("{held_back} instances wait")
            },
            if alive == 1 { "is" } else { "are" },
        );
        let suggestions = if replaced { vec![more_at_once(state, most)] } else { Vec::new() };
        Reason { cause: Cause::Capacity, count: held_back, sentence, suggestions }
    }

    /// What keeps instances that have a task from being as they should be.
    fn reasons_to_be_unfinished(&self, now: Now, state: &AppState, tasks: &Noticed) -> Vec<Reason> {
        let room = self.most_at_once(state).saturating_sub(state.alive(now.mono));
        // Else it is said before the lack of room that comes of it.
        let unknown = (state.instances.waiting() <= room).then(|| self.unknown(state, tasks));
        let mut reasons: Vec<Reason> = unknown.flatten().into_iter().collect();
        reasons.extend(self.canary_reason(now, state));
        reasons.extend(noted(&tasks.starting, Cause::Starting, |task| started(now, task)));
        reasons.extend(noted(&tasks.unhealthy, Cause::Unhealthy, unwell));
        reasons.extend(noted(&tasks.unready, Cause::NotReady, not_ready));
        reasons.extend(noted(&tasks.unchecked, Cause::NotReady, |_| {
            "has not passed its health checks yet".to_owned()
        }));
        reasons.extend(noted(&tasks.stopping, Cause::Stopping, |task| stopped(now, task)));
        // Nothing but the return of their agents brings them back.
        reasons.extend(waits_for_volume(&tasks.out_of_reach, "out of reach"));
        reasons.extend(noted(&tasks.unreachable, Cause::Unreachable, |task| {
            format!(
                "is out of reach since {}, for its agent does not answer",
                seconds(now.mono.since(task.since))
            )
        }));
        reasons
    }

    /// That it is not known yet who of those that are to do their work is there: nobody goes on their account until it is.
    fn unknown(&self, state: &AppState, tasks: &Noticed) -> Option<Reason> {
        let Noticed { good, unheard, unasked, .. } = *tasks;
        if unheard + unasked == 0 || !self.rests_on_news(state) {
            return None;
        }
        let of = |count: usize| format!("{count} of {}", counted(good, "instance"));
        let (cause, count, sentence) = match (self.connected, unheard) {
            // It is said already when something waits to be started.
            (false, _) if state.instances.waiting() > 0 => return None,
            (false, _) => {
                let sentence = "No master is connected; nothing goes on until one is".to_owned();
                (Cause::Disconnected, unheard, sentence)
            }
            (true, 0) => {
                let sentence = format!(
                    "Waits for the health checks of {}, of which this process has no answer yet",
                    of(unasked)
                );
                (Cause::Unheard, unasked, sentence)
            }
            (true, _) => {
                let sentence = format!(
                    "Waits for the master, which has not spoken of {} since it was reached",
                    of(unheard)
                );
                (Cause::Unheard, unheard, sentence)
            }
        };
        Some(Reason { cause, count, sentence, suggestions: Vec::new() })
    }

    /// Whether something goes on that stops nobody, or does not end, before it is known who is there.
    fn rests_on_news(&self, state: &AppState) -> bool {
        let acts = |deployment: &Deployment| {
            let id = &state.app.definition.id;
            deployment.progress.paused.is_none() && deployment.now().iter().any(|action| action.app == *id)
        };
        let is_deployed = self.deployment_of(state).is_some_and(acts);
        state.target() > 0 && (is_deployed || state.is_moving() || state.has_surplus())
    }

    fn canary_reason(&self, now: Now, state: &AppState) -> Option<Reason> {
        let stage = self.canary(state)?;
        let deployment =
            self.deployment_of(state).filter(|deployment| deployment.progress.paused.is_none())?;
        let (count, target) = (stage.of(state.target()), state.target());
        let well = deployment.progress.apps.get(&state.app.definition.id).and_then(|known| known.well_since);
        let then = match (well, stage.promote_after_seconds) {
            (Some(since), Some(wait)) => {
                let left = (since + wait.duration()).since(now.mono);
                format!("they are well, and the next stage begins in {}", seconds(left))
            }
            (None, Some(wait)) => {
                format!("the next stage begins when they were well for {}", seconds(wait.duration()))
            }
            (Some(_), None) => "they are well and wait to be promoted".to_owned(),
            (None, None) => "they wait to be promoted".to_owned(),
        };
        let sentence = format!("The canary has {count} of {target} instances; {then}");
        let promoted = Suggestion {
            sentence: "the others follow when the canary is promoted".to_owned(),
            fits: (target - count) as usize,
            patch: None,
            call: Some(("POST", format!("/v2/deployments/{}/promote", deployment.id))),
        };
        Some(Reason { cause: Cause::Deployment, count: promoted.fits, sentence, suggestions: vec![promoted] })
    }
}

/// So many apps are named of those that a deployment is at.
const NAMED: usize = 5;

/// A deployment that is paused, or that has other things to do first.
fn held(state: &AppState, deployment: &Deployment) -> Option<Reason> {
    let id = &state.app.definition.id;
    let missing = (state.app.definition.instances as usize)
        .saturating_sub(state.instances.len() - state.instances.waiting());
    let reason = |sentence, suggestions| {
        Some(Reason { cause: Cause::Deployment, count: missing, sentence, suggestions })
    };
    if let Some(since) = deployment.progress.paused {
        let resumed = Suggestion {
            sentence: "it goes on when the deployment is resumed".to_owned(),
            fits: missing,
            patch: None,
            call: Some(("POST", format!("/v2/deployments/{}/resume", deployment.id))),
        };
        return reason(format!("Its deployment {} is paused since {since}", deployment.id), vec![resumed]);
    }
    if !deployment.waits(id) {
        return None;
    }
    let now = deployment.now();
    let mut first: Vec<String> = now.iter().take(NAMED).map(|action| action.app.to_string()).collect();
    first.extend((now.len() > NAMED).then(|| format!("{} others", now.len() - NAMED)));
    let (step, steps) = (deployment.current + 1, deployment.steps.len());
    reason(
        format!("Its deployment is at step {step} of {steps} and has to finish {} first", and(&first)),
        Vec::new(),
    )
}

fn delayed(now: Now, state: &AppState, waiting: usize) -> Option<Reason> {
    let left = state.delay.map(|delay| delay.left(now.mono)).filter(|left| !left.is_zero())?;
    let why = match &state.last_failure {
        Some(failure) => {
            let message =
                if failure.message.is_empty() { String::new() } else { format!(": {}", failure.message) };
            format!("its last task ended as {} on {}{message}", failure.state.name(), failure.hostname)
        }
        None => "it failed before".to_owned(),
    };
    let sentence = format!("Waits {} until the next start, because {why}", seconds(left));
    let reset = Suggestion {
        sentence: "it would start at once if its delay were reset".to_owned(),
        fits: waiting,
        patch: None,
        call: Some(("DELETE", format!("/v2/queue/{}/delay", state.app.definition.id))),
    };
    Some(Reason { cause: Cause::Delayed, count: waiting, sentence, suggestions: vec![reset] })
}

fn waits_for_volume(homes: &Homes, because: &str) -> Option<Reason> {
    let first = homes.first.as_ref()?;
    let more = match homes.count - 1 {
        0 => String::new(),
        more => format!(", and {more} more for theirs"),
    };
    let (host, agent) = (&first.hostname, &first.agent);
    let sentence = format!("Waits for its volume on {host} (agent {agent}), which is {because}{more}");
    let wipe = Suggestion {
        sentence: format!("a new, empty volume would be made elsewhere if {} were wiped", first.instance),
        fits: 1,
        patch: None,
        call: Some(("POST", "/v2/tasks/delete?wipe=true".to_owned())),
    };
    Some(Reason { cause: Cause::Volume, count: homes.count, sentence, suggestions: vec![wipe] })
}

/// The upgrade strategy that lets one more be there at once.
fn more_at_once(state: &AppState, most: usize) -> Suggestion {
    let strategy = state.app.definition.upgrade_strategy;
    let target = f64::from(state.target().max(1));
    let over = ((most as f64 + 1.0) / target - 1.0).clamp(0.0, 1.0);
    // Rounded up, so that what is left of a product of floats is not just too little.
    let over = (over * 1_000.0).ceil() / 1_000.0;
    let fields =
        json!({"minimumHealthCapacity": strategy.minimum_health_capacity, "maximumOverCapacity": over});
    let patch: Option<Map<_, _>> = (over > strategy.maximum_over_capacity)
        .then(|| [("upgradeStrategy".to_owned(), fields)].into_iter().collect());
    let sentence = format!("1 more could start if maximumOverCapacity were {over}");
    Suggestion { sentence, fits: 1, patch, call: None }
}

/// `The task …` or `Of 3 tasks one …`.
fn noted(tasks: &Several, cause: Cause, said: impl Fn(&Task) -> String) -> Option<Reason> {
    let first = tasks.first.as_deref()?;
    let on = format!("on {}", first.hostname);
    let sentence = match tasks.count {
        1 => format!("The task {on} {}", said(first)),
        count => format!("Of {} one, {on}, {}", counted(count, "task"), said(first)),
    };
    Some(Reason { cause, count: tasks.count, sentence, suggestions: Vec::new() })
}

fn started(now: Now, task: &Task) -> String {
    let since = seconds(now.mono.since(task.since));
    match task.condition {
        Condition::Provisioned => format!("was sent {since} ago and nothing was heard of it yet"),
        Condition::Staging => format!("is being prepared since {since}"),
        _ => format!("is being started since {since}"),
    }
}

fn stopped(now: Now, task: &Task) -> String {
    match task.kill_sent {
        Some(sent) => format!("was told {} ago to stop and has not ended yet", seconds(now.mono.since(sent))),
        None => "is to stop".to_owned(),
    }
}

fn unwell(task: &Task) -> String {
    let cause = task.health.iter().find(|check| check.alive == Some(false));
    match cause.and_then(|check| check.last_failure_cause.as_ref()) {
        Some(cause) => format!("is not well: {cause}"),
        None => "is not well, its health checks say".to_owned(),
    }
}

fn not_ready(task: &Task) -> String {
    let answer = task.readiness.iter().filter(|check| !check.ready).find_map(|check| check.response.as_ref());
    match answer {
        Some(answer) => format!("does not say that it is ready: its check was answered {}", answer.status),
        None => "does not say that it is ready".to_owned(),
    }
}
