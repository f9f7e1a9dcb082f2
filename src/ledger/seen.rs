//! What was alerted, logged or seen before, so that it is not repeated.

use super::{Ledger, TEN_YEARS};
use crate::ports::{Clock, Store, StoreError};
use std::time::Duration;

impl<P: Store + Clock> Ledger<'_, P> {
    /// Whether the same alert was posted lately.
    pub async fn was_alerted(&self, key: &str) -> Result<bool, StoreError> {
        self.has(&format!("alerted:{key}")).await
    }

    /// Remembers for `ttl` that an alert was posted.
    pub async fn put_alerted(&self, key: &str, ttl: Duration) -> Result<(), StoreError> {
        self.put_now(&format!("alerted:{key}"), ttl).await
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
