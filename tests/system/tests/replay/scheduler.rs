//! The scheduler API: calls that are refused, and a framework's life from subscribe to teardown.

use chapada_harness::Cluster;

use crate::connection::{Answer, send};
use crate::findings::{Deliberate, Findings};
use crate::message::{Exchange, Message, recordings};
use crate::stream::Stream;

/// Differences that are meant, by how they begin. How often offers come, and between which other events, is compared
/// nowhere: see [`crate::stream`].
const DELIBERATE: &[Deliberate] = &[
    (
        "SUBSCRIBED lacks .subscribed.master_info.capabilities[].type: QUOTA_V2",
        "a published client stops at a capability that it does not know",
    ),
    (
        "UPDATE TASK_STARTING lacks .update.status.container_status.executor_pid",
        "a task is said to start before its first process does: no executor runs beside it that would have a pid",
    ),
];

#[test]
fn a_scheduler_is_answered_as_by_mesos() {
    let cluster = Cluster::builder()
        .resources("cpus:2;mem:23081;disk:252899;ports:[31000-32000]")
        .attributes("")
        .start();
    let mut replay = Replay {
        address: cluster.master_host_port(0).to_owned(),
        ids: vec![("127.0.0.1:5050".to_owned(), cluster.master_host_port(0).to_owned())],
        stream: None,
        findings: Findings::new(DELIBERATE),
    };
    for exchange in &script() {
        replay.exchange(exchange);
    }
    replay.findings.conclude();
}

/// In the order in which they were recorded: some refusals need a framework that lives, that came back, that is gone.
fn script() -> Vec<Exchange> {
    let mut script = recordings("errors");
    script.append(&mut recordings("life"));
    script.sort_by_key(|exchange| match (exchange.folder, &exchange.name[..2]) {
        ("errors", number) if number < "30" => String::new(),
        ("errors", number) if number < "40" => "00_subscribed".to_owned(),
        ("errors", "40") => "30_resubscribed".to_owned(),
        ("errors", _) => "31_torn_down".to_owned(),
        _ => exchange.name.clone(),
    });
    script
}

/// One run against one master.
struct Replay {
    address: String,
    /// Ids as recorded, and ours.
    ids: Vec<(String, String)>,
    /// Of the framework whose life this is.
    stream: Option<Stream>,
    findings: Findings,
}

impl Replay {
    fn exchange(&mut self, recorded: &Exchange) {
        let request = self.request(&recorded.request);
        let answer = send(&self.address, &request);
        let name = format!("{}/{}", recorded.folder, recorded.name);
        self.findings.heads(&name, &recorded.response, &answer.head);
        match (recorded.response.is_stream(), answer.head.is_stream()) {
            (true, true) => self.subscribed(recorded, answer),
            (false, false) => drop(answer.body()),
            (recorded, ours) => self.findings.wrong(format!("{name}: stream is {ours}, not {recorded}")),
        }
        if recorded.folder == "life" && recorded.name.ends_with("teardown") {
            self.stream.as_mut().expect("the framework is subscribed").finish(&mut self.findings);
        }
    }

    fn subscribed(&mut self, recorded: &Exchange, answer: Answer) {
        let names = |message: &Message| message.header("Mesos-Stream-Id").map(str::to_owned);
        let stream_ids = names(&recorded.response).zip(names(&answer.head));
        let stream = Stream::open(&recorded.name, &recorded.response, answer, &mut self.findings);
        if recorded.folder != "life" {
            return;
        }
        self.ids.extend(stream_ids);
        if let Some(mut failed_over) = self.stream.replace(stream) {
            failed_over.finish(&mut self.findings);
        }
    }

    /// The recorded request with the ids of this run, once the events that it answers to have come.
    fn request(&mut self, recorded: &Message) -> Message {
        let Ok(mut body) = String::from_utf8(recorded.body.clone()) else {
            return recorded.clone();
        };
        if let Some(stream) = &mut self.stream {
            stream.until_updated(&body, &mut self.findings);
            if stream.offered(&body) {
                body = with_offers(&body, &stream.take_offers(&mut self.findings));
            }
            self.ids.append(&mut stream.pairs);
        }
        let headers = recorded.headers.iter().map(|(name, value)| (name.clone(), self.renamed(value)));
        Message {
            start: recorded.start.clone(),
            headers: headers.collect(),
            body: self.renamed(&body).into(),
        }
    }

    fn renamed(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (recorded, ours)| text.replace(recorded, ours))
    }
}

/// Mesos had one offer at a time; here freed resources are offered at once, in an offer of their own.
fn with_offers(body: &str, offers: &[String]) -> String {
    let (before, rest) = body.split_once("\"offer_ids\": [").expect("the call names offers");
    let (_, after) = rest.split_once(']').expect("a list ends");
    let offers: Vec<String> = offers.iter().map(|offer| format!("{{\"value\": \"{offer}\"}}")).collect();
    format!("{before}\"offer_ids\": [{}]{after}", offers.join(", "))
}
