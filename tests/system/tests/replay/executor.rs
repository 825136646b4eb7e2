//! The executor's side of the recorded life: this test plays the executor against the agent's API, while the container
//! that the agent makes for it only waits.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chapada_harness::eventually;

use crate::connection::Answer;
use crate::findings::Findings;
use crate::message::Exchange;
use crate::stream::Stream;

/// What the recorded executor ran.
const RECORDED_COMMAND: &str = "exec python3 /srv/executor_record.py /srv/executor";

/// A container is made in milliseconds, also on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

/// The executor's side.
#[derive(Debug)]
pub(crate) struct Executor {
    /// Where its container says that it runs, and is told to end.
    place: PathBuf,
    stream: Option<Stream>,
}

impl Executor {
    /// Not started yet. A container sees no `/tmp` of the machine, and the checkout may lie below it.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("chapada-executor-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let place = PathBuf::from("/var/tmp").join(name);
        fs::create_dir_all(&place).expect("/var/tmp can be written to");
        Self { place, stream: None }
    }

    /// The recorded command, and ours.
    pub(crate) fn command(&self) -> (String, String) {
        let place = self.place.display();
        let ours = format!("touch {place}/started; until test -e {place}/stop; do sleep 0.02; done");
        (RECORDED_COMMAND.to_owned(), ours)
    }

    /// Waits until a recorded call of the executor can be sent.
    pub(crate) fn before(&mut self, call: &Exchange, findings: &mut Findings) {
        let awaited = match &call.name[..2] {
            "00" => {
                let started = self.place.join("started");
                return eventually("the executor's container runs", PATIENCE, || match started.exists() {
                    true => Ok(()),
                    false => Err(format!("no {}", started.display())),
                });
            }
            "03" => "MESSAGE",
            "04" => "KILL",
            _ => return,
        };
        self.until(awaited, findings);
    }

    /// The subscription stands.
    pub(crate) fn subscribed(&mut self, call: &Exchange, answer: Answer, findings: &mut Findings) {
        self.stream = Some(Stream::open(&call.name, &call.response, answer, findings));
    }

    /// The executor is told to end, and does. All that was recorded has come then.
    pub(crate) fn shut_down(&mut self, findings: &mut Findings) {
        self.until("SHUTDOWN", findings);
        fs::write(self.place.join("stop"), "").expect("/var/tmp can be written to");
        self.stream.as_mut().expect("the executor is subscribed").finish(findings);
    }

    fn until(&mut self, kind: &str, findings: &mut Findings) {
        self.stream.as_mut().expect("the executor is subscribed").until(kind, findings);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // What is left there is seen by nobody.
        drop(fs::remove_dir_all(&self.place));
    }
}
