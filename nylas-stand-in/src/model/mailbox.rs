//! The messages in an account's mailbox, and its folders.

use crate::hex::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A message in an account's mailbox, in Nylas' shape.
pub struct Stored {
    pub grant_id: String,
    pub id: String,
    pub message: Value,
    pub headers: Vec<(String, String)>,
}

pub fn header_list(headers: &[(String, String)]) -> Value {
    headers
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}

/// The six system folders: name and attribute.
pub const FOLDERS: [(&str, &str); 6] = [
    ("inbox", "\\Inbox"),
    ("sent", "\\Sent"),
    ("drafts", "\\Drafts"),
    ("trash", "\\Trash"),
    ("junk", "\\Junk"),
    ("archive", "\\Archive"),
];

/// A folder's id. It is not the name, because Nylas does not promise that they are equal.
pub fn folder_id(grant_id: &str, name: &str) -> String {
    hex(&Sha256::digest(format!("folder/{grant_id}/{name}")), 25)
}
