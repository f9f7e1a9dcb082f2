//! Lists of what the ledger holds, for the operator's page and API, and for the checks.

use super::{Ledger, at};
use crate::{
    model::{message::Message, time::UnixMillis},
    ports::{Clock, Store, StoreError},
};
use serde_json::{Map, Value, json};
use std::cmp::Reverse;

/// How many values of one list are read one by one, because they are too long to be listed with their keys.
const READS_MAX: usize = 30;
/// How many windows of 8.5 hours are listed to find the newest mails.
const WINDOWS_MAX: u64 = 6;
/// The number of mails after which no further window is listed.
const MAILS_ENOUGH: usize = 200;

impl<P: Store + Clock> Ledger<'_, P> {
    /// Everything under keys with one prefix (`mail:`, ...), the newest first. Each row is a value, and under `id` the
    /// rest of its key.
    ///
    /// If there are more than a thousand mails, only those of about the last two days are returned.
    ///
    /// # Errors
    /// Why the ledger could not be read.
    pub async fn all(&self, kind: &str, id: &str) -> Result<Vec<Value>, StoreError> {
        let mut listed = self.count(self.ports.list(kind)).await?;
        if !listed.is_complete && kind == "mail:" {
            listed.entries.clear();
            let newest = svix_window(self.ports.now()).saturating_add(1);
            for window in (newest.saturating_sub(WINDOWS_MAX)..=newest).rev() {
                let more = self.count(self.ports.list(&svix_prefix(window))).await?;
                listed.entries.extend(more.entries);
                if listed.entries.len() >= MAILS_ENOUGH {
                    break;
                }
            }
        }
        let mut rows = Vec::with_capacity(listed.entries.len());
        let mut reads = 0_usize;
        for (name, value) in listed.entries {
            let text = match value {
                Some(text) => Some(text),
                None if reads < READS_MAX => {
                    reads = reads.saturating_add(1);
                    self.get(&name).await?
                }
                None => None,
            };
            let key = name.strip_prefix(kind).unwrap_or_default();
            let mut row = match text {
                // Too many to be read.
                None => Map::new(),
                Some(letter) if kind == "dead:" => dead_letter(&letter),
                Some(record) => serde_json::from_str(&record).unwrap_or_default(),
            };
            row.insert(id.to_owned(), key.into());
            // Only the relay needs these.
            for hidden in ["trail", "here"] {
                row.remove(hidden);
            }
            rows.push(Value::Object(row));
        }
        rows.sort_by_key(|row| Reverse(at(row)));
        Ok(rows)
    }
}

/// What is shown of a dead letter. It holds a whole mail, or what a user wrote; its kind, time and template are no
/// secret. Nothing else of it is taken, so that what a later version puts there is not shown either.
fn dead_letter(letter: &str) -> Map<String, Value> {
    let row = match Message::from_text(letter) {
        Some(Message::Mail(mail)) => {
            json!({"kind": "mail", "at": mail.queued_at, "slug": mail.email.slug})
        }
        Some(Message::HandOff { payload }) => {
            let received_at = payload.pointer("/message/received_at");
            let at = received_at
                .and_then(Value::as_u64)
                .map(UnixMillis::from_seconds);
            json!({"kind": "hand_off", "at": at})
        }
        Some(Message::Notification { .. }) => json!({"kind": "notification"}),
        Some(Message::Alert { .. }) => json!({"kind": "alert"}),
        Some(Message::Probe { .. }) => json!({"kind": "probe"}),
        Some(Message::HandBack(_)) => json!({"kind": "hand_back"}),
        None => json!({"kind": "unreadable"}),
    };
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

/// Svix' ids are KSUIDs (<https://github.com/segmentio/ksuid>): they begin with the time they were made, in base 62 and
/// counted from May 2014. So ids with the same first three characters are from one window of 30,588.7 seconds.
fn svix_window(now: UnixMillis) -> u64 {
    now.seconds()
        .saturating_sub(1_400_000_000)
        .saturating_mul(10)
        / 305_887
}

/// The key prefix of the mails of one window.
fn svix_prefix(window: u64) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut prefix = String::from("mail:msg_");
    for place in [3844, 62, 1] {
        let digit =
            usize::try_from(window.checked_div(place).unwrap_or_default() % 62).unwrap_or_default();
        prefix.push(char::from(DIGITS.get(digit).copied().unwrap_or_default()));
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id of March 2022, from Svix' documentation.
    #[test]
    fn svix_ids_begin_with_their_time() {
        let made = UnixMillis::from_seconds(1_649_000_000);
        let prefix = svix_prefix(svix_window(made));
        assert_eq!(prefix, "mail:msg_27I");
        assert!("mail:msg_27UH4WbU6Z5A5EzD8u03UvzRbpk" > prefix.as_str());
    }
}
