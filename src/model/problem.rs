//! A setting that is wrong.

use serde::Serialize;

/// A setting and what is wrong with it. Never its value, which may be secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub name: &'static str,
    pub problem: &'static str,
}
