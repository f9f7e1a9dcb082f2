//! The error of a command.

use std::fmt;

/// What went wrong, and what to do about it. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether the command was called wrongly (exit code 2) or failed (1).
    pub usage: bool,
    /// What happened.
    pub message: String,
    /// How to fix it.
    pub fix: String,
}

impl Failure {
    /// A failure of the command.
    pub fn new(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            usage: false,
            message: message.into(),
            fix: fix.into(),
        }
    }

    /// A wrong call of the command.
    pub fn usage(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            usage: true,
            ..Self::new(message, fix)
        }
    }

    /// 2 if the command was called wrongly, otherwise 1.
    pub fn exit_code(&self) -> u8 {
        if self.usage { 2 } else { 1 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n  fix: {}", self.message, self.fix)
    }
}

impl std::error::Error for Failure {}
