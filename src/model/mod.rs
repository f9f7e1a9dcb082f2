//! Plain data that every other room knows: ids, mails, accounts, routes, queue messages, log records. No I/O.

pub mod account;
pub mod alert;
pub mod answer;
pub mod id;
pub mod log;
pub mod mail;
pub mod message;
pub mod message_id;
pub mod outcome;
pub mod problem;
pub mod route;
pub mod secret;
pub mod time;

use serde::{Deserialize, Deserializer};

/// Reads null as the default: other versions of the relay may have written null.
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
