//! The JavaScript the Worker calls, called directly.
//!
//! Crate `worker` has all of it in more comfortable forms, which turn each options object into one
//! through `serde` and each failure into an error with texts of its own: a fifth of the Worker.

use super::promise::Awaited;
use std::cell::RefCell;
use worker::{
    js_sys::{Array, Function, Object, Promise, Reflect},
    wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen},
    web_sys::{ReadableStream, Request},
};

#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, js_sys = worker::js_sys)]
extern "C" {
    /// A KV namespace (<https://developers.cloudflare.com/kv/api/>).
    pub type KvNamespace;

    /// Resolves to the text, or to null.
    #[wasm_bindgen(method, catch)]
    pub fn get(this: &KvNamespace, key: &str, options: &Object) -> Result<Promise, JsValue>;

    /// Resolves to a `Map` from each key to its text, or to null
    /// (<https://developers.cloudflare.com/kv/api/read-key-value-pairs/#request-multiple-keys-with-get>).
    #[wasm_bindgen(method, catch, js_name = get)]
    pub fn get_many(this: &KvNamespace, keys: &Array, options: &Object)
    -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn put(
        this: &KvNamespace,
        key: &str,
        value: &JsValue,
        options: &Object,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn delete(this: &KvNamespace, key: &str) -> Result<Promise, JsValue>;

    /// Resolves to `{keys: [{name, metadata?}], list_complete}`.
    #[wasm_bindgen(method, catch)]
    pub fn list(this: &KvNamespace, options: &Object) -> Result<Promise, JsValue>;

    /// The producer's end of a queue
    /// (<https://developers.cloudflare.com/queues/configuration/javascript-apis/#queue>).
    pub type QueueProducer;

    #[wasm_bindgen(method, catch)]
    pub fn send(this: &QueueProducer, body: &str, options: &Object) -> Result<Promise, JsValue>;

    /// One message of a batch
    /// (<https://developers.cloudflare.com/queues/configuration/javascript-apis/#message>).
    pub type Message;

    #[wasm_bindgen(method, catch)]
    pub fn ack(this: &Message) -> Result<(), JsValue>;

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

    #[wasm_bindgen(constructor, js_class = "Response")]
    pub fn of_bytes(body: &[u8]) -> NewResponse;

    /// `new Headers(fields)`.
    #[wasm_bindgen(js_name = Headers)]
    pub type NewHeaders;

    #[wasm_bindgen(constructor, js_class = "Headers")]
    pub fn new(fields: &Object) -> NewHeaders;

    /// <https://developers.cloudflare.com/workers/runtime-apis/web-standards/#compression-streams>
    pub type DecompressionStream;

    #[wasm_bindgen(constructor)]
    pub fn new(format: &str) -> DecompressionStream;

    /// A `ReadableStream`, for the one method of it that takes a pair of streams.
    #[wasm_bindgen(js_name = ReadableStream)]
    pub type Stream;

    #[wasm_bindgen(method, catch, js_name = pipeThrough)]
    pub fn pipe_through(
        this: &Stream,
        through: &DecompressionStream,
    ) -> Result<ReadableStream, JsValue>;

    /// `Headers`, asked with a text that is JavaScript's already.
    pub type HeaderList;

    /// Resolves to the text, or to null.
    #[wasm_bindgen(method)]
    pub fn get(this: &HeaderList, name: &JsValue) -> JsValue;

    /// `setTimeout(callback, milliseconds, argument)`; returns what `clearTimeout` takes.
    #[wasm_bindgen(js_name = setTimeout)]
    pub fn set_timeout(callback: &Function, milliseconds: i32, argument: u32) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    pub fn clear_timeout(timer: &JsValue);
}

/// What a call that returns a promise came to.
pub async fn settled(promise: Result<Promise, JsValue>) -> Result<JsValue, JsValue> {
    Awaited::promise(&promise?).await
}

/// A constant text in JavaScript. Turning a text into JavaScript's costs about a microsecond, so each is turned once.
pub fn constant(text: &'static str) -> JsValue {
    thread_local! {
        static KNOWN: RefCell<Vec<(&'static str, JsValue)>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        // There are a few dozen, so a list is quicker than a map.
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
            return value.clone();
        }
        let value = JsValue::from_str(text);
        known.push((text, value.clone()));
        value
    })
}

/// A plain object: `{name: value, ...}`.
pub fn object(fields: impl IntoIterator<Item = (&'static str, JsValue)>) -> Object {
    let object = Object::new();
    for (name, value) in fields {
        // Cannot fail: a new object takes every field.
        let _ = Reflect::set(&object, &constant(name), &value);
    }
    object
}

/// `object[name]`; undefined where there is no such thing.
pub fn field(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or_default()
}

/// A header of a request; `name` in lower case.
pub fn header(request: &Request, name: &'static str) -> Option<String> {
    let headers: HeaderList = request.headers().unchecked_into();
    headers.get(&constant(name)).as_string()
}
