//! Agents taken out of service and back: drained one by one or many, deactivated, given up for good.

use std::io::Write;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::Cluster;
use super::api::{Api, escaped};
use super::listing;
use super::output::{self, Column, age, text};

#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// Empties agents gently: they are offered to nobody, frameworks are asked to leave them, what is left at the deadline is killed.
    Drain(DrainArgs),
    /// Lists drains and how far each is; with a name, each agent of that one.
    Drains {
        /// The drain's name.
        drain: Option<String>,
    },
    /// Ends a drain: agents that are not drained yet are offered again; what was told to end ends all the same.
    Cancel {
        /// The drain's name, or the id or host name of one agent.
        drain: String,
    },
    /// Has an agent offered to nobody; what runs there runs on.
    Deactivate {
        /// Its id or host name.
        agent: String,
    },
    /// Has an agent offered again that was deactivated or has been drained.
    Reactivate {
        /// Its id or host name.
        agent: String,
    },
    /// Gives an agent up for good: its tasks end as gone, and it may never come back under this id.
    Gone {
        /// Its id.
        agent: String,
    },
    /// Has silent agents given up although they are many: for when it is the machines that are gone, and not the network.
    AllowRemovals {
        /// For how long, a day at most; 0s takes it back.
        #[arg(long = "for", default_value = "10m", value_parser = humantime::parse_duration)]
        time: Duration,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Ids or host names of agents.
    #[arg(required_unless_present = "attribute", conflicts_with = "attribute")]
    agents: Vec<String>,
    /// Instead: the agents that have this attribute, `rack=r2`; more than one must all hold.
    #[arg(long, value_name = "NAME=VALUE")]
    attribute: Vec<String>,
    /// How many are draining at the same time.
    #[arg(long, default_value_t = 1)]
    at_once: u32,
    /// How long frameworks may take to leave each agent before what is left there is killed; 0s kills at once.
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    deadline: Duration,
    /// The longest time that a task gets from the kill to its end; each has its own unless set.
    #[arg(long, value_parser = humantime::parse_duration)]
    max_grace: Option<Duration>,
    /// Gives each agent up for good once nothing is left on it.
    #[arg(long)]
    mark_gone: bool,
    /// What the drain is called; made up unless set.
    #[arg(long)]
    name: Option<String>,
}

const DRAINS: &[Column] = &[
    ("NAME", |drain| text(&drain["id"])),
    ("AGENTS", |drain| text(&drain["selected_by"])),
    ("STATE", |drain| text(&drain["state"])),
    ("WAITING", |drain| text(&drain["agents"]["waiting"])),
    ("DRAINING", |drain| format!("{}/{}", text(&drain["agents"]["draining"]), text(&drain["at_once"]))),
    ("DRAINED", |drain| text(&drain["agents"]["drained"])),
    ("GONE", |drain| text(&drain["agents"]["gone"])),
    ("UNREACHABLE", |drain| text(&drain["agents"]["unreachable"])),
    ("AGE", |drain| age(&drain["since"])),
];

const DRAINED_AGENTS: &[Column] = &[
    ("ID", |agent| text(&agent["id"])),
    ("HOST", |agent| text(&agent["hostname"])),
    ("STATE", |agent| text(&agent["state"])),
    ("TASKS", |agent| text(&agent["tasks"])),
    ("WAITS FOR", |agent| text(&agent["why"])),
];

pub(crate) async fn run(cluster: &Cluster, command: AgentsCommand) -> Result<()> {
    let api = Api::find(cluster).await?;
    match command {
        AgentsCommand::Drain(args) => drain(&api, args).await,
        AgentsCommand::Drains { drain: Some(name) } => {
            let found = api.get(&format!("/query/v1/drains/{}", escaped(&name))).await?;
            let agents = found["list"].as_array().map_or(&[][..], Vec::as_slice);
            output::list(cluster.output, agents, DRAINED_AGENTS)
        }
        AgentsCommand::Drains { drain: None } => {
            let listed = api.get("/query/v1/drains?limit=500").await?;
            let listed = listed["items"].as_array().map_or(&[][..], Vec::as_slice);
            output::list(cluster.output, listed, DRAINS)
        }
        AgentsCommand::Cancel { drain } => {
            let drains = api.get("/query/v1/drains?limit=500").await?;
            let is_drain = drains["items"].as_array().into_iter().flatten().any(|one| one["id"] == drain);
            let cancel = match is_drain {
                true => json!({ "drain_id": drain }),
                false => json!({ "agent_id": { "value": id_of(&api, &drain).await? } }),
            };
            operate(&api, "CANCEL_DRAIN", cancel).await.map(drop)
        }
        AgentsCommand::Deactivate { agent } => of_one(&api, "DEACTIVATE_AGENT", &agent).await,
        AgentsCommand::Reactivate { agent } => of_one(&api, "REACTIVATE_AGENT", &agent).await,
        AgentsCommand::Gone { agent } => of_one(&api, "MARK_AGENT_GONE", &agent).await,
        AgentsCommand::AllowRemovals { time } => {
            operate(&api, "ALLOW_AGENT_REMOVALS", json!({ "duration": duration(time) })).await.map(drop)
        }
    }
}

