//! The result of a check.

use serde_json::{Value, json};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The check needs something that is not known here.
    Skip,
    /// All well.
    Pass,
    /// It works, but somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
}

impl State {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The id of the check, one of [`CHECKS`](super::CHECKS).
    pub id: &'static str,
    /// How it ended.
    pub state: State,
    /// What was seen.
    pub cause: String,
    /// How to fix it; empty when all is well.
    pub fix: String,
}

impl Finding {
    pub fn document(&self) -> Value {
        json!({
            "id": self.id, "state": self.state.name(), "cause": self.cause, "fix": self.fix,
            "docs": format!("docs/doctor.md#{}", self.id),
        })
    }
}

pub fn pass(id: &'static str, cause: impl Into<String>) -> Finding {
    Finding {
        id,
        state: State::Pass,
        cause: cause.into(),
        fix: String::new(),
    }
}

pub fn skip(id: &'static str, cause: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding {
        id,
        state: State::Skip,
        cause: cause.into(),
        fix: fix.into(),
    }
}

pub fn warn(id: &'static str, cause: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding {
        id,
        state: State::Warn,
        cause: cause.into(),
        fix: fix.into(),
    }
}

pub fn fail(id: &'static str, cause: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding {
        id,
        state: State::Fail,
        cause: cause.into(),
        fix: fix.into(),
    }
}

/// At most `at_most` of the texts, separated by commas.
pub fn some_of<Text: AsRef<str>>(texts: &[Text], at_most: usize) -> String {
    let shown: Vec<&str> = texts.iter().take(at_most).map(AsRef::as_ref).collect();
    match texts.len().saturating_sub(at_most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
