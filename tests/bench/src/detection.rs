//! P15: agents that are cut off without a word, and how soon the frameworks hear of it; what watching them costs; and that a broken
//! switch does not have the cluster given up.

use std::time::Duration;

use anyhow::{Result, ensure};
use chapada_master_core::{AgentState, Settings};
use chapada_model::Wall;

use crate::figure::{Figure, percentile};
use crate::sim::{Cluster, MASTER_ID};

/// Tasks on each agent.
const TASKS: usize = 10;
const FRAMEWORKS: usize = 10;
/// What the masters are told: `--agent-ping-timeout=4500ms --max-agent-ping-timeouts=2`. The defaults are Mesos', 15 s and 5.
const SILENCE: Duration = Duration::from_millis(4_500);
const GIVEN_UP_AFTER: Duration = Duration::from_millis(9_000);
/// One of so many dies, which the brake allows.
const DEAD: usize = 50;
/// Deaths are so far apart.
const APART: Duration = Duration::from_millis(373);
/// Nothing happens for so long, to see what watching costs.
const CALM: Duration = Duration::from_secs(30);
/// The brake's window, and how long agents have to come back to a new leader.
const WINDOW: Duration = Duration::from_secs(600);

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let agents = if quick { 1_000 } else { 10_000 };
    let mut cluster = cluster(agents)?;
    let used = cluster.master.host.used;
    cluster.run_for(CALM)?;
    let calm = (cluster.master.host.used - used).as_secs_f64() / CALM.as_secs_f64();

    let (used, began) = (cluster.master.host.used, cluster.now);
    let dead: Vec<usize> = (0..agents).step_by(DEAD).collect();
    for index in &dead {
        cluster.cut_off(*index);
        cluster.run_for(APART)?;
    }
    // The last of them is heard of with its first update; the others are on their way then.
    cluster.run_until(2 * GIVEN_UP_AFTER, |cluster| heard_lost(cluster) >= dead.len() * TASKS)?;
    let took = cluster.now.since(began).as_secs_f64();
    let busy = (cluster.master.host.used - used).as_secs_f64() / took;
    let mut given_up = std::mem::take(&mut cluster.given_up);
    ensure!(given_up.len() == dead.len(), "{} agents were given up", given_up.len());
    let lost = heard_lost(&cluster);
    ensure!(lost == dead.len() * TASKS, "{lost} tasks were said to be lost");
    cluster.check_books()?;

    let broken = broken_switch(&mut cluster, dead.len())?;
    let led = new_leader(&mut cluster)?;
    let shape = format!(
        "{agents} agents with {TASKS} tasks each, told to be silent for {GIVEN_UP_AFTER:?} at most (Mesos' defaults make that 75 s); one in \
         {DEAD} is cut off without a word, one each {APART:?}; until the first framework hears of it"
    );
    let switch = format!("{} of these agents fall silent at once", agents / 2);
    let name = |kind: &str| format!("P15.{kind}_{agents}");
    Ok(vec![
        Figure::new(&name("declared_p50"), percentile(&mut given_up, 0.5), "s", &shape),
        Figure::new(&name("declared_p99"), percentile(&mut given_up, 0.99), "s", &shape),
        Figure::new(&name("cpu_meanwhile"), busy * 100.0, "% of a core", &shape),
        Figure::new(&name("cpu_calm"), calm * 100.0, "% of a core", &shape),
        Figure::new(&name("given_up_broken_switch"), broken, "% of all within 10 min", &switch),
        Figure::new(&name("given_up_new_leader"), led, "in its first 10 min", &switch),
    ])
}

/// Half of all fall silent for a whole window of the brake; the largest share of all that is given up within one window, those included
/// that were so before.
fn broken_switch(cluster: &mut Cluster, before: usize) -> Result<f64> {
    let agents = cluster.agents.len();
    // It says that it holds some back.
    cluster.master.may_warn = true;
    for index in (1..agents).step_by(2) {
        cluster.cut_off(index);
    }
    cluster.run_for(WINDOW)?;
    ensure!(unreachable(cluster) > before, "room was left for some");
    let given_up = most_within(WINDOW, &given_up_at(cluster));
    ensure!(given_up * 100 <= agents * 5, "{given_up} of {agents} are given up");
    cluster.check_books()?;
    Ok(given_up as f64 * 100.0 / agents as f64)
}

/// Another leads while they are away: how many it gives up in the time that agents have to come back.
fn new_leader(cluster: &mut Cluster) -> Result<f64> {
    let before = unreachable(cluster);
    let (agents, silent) =
        (cluster.agents.len(), cluster.agents.iter().filter(|a| a.cut_off.is_some()).count());
    cluster.fail_over(Duration::from_secs(1));
    cluster.master.may_warn = true;
    cluster.watch_links(SILENCE);
    cluster.run_for(Duration::from_secs(30))?;
    ensure!(cluster.welcomed.len() == agents - silent, "{} came back", cluster.welcomed.len());
    cluster.run_for(WINDOW - Duration::from_secs(40))?;
    let given_up = unreachable(cluster) - before;
    ensure!(given_up == 0, "a new leader gives {given_up} up");
    cluster.check_books()?;
    Ok(given_up as f64)
}

/// Tasks that their frameworks were told are lost.
fn heard_lost(cluster: &Cluster) -> usize {
    cluster.frameworks.iter().map(|framework| framework.counts.lost).sum()
}

fn unreachable(cluster: &Cluster) -> usize {
    given_up_at(cluster).len()
}

/// When each agent was given up that is, the first first.
fn given_up_at(cluster: &Cluster) -> Vec<Wall> {
    let books = cluster.master.core.snapshot();
    let since = books.agents.values().filter_map(|agent| match agent.state {
        AgentState::Unreachable { since } => Some(since),
        _ => None,
    });
    let mut since: Vec<Wall> = since.collect();
    since.sort_unstable();
    since
}

/// How many of these moments, the first first, lie in one window at most.
fn most_within(window: Duration, moments: &[Wall]) -> usize {
    let from = moments.iter().enumerate();
    let within = from.map(|(first, from)| moments.partition_point(|at| *at < *from + window) - first);
    within.max().unwrap_or_default()
}

/// A cluster whose links are watched.
fn cluster(agents: usize) -> Result<Cluster> {
    let settings = Settings { agent_timeout: GIVEN_UP_AFTER, ..Settings::new(MASTER_ID) };
    let mut cluster = Cluster::full(TASKS, agents, FRAMEWORKS, settings)?;
    cluster.watch_links(SILENCE);
    cluster.run_for(4 * SILENCE)?;
    Ok(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_window_is_found_wherever_it_is() {
        let at =
            |seconds: &[u64]| seconds.iter().map(|second| Wall(second * 1_000_000_000)).collect::<Vec<_>>();
        let window = Duration::from_secs(10);
        let cases: [(&[u64], usize); 5] =
            [(&[], 0), (&[5], 1), (&[0, 9, 10], 2), (&[0, 20, 25, 29, 31], 3), (&[0, 10, 20], 1)];
        for (moments, most) in cases {
            assert_eq!(most_within(window, &at(moments)), most, "{moments:?}");
        }
    }
}
