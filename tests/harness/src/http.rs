//! A small blocking HTTP client for tests.

use std::time::Duration;

use serde_json::Value;

/// Speaks to one server; every call is a connection of its own, so that a server's death is never hidden by a pool.
#[derive(Debug, Clone)]
pub struct Http {
    base: String,
}

impl Http {
    /// `address` is `host:port`, or `name:password@host:port` for who has to say who it is.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self { base: format!("http://{address}") }
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
        let response = self.response("GET", path, None)?;
        let place = response.headers().get("location").and_then(|place| place.to_str().ok());
        place.map(str::to_owned).ok_or_else(|| format!("GET {path}: {}, no redirect", response.status()))
    }

    /// The status and the body, whatever they are; redirects are not followed.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, String), String> {
        let mut response = self.response(method, path, body)?;
        let status = response.status().as_u16();
        let text =
            response.body_mut().read_to_string().map_err(|error| format!("{method} {path}: {error}"))?;
        Ok((status, text))
    }

    fn response(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<ureq::http::Response<ureq::Body>, String> {
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
        agent.run(request).map_err(|error| format!("{method} {path}: {error}"))
    }
}

fn success(status: u16, body: &str) -> Result<(), String> {
    if (200..300).contains(&status) { Ok(()) } else { Err(format!("{status}: {body}")) }
}
