//! A framework over gRPC.

use anyhow::{Context, Result, bail};
use chapada_wire::v1;
use chapada_wire::v1::scheduler::call::{self, Type};
use chapada_wire::v1::scheduler::scheduler_service_client::SchedulerServiceClient;
use chapada_wire::v1::scheduler::{Call, Event};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use super::fleet;

/// Calls that may wait for the connection.
const QUEUE: usize = 4_096;

/// A subscribed framework.
pub(crate) struct Scheduler {
    pub(crate) id: v1::FrameworkId,
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) events: Streaming<Event>,
}

impl Scheduler {
    pub(crate) async fn subscribe(at: &str, name: &str) -> Result<Self> {
        Self::subscribe_as(at, name, None).await
    }

    /// Again, or for the first time when it has no id.
    pub(crate) async fn subscribe_as(at: &str, name: &str, id: Option<v1::FrameworkId>) -> Result<Self> {
        let known = id.clone();
        let info = v1::FrameworkInfo { name: Some(name.to_owned()), id, ..fleet::framework(name) };
        let subscribe = call::Subscribe { framework_info: Some(info), ..call::Subscribe::default() };
        let (r#type, framework_id) = (Some(Type::Subscribe.into()), known);
        let first = Call { r#type, framework_id, subscribe: Some(subscribe), ..Call::default() };
        let (calls, queue) = mpsc::channel(QUEUE);
        calls.send(first).await?;
        let channel = Endpoint::from_shared(format!("http://{at}"))?.connect().await?;
        let mut client = SchedulerServiceClient::new(channel).max_decoding_message_size(64 << 20);
        let mut events = client.connect(ReceiverStream::new(queue)).await?.into_inner();
        let first = events.message().await?.context("the stream ended")?;
        let Some(id) = first.subscribed.and_then(|subscribed| subscribed.framework_id) else {
            bail!("not subscribed");
        };
        Ok(Self { id, calls, events })
    }

    /// Makes a call.
    pub(crate) async fn call(&self, call: Call) -> Result<()> {
        let call = Call { framework_id: Some(self.id.clone()), ..call };
        self.calls.send(call).await.context("the stream has ended")
    }
}

/// ACCEPT of one offer with these tasks; the rest is welcome again at once.
pub(crate) fn accept(offer: v1::OfferId, tasks: Vec<v1::TaskInfo>) -> Call {
    let launch = v1::offer::operation::Launch { task_infos: tasks };
    let operation = v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::Launch.into()),
        launch: Some(launch),
        ..v1::offer::Operation::default()
    };
    let accept = call::Accept {
        offer_ids: vec![offer],
        operations: vec![operation],
        filters: Some(v1::Filters { refuse_seconds: Some(0.0) }),
    };
    Call { r#type: Some(Type::Accept.into()), accept: Some(accept), ..Call::default() }
}

/// The acknowledgement of an update; nothing for one that needs none.
pub(crate) fn acknowledge(status: &v1::TaskStatus) -> Option<Call> {
    let acknowledge = call::Acknowledge {
        agent_id: status.agent_id.clone(),
        task_id: status.task_id.clone(),
        uuid: Some(status.uuid.clone()?),
    };
    Some(Call { r#type: Some(Type::Acknowledge.into()), acknowledge: Some(acknowledge), ..Call::default() })
}
