//! P17: the memory of a master. A process of its own holds the books and the codec and nothing else: whoever talks to it
//! is made up from message to message and keeps nothing. What counts is the resident set of that process as the kernel has
//! it, program included. The buffers of connections are not in it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chapada_master::edge::Form;
use chapada_model::Mono;
use chapada_wire::link::{Holding, ToAgent, to_agent};
use chapada_wire::v1;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::figure::Figure;
use crate::sim::framework::FrameworkHost;
use crate::sim::master::{MasterHost, Outgoing};
use crate::sim::queue::{Arrival, Index};
use crate::sim::{Chance, Demand, Manner, wire};

const FRAMEWORKS: usize = 20;

/// How much virtual time there is from turn to turn.
const TURN: Duration = Duration::from_millis(2);

/// What is resident at each stage, in bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Resident {
    empty: u64,
    registered: u64,
    running: u64,
}

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (agents, each) = if quick { (2_000, 10) } else { (50_000, 10) };
    let output = Command::new(std::env::current_exe()?)
        .args(["--books", &agents.to_string(), &each.to_string()])
        .output()
        .context("the books in a process of their own")?;
    ensure!(output.status.success(), "the books: {}", String::from_utf8_lossy(&output.stderr));
    let resident: Resident = serde_json::from_slice(&output.stdout)?;
    let tasks = agents * each;
    let shape = format!(
        "{agents} agents, {tasks} tasks running and acknowledged, {FRAMEWORKS} frameworks, nobody reads"
    );
    let name = |kind: &str| format!("P17.{kind}_{agents}x{tasks}");
    let part = |from: u64, to: u64, of: usize| to.saturating_sub(from) as f64 / of as f64 / 1_024.0;
    let per_task = part(resident.registered, resident.running, tasks);
    let per_agent = part(resident.empty, resident.registered, agents);
    Ok(vec![
        Figure::new(&name("rss"), resident.running as f64 / 1_048_576.0, "MiB", &shape),
        Figure::new(&name("per_task"), per_task, "KiB", &shape),
        Figure::new(&name("per_agent"), per_agent, "KiB", &format!("{agents} agents, nothing offered yet")),
    ])
}

/// What this program does when it is the books: fills them, and prints what is resident.
pub(crate) fn be_the_books(agents: usize, each: usize) -> Result<()> {
    let mut talk = Talk::new(agents, each);
    let empty = resident()?;
    for index in 0..Index::try_from(agents)? {
        let resources = vec![wire::scalar("cpus", each as f64), wire::scalar("mem", 1_024.0 * each as f64)];
        let nothing = Holding { last: true, ..Holding::default() };
        let pages = wire::hello(&format!("agent-{index:05}.example"), resources, None, nothing);
        talk.master.arrive(talk.now, Arrival::Link(index, pages))?;
        talk.until_quiet()?;
    }
    let registered = resident()?;
    for index in 0..FRAMEWORKS {
        let call = talk.frameworks[index].subscribe();
        talk.call(index as Index, &call)?;
    }
    talk.until_quiet()?;
    let snapshot = talk.master.core.snapshot();
    let settled = |task: &chapada_master_core::Task| {
        task.state == chapada_model::TaskState::Running && task.unacknowledged.is_empty()
    };
    let running = snapshot.tasks.values().filter(|task| settled(task)).count();
    ensure!(running == agents * each, "{running} tasks run and are acknowledged");
    drop(snapshot);
    let found = chapada_master_core::audit(&talk.master.core);
    ensure!(found.is_empty(), "the audit finds {} things, first {:?}", found.len(), found.first());
    println!("{}", serde_json::to_string(&Resident { empty, registered, running: talk.resident })?);
    Ok(())
}

/// The books, and who talks to them.
struct Talk {
    master: MasterHost,
    frameworks: Vec<FrameworkHost>,
    chance: Chance,
    now: Mono,
    /// At the last moment at which nothing was to be said.
    resident: u64,
}

impl Talk {
    fn new(agents: usize, each: usize) -> Self {
        let mut master = MasterHost::new(agents, FRAMEWORKS);
        master.reading = None;
        let day = Duration::from_secs(86_400);
        let demand = Demand {
            cpus: 1.0,
            mem: 1_024.0,
            lasts: (day, day),
            begun: 0,
            per_offer: each,
            tasks: usize::MAX,
        };
        let frameworks = (0..FRAMEWORKS as Index).map(|index| {
            master.expect_framework(index, Form::Protobuf);
            FrameworkHost::new(index, Form::Protobuf, Manner::Greedy, demand.clone())
        });
        let frameworks = frameworks.collect();
        Self { master, frameworks, chance: Chance::new(1), now: Mono(1), resident: 0 }
    }

    fn call(&mut self, index: Index, call: &v1::scheduler::Call) -> Result<()> {
        let body = wire::body(Form::Protobuf, call);
        self.master.arrive(self.now, Arrival::Framework(index, body))
    }

    /// Lets the master take turns, and answers what it says, until nobody has anything to say.
    fn until_quiet(&mut self) -> Result<()> {
        // Offers wait for a turn after the one that freed something.
        let mut quiet = 0;
        while quiet < 3 {
            self.now = self.now + TURN;
            let sent = self.master.take_turn(self.now)?;
            quiet = if sent.is_empty() { quiet + 1 } else { 0 };
            for (_, outgoing) in sent {
                self.answer(outgoing)?;
            }
        }
        self.resident = resident()?;
        Ok(())
    }

    fn answer(&mut self, outgoing: Outgoing) -> Result<()> {
        match outgoing {
            Outgoing::Registry(ticket) => self.master.arrive(self.now, Arrival::Recorded(ticket))?,
            Outgoing::Framework(index, record) => {
                let framework = &mut self.frameworks[index as usize];
                for call in framework.hear(self.now, &mut self.chance, &record)?.calls {
                    self.call(index, &call)?;
                }
            }
            Outgoing::Agent(index, message) => self.answer_launch(index, &message)?,
        }
        Ok(())
    }

    /// A task that is launched runs at once.
    fn answer_launch(&mut self, index: Index, message: &[u8]) -> Result<()> {
        let message = ToAgent::decode(message)?.message;
        let Some(to_agent::Message::Launch(launch)) = message else { return Ok(()) };
        let framework = launch.framework.and_then(|info| info.id).and_then(|id| id.value);
        let task = launch.task.context("a launch has a task")?;
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&self.chance.draw().to_be_bytes());
        let said = wire::update(&wire::Said {
            framework: &framework.context("a launch has a framework")?,
            task: &task.task_id.and_then(|id| id.value).context("a task has an id")?,
            agent: &task.agent_id.and_then(|id| id.value).context("a task has an agent")?,
            state: v1::TaskState::TaskRunning,
            uuid,
            at: 1_767_225_600.0,
        });
        self.master.arrive(self.now, Arrival::Agent(index, said))?;
        Ok(())
    }
}

/// The resident set of this process, in bytes.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS of this process")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1_024)
}
