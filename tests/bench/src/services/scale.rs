//! P19: one app from no instance to 50,000.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::crowd::Crowd;
use super::peer;
use crate::figure::Figure;
use crate::loopback::usage::processor_time;

const SLOTS: usize = 220;

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (count, suffix) = if quick { (5_000, "_quick") } else { (50_000, "") };
    let cluster = peer::cluster(1);
    let agents = count / 200;
    let crowd = Crowd::start(&cluster, agents, SLOTS)?;
    let http = cluster.services_http();
    peer::timed(&http, "POST", "/v2/apps", Some(&peer::app("/large", 0)))?;
    peer::wait_until_deployed(&http)?;
    let busy = processor_time(peer::pid(&cluster)?)?;
    let begun = Instant::now();
    peer::timed(&http, "PUT", "/v2/apps/large", Some(&json!({"instances": count})))?;
    crowd.wait_for(count)?;
    peer::wait_until_deployed(&http)?;
    let taken = begun.elapsed().as_secs_f64();
    let busy = processor_time(peer::pid(&cluster)?)? - busy;
    let shape = format!(
        "one app from 0 to {count} instances, until its deployment has ended, on a real master with {agents} simulated agents"
    );
    drop(cluster);
    crowd.finish()?;
    Ok(vec![
        Figure::new(&format!("P19.scaled_{count}{suffix}"), taken, "s", &shape),
        Figure::new(&format!("P19.cpu_{count}{suffix}"), busy, "s of a core", &shape),
    ])
}
