//! What was alerted, logged or seen before, so that it is not repeated.

use super::{Ledger, TEN_YEARS};
use crate::{
    model::{
        alert::AlertKind,
        id::GrantId,
        time::{DAY, UnixMillis},
    },
    ports::{Clock, Store, StoreError},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An alert of a state that has not ended yet, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub kind: AlertKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<GrantId>,
    /// The key that holds the alert back.
    pub key: String,
    /// When it was raised first, and last.
    pub since: UnixMillis,
    pub last: UnixMillis,
    /// Of a cap: since when so much of it is used that the page says so. The first alert comes before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<UnixMillis>,
}

const STANDING: &str = "standing:alerts";
/// After this long without being raised again, nobody is told of an end any more.
const STANDING_TTL: Duration = DAY.saturating_mul(7);
const PAGE: &str = "page:origin";

impl<P: Store + Clock> Ledger<'_, P> {
    /// Whether the same alert was posted lately.
    pub async fn was_alerted(&self, key: &str) -> Result<bool, StoreError> {
        self.has(&format!("alerted:{key}")).await
    }

    /// Remembers for `ttl` that an alert was posted.
    pub async fn put_alerted(&self, key: &str, ttl: Duration) -> Result<(), StoreError> {
        self.put_now(&format!("alerted:{key}"), ttl).await
    }

    /// The same alert is news again.
    pub async fn forget_alerted(&self, key: &str) -> Result<(), StoreError> {
        self.delete(&format!("alerted:{key}")).await
    }

    /// The alerts of states that have not ended. What cannot be read counts as none.
    pub async fn standing(&self) -> Vec<Standing> {
        let all = self.read(STANDING).await.ok().flatten();
        all.unwrap_or_default()
    }

    /// Remembers which alerts stand.
    pub async fn put_standing(&self, all: &[Standing]) -> Result<(), StoreError> {
        match all {
            [] => self.delete(STANDING).await,
            all => self.write(STANDING, &all, STANDING_TTL).await,
        }
    }

    /// Where an operator last opened the page or asked the API: scheme and host.
    pub async fn page_origin(&self) -> Result<Option<String>, StoreError> {
        self.get(PAGE).await
    }

    /// Remembers that.
    pub async fn put_page_origin(&self, origin: &str) -> Result<(), StoreError> {
        self.put(PAGE, origin, TEN_YEARS).await
    }

    /// Whether to log something now that is logged at most once in `once_in`. If so, remembers that it was.
    pub async fn may_say(&self, what: &str, once_in: Duration) -> bool {
        let key = format!("said:{what}");
        self.has(&key).await == Ok(false) && self.put_now(&key, once_in).await.is_ok()
    }

    /// Whether the shape of a template's first event is stored.
    pub async fn has_shape(&self, slug: &str) -> Result<bool, StoreError> {
        self.has(&format!("shape:{slug}")).await
    }

    /// Stores the shape of a template's first event: names, types and lengths of its fields.
    pub async fn put_shape(&self, slug: &str, shape: &str) -> Result<(), StoreError> {
        self.put(&format!("shape:{slug}"), shape, TEN_YEARS).await
    }
}
