//! Clusters that are to run exactly as many tasks as they have room for.

use std::time::Duration;

use anyhow::Result;
use chapada_master::edge::Form;
use chapada_master_core::Settings;

use super::cluster::{Cluster, Shape};
use super::framework::{Demand, Manner};

const DAY: Duration = Duration::from_secs(86_400);

impl Shape {
    /// Agents with room for so many tasks each, which greedy frameworks fill over protobuf, at most `per_offer` at a time. Agents
    /// start within two seconds; tasks do not end.
    pub(crate) fn with_room_for(
        tasks_each: usize,
        agents: usize,
        frameworks: usize,
        per_offer: usize,
    ) -> Self {
        let demand = Demand {
            cpus: 0.1,
            mem: 32.0,
            lasts: (DAY, DAY),
            begun: 0,
            per_offer,
            tasks: agents * tasks_each / frameworks,
        };
        Self {
            agents,
            cpus: 0.1 * tasks_each as f64,
            mem: 32.0 * tasks_each as f64,
            starting: Duration::from_secs(2),
            form: Form::Protobuf,
            frameworks: vec![(Manner::Greedy, demand); frameworks],
        }
    }
}

impl Cluster {
    /// A cluster that runs so many tasks on each agent.
    pub(crate) fn full(
        tasks_each: usize,
        agents: usize,
        frameworks: usize,
        settings: Settings,
    ) -> Result<Self> {
        let shape = Shape::with_room_for(tasks_each, agents, frameworks, tasks_each);
        let mut cluster = Self::with_settings(shape, settings)?;
        let tasks = agents * tasks_each;
        cluster.run_until(Duration::from_secs(600), |cluster| cluster.running.len() == tasks)?;
        Ok(cluster)
    }
}
