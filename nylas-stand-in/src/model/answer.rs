//! Answers to requests.

use serde_json::Value;

/// An answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Answer {
            status,
            headers,
            body: body.to_string().into_bytes(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The replay of a stored answer: its status and body, which is what Nylas documents, and no other headers.
    pub fn replayed(mut self) -> Self {
        self.headers
            .retain(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        self.with("idempotent-response", "true")
    }

    /// The answer of a rule. A string is sent as it is, anything else as JSON.
    pub fn scripted(status: u16, body: &Value, headers: Vec<(String, String)>) -> Self {
        let own_type = headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let mut answer = match body {
            Value::String(text) => Answer {
                status,
                headers: Vec::new(),
                body: text.clone().into_bytes(),
            },
            Value::Null => Answer {
                status,
                headers: Vec::new(),
                body: Vec::new(),
            },
            body if own_type => Answer {
                status,
                headers: Vec::new(),
                body: body.to_string().into_bytes(),
            },
            body => Answer::json(status, body),
        };
        answer.headers.extend(headers);
        answer
    }
}

/// How a request ends.
pub enum Outcome {
    Answered { answer: Answer, replayed: bool },
    Dropped,
}

impl Outcome {
    pub fn answered(answer: Answer) -> Self {
        Outcome::Answered {
            answer,
            replayed: false,
        }
    }
}
