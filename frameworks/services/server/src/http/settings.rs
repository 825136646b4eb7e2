//! What `/v2/info` says of the configuration: the settings that Marathon shows, by their names, null when there is no such thing
//! here. Its clients know these and refuse any other.

use serde_json::{Map, Value, json};

use crate::config::ServicesConfig;
use crate::identity::Identity;

/// Marathon's flags that have no counterpart here, or none that is set.
const UNSET: &[&str] = &[
    "access_control_allow_origin",
    "launch_token",
    "launch_token_refresh_interval",
    "maintenance_mode",
    "marathon_store_timeout",
    "mesos_bridge_name",
    "mesos_heartbeat_failure_threshold",
    "mesos_heartbeat_interval",
    "mesos_user",
    "min_revive_offers_interval",
    "offer_matching_timeout",
    "on_elected_prepare_timeout",
    "revive_offers_for_new_apps",
    "revive_offers_repetitions",
    "scale_apps_initial_delay",
    "scale_apps_interval",
    "store_cache",
    "task_launch_confirm_timeout",
    "task_lost_expunge_initial_delay",
    "task_lost_expunge_interval",
];

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Of Marathon's features those that are here, on for everybody.
fn features(secrets: bool) -> Vec<&'static str> {
    let all = [
        ("gpu_resources", true),
        ("maintenance_mode", true),
        ("secrets", secrets),
        ("task_killing", true),
        ("vips", true),
    ];
    all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
}

/// `marathon_config`.
pub(crate) fn marathon(identity: &Identity, master_url: Option<String>) -> Value {
    let config = &identity.config;
    let mut all: Map<String, Value> = UNSET.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    let known = json!({
        "checkpoint": true,
        "decline_offer_duration": milliseconds(config.decline_offer_duration),
        "default_network_name": config.default_network_name,
        "env_vars_prefix": Some(&config.env_vars_prefix).filter(|prefix| !prefix.is_empty()),
        "executor": "//cmd",
        "failover_timeout": config.failover_timeout.as_secs(),
        "features": features(config.secrets_dir.is_some()),
        "framework_name": config.framework_name,
        "ha": config.zk.is_some(),
        "hostname": identity.host_port.rsplit_once(':').map(|(host, _)| host),
        "leader_proxy_connection_timeout_ms": milliseconds(config.leader_proxy_connection_timeout),
        "leader_proxy_read_timeout_ms": milliseconds(config.leader_proxy_read_timeout),
        "local_port_max": config.local_port_max,
        "local_port_min": config.local_port_min,
        "master": config.master,
        "max_instances_per_offer": config.max_instances_per_offer,
        "mesos_leader_ui_url": master_url,
        "mesos_role": config.role,
        "new_group_enforce_role": config.new_group_enforce_role,
        "reconciliation_initial_delay": 15_000,
        "reconciliation_interval": 600_000,
        "task_launch_timeout": milliseconds(config.task_launch_timeout),
        "task_reservation_timeout": 20_000,
        "webui_url": config.webui_url.as_deref().unwrap_or(&identity.url()),
    });
    if let Value::Object(known) = known {
        all.extend(known);
    }
    if !config.user.is_empty() {
        all.insert("mesos_user".to_owned(), json!(config.user));
    }
    if !config.access_control_allow_origin.is_empty() {
        all.insert("access_control_allow_origin".to_owned(), json!(config.access_control_allow_origin));
    }
    Value::Object(all)
}

/// `zookeeper_config`.
pub(crate) fn zookeeper(config: &ServicesConfig) -> Value {
    json!({
        "zk": config.zk,
        "zk_compression": Value::Null,
        "zk_compression_threshold": Value::Null,
        "zk_connection_timeout": milliseconds(config.zk_session_timeout),
        "zk_max_node_size": Value::Null,
        "zk_max_versions": config.zk_max_versions,
        "zk_session_timeout": milliseconds(config.zk_session_timeout),
        "zk_timeout": 10_000,
    })
}
