//! Files of a task's sandbox, read through the leading master.

use std::time::Duration;

use bytes::Bytes;
use chapada_coordination::LeaderInfo;
use chapada_tls::Dialer;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;

/// How long the whole answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// More than the master gives in one answer.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// No subscription at the moment.
    #[error("not subscribed to a master at the moment")]
    Disconnected,
    /// The master says no.
    #[error("the master answers {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The connection to the master.
    #[error("failed to ask the master for a file: {0}")]
    Connection(String),
}

#[derive(serde::Deserialize)]
struct Piece {
    data: String,
}

pub(crate) async fn read(
    master: &LeaderInfo,
    dialer: &Dialer,
    path_and_query: &str,
) -> Result<String, SandboxError> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, get(master, dialer, path_and_query)).await;
    let body = answer.map_err(|_| SandboxError::Connection("no answer in time".to_owned()))??;
    let piece: Piece =
        serde_json::from_slice(&body).map_err(|error| SandboxError::Connection(error.to_string()))?;
    Ok(piece.data)
}

async fn get(master: &LeaderInfo, dialer: &Dialer, path_and_query: &str) -> Result<Bytes, SandboxError> {
    let failed = |error: &dyn std::fmt::Display| SandboxError::Connection(error.to_string());
    let at = master.socket_addr();
    let names = master.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let stream = dialer.connect(at, &names).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let driving = tokio::spawn(connection);
    let request = http::Request::get(path_and_query)
        .header(http::header::HOST, at.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| failed(&error))?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let message = String::from_utf8_lossy(&body).chars().take(300).collect();
        Err(SandboxError::Refused { status: status.as_u16(), message })
    }
    .await;
    driving.abort();
    answer
}

/// For one segment of a path, or one value of a query.
pub(crate) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn everything_unusual_is_escaped() {
        assert_eq!(super::escaped("a/b c&ü.1"), "a%2Fb%20c%26%C3%BC.1");
    }
}
