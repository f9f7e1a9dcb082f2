//! How `relayctl` ended. The end-to-end tests of the Worker use this, too.

use serde_json::Value;
use std::process::Output;

/// How a command ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}\n{}", self.out, self.err))
    }

    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Panics unless the command succeeded.
    pub fn well(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.all());
        self
    }
}

/// The steps of `setup`, and how each ended.
pub fn states(ran: &Ran) -> Vec<(String, String)> {
    let document = ran.json();
    let steps = document["steps"]
        .as_array()
        .unwrap_or_else(|| panic!("{document}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    steps
        .iter()
        .map(|step| (text(&step["step"]), text(&step["state"])))
        .collect()
}
