//! What a check found, and short ways to say it.

use serde_json::{Value, json};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Could not be done, because something it needs is not known here.
    Skip,
    /// All well.
    Pass,
    /// Works, but look at it.
    Warn,
    /// Does not work.
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
    /// Of [`CHECKS`](super::CHECKS).
    pub id: &'static str,
    /// How it ended.
    pub state: State,
    /// What was seen.
    pub cause: String,
    /// What mends it; empty when all is well.
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

/// Texts with commas between, at most so many.
pub fn some_of<Text: AsRef<str>>(texts: &[Text], at_most: usize) -> String {
    let shown: Vec<&str> = texts.iter().take(at_most).map(AsRef::as_ref).collect();
    match texts.len().saturating_sub(at_most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
