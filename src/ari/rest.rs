//! Requests to Asterisk and its answers, as they go over the socket instead of HTTP: pure text.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::event::RestResponse;
use crate::config::limits::ari as limits;

/// One request. Whoever makes something (a channel, a bridge, a playback) chooses its id and remembers it before he asks: the
/// events may come before the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    method: &'static str,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Value>,
}

impl Request {
    /// A question; `path` is one of Asterisk's resources, such as `channels`.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// Something to be done.
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// Something to be set.
    pub fn put(path: &str) -> Self {
        Self::new("PUT", path)
    }

    /// Something to end.
    pub fn delete(path: &str) -> Self {
        Self::new("DELETE", path)
    }

    fn new(method: &'static str, path: &str) -> Self {
        Self { method, path: path.trim_matches('/').to_owned(), query: Vec::new(), body: None }
    }

    /// Adds a part to the path, whatever characters it has: an id, or the name of an operation.
    #[must_use]
    pub fn part(mut self, part: &str) -> Self {
        self.path.push('/');
        self.path.extend(utf8_percent_encode(part, NON_ALPHANUMERIC));
        self
    }

    /// Adds a parameter; it needs no encoding.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sets the body, such as the variables of a new channel.
    #[must_use]
    pub fn json(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// The frame that asks, to be answered under `id`.
    ///
    /// # Errors
    /// [`AskError::TooLarge`].
    pub(super) fn frame(&self, id: u64) -> Result<String, AskError> {
        let query: Vec<Value> =
            self.query.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let mut frame = json!({
            "type": "RESTRequest", "transaction_id": "", "request_id": id.to_string(),
            "method": self.method, "uri": self.path, "query_strings": query,
        });
        if let Some(body) = &self.body {
            frame["content_type"] = "application/json".into();
            frame["message_body"] = body.to_string().into();
        }
        let text = frame.to_string();
        if text.len() > limits::REQUEST_BYTES { Err(AskError::TooLarge) } else { Ok(text) }
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// What Asterisk answered, good or bad.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// As of HTTP.
    pub status: u16,
    /// `null` where it has none.
    pub body: Value,
}

impl Answer {
    /// It was done.
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What it was about has ended, has left the application or is in another state by now. After a hang-up that is normal,
    /// and no error.
    pub fn is_gone(&self) -> bool {
        matches!(self.status, 404 | 409 | 412 | 422)
    }

    /// What Asterisk says about a refusal.
    pub fn why(&self) -> &str {
        let text = |name| self.body.get(name).and_then(Value::as_str);
        text("message").or_else(|| text("error")).unwrap_or_default()
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nothing was sent: there is no connection.
    #[error("Asterisk is not connected")]
    NotConnected,
    /// No answer in time, or no place among the requests under way. It may be done all the same.
    #[error("Asterisk did not answer in time")]
    Slow,
    /// The connection ended meanwhile. It may be done all the same.
    #[error("the connection to Asterisk was lost before the answer")]
    Lost,
    /// Nothing was sent: Asterisk takes no frame of this length.
    #[error("the request is longer than Asterisk takes")]
    TooLarge,
    /// The answer is no JSON.
    #[error("Asterisk's answer can't be read")]
    Unreadable,
}

/// Reads an answer's body.
pub(super) fn answer(from: &RestResponse) -> Result<Answer, AskError> {
    let body = match from.message_body.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).map_err(|_| AskError::Unreadable)?,
    };
    Ok(Answer { status: from.status_code, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_frame_and_its_parts_keep_their_characters() {
        let request = Request::post("channels")
            .part("Local/a+b@c;1 ü%")
            .part("play")
            .with("media", "sound:a&b=c")
            .with("offsetms", 5)
            .json(json!({ "variables": { "A": "b \"c\"" } }));
        let frame: Value = serde_json::from_str(&request.frame(7).unwrap()).unwrap();
        assert_eq!(frame["type"], "RESTRequest");
        assert_eq!(frame["request_id"], "7");
        assert_eq!(frame["method"], "POST");
        assert_eq!(frame["uri"], "channels/Local%2Fa%2Bb%40c%3B1%20%C3%BC%25/play");
        assert_eq!(frame["query_strings"][0], json!({ "name": "media", "value": "sound:a&b=c" }));
        assert_eq!(frame["query_strings"][1]["value"], "5");
        let body: Value = serde_json::from_str(frame["message_body"].as_str().unwrap()).unwrap();
        assert_eq!(body["variables"]["A"], "b \"c\"");
        assert_eq!(request.to_string(), "POST channels/Local%2Fa%2Bb%40c%3B1%20%C3%BC%25/play");
    }

    #[test]
    fn what_is_longer_than_asterisk_takes_is_not_sent() {
        let long = Request::put("a").json(Value::String("x".repeat(limits::REQUEST_BYTES)));
        assert_eq!(long.frame(1), Err(AskError::TooLarge));
    }

    #[test]
    fn an_answer_says_what_became_of_it() {
        let read = |status_code, body: &str| {
            answer(&RestResponse { status_code, message_body: body.into(), ..RestResponse::default() })
        };
        let gone = read(404, r#"{"message":"Channel not found"}"#).unwrap();
        assert!(gone.is_gone() && !gone.is_done());
        assert_eq!(gone.why(), "Channel not found");
        assert_eq!(read(500, r#"{"error":"Allocation failed"}"#).unwrap().why(), "Allocation failed");
        assert!(read(204, "").unwrap().is_done());
        assert_eq!(read(200, "nonsense"), Err(AskError::Unreadable));
    }
}
