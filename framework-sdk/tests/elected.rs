//! Two copies of a scheduler and a real ZooKeeper: one leads, the other takes over with the same framework id and records.

mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use chapada_harness::zookeeper::Ensemble;
use chapada_sdk::model::{Filters, TaskStatus};
use chapada_sdk::{
    CancellationToken, Candidate, Driver, FrameworkConfig, LeaderInfo, MasterAddress, Offer, OpenedStore,
    Scheduler, SchedulerError, Schema, Store, StoreAddress, Subscribed, ZkOptions, run_elected,
};
use support::scripted_master::ScriptedMaster;
use support::soon;
use tokio::sync::mpsc;

const SCHEMA: Schema = Schema { name: "a-test-scheduler", version: 1, grouped: &[] };

/// Writes its name down when subscribed, and tells how many names it found at its start.
struct Copy {
    name: &'static str,
    found: usize,
    store: Store,
    started: mpsc::UnboundedSender<(&'static str, usize)>,
}

impl Scheduler for Copy {
    async fn subscribed(&mut self, _: &Driver, _: Subscribed) -> Result<(), SchedulerError> {
        self.store.put("names", self.name, b"").await?;
        self.started.send((self.name, self.found))?;
        Ok(())
    }

    async fn offers(&mut self, driver: &Driver, offers: Vec<Offer>) -> Result<(), SchedulerError> {
        Ok(driver.decline(offers.into_iter().map(|offer| offer.id), Filters::default()).await?)
    }

    async fn update(&mut self, _: &Driver, _: TaskStatus) -> Result<(), SchedulerError> {
        Ok(())
    }
}

fn candidate(name: &str) -> Candidate {
    let info = LeaderInfo {
        id: name.to_owned(),
        hostname: "localhost".to_owned(),
        ip: Ipv4Addr::LOCALHOST.into(),
        port: 8080,
        version: "0.1.0".to_owned(),
        capabilities: Vec::new(),
    };
    Candidate { info, schema: SCHEMA }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_copy_takes_over_where_the_first_was() {
    let ensemble = Ensemble::single();
    let mut master = ScriptedMaster::start().await;
    let options = ZkOptions { session_timeout: Duration::from_secs(30) };
    let address: StoreAddress = format!("{}/a-framework", ensemble.address()).parse().unwrap();
    let (started, mut starts) = mpsc::unbounded_channel();
    let leader: MasterAddress = master.address().to_string().parse().unwrap();
    let start = |name: &'static str, stop: &CancellationToken| {
        let coordination = address.coordination(options.clone()).unwrap();
        let mut config = FrameworkConfig::new("a-test", leader.clone());
        config.resubscribe.first = Duration::from_millis(10);
        let (started, stop) = (started.clone(), stop.clone());
        let make = move |opened: &OpenedStore| {
            let found = opened.records.len();
            Ok(Copy { name, found, store: opened.store.clone(), started: started.clone() })
        };
        tokio::spawn(async move { run_elected(&coordination, candidate(name), config, make, stop).await })
    };

    let (stop_first, stop_second) = (CancellationToken::new(), CancellationToken::new());
    let first = start("first", &stop_first);
    let (_first_subscription, call) = master.subscribed("f1", 15.0).await;
    assert_eq!(call.framework_id, None);
    assert_eq!(soon("the first", starts.recv()).await, Some(("first", 0)));
    let second = start("second", &stop_second);

    // Somebody takes the first one's place away; it steps back, and stands in line again.
    let client = zookeeper_client::Client::connect(&ensemble.connect_string()).await.unwrap();
    soon("the second in line", async {
        while client.list_children("/a-framework").await.unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.delete("/a-framework/json.info_0000000000", None).await.unwrap();
    let (_second_subscription, call) = master.subscribed("f1", 15.0).await;
    assert_eq!(call.framework_id.unwrap().value(), "f1", "the id was in the store");
    assert_eq!(soon("the second", starts.recv()).await, Some(("second", 1)));

    stop_second.cancel();
    soon("the end of the second", second).await.unwrap().unwrap();
    let (_third_subscription, _) = master.subscribed("f1", 15.0).await;
    assert_eq!(soon("the first again", starts.recv()).await, Some(("first", 2)));
    stop_first.cancel();
    soon("the end of the first", first).await.unwrap().unwrap();
}
