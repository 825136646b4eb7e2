//! The calls of an agent's API that a command in a container takes.

use anyhow::{Context, Result};
use bytes::Bytes;
use chapada_wire::Media;
use chapada_wire::v1;
use chapada_wire::v1::agent::Call;
use chapada_wire::v1::agent::call::{LaunchNestedContainerSession, Type, WaitNestedContainer};
use chapada_wire::v1::tty_info::WindowSize;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use crate::client::api::{Api, ApiError, Said, Sending, escaped};
use crate::client::task::Task;

const PROTOBUF: &str = "application/x-protobuf";
const RECORDIO: &str = "application/recordio";
const CONTENT_TYPE: &str = "content-type";
const ACCEPT: &str = "accept";
const MESSAGE_ACCEPT: &str = "message-accept";
const MESSAGE_CONTENT_TYPE: &str = "message-content-type";
const WAITING: &Said = &[(CONTENT_TYPE, PROTOBUF), (ACCEPT, PROTOBUF)];
const UNKNOWN: &str = "the command has ended, and nobody says how";

/// A command in a container.
pub(super) struct Session<'a> {
    api: &'a Api,
    path: String,
    container: v1::ContainerId,
}

impl<'a> Session<'a> {
    pub(super) fn new(api: &'a Api, task: &Task) -> Self {
        let parent = v1::ContainerId { value: Some(task.container.clone()), parent: None };
        let own = uuid::Uuid::new_v4().to_string();
        Self {
            api,
            path: format!("/agents/{}/api/v1", escaped(&task.agent)),
            container: v1::ContainerId { value: Some(own), parent: Some(Box::new(parent)) },
        }
    }

    pub(super) fn container(&self) -> &v1::ContainerId {
        &self.container
    }

    /// Begins it; the answer is what it writes.
    pub(super) async fn launch(
        &self,
        command: &[String],
        terminal: Option<WindowSize>,
    ) -> Result<Incoming, ApiError> {
        const SAID: &Said = &[(CONTENT_TYPE, PROTOBUF), (ACCEPT, RECORDIO), (MESSAGE_ACCEPT, PROTOBUF)];
        let launch = LaunchNestedContainerSession {
            container_id: Some(self.container.clone()),
            command: Some(command_info(command, terminal.is_some())),
            container: terminal.map(|size| v1::ContainerInfo {
                r#type: Some(v1::container_info::Type::Mesos.into()),
                tty_info: Some(v1::TtyInfo { window_size: Some(size) }),
                ..v1::ContainerInfo::default()
            }),
        };
        let call = Call {
            launch_nested_container_session: Some(launch),
            ..bare(Type::LaunchNestedContainerSession)
        };
        Ok(self.api.post(&self.path, SAID, encoded(&call)).await?.into_body())
    }

    /// Passes on what is in `input` until the command ends.
    pub(super) async fn attach(&self, input: Sending) -> Result<(), ApiError> {
        const SAID: &Said = &[(CONTENT_TYPE, RECORDIO), (MESSAGE_CONTENT_TYPE, PROTOBUF), (ACCEPT, PROTOBUF)];
        self.api.post_stream(&self.path, SAID, input).await.map(drop)
    }

    /// Waits for its end, however long that takes: how it ended, as wait(2) says it.
    pub(super) async fn end(&self) -> Result<i32> {
        let body = Full::new(self.wait()).map_err(|never| match never {}).boxed_unsync();
        status_in(self.api.post_stream(&self.path, WAITING, body).await.context(UNKNOWN)?).await
    }

    /// The same of one that has ended.
    pub(super) async fn status(&self) -> Result<i32> {
        status_in(self.api.post(&self.path, WAITING, self.wait()).await.context(UNKNOWN)?).await
    }

    fn wait(&self) -> Bytes {
        let wait = WaitNestedContainer { container_id: Some(self.container.clone()) };
        encoded(&Call { wait_nested_container: Some(wait), ..bare(Type::WaitNestedContainer) })
    }
}

async fn status_in(answer: Response<Incoming>) -> Result<i32> {
    let body = answer.into_body().collect().await.context(UNKNOWN)?.to_bytes();
    let answer: v1::agent::Response = Media::Protobuf.decode(&body, "Response").context(UNKNOWN)?;
    answer.wait_nested_container.and_then(|wait| wait.exit_status).context(UNKNOWN)
}

fn bare(kind: Type) -> Call {
    Call { r#type: Some(kind.into()), ..Call::default() }
}

fn encoded(call: &Call) -> Bytes {
    Media::Protobuf.encode(call).into()
}

/// The command as it is, without a shell; on a terminal it hears of which kind.
fn command_info(command: &[String], on_terminal: bool) -> v1::CommandInfo {
    let kind = std::env::var("TERM").ok().filter(|_| on_terminal);
    let environment = kind.map(|kind| v1::Environment {
        variables: vec![v1::environment::Variable {
            name: Some("TERM".to_owned()),
            value: Some(kind),
            ..Default::default()
        }],
    });
    v1::CommandInfo {
        shell: Some(false),
        value: command.first().cloned(),
        arguments: command.to_vec(),
        environment,
        ..v1::CommandInfo::default()
    }
}
