//! Waiting, by the runtime's `setTimeout`.

use super::{
    bindings::{clear_timeout, set_timeout},
    promise::Awaited,
};
use crate::model::time::millis;
use std::{pin::Pin, time::Duration};
use worker::wasm_bindgen::JsValue;

/// A time that will be over; stopped when dropped.
pub struct Sleep {
    timer: JsValue,
    over: Awaited,
}

impl Sleep {
    pub fn start(time: Duration) -> Self {
        let milliseconds = i32::try_from(millis(time)).unwrap_or(i32::MAX);
        let (over, timer) = Awaited::start(|settle, id| set_timeout(settle, milliseconds, id));
        Self { timer, over }
    }

    /// Waits until it is over.
    pub async fn over(&mut self) {
        // It never fails.
        let _ = Pin::new(&mut self.over).await;
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        clear_timeout(&self.timer);
    }
}
