//! What can be asked, one row each.

use super::Form::{Flag, Text, Texts};
use super::Operation;

fn get(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("GET", path, summary)
}

fn post(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("POST", path, summary).query(Flag, &["force"])
}

fn put(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("PUT", path, summary).query(Flag, &["force"])
}

fn patch(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("PATCH", path, summary).query(Flag, &["force"])
}

fn delete(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("DELETE", path, summary).query(Flag, &["force"])
}

const MISSING: &str = "there is no such thing";
const LOCKED: &str = "it exists already, or deployments are in the way; `deployments` names them";

impl Operation {
    fn missing(self) -> Self {
        self.fails(404, MISSING)
    }

    fn locked(self) -> Self {
        self.fails(409, LOCKED)
    }
}

/// Every operation.
pub(super) fn all() -> Vec<Operation> {
    [apps(), tasks(), groups(), pods(), deployments(), process()].into_iter().flatten().collect()
}

fn apps() -> Vec<Operation> {
    vec![
        get("/v2/apps", "Lists apps")
            .query(Text, &["cmd", "id", "label"])
            .query(Texts, &["embed"])
            .query(Text, &["limit", "after"])
            .json(200, "Apps")
            .fails(422, "`label` is no selector, or `limit` or `after` is none"),
        post("/v2/apps", "Makes an app").body("AppDefinition").json(201, "App").locked(),
        put("/v2/apps", "Changes or makes several apps in one deployment")
            .query(Flag, &["partialUpdate"])
            .body("AppDefinitions")
            .json(200, "Deployed")
            .missing()
            .locked(),
        patch("/v2/apps", "Changes several apps in one deployment")
            .body("AppDefinitions")
            .json(200, "Deployed")
            .missing()
            .locked(),
        get("/v2/apps/{group}/*", "Lists the apps below a group")
            .query(Texts, &["embed"])
            .json(200, "AppsBelow")
            .missing(),
        get("/v2/apps/{group}/*/tasks", "Lists the tasks of the apps below a group")
            .json(200, "Tasks")
            .missing(),
        post("/v2/apps/*/plan", "Says what a PUT of the same apps would do, and does nothing")
            .query(Flag, &["partialUpdate"])
            .body("AppDefinitions")
            .json(200, "Plan")
            .missing()
            .locked(),
        get("/v2/apps/{id}", "Shows an app").query(Texts, &["embed"]).json(200, "OneApp").missing(),
        put("/v2/apps/{id}", "Changes or makes an app; with only `version` it goes back to that")
            .query(Flag, &["partialUpdate"])
            .body("AppChange")
            .json(200, "Deployed")
            .json(201, "Deployed")
            .missing()
            .locked(),
        patch("/v2/apps/{id}", "Changes an app").body("AppChange").json(200, "Deployed").missing().locked(),
        delete("/v2/apps/{id}", "Deletes an app").json(200, "Deployed").missing().locked(),
        post("/v2/apps/{id}/restart", "Replaces every task of an app")
            .json(200, "Deployed")
            .missing()
            .locked(),
        get("/v2/apps/{id}/why", "Says why an app waits, and the smallest change that would place it")
            .json(200, "Explanation")
            .missing(),
        post("/v2/apps/{id}/plan", "Says what a PUT of the same would do, and does nothing")
            .query(Flag, &["partialUpdate"])
            .body("AppChange")
            .json(200, "Plan")
            .missing()
            .locked(),
        get("/v2/apps/{id}/versions", "Lists the versions of an app, newest first")
            .json(200, "Versions")
            .missing(),
        get("/v2/apps/{id}/versions/{version}", "Shows an app as it was").json(200, "App").missing(),
        get("/v2/apps/{id}/tasks", "Lists the tasks of an app").json(200, "Tasks").missing(),
        delete("/v2/apps/{id}/tasks", "Kills the tasks of an app")
            .query(Flag, &["scale", "wipe"])
            .query(Text, &["host"])
            .json(200, "Killed")
            .missing()
            .locked(),
        delete("/v2/apps/{id}/tasks/{task}", "Kills a task")
            .query(Flag, &["scale", "wipe"])
            .json(200, "KilledOne")
            .missing()
            .locked(),
    ]
}

fn tasks() -> Vec<Operation> {
    vec![
        get("/v2/tasks", "Lists tasks, as text for who prefers that")
            .query(Texts, &["status", "status[]", "embed", "containerNetworks"])
            .query(Text, &["limit", "after"])
            .json(200, "Tasks")
            .says(200, "text/plain", "Text")
            .fails(422, "`limit` or `after` is none"),
        post("/v2/tasks/delete", "Kills tasks")
            .query(Flag, &["scale", "wipe"])
            .body("TaskIds")
            .json(200, "Killed")
            .missing()
            .locked(),
        get("/v2/queue", "Lists what waits, and why").query(Texts, &["embed"]).json(200, "Queue"),
        Operation::new("DELETE", "/v2/queue/{id}/delay", "Ends the delay of an app after failures")
            .says(204, "", "")
            .missing(),
    ]
}

