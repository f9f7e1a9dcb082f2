//! The JavaScript the Worker calls, called directly.
//!
//! Crate `worker` has all of it in more comfortable forms, which turn each options object into one
//! through `serde` and each failure into an error with texts of its own: a quarter of the upload.

use worker::{
    js_sys::{Function, Object, Promise, Reflect, futures::JsFuture},
    wasm_bindgen::{JsValue, prelude::wasm_bindgen},
};

#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, js_sys = worker::js_sys)]
extern "C" {
    /// A KV namespace (<https://developers.cloudflare.com/kv/api/>).
    pub type KvNamespace;

    /// `get(key, {type, cacheTtl})`; resolves to the text, or to null.
    #[wasm_bindgen(method, catch)]
    pub fn get(this: &KvNamespace, key: &str, options: &Object) -> Result<Promise, JsValue>;

    /// `put(key, value, {expirationTtl})`.
    #[wasm_bindgen(method, catch)]
    pub fn put(
        this: &KvNamespace,
        key: &str,
        value: &str,
        options: &Object,
    ) -> Result<Promise, JsValue>;

    /// The producer's end of a queue
    /// (<https://developers.cloudflare.com/queues/configuration/javascript-apis/#queue>).
    pub type QueueProducer;

    /// `send(body, {contentType, delaySeconds})`; resolves once the message is durable.
    #[wasm_bindgen(method, catch)]
    pub fn send(this: &QueueProducer, body: &str, options: &Object) -> Result<Promise, JsValue>;

    /// One message of a batch
    /// (<https://developers.cloudflare.com/queues/configuration/javascript-apis/#message>).
    pub type Message;

    /// `ack()`.
    #[wasm_bindgen(method, catch)]
    pub fn ack(this: &Message) -> Result<(), JsValue>;

    /// `retry({delaySeconds})`.
    #[wasm_bindgen(method, catch)]
    pub fn retry(this: &Message, options: &Object) -> Result<(), JsValue>;

    /// `fetch(url, init)`; resolves to a `Response`. Of `globalThis`: in the glue itself `fetch` is the
    /// Worker's own entry point.
    #[wasm_bindgen(catch, js_namespace = globalThis)]
    pub fn fetch(url: &str, init: &Object) -> Result<Promise, JsValue>;

    /// `new Response(body, init)`. It throws only for statuses and headers that are none.
    #[wasm_bindgen(js_name = Response)]
    pub type NewResponse;

    #[wasm_bindgen(constructor, js_class = "Response")]
    pub fn new(body: &str, init: &Object) -> NewResponse;

    /// `setTimeout(callback, milliseconds)`; returns what `clearTimeout` takes.
    #[wasm_bindgen(js_name = setTimeout)]
    pub fn set_timeout(callback: &Function, milliseconds: i32) -> JsValue;

    /// `clearTimeout(timer)`; of no effect when the time is over.
    #[wasm_bindgen(js_name = clearTimeout)]
    pub fn clear_timeout(timer: &JsValue);
}

/// What a call that returns a promise came to.
pub async fn settled(promise: Result<Promise, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(promise?).await
}

/// A plain object: `{name: value, ...}`.
pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, JsValue)>) -> Object {
    let object = Object::new();
    for (name, value) in fields {
        // Cannot fail: a new object takes every field.
        let _ = Reflect::set(&object, &JsValue::from_str(name), &value);
    }
    object
}

/// `object[name]`; undefined where there is no such thing.
pub fn field(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or_default()
}
