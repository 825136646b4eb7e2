//! A framework that behaves: it launches a task on every offer, acknowledges what it is told, and counts what has finished.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use chapada_harness::eventually;
use serde_json::{Value, json};

use crate::raw::{Connection, Stream, post};

/// A task takes milliseconds. On a machine under load an offer may have been taken back before it was answered: then the master
/// passes the framework over, for up to a minute.
const SOON: Duration = Duration::from_secs(90);
/// Tasks that must finish while something hostile goes on.
const TASKS: u64 = 3;

/// Runs in a thread of its own until it is dropped.
#[derive(Debug)]
pub(crate) struct Honest {
    finished: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    /// What ended it before its time.
    broken: Arc<OnceLock<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Honest {
    /// Subscribes, and runs tasks from then on.
    pub(crate) fn start(address: &str) -> Self {
        let (finished, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut framework = Framework::subscribe(address, "honest", &["honest"]);
        let broken = Arc::new(OnceLock::new());
        let (count, end, why) = (finished.clone(), over.clone(), broken.clone());
        let thread = std::thread::spawn(move || {
            while let Some(event) = framework.stream.event() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                match framework.serve(&event) {
                    Some(true) => drop(count.fetch_add(1, Ordering::Relaxed)),
                    Some(false) => {}
                    None => {
                        why.get_or_init(|| format!("it got no answer to what it said about {event}"));
                        return;
                    }
                }
            }
            why.get_or_init(|| "the stream of its events ended".to_owned());
        });
        let honest = Self { finished, over, broken, thread: Some(thread) };
        honest.goes_on("before anything hostile comes");
        honest
    }

    /// Waits until more of its tasks have finished.
    pub(crate) fn goes_on(&self, when: &str) {
        let before = self.finished.load(Ordering::Relaxed);
        eventually(&format!("the honest framework's tasks finish {when}"), SOON, || {
            let more = self.finished.load(Ordering::Relaxed) - before;
            if let Some(why) = self.broken.get() {
                panic!("{when}: {why}");
            }
            if more >= TASKS { Ok(()) } else { Err(format!("{more} of {TASKS}")) }
        });
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Its next event or the end of the master ends it.
        drop(self.thread.take());
    }
}

/// A subscribed framework.
#[derive(Debug)]
pub(crate) struct Framework {
    address: String,
    pub(crate) id: String,
    pub(crate) stream: Stream,
    /// Offers that came while something else was waited for and are good still. Who forgets these is passed over once their time
    /// is up, longer each time.
    open: Vec<Value>,
    launched: u64,
}

/// What a framework of this name says to subscribe.
pub(crate) fn subscription(name: &str, roles: &[&str]) -> Value {
    let capabilities = json!([{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]);
    let info = json!({"user": "root", "name": name, "roles": roles, "capabilities": capabilities});
    json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}})
}

impl Framework {
    pub(crate) fn subscribe(address: &str, name: &str, roles: &[&str]) -> Self {
        Self::open(address, &subscription(name, roles))
    }

    /// Subscribes with these words.
    pub(crate) fn open(address: &str, subscription: &Value) -> Self {
        let mut stream = Stream::open(address, "/api/v1/scheduler", subscription);
        let subscribed = stream.until("SUBSCRIBED");
        let id = subscribed["subscribed"]["framework_id"]["value"].as_str().expect("an id").to_owned();
        Self { address: address.to_owned(), id, stream, open: Vec::new(), launched: 0 }
    }

    /// An offer that is good still, as soon as there is one.
    pub(crate) fn offer(&mut self) -> Value {
        loop {
            if let Some(offer) = self.open.pop() {
                return offer;
            }
            self.hear();
        }
    }

    /// The next status of this task.
    pub(crate) fn status_of(&mut self, task: &str) -> Value {
        loop {
            let event = self.hear();
            let status = &event["update"]["status"];
            if status["task_id"]["value"] == task {
                return status.clone();
            }
        }
    }

    /// The next event; offers that it brings or takes back are noted.
    fn hear(&mut self) -> Value {
        let event = self.stream.event().expect("the stream stands");
        self.open.extend(event["offers"]["offers"].as_array().into_iter().flatten().cloned());
        self.open.retain(|offer| offer["id"] != event["rescind"]["offer_id"]);
        event
    }

    /// Makes a call; the status and the words of the answer.
    pub(crate) fn call(&self, kind: &str, body: &Value) -> (u16, String) {
        self.try_call(kind, body).expect("the master answers")
    }

    fn try_call(&self, kind: &str, body: &Value) -> Option<(u16, String)> {
        let mut call = json!({"type": kind, "framework_id": {"value": self.id}});
        if !body.is_null() {
            call[kind.to_lowercase()] = body.clone();
        }
        self.try_send("application/json", call.to_string().as_bytes())
    }

    /// Makes a call that is written already.
    pub(crate) fn send(&self, content: &str, body: &[u8]) -> (u16, String) {
        self.try_send(content, body).expect("the master answers")
    }

    fn try_send(&self, content: &str, body: &[u8]) -> Option<(u16, String)> {
        let stream = format!("mesos-stream-id: {}\r\nconnection: close\r\n", self.stream.id);
        let mut connection = Connection::try_open(&self.address)?;
        connection.send(&post("/api/v1/scheduler", content, &stream, body));
        connection.answer().map(|answer| (answer.status, answer.body))
    }

    /// Launches a task on an offer, acknowledges an update; whether a task has finished. Nothing when the master is gone.
    fn serve(&mut self, event: &Value) -> Option<bool> {
        match event["type"].as_str() {
            Some("OFFERS") => {
                for offer in event["offers"]["offers"].as_array().into_iter().flatten() {
                    self.launch(offer)?;
                }
                Some(false)
            }
            Some("UPDATE") => {
                let status = &event["update"]["status"];
                if !status["uuid"].is_null() {
                    let body = json!({
                        "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"],
                    });
                    self.try_call("ACKNOWLEDGE", &body)?;
                }
                Some(status["state"] == "TASK_FINISHED")
            }
            _ => Some(false),
        }
    }

    fn launch(&mut self, offer: &Value) -> Option<()> {
        self.launched += 1;
        let name = format!("task-{}", self.launched);
        let task = json!({
            "name": name, "task_id": {"value": name}, "agent_id": offer["agent_id"], "command": {"value": "true"},
            "resources": [scalar("cpus", &json!(0.1)), scalar("mem", &json!(32))],
        });
        self.try_call("ACCEPT", &accept(offer, &task)).map(drop)
    }
}

/// An amount of something.
pub(crate) fn scalar(name: &str, value: &Value) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": value}})
}

/// An ACCEPT that launches one task and wants the rest again at once.
pub(crate) fn accept(offer: &Value, task: &Value) -> Value {
    json!({
        "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0},
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}],
    })
}
