//! What a call for an agent does. Calls that change the agent itself do not go through a master.

use bytes::Bytes;
use chapada_listener::{Action, BodyError, Call as HttpCall, HttpResponse, form_of_body, text};
use chapada_wire::Media;
use chapada_wire::v1::agent::Call;
use chapada_wire::v1::agent::call::Type;
use http::StatusCode;

const RECORDIO: &str = "application/recordio";

/// A call that may go on.
pub(super) struct Asked {
    pub(super) kind: Type,
    pub(super) action: Action,
    /// Nothing of a stream, which is passed on as it comes.
    pub(super) body: Option<Bytes>,
}

pub(super) async fn read(call: &HttpCall) -> Result<Asked, HttpResponse> {
    let forms = Media::KNOWN.map(|(name, media)| (name, Some(media)));
    let forms: Vec<_> = forms.into_iter().chain([(RECORDIO, None)]).collect();
    let Some(media) = form_of_body(call, &forms)? else {
        // The one call that is a stream; an agent takes no other in this form.
        let kind = Type::AttachContainerInput;
        return Ok(Asked { kind, action: Action::UseContainers, body: None });
    };
    let body = call.read_body().await.map_err(BodyError::into_response)?;
    let asked: Call =
        media.decode(&body, "Call").map_err(|error| text(StatusCode::BAD_REQUEST, error.to_string()))?;
    let kind = asked.r#type();
    let action = action_of(kind).ok_or_else(|| match kind {
        Type::Unknown => {
            text(StatusCode::BAD_REQUEST, "Failed to validate agent::Call: Expecting 'type' to be present")
        }
        other => text(
            StatusCode::FORBIDDEN,
            format!("{} does not go through the master: call the agent itself", other.as_str_name()),
        ),
    })?;
    Ok(Asked { kind, action, body: Some(body) })
}

/// Nothing for what does not go through a master.
fn action_of(kind: Type) -> Option<Action> {
    Some(match kind {
        Type::GetHealth | Type::GetVersion => Action::ViewHealth,
        Type::GetFlags | Type::GetLoggingLevel => Action::ViewFlags,
        Type::GetMetrics => Action::ViewMetrics,
        Type::ListFiles | Type::ReadFile => Action::AccessSandbox,
        Type::GetState
        | Type::GetContainers
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetAgent
        | Type::GetResourceProviders => Action::ViewCluster,
        Type::LaunchNestedContainer
        | Type::WaitNestedContainer
        | Type::KillNestedContainer
        | Type::RemoveNestedContainer
        | Type::LaunchNestedContainerSession
        | Type::AttachContainerInput
        | Type::AttachContainerOutput
        | Type::WaitContainer
        | Type::KillContainer
        | Type::RemoveContainer => Action::UseContainers,
        // A container of nobody's takes resources that the books know nothing of; and the rest changes the agent.
        Type::Unknown
        | Type::LaunchContainer
        | Type::SetLoggingLevel
        | Type::AddResourceProviderConfig
        | Type::UpdateResourceProviderConfig
        | Type::RemoveResourceProviderConfig
        | Type::MarkResourceProviderGone
        | Type::PruneImages => return None,
    })
}
