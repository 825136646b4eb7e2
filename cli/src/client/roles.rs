//! Roles: who has what, their quotas and weights.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::Cluster;
use super::api::Api;
use super::output::{Column, number, text};

#[derive(Debug, Subcommand)]
pub(crate) enum QuotaCommand {
    /// Sets what a role and those below are promised and may have at most, in place of what was set before.
    Set {
        #[command(flatten)]
        cluster: Cluster,
        /// The role, such as `eng/db`.
        role: String,
        #[command(flatten)]
        quota: Amounts,
        /// Also when more is in use than the limit, or more is promised than the cluster has.
        #[arg(long)]
        force: bool,
    },
    /// Ends a role's quota.
    Rm {
        #[command(flatten)]
        cluster: Cluster,
        /// The role.
        role: String,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Amounts {
    /// What is kept for them, such as `cpus=4,mem=1024`; memory and disk in MiB.
    #[arg(long, value_name = "AMOUNTS")]
    guarantee: Option<String>,
    /// The most that they may have; what is not named has no limit.
    #[arg(long, value_name = "AMOUNTS")]
    limit: Option<String>,
}

pub(super) const ROLES: &[Column] = &[
    ("ROLE", |role| text(&role["name"])),
    ("WEIGHT", |role| number(&role["weight"])),
    ("SHARE", |role| format!("{:.1}%", role["share"].as_f64().unwrap_or_default() * 100.0)),
    ("ALLOCATED", |role| amounts(&role["resources"]["allocated"])),
    ("OFFERED", |role| amounts(&role["resources"]["offered"])),
    ("RESERVED", |role| amounts(&role["resources"]["reserved"])),
    ("GUARANTEE", |role| amounts(&role["quota"]["guarantee"])),
    ("LIMIT", |role| amounts(&role["quota"]["limit"])),
    ("CONSUMED", |role| amounts(&role["quota"]["consumed"])),
];

/// `cpus=2,mem=64`, as it may be given too.
fn amounts(value: &Value) -> String {
    let amounts = value.as_object().into_iter().flatten();
    let amounts: Vec<String> = amounts.map(|(name, amount)| format!("{name}={}", number(amount))).collect();
    amounts.join(",")
}

pub(crate) async fn quota(command: QuotaCommand) -> Result<()> {
    let (cluster, config, force) = match command {
        QuotaCommand::Set { cluster, role, quota, force } => {
            let (guarantees, limits) = (scalars(quota.guarantee)?, scalars(quota.limit)?);
            (cluster, json!({ "role": role, "guarantees": guarantees, "limits": limits }), force)
        }
        QuotaCommand::Rm { cluster, role } => (cluster, json!({ "role": role }), false),
    };
    let update = json!({ "quota_configs": [config], "force": force });
    operate(&cluster, &json!({ "type": "UPDATE_QUOTA", "update_quota": update })).await
}

pub(crate) async fn weight(cluster: &Cluster, role: &str, weight: f64) -> Result<()> {
    let update = json!({ "weight_infos": [{ "role": role, "weight": weight }] });
    operate(cluster, &json!({ "type": "UPDATE_WEIGHTS", "update_weights": update })).await
}

async fn operate(cluster: &Cluster, call: &Value) -> Result<()> {
    Api::find(cluster).await?.json(Method::POST, "/api/v1", Some(call)).await?;
    Ok(())
}

/// `cpus=2,mem=64` as the API has it.
fn scalars(amounts: Option<String>) -> Result<Map<String, Value>> {
    let mut scalars = Map::new();
    for part in amounts.iter().flat_map(|amounts| amounts.split(',')) {
        let Some((name, amount)) = part.trim().split_once('=') else {
            bail!("{part:?} is no amount: write cpus=4,mem=1024");
        };
        let Ok(amount) = amount.trim().parse::<f64>() else {
            bail!("{amount:?} of {name} is no number");
        };
        if scalars.insert(name.trim().to_owned(), json!({ "value": amount })).is_some() {
            bail!("{name} is named twice");
        }
    }
    Ok(scalars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_or_refused_by_name() {
        let read = scalars(Some("cpus=1.5, mem=64".to_owned())).expect("amounts");
        assert_eq!(Value::Object(read), json!({ "cpus": { "value": 1.5 }, "mem": { "value": 64.0 } }));
        for bad in ["cpus", "cpus=x", "cpus=1,cpus=2", ""] {
            assert!(scalars(Some(bad.to_owned())).is_err(), "{bad}");
        }
        assert_eq!(amounts(&json!({ "cpus": 1.5, "mem": 64 })), "cpus=1.5,mem=64");
    }
}
