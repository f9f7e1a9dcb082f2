//! What `relayctl prove` asks of a deployed Worker: when a write shows, how long a message waits in the queue, and what
//! Nylas' notifications look like. Nothing of it is kept for longer than an hour, and no mail writes any of it.

use super::{Ledger, is_short};
use crate::{
    model::{
        id::is_plain,
        time::{HOUR, UnixMillis},
    },
    ports::{Clock, Store, StoreError},
};
use serde_json::{Value, json};

/// The name of a probe of `relayctl prove`. Its mails carry it as `metadata.key1`, where others have the Svix id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeId(String);

impl ProbeId {
    /// `None` for anything else, which is what every mail of the relay has there.
    pub fn parse(text: &str) -> Option<Self> {
        let is_one = text.starts_with("prove_") && is_plain(text, 64);
        is_one.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<P: Store + Clock> Ledger<'_, P> {
    /// Remembers that a probe began.
    pub async fn put_probe(&self, id: &ProbeId) -> Result<(), StoreError> {
        self.put_now(&format!("probe:{}", id.0), HOUR).await
    }

    /// When the probe began; `None` while its record is not visible here.
    pub async fn probe(&self, id: &ProbeId) -> Result<Option<UnixMillis>, StoreError> {
        let text = self.get(&format!("probe:{}", id.0)).await?;
        Ok(text.and_then(|text| text.parse().ok()).map(UnixMillis))
    }

    /// Remembers something that a probe saw, under a name.
    pub async fn put_seen(&self, id: &ProbeId, name: &str, seen: &Value) -> Result<(), StoreError> {
        if !is_short(name) {
            return Ok(());
        }
        let key = format!("probe:{}:{name}", id.0);
        let mut row = json!({"at": self.ports.now()});
        if let (Value::Object(row), Value::Object(seen)) = (&mut row, seen) {
            row.extend(seen.clone());
        }
        self.write(&key, &row, HOUR).await
    }

    /// Everything that a probe has seen so far.
    pub async fn seen(&self, id: &ProbeId) -> Result<Vec<Value>, StoreError> {
        self.all(&format!("probe:{}:", id.0), "name").await
    }
}
