//! What health checks of 10,000 instances cost, and whether they come spread over time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::crowd::Crowd;
use super::peer;
use super::wait::{wait, wait_with, when};
use crate::figure::Figure;
use crate::loopback::runtime;
use crate::loopback::usage::processor_time;

const SLOTS: usize = 220;
/// Seconds between two checks of one instance.
const INTERVAL: u64 = 10;
/// How finely the checks are counted over time.
const STEP: Duration = Duration::from_millis(100);

pub(crate) fn run(quick: bool) -> Result<Vec<Figure>> {
    let (count, rounds, suffix) = if quick { (1_000, 1, "_quick") } else { (10_000, 3, "") };
    let cluster = peer::cluster(1);
    let crowd = Crowd::start(&cluster, count / 200, SLOTS)?;
    let http = cluster.services_http();
    let asked = Arc::new(AtomicU64::new(0));
    let runtime = runtime()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let port = listener.local_addr()?.port();
    runtime.spawn(answer(listener, asked.clone()));
    let mut app = peer::app("/checked", count);
    app["healthChecks"] = json!([{
        "protocol": "HTTP", "path": "/", "port": port, "intervalSeconds": INTERVAL, "gracePeriodSeconds": 300,
        "timeoutSeconds": 5,
    }]);
    peer::timed(&http, "POST", "/v2/apps", Some(&app))?;
    crowd.wait_for(count)?;
    wait_until_healthy(&http, count)?;
    // The first questions come with the launches; each has its own place in the interval from the second on.
    wait(|| {
        let asked = asked.load(Ordering::Acquire);
        Ok(when(asked >= 2 * count as u64, || format!("{asked} checks were made")))
    })?;

    let busy = processor_time(peer::pid(&cluster)?)?;
    let (begun, before) = (Instant::now(), asked.load(Ordering::Acquire));
    let mut each = Vec::new();
    let mut last = before;
    while begun.elapsed() < Duration::from_secs(INTERVAL * rounds) {
        std::thread::sleep(STEP);
        let now = asked.load(Ordering::Acquire);
        each.push((now - last) as f64);
        last = now;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let busy = (processor_time(peer::pid(&cluster)?)? - busy) / seconds * 100.0;
    let rate = (last - before) as f64 / seconds;
    let wanted = count as f64 / INTERVAL as f64;
    ensure!(rate > wanted * 0.8, "{rate} checks a second, not {wanted}");
    let most = each.iter().copied().fold(0.0, f64::max);
    let mean = each.iter().sum::<f64>() / each.len() as f64;
    let shape = format!("one app of {count} instances, each asked over HTTP every {INTERVAL} s, on loopback");
    let name = |kind: &str| format!("services.health_{kind}_{count}{suffix}");
    drop(cluster);
    crowd.finish()?;
    Ok(vec![
        Figure::new(&name("cpu"), busy, "% of a core", &shape),
        Figure::new(&name("rate"), rate, "1/s", &shape),
        Figure::new(&name("most_to_mean"), most / mean, "of the mean in 100 ms", &shape),
    ])
}

async fn answer(listener: TcpListener, asked: Arc<AtomicU64>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let asked = asked.clone();
        tokio::spawn(async move {
            let mut request = [0; 1_024];
            while stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                asked.fetch_add(1, Ordering::AcqRel);
                let answer = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                if answer.is_err() {
                    return;
                }
            }
        });
    }
}

fn wait_until_healthy(http: &chapada_harness::Http, count: usize) -> Result<()> {
    wait_with(STEP, || {
        let apps = http.get("/v2/apps").map_err(anyhow::Error::msg)?;
        let healthy = apps["apps"][0]["tasksHealthy"].as_u64().context("a count")?;
        Ok(when(healthy == count as u64, || format!("{healthy} of {count} are well")))
    })
}
