//! A small blocking HTTP client for tests.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::certificates::Certificate;

/// Speaks to one server; every call is a connection of its own, so that a server's death is never hidden by a pool.
#[derive(Debug, Clone)]
pub struct Http {
    base: String,
    client: Option<Certificate>,
}

struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Http {
    /// `address` is `host:port`, or `name:password@host:port` for who has to say who it is.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self { base: format!("http://{address}"), client: None }
    }

    /// The same under TLS, showing a certificate; `curl` speaks it, a program that has nothing to do with ours.
    #[must_use]
    pub fn under_tls(address: &str, client: &Certificate) -> Self {
        Self { base: format!("https://{address}"), client: Some(client.clone()) }
    }

    /// A GET whose answer is JSON.
    ///
    /// # Errors
    /// Any status but 2xx, and whatever went wrong on the way, as a sentence.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        let (status, body) = self.call("GET", path, None)?;
        success(status, &body)?;
        serde_json::from_str(&body).map_err(|error| format!("GET {path}: {error}: {body}"))
    }

    /// A GET whose answer is text.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub fn text(&self, path: &str) -> Result<String, String> {
        let (status, body) = self.call("GET", path, None)?;
        success(status, &body)?;
        Ok(body)
    }

    /// Any call with a JSON body; an answer that is no JSON is null.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let (status, answer) = self.call(method, path, Some(body))?;
        success(status, &answer).map_err(|error| format!("{method} {path}: {error}"))?;
        Ok(serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    /// Where a GET is sent on to.
    ///
    /// # Errors
    /// When it is not, and when there is no answer.
    pub fn redirect(&self, path: &str) -> Result<String, String> {
        let answer = self.answer("GET", path, None)?;
        answer.location.ok_or_else(|| format!("GET {path}: {}, no redirect", answer.status))
    }

    /// The status and the body, whatever they are; redirects are not followed.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, String), String> {
        self.answer(method, path, body).map(|answer| (answer.status, answer.body))
    }

    fn answer(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        match &self.client {
            Some(client) => self.curl(client, method, path, body),
            None => self.plain(method, path, body),
        }
    }

    fn plain(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("connection", "close")
            .body(body.map(Value::to_string).unwrap_or_default())
            .map_err(|error| error.to_string())?;
        let failed = |error: ureq::Error| format!("{method} {path}: {error}");
        let mut response = agent.run(request).map_err(failed)?;
        let location = response.headers().get("location").and_then(|place| place.to_str().ok());
        let (status, location) = (response.status().as_u16(), location.map(str::to_owned));
        Ok(Answer { status, location, body: response.body_mut().read_to_string().map_err(failed)? })
    }

    fn curl(
        &self,
        client: &Certificate,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let failed = |why: &dyn std::fmt::Display| format!("{method} {path}: {why}");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "60", "-X", method, "--data-binary", "@-"]);
        curl.arg("--cacert").arg(&client.ca).arg("--cert").arg(&client.cert).arg("--key").arg(&client.key);
        curl.args(["-H", "content-type: application/json", "-H", "accept: application/json"]);
        curl.args(["-w", "\n%{http_code} %{redirect_url}", &format!("{}{path}", self.base)]);
        curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = curl.spawn().map_err(|error| failed(&error))?;
        let mut stdin = running.stdin.take().ok_or("curl has an input")?;
        let body = body.map(Value::to_string).unwrap_or_default();
        // It may be refused before it has read everything.
        let _ = stdin.write_all(body.as_bytes());
        drop(stdin);
        let output = running.wait_with_output().map_err(|error| failed(&error))?;
        if !output.status.success() {
            return Err(failed(&String::from_utf8_lossy(&output.stderr).trim()));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, end) = text.rsplit_once('\n').unwrap_or_default();
        let (status, location) = end.split_once(' ').unwrap_or((end, ""));
        let status = status.parse().map_err(|_| failed(&format!("curl says {end}")))?;
        let location = (!location.is_empty()).then(|| location.to_owned());
        Ok(Answer { status, location, body: body.to_owned() })
    }
}

fn success(status: u16, body: &str) -> Result<(), String> {
    if (200..300).contains(&status) { Ok(()) } else { Err(format!("{status}: {body}")) }
}