async fn drain(api: &Api, args: DrainArgs) -> Result<()> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let name = args.name.unwrap_or_else(|| format!("drain-{}", since.as_millis()));
    let mut ids = Vec::new();
    for agent in &args.agents {
        ids.push(json!({ "value": id_of(api, agent).await? }));
    }
    let mut call = Map::new();
    call.insert("drain_id".to_owned(), json!(name));
    call.insert("at_once".to_owned(), json!(args.at_once));
    call.insert("mark_gone".to_owned(), json!(args.mark_gone));
    call.insert("leave_within".to_owned(), duration(args.deadline));
    match ids.is_empty() {
        true => call.insert("attributes".to_owned(), json!(args.attribute)),
        false => call.insert("agent_ids".to_owned(), Value::Array(ids)),
    };
    if let Some(grace) = args.max_grace {
        call.insert("max_grace_period".to_owned(), duration(grace));
    }
    let answer = operate(api, "DRAIN_AGENTS", Value::Object(call)).await?;
    for line in passed_over(&answer) {
        eprintln!("{line}");
    }
    writeln!(std::io::stdout(), "{name}")?;
    Ok(())
}

/// What the answer to a drain says of agents that it leaves out, a line each.
fn passed_over(answer: &Value) -> Vec<String> {
    let agents = answer["passed_over"].as_array().map_or(&[][..], Vec::as_slice);
    let line = |agent: &Value| {
        let (id, host) = (text(&agent["agent_id"]["value"]), text(&agent["hostname"]));
        format!("  {id} ({host}): {}", text(&agent["why"]))
    };
    let head = answer["message"].as_str().map(str::to_owned);
    head.into_iter().chain(agents.iter().map(line)).collect()
}

async fn of_one(api: &Api, kind: &str, agent: &str) -> Result<()> {
    let id = id_of(api, agent).await?;
    operate(api, kind, json!({ "agent_id": { "value": id } })).await.map(drop)
}

/// The id of the one agent that has this id or host name and is not gone.
async fn id_of(api: &Api, name: &str) -> Result<String> {
    let like = listing::agents_like(api, name).await?;
    let is_it = |agent: &&Value| agent["id"] == *name || agent["hostname"] == *name;
    let mut found = like.iter().filter(is_it).filter(|agent| agent["state"] != "gone");
    match (found.next(), found.next()) {
        (Some(agent), None) => Ok(text(&agent["id"])),
        (Some(_), Some(_)) => bail!("more than one agent is on {name}: name one by its id"),
        (None, _) => bail!("there is no agent {name}: `chapada agents` lists them"),
    }
}

/// A call of the operator's API; its field has its name in lower case. The answer, which most leave empty.
async fn operate(api: &Api, kind: &str, field: Value) -> Result<Value> {
    let call = json!({ "type": kind, kind.to_ascii_lowercase(): field });
    Ok(api.json(Method::POST, "/api/v1", Some(&call)).await?)
}

fn duration(time: Duration) -> Value {
    json!({ "seconds": time.as_secs(), "nanos": time.subsec_nanos() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_that_a_drain_passes_over_are_told_one_by_one_with_why() {
        let agent = json!({ "agent_id": { "value": "a-S1" }, "hostname": "h1", "why": "unreachable: wait" });
        let answer = json!({ "message": "1 agent passed over", "passed_over": [agent] });
        assert_eq!(passed_over(&answer), ["1 agent passed over", "  a-S1 (h1): unreachable: wait"]);
        assert!(passed_over(&Value::Null).is_empty(), "an empty answer says nothing");
    }

    #[test]
    fn what_a_draining_agent_waits_for_is_a_column() {
        let shown = |agent: &Value| DRAINED_AGENTS.last().map(|(heading, cell)| (*heading, cell(agent)));
        assert_eq!(shown(&json!({ "why": "x" })), Some(("WAITS FOR", "x".to_owned())));
        assert_eq!(shown(&json!({ "why": null })), Some(("WAITS FOR", String::new())));
    }
}