fn groups() -> Vec<Operation> {
    vec![
        get("/v2/groups", "Shows all groups").query(Texts, &["embed"]).json(200, "Group"),
        get("/v2/groups/{group}", "Shows a group").query(Texts, &["embed"]).json(200, "Group").missing(),
        get("/v2/groups/{group}/apps", "Lists the apps of a group")
            .query(Texts, &["embed"])
            .json(200, "Apps")
            .missing(),
        get("/v2/groups/{group}/versions", "Lists the versions of a group").json(200, "Timestamps").missing(),
        get("/v2/groups/{group}/versions/{version}", "Shows a group as it was").json(200, "Group").missing(),
        post("/v2/groups", "Makes a group").body("GroupDefinition").json(201, "Deployed").missing().locked(),
        post("/v2/groups/{group}", "Makes a group below another")
            .body("GroupDefinition")
            .json(201, "Deployed")
            .missing()
            .locked(),
        put("/v2/groups", "Changes everything")
            .query(Flag, &["dryRun"])
            .body("GroupDefinition")
            .json(200, "DeployedOrPlan")
            .json(201, "Deployed")
            .missing()
            .locked(),
        put("/v2/groups/{group}", "Changes or makes a group")
            .query(Flag, &["dryRun"])
            .body("GroupDefinition")
            .json(200, "DeployedOrPlan")
            .json(201, "Deployed")
            .missing()
            .locked(),
        put("/v2/groups/{group}/versions/{version}", "Has a group go back")
            .json(200, "Deployed")
            .missing()
            .locked(),
        patch("/v2/groups/{group}", "Changes whether a group enforces its role")
            .body("EnforceRole")
            .json(200, "Anything")
            .missing()
            .locked(),
        delete("/v2/groups", "Deletes everything").json(200, "Deployed").missing().locked(),
        delete("/v2/groups/{group}", "Deletes a group").json(200, "Deployed").missing().locked(),
    ]
}

fn pods() -> Vec<Operation> {
    vec![
        Operation::new("HEAD", "/v2/pods", "Whether there are pods at all").says(200, "", ""),
        get("/v2/pods", "Lists pods").json(200, "Pods"),
        post("/v2/pods", "Makes a pod").body("PodDefinition").json(201, "Pod").locked(),
        get("/v2/pods/{id}", "Shows a pod").json(200, "Pod").missing(),
        put("/v2/pods/{id}", "Replaces a pod").body("PodDefinition").json(200, "Pod").missing().locked(),
        delete("/v2/pods/{id}", "Deletes a pod").says(202, "", "").missing().locked(),
        get("/v2/pods/::status", "How all pods are").json(200, "PodStatuses"),
        get("/v2/pods/{id}::status", "How a pod is").json(200, "PodStatus").missing(),
        get("/v2/pods/{id}::why", "Says why a pod waits, and the smallest change that would place it")
            .json(200, "Explanation")
            .missing(),
        get("/v2/pods/{id}::versions", "Lists the versions of a pod").json(200, "Timestamps").missing(),
        get("/v2/pods/{id}::versions/{version}", "Shows a pod as it was").json(200, "Pod").missing(),
        delete("/v2/pods/{id}::instances", "Kills instances of a pod")
            .query(Flag, &["wipe"])
            .body("InstanceIds")
            .json(200, "Anythings")
            .missing()
            .locked(),
        delete("/v2/pods/{id}::instances/{instance}", "Kills an instance of a pod")
            .query(Flag, &["wipe"])
            .json(200, "Anything")
            .missing()
            .locked(),
    ]
}

fn deployments() -> Vec<Operation> {
    vec![
        get("/v2/deployments", "Lists the deployments on their way").json(200, "Deployments"),
        delete("/v2/deployments/{id}", "Undoes a deployment; with `force` leaves it where it is")
            .json(200, "Deployed")
            .says(202, "", "")
            .missing()
            .locked(),
        post("/v2/deployments/{id}/promote", "Has a canary go on").json(200, "Anything").missing().locked(),
        post("/v2/deployments/{id}/pause", "Holds a deployment").json(200, "Anything").missing().locked(),
        post("/v2/deployments/{id}/resume", "Has a paused deployment go on")
            .json(200, "Anything")
            .missing()
            .locked(),
    ]
}

fn process() -> Vec<Operation> {
    vec![
        get("/v2/events", "What happens, as it happens; `Last-Event-ID` says what was seen already")
            .query(Texts, &["event_type"])
            .query(Text, &["plan-format"])
            .says(200, "text/event-stream", "Text")
            .says(302, "", ""),
        get("/v2/info", "Who leads, and its configuration").json(200, "Info"),
        get("/v2/leader", "Who leads").json(200, "Leader").missing(),
        Operation::new("DELETE", "/v2/leader", "Has another process lead")
            .query(Text, &["backup", "restore"])
            .json(200, "Message"),
        get("/v2/plugins", "There are none").json(200, "Plugins"),
        get("/ping", "Whether the process answers")
            .says(200, "text/plain", "Text")
            .json(200, "Text")
            .says(204, "", ""),
        get("/status", "Whether the process can do its work").json(200, "Status"),
        get("/metrics", "Figures").json(200, "Metrics").says(200, "text/plain", "Text"),
        get("/metrics/prometheus", "Figures as Prometheus reads them").says(200, "text/plain", "Text"),
        get("/logging", "How much is logged").json(200, "Levels"),
        Operation::new("POST", "/logging", "Has more logged for a while")
            .body("LevelChange")
            .json(200, "Levels")
            .fails(501, "the log belongs to the program around this"),
        get("/", "To the web UI").says(302, "", ""),
        get("/ui/", "To the web UI").says(302, "", ""),
        get("/help", "Where to begin").json(200, "Anything"),
        get("/openapi.json", "This document").json(200, "Anything"),
    ]
}
