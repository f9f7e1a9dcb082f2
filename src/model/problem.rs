//! A setting that is wrong.

use serde::Serialize;

/// What is wrong with one setting, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub name: &'static str,
    pub problem: &'static str,
}
