//! One run of recorded requests against one cluster.

use chapada_harness::Cluster;
use serde_json::Value;

use crate::connection::{Answer, send};
use crate::executor::Executor;
use crate::findings::Findings;
use crate::message::{Exchange, Message};
use crate::stream::Stream;

/// The agent whose id stands in recorded requests.
const RECORDED_AGENT: &str = "f9fad42d-84f3-443f-823b-05e7d54377df-S0";

/// Whether a folder is the life of one framework, in which later requests belong to its subscription.
fn follows(folder: &str) -> bool {
    ["life", "reservations", "operator"].contains(&folder)
}

fn agent_id(cluster: &Cluster) -> String {
    let agents = cluster.master_http(0).get("/slaves").expect("the master tells its agents");
    agents["slaves"][0]["id"].as_str().expect("an agent is registered").to_owned()
}

/// A cluster like the recorded one, and what has been said so far.
pub(crate) struct Replay {
    _cluster: Cluster,
    /// Ids as recorded, and ours.
    ids: Vec<(String, String)>,
    /// Of the framework whose life this is.
    stream: Option<Stream>,
    /// The framework's own executor.
    executor: Executor,
    pub(crate) findings: Findings,
}

impl Replay {
    /// Starts a cluster of a master and so many agents.
    pub(crate) fn start(agents: usize) -> Self {
        let cluster = Cluster::builder()
            .agents(agents)
            .resources("cpus:2;mem:23081;disk:252899;ports:[31000-32000]")
            .attributes("")
            .start();
        let mut ids = vec![("127.0.0.1:5050".to_owned(), cluster.master_host_port(0).to_owned())];
        if agents > 0 {
            ids.push(("127.0.0.1:5051".to_owned(), cluster.agent_host_port(0).to_owned()));
            ids.push((RECORDED_AGENT.to_owned(), agent_id(&cluster)));
        }
        let executor = Executor::new();
        ids.push(executor.command());
        Self { _cluster: cluster, ids, stream: None, executor, findings: Findings::default() }
    }

    /// Sends a request again and compares the head of the answer.
    pub(crate) fn open(&mut self, recorded: &Exchange) -> Answer {
        let request = match recorded.folder {
            "executor" => {
                self.executor.before(recorded, &mut self.findings);
                self.with_ids(&recorded.request)
            }
            _ => self.request(&recorded.request),
        };
        let answer = send(request.header("Host").expect("a request says to whom it goes"), &request);
        let name = format!("{}/{}", recorded.folder, recorded.name);
        self.findings.heads(&name, &self.with_ids(&recorded.response), &answer.head);
        answer
    }

    /// Sends a request again and compares the answer.
    pub(crate) fn exchange(&mut self, recorded: &Exchange) {
        let answer = self.open(recorded);
        match (recorded.response.is_stream(), answer.head.is_stream()) {
            (true, true) if recorded.name.ends_with("session") => self.session(recorded, answer),
            (true, true) => self.subscribed(recorded, answer),
            (false, false) => self.documents(recorded, &answer.body()),
            (is, ours) => self.findings.wrong(format!("{}: stream is {ours}, not {is}", recorded.name)),
        }
        if recorded.folder == "life" && recorded.name.ends_with("shutdown") {
            self.executor.shut_down(&mut self.findings);
            let stream = self.stream.as_mut().expect("the framework is subscribed");
            stream.until("FAILURE", &mut self.findings);
        }
        if follows(recorded.folder) && recorded.name.ends_with("teardown") {
            self.stream.as_mut().expect("the framework is subscribed").finish(&mut self.findings);
        }
    }

    fn documents(&mut self, recorded: &Exchange, body: &[u8]) {
        if let Ok(expected) = serde_json::from_slice::<Value>(&recorded.response.body) {
            let ours = serde_json::from_slice(body).unwrap_or_default();
            self.findings.lacks(&recorded.name, &expected, &ours);
        }
    }

    /// A program's output: the same of each of its two streams, which may swap.
    fn session(&mut self, recorded: &Exchange, mut answer: Answer) {
        let mut ours = Vec::new();
        while let Some(record) = answer.event() {
            ours.push(record);
        }
        let (mut expected, ends) = recorded.response.events();
        let said = |record: &Value| record["data"]["type"].to_string();
        ours.sort_by_key(said);
        expected.sort_by_key(said);
        if !ends || ours != expected {
            self.findings.wrong(format!("{}: {ours:?}, not {expected:?}", recorded.name));
        }
    }

    fn subscribed(&mut self, recorded: &Exchange, answer: Answer) {
        if recorded.folder == "executor" {
            return self.executor.subscribed(recorded, answer, &mut self.findings);
        }
        let names = |message: &Message| message.header("Mesos-Stream-Id").map(str::to_owned);
        let stream_ids = names(&recorded.response).zip(names(&answer.head));
        let stream = Stream::open(&recorded.name, &recorded.response, answer, &mut self.findings);
        if !follows(recorded.folder) {
            return;
        }
        self.ids.extend(stream_ids);
        if let Some(mut failed_over) = self.stream.replace(stream) {
            failed_over.finish(&mut self.findings);
        }
    }

    /// The recorded request with the ids of this run, once the events that it answers to have come.
    fn request(&mut self, recorded: &Message) -> Message {
        let mut request = recorded.clone();
        if let (Some(stream), Ok(body)) = (&mut self.stream, std::str::from_utf8(&recorded.body)) {
            stream.until_updated(body, &mut self.findings);
            if stream.offered(body) {
                request.body = with_offers(body, &stream.take_offers(body, &mut self.findings)).into();
            }
            self.ids.append(&mut stream.pairs);
        }
        self.with_ids(&request)
    }

    fn with_ids(&self, recorded: &Message) -> Message {
        let headers = recorded.headers.iter().map(|(name, value)| (name.clone(), self.renamed(value)));
        let body = match std::str::from_utf8(&recorded.body) {
            Ok(text) => self.renamed(text).into(),
            Err(_) => recorded.body.clone(),
        };
        Message { start: recorded.start.clone(), headers: headers.collect(), body }
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
