//! What is answered.

use serde_json::{Value, json};

use super::{closed, list, merged, named, object, strings};

pub(super) fn all() -> Value {
    merged([common(), of_apps(), of_pods_and_groups()])
}

fn common() -> Value {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer", "minimum": 0});
    json!({
        "Anything": {"type": "object"},
        "Anythings": {"type": "array", "items": {"type": "object"}},
        "Timestamp": {"type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z$"},
        "Timestamps": list("Timestamp"),
        "Message": object(json!({"message": text})),
        "Error": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": text,
                "details": {"oneOf": [text, {"type": "array", "items": object(json!({"path": text, "errors": strings()}))}]},
                "deployments": {"type": "array", "items": object(json!({"id": text}))},
            },
        },
        "Deployed": object(json!({"version": named("Timestamp"), "deploymentId": text})),
        "DeployedOrPlan": {"anyOf": [named("Deployed"), object(json!({"steps": {"type": "array"}}))]},
        "Deployment": object(json!({
            "id": text, "version": named("Timestamp"), "affectedApps": strings(), "affectedPods": strings(),
            "steps": {"type": "array", "items": object(json!({"actions": {"type": "array"}}))},
            "currentActions": {"type": "array"}, "currentStep": number, "totalSteps": number,
        })),
        "Deployments": list("Deployment"),
        "FunnelRow": closed(json!({"reason": text, "declined": number, "processed": number}), json!({})),
        "Waiting": {
            "oneOf": [{"required": ["app"]}, {"required": ["pod"]}],
            "type": "object",
            "required": ["count", "since", "delay", "processedOffersSummary"],
            "additionalProperties": false,
            "properties": {
                "app": named("App"), "pod": named("Pod"), "count": number, "since": named("Timestamp"),
                "delay": closed(json!({"timeLeftSeconds": number, "overdue": {"type": "boolean"}}), json!({})),
                "processedOffersSummary": closed(
                    json!({
                        "processedOffersCount": number, "unusedOffersCount": number,
                        "rejectSummaryLastOffers": list("FunnelRow"), "rejectSummaryLaunchAttempt": list("FunnelRow"),
                    }),
                    json!({"lastUnusedOfferAt": named("Timestamp"), "lastUsedOfferAt": named("Timestamp")}),
                ),
                "lastUnusedOffers": {"type": "array", "items": object(json!({"offer": {"type": "object"}, "reason": strings()}))},
                "explanation": named("Explanation"),
            },
        },
        "Queue": object(json!({"queue": list("Waiting")})),
        "Explanation": object(json!({
            "id": text, "waiting": number, "sentence": text, "reasons": {"type": "array"}, "funnel": {"type": "array"},
            "offers": {"type": "object"},
        })),
        "Plan": object(json!({
            "changes": {"type": "array"}, "steps": {"type": "array"}, "cancels": {"type": "array"},
            "placements": {"type": "array"},
        })),
    })
}

/// Source: section 7 of the inventory has which fields an app is always shown with.
fn app() -> Value {
    let (text, flag) = (json!({"type": "string"}), json!({"type": "boolean"}));
    let number = json!({"type": "number", "minimum": 0});
    let count = json!({"type": "integer", "minimum": 0});
    let (any, objects) = (json!({"type": "object"}), json!({"type": "array", "items": {"type": "object"}}));
    let texts = json!({"type": "object", "additionalProperties": text});
    let strategy = closed(json!({"minimumHealthCapacity": number, "maximumOverCapacity": number}), json!({}));
    let away = closed(json!({"inactiveAfterSeconds": number, "expungeAfterSeconds": number}), json!({}));
    closed(
        json!({
            "id": text, "backoffFactor": number, "backoffSeconds": number, "cpus": number, "disk": number,
            "executor": text, "gpus": count, "instances": count, "labels": texts, "maxLaunchDelaySeconds": number,
            "mem": number, "networks": objects, "requirePorts": flag, "upgradeStrategy": strategy, "role": text,
            "killSelection": {"enum": ["YOUNGEST_FIRST", "OLDEST_FIRST"]},
            "unreachableStrategy": {"oneOf": [{"const": "disabled"}, away]},
            "version": named("Timestamp"),
            "versionInfo": closed(
                json!({"lastScalingAt": named("Timestamp"), "lastConfigChangeAt": named("Timestamp")}), json!({}),
            ),
        }),
        json!({
            "acceptedResourceRoles": strings(), "args": strings(), "check": any, "cmd": text, "container": any,
            "constraints": {"type": "array", "items": strings()}, "dependencies": strings(), "env": any,
            "fetch": objects, "healthChecks": objects, "portDefinitions": objects, "readinessChecks": objects,
            "residency": any, "resourceLimits": any, "rollout": any, "secrets": any, "tty": flag, "user": text,
            "taskKillGracePeriodSeconds": number,
            "tasksStaged": count, "tasksRunning": count, "tasksHealthy": count, "tasksUnhealthy": count,
            "deployments": {"type": "array", "items": object(json!({"id": text}))},
            "tasks": list("Task"), "lastTaskFailure": any, "taskStats": any, "readinessCheckResults": objects,
        }),
    )
}

