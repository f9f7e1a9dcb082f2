//! Waiting, by the runtime's `setTimeout`.

use super::bindings::{clear_timeout, set_timeout};
use crate::model::time::millis;
use std::{pin::Pin, time::Duration};
use worker::{
    js_sys::{Function, Promise, futures::JsFuture},
    wasm_bindgen::JsValue,
};

/// A time that will be over; stopped when dropped.
pub struct Sleep {
    id: JsValue,
    over: JsFuture,
    end: Option<Function>,
}

impl Sleep {
    pub fn start(time: Duration) -> Self {
        let mut id = JsValue::UNDEFINED;
        // Not `Function::default()`: it compiles source text, which Workers forbid.
        let mut end = None;
        let milliseconds = i32::try_from(millis(time)).unwrap_or(i32::MAX);
        let over = Promise::new(&mut |resolve, _| {
            id = set_timeout(&resolve, milliseconds);
            end = Some(resolve);
        });
        Self {
            id,
            over: over.into(),
            end,
        }
    }

    /// Waits until it is over.
    pub async fn over(&mut self) {
        // It never fails.
        let _ = Pin::new(&mut self.over).await;
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        clear_timeout(&self.id);
        // A promise that never ends keeps what waits for it in memory.
        if let Some(end) = &self.end {
            let _ = end.call0(&JsValue::UNDEFINED);
        }
    }
}
