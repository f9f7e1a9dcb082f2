//! Lists of what the ledger holds, for the operator's page and API, and for the checks.

use super::{Ledger, at};
use crate::{
    model::time::UnixMillis,
    ports::{Clock, Store, StoreError},
};
use serde_json::{Map, Value};
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
            rows.push(row(text.as_deref(), id, key));
        }
        rows.sort_by_key(|row| Reverse(at(row)));
        Ok(rows)
    }
}

/// One row: the key and the value, without what is private and without what only the relay needs.
fn row(text: Option<&str>, id: &str, key: &str) -> Value {
    let mut row: Map<String, Value> = text
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    row.insert(id.to_owned(), key.into());
    // A dead letter holds a whole mail. Only its time and template are shown.
    if let Some(mail) = row.remove("mail") {
        row.insert("at".to_owned(), mail.get("queued_at").cloned().into());
        row.insert(
            "slug".to_owned(),
            mail.pointer("/email/slug").cloned().into(),
        );
    }
    for hidden in ["trail", "here"] {
        row.remove(hidden);
    }
    Value::Object(row)
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