fn of_apps() -> Value {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer", "minimum": 0});
    json!({
        "App": app(),
        "Apps": object(json!({"apps": list("App")})),
        "OneApp": object(json!({"app": named("App")})),
        "AppsBelow": object(json!({"*": list("App")})),
        "Versions": object(json!({"versions": list("Timestamp")})),
        "Task": object(json!({
            "id": text, "appId": text, "host": text, "state": text, "slaveId": text, "version": named("Timestamp"),
            "stagedAt": named("Timestamp"), "servicePorts": {"type": "array", "items": number}, "ipAddresses": {"type": "array"},
        })),
        "Tasks": object(json!({"tasks": list("Task")})),
        "Killed": {"anyOf": [named("Tasks"), named("Deployed")]},
        "KilledOne": {"anyOf": [object(json!({"task": named("Task")})), named("Deployed")]},
    })
}

fn of_pods_and_groups() -> Value {
    let (text, any) = (json!({"type": "string"}), json!({"type": "object"}));
    let (at, objects) = (named("Timestamp"), json!({"type": "array", "items": {"type": "object"}}));
    json!({
        "Pod": closed(
            json!({"id": text, "version": at, "containers": {"type": "array", "minItems": 1, "items": object(json!({
                "name": text, "resources": any,
            }))}}),
            json!({
                "environment": any, "executorResources": any, "labels": any, "legacySharedCgroups": {"type": "boolean"},
                "networks": objects, "role": text, "scaling": any, "scheduling": any, "secrets": any, "user": text,
                "volumes": objects,
            }),
        ),
        "Pods": list("Pod"),
        "PodInstance": closed(
            json!({
                "id": text, "status": {"enum": ["PENDING", "STAGING", "STABLE", "DEGRADED", "TERMINAL"]}, "statusSince": at,
                "conditions": {"type": "array"}, "resources": any, "networks": objects, "specReference": text,
                "containers": {"type": "array", "items": object(json!({
                    "name": text, "status": text, "statusSince": at, "containerId": text, "conditions": objects,
                    "endpoints": objects, "resources": any,
                }))},
                "localVolumes": objects, "lastUpdated": at, "lastChanged": at, "role": text,
            }),
            json!({"agentHostname": text, "agentId": text, "agentRegion": text, "agentZone": text, "message": text}),
        ),
        "PodStatus": closed(
            json!({
                "id": text, "spec": named("Pod"), "status": {"enum": ["TERMINAL", "STABLE", "DEGRADED"]}, "statusSince": at,
                "instances": list("PodInstance"), "terminationHistory": objects, "lastUpdated": at, "lastChanged": at,
            }),
            json!({"message": text}),
        ),
        "PodStatuses": list("PodStatus"),
        "Group": closed(
            json!({"id": text, "version": at, "dependencies": strings()}),
            json!({
                "apps": list("App"), "groups": list("Group"), "pods": {"type": "array", "items": any},
                "enforceRole": {"type": "boolean"},
            }),
        ),
    })
}
