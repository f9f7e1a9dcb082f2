//! The store on Workers KV.

use super::{
    bindings::{constant, field, object, settled},
    env::{Platform, message_of, whole_seconds},
};
use crate::ports::{Listed, Store, StoreError, is_listable};
use std::time::Duration;
use worker::{
    js_sys::{Array, Map, Object},
    wasm_bindgen::{JsCast, JsValue},
};

/// KV's shortest: how long a read, or a miss, may be served from the edge's cache.
const CACHE_SECONDS: u32 = 30;

impl Store for Platform {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let ledger = self.ledger.as_ref().ok_or(StoreError::NotBound)?;
        let value = settled(ledger.get(key, &reading())).await;
        Ok(value.map_err(cause)?.as_string())
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        let ledger = self.ledger.as_ref().ok_or(StoreError::NotBound)?;
        let names: Vec<JsValue> = keys.iter().map(|key| JsValue::from_str(key)).collect();
        let wanted = Array::from_iter(&names);
        let values = settled(ledger.get_many(&wanted, &reading())).await;
        let values: Map = values.map_err(cause)?.unchecked_into();
        let values = names.iter().map(|name| values.get(name).as_string());
        Ok(values.collect())
    }

    async fn put(&self, key: &str, value: &str, ttl: Duration) -> Result<(), StoreError> {
        self.put_listed(key, value, value, ttl).await
    }

    async fn put_listed(
        &self,
        key: &str,
        value: &str,
        listed: &str,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let ledger = self.ledger.as_ref().ok_or(StoreError::NotBound)?;
        let listed = match is_listable(listed) {
            true => JsValue::from_str(listed),
            false => JsValue::UNDEFINED,
        };
        let options = object([
            ("expirationTtl", whole_seconds(ttl).into()),
            ("metadata", listed),
        ]);
        let put = settled(ledger.put(key, &JsValue::from_str(value), &options)).await;
        put.map(|_| ()).map_err(cause)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let ledger = self.ledger.as_ref().ok_or(StoreError::NotBound)?;
        let deleted = settled(ledger.delete(key)).await;
        deleted.map(|_| ()).map_err(cause)
    }

    async fn list(&self, prefix: &str) -> Result<Listed, StoreError> {
        let ledger = self.ledger.as_ref().ok_or(StoreError::NotBound)?;
        let options = object([("prefix", prefix.into())]);
        let listed = settled(ledger.list(&options)).await.map_err(cause)?;
        let keys: Array = field(&listed, "keys").unchecked_into();
        let entries = keys.iter().filter_map(|key| {
            let name = field(&key, "name").as_string()?;
            Some((name, field(&key, "metadata").as_string()))
        });
        Ok(Listed {
            entries: entries.collect(),
            is_complete: field(&listed, "list_complete").is_truthy(),
        })
    }
}

/// The options of a read.
fn reading() -> Object {
    thread_local! {
        static OPTIONS: Object = object([
            ("type", constant("text")),
            ("cacheTtl", CACHE_SECONDS.into()),
        ]);
    }
    OPTIONS.with(Object::clone)
}

/// Why KV failed. Its errors have no code, only a message such as "KV PUT failed: 429 Too Many Requests" or "KV put()
/// limit exceeded for the day.".
fn cause(error: JsValue) -> StoreError {
    let message = message_of(&error);
    if message.contains("limit exceeded for the day") {
        StoreError::DailyLimit
    } else if message.contains("429") {
        StoreError::RateLimited
    } else if message.contains("413") || message.contains("414") {
        StoreError::TooLarge
    } else {
        StoreError::Failed
    }
}
