//! D4: why an app waits, with an offer known of each of 10,000 agents: a request that fails at every step of the funnel on some.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chapada_model::{
    Attribute, AttributeValue, Milli, Mono, Now, Range, Ranges, Resource, Resources, Role, Wall,
};
use chapada_services_core::{AppId, Command, Event, Offer, Seed, Services};
use serde_json::json;

use crate::figure::{Figure, percentile};

/// How often it is asked.
const ROUNDS: usize = 20;

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (agents, suffix) = if quick { (1_000, "_quick") } else { (10_000, "") };
    let now = |seconds: u64| Now { mono: Mono(seconds * 1_000_000_000), wall: Wall(seconds * 1_000_000_000) };
    let mut services = Services::new(Role::star(), Seed::new(1, 2));
    services.apply(now(1), Event::Subscribed);
    let app = json!({
        "id": "/waits", "cmd": "true", "cpus": 4, "mem": 4096, "instances": 10,
        "constraints": [["rack", "LIKE", "r[0-4]"], ["hostname", "UNIQUE"]],
    });
    let definition = app.as_object().context("an object")?.clone();
    services
        .apply(now(1), Event::Command { request: 1, command: Command::Create { definition, force: false } });
    let offers = (0..agents).map(offer).collect::<Result<Vec<Offer>>>()?;
    services.apply(now(2), Event::Offers(offers));
    let id: AppId = "/waits".parse()?;
    let (mut gathered, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let inquiry = services.inquire(now(3), &id).context("the app is there")?;
        gathered.push(millis(began.elapsed()));
        let explanation = inquiry.answer();
        answered.push(millis(began.elapsed()));
        let reason = explanation.reasons.first().context("a reason")?;
        ensure!(explanation.waiting == 10 && !reason.suggestions.is_empty(), "{}", reason.sentence);
        ensure!(explanation.funnel.offers() == agents as u64, "an agent is not known");
    }
    let shape = format!("{agents} agents, 10 instances, two constraints");
    let figure = |name: &str, values: &mut Vec<f64>, part| {
        Figure::new(&format!("D4.{name}{suffix}"), percentile(values, part), "ms", &shape)
    };
    Ok(vec![
        figure("loop_p50", &mut gathered, 0.5),
        figure("answer_p50", &mut answered, 0.5),
        figure("answer_max", &mut answered, 1.0),
    ])
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Some lack the rack, some CPUs, some memory.
fn offer(number: usize) -> Result<Offer> {
    let amount = |number: usize| Milli::whole(number as u64);
    let resources = Resources::from_list([
        Resource::scalar("cpus", amount(1 + number % 8)),
        Resource::scalar("mem", amount(256 + (number * 37) % 3_800)),
        Resource::scalar("disk", amount(10_000)),
        Resource::ranges("ports", Ranges::new([Range { begin: 31_000, end: 32_000 }])),
    ])?;
    let id = format!("offer-{number}").parse()?;
    let mut offer = Offer::new(id, format!("agent-{number}").parse()?, format!("host-{number}"), resources);
    let rack = AttributeValue::Text(format!("r{}", number % 10).into());
    offer.attributes.push(Attribute { name: "rack".into(), value: rack });
    Ok(offer)
}
