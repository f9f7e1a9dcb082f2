//! The ports on Cloudflare Workers, and the requests and queue batches as they arrive there.

mod bindings;

use crate::{
    config::Bound,
    observe::{Level, Record},
    ports::{
        Clock, Gunzip, Http, HttpError, HttpMethod, HttpRequest, HttpResponse, LISTED_BYTES_MAX,
        Listed, Log, Memory, Queue, QueueError, Random, Store, StoreError,
    },
    relay::{Body, Disposition},
    time::{UnixMillis, millis},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bindings::{
    DecompressionStream, KvNamespace, Message, NewResponse, QueueProducer, Stream, clear_timeout,
    fetch, field, object, set_timeout, settled,
};
use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Mutex,
    task::Poll,
    time::Duration,
};
use worker::{
    Env,
    js_sys::{Array, ArrayBuffer, Date, Function, JSON, Promise, Uint8Array, futures::JsFuture},
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{
        AbortController, AbortSignal, ReadableStream, ReadableStreamDefaultReader, Request,
        Response, console,
    },
    worker_sys,
};

/// The KV namespace everything is remembered in.
pub const LEDGER: &str = "LEDGER";
/// The queue slow and failing sends go to.
pub const OUTBOX: &str = "OUTBOX";

/// Templates and alerts remembered by one instance.
const SEEN_MAX: usize = 200;

/// KV's shortest: how long a read, or a miss, may be served from the edge's cache.
const KV_CACHE_SECONDS: u32 = 30;

/// The Worker's implementation of every port.
pub struct Platform {
    ledger: Option<KvNamespace>,
    outbox: Option<QueueProducer>,
    /// What was logged and somebody has to hear of.
    alerts: RefCell<Vec<Record>>,
}

impl Platform {
    pub fn new(env: &Env) -> Self {
        Self {
            ledger: binding(env, LEDGER),
            outbox: binding(env, OUTBOX),
            alerts: RefCell::default(),
        }
    }

    /// What was logged with an alert since the last time.
    pub fn take_alerts(&self) -> Vec<Record> {
        self.alerts.take()
    }

    pub fn bound(&self) -> Bound {
        Bound {
            ledger: self.ledger.is_some(),
            outbox: self.outbox.is_some(),
        }
    }
}

/// What the Worker is bound to under that name, if anything.
fn binding<T: JsCast>(env: &Env, name: &str) -> Option<T> {
    let binding = field(env, name);
    binding.is_object().then(|| binding.unchecked_into())
}

/// A variable or a secret: the same kind of binding.
pub fn setting(env: &Env, name: &str) -> Option<String> {
    field(env, name).as_string()
}

impl Clock for Platform {
    fn now(&self) -> UnixMillis {
        UnixMillis(Date::now() as u64)
    }
}

impl Random for Platform {
    #[cfg(target_arch = "wasm32")]
    fn random(&self) -> u32 {
        // Without randomness there is no jitter, and that is all.
        getrandom::u32().unwrap_or_default()
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn random(&self) -> u32 {
        0
    }
}

impl Store for Platform {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let ledger = self.ledger.as_ref().ok_or(StoreError)?;
        let options = object([
            ("type", "text".into()),
            ("cacheTtl", KV_CACHE_SECONDS.into()),
        ]);
        match settled(ledger.get(key, &options)).await {
            Ok(value) => Ok(value.as_string()),
            Err(_) => Err(StoreError),
        }
    }

    async fn put(&self, key: &str, value: &str, lifetime: Duration) -> Result<(), StoreError> {
        let ledger = self.ledger.as_ref().ok_or(StoreError)?;
        let listed = if value.len() <= LISTED_BYTES_MAX {
            JsValue::from_str(value)
        } else {
            JsValue::UNDEFINED
        };
        let options = object([
            ("expirationTtl", whole_seconds(lifetime).into()),
            ("metadata", listed),
        ]);
        match settled(ledger.put(key, value, &options)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let ledger = self.ledger.as_ref().ok_or(StoreError)?;
        match settled(ledger.delete(key)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Listed, StoreError> {
        let ledger = self.ledger.as_ref().ok_or(StoreError)?;
        let options = object([("prefix", prefix.into())]);
        let Ok(listed) = settled(ledger.list(&options)).await else {
            return Err(StoreError);
        };
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

impl Queue for Platform {
    async fn send(&self, text: &str, delay: Duration) -> Result<(), QueueError> {
        let outbox = self.outbox.as_ref().ok_or(QueueError::NotBound)?;
        let options = object([
            ("contentType", "text".into()),
            ("delaySeconds", whole_seconds(delay).into()),
        ]);
        match settled(outbox.send(text, &options)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(QueueError::Refused),
        }
    }
}

/// KV and the queue count in seconds; rounded up, so that nothing comes back, or is gone, too early.
fn whole_seconds(delay: Duration) -> u32 {
    let seconds = delay
        .as_secs()
        .saturating_add(u64::from(delay.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

impl Http for Platform {
    async fn send(
        &self,
        request: HttpRequest,
        timeout: Duration,
    ) -> Result<HttpResponse, HttpError> {
        let Ok(controller) = AbortController::new() else {
            return Err(HttpError::Network);
        };
        let mut exchange = pin!(exchange(request, controller.signal()));
        // The timer also covers the reading of the body.
        let mut timer = Timer::start(timeout);
        poll_fn(|context| {
            if let Poll::Ready(response) = exchange.as_mut().poll(context) {
                return Poll::Ready(response.map_err(|_| HttpError::Network));
            }
            if Pin::new(&mut timer.over).poll(context).is_ready() {
                controller.abort();
                return Poll::Ready(Err(HttpError::Timeout));
            }
            Poll::Pending
        })
        .await
    }
}

async fn exchange(request: HttpRequest, signal: AbortSignal) -> Result<HttpResponse, JsValue> {
    let headers = request.headers.iter();
    let headers = object(headers.map(|(name, value)| (*name, value.into())));
    let method = match request.method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
    };
    let init = object([
        ("method", method.into()),
        ("headers", headers.into()),
        (
            "body",
            request.body.map_or(JsValue::UNDEFINED, JsValue::from),
        ),
        ("redirect", "manual".into()),
        ("signal", signal.into()),
    ]);
    let response: Response = settled(fetch(&request.url, &init)).await?.unchecked_into();
    let headers = Array::from(&response.headers())
        .into_iter()
        .filter_map(|header| {
            let header: Array = header.unchecked_into();
            Some((header.get(0).as_string()?, header.get(1).as_string()?))
        });
    Ok(HttpResponse {
        status: response.status(),
        headers: headers.collect(),
        body: settled(response.text())
            .await?
            .as_string()
            .unwrap_or_default(),
    })
}

/// A time that will be over; stopped when dropped.
struct Timer {
    id: JsValue,
    over: JsFuture,
    end: Option<Function>,
}

impl Timer {
    fn start(time: Duration) -> Self {
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
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.id);
        // A promise that never ends keeps what waits for it in memory.
        if let Some(end) = &self.end {
            let _ = end.call0(&JsValue::UNDEFINED);
        }
    }
}

impl Gunzip for Platform {
    async fn gunzip(&self, packed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        let packed: Response = NewResponse::of_bytes(packed).unchecked_into();
        let stream = packed.body()?;
        let unpacked = stream
            .unchecked_ref::<Stream>()
            .pipe_through(&DecompressionStream::new("gzip"))
            .ok()?;
        // What is cut off or no gzip ends in an error.
        match read(&unpacked, bytes_max).await {
            Read::Whole(unpacked) => Some(unpacked),
            Read::CutOff(_) | Read::TooMuch => None,
        }
    }
}

/// What this instance has seen.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Memory for Platform {
    fn is_news(&self, what: &str) -> bool {
        let Ok(mut seen) = SEEN.lock() else {
            return false;
        };
        let is_news = !seen.iter().any(|known| known == what);
        if is_news {
            if seen.len() >= SEEN_MAX {
                seen.clear();
            }
            seen.push(what.to_owned());
        }
        is_news
    }
}

impl Log for Platform {
    fn log(&self, record: &Record) {
        if record.alert {
            self.alerts.borrow_mut().push(record.clone());
        }
        let line = JsValue::from(record.to_json());
        match record.level {
            Level::Info => console::log_1(&line),
            Level::Warning => console::warn_1(&line),
            Level::Error => console::error_1(&line),
        }
    }
}

/// Reads a request's body, up to `bytes_max` real bytes. `None`: there are more.
pub async fn read_body(request: &Request, bytes_max: usize) -> Option<Vec<u8>> {
    let announced =
        header(request, "content-length").and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return None;
    }
    let Some(stream) = request.body() else {
        return Some(Vec::new());
    };
    match read(&stream, bytes_max).await {
        // Cut off: what came fails the signature.
        Read::Whole(body) | Read::CutOff(body) => Some(body),
        Read::TooMuch => None,
    }
}

/// What came out of a stream.
enum Read {
    Whole(Vec<u8>),
    /// It ended in an error after this.
    CutOff(Vec<u8>),
    TooMuch,
}

async fn read(stream: &ReadableStream, bytes_max: usize) -> Read {
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    loop {
        let Ok(read) = settled(Ok(reader.read())).await else {
            return Read::CutOff(bytes);
        };
        let Ok(chunk) = field(&read, "value").dyn_into::<Uint8Array>() else {
            return Read::Whole(bytes);
        };
        let chunk = chunk.to_vec();
        if bytes.len().saturating_add(chunk.len()) > bytes_max {
            // Not waited for; held until it ends, so that its failing is nobody's surprise.
            drop(JsFuture::from(reader.cancel()));
            return Read::TooMuch;
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// A header of a request; `name` in lower case.
pub fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// The answer to a request.
pub fn response(code: u16, body: &str, headers: &[(&str, &str)]) -> Response {
    let headers = headers.iter();
    let headers = object(headers.map(|(name, value)| (*name, JsValue::from_str(value))));
    let init = object([("status", code.into()), ("headers", headers.into())]);
    NewResponse::new(body, &init).unchecked_into()
}

/// One message of a queue batch. Crate `worker` does not show `attempts` (workers-rs#1057), so the
/// batch is taken in its JavaScript form.
pub struct QueueMessage(Message);

impl QueueMessage {
    /// The messages of a batch.
    pub fn all(batch: &worker_sys::MessageBatch) -> Vec<Self> {
        let messages = batch.messages().unwrap_or_default();
        messages
            .iter()
            .map(|message| Self(message.unchecked_into()))
            .collect()
    }

    /// The queue's id of the message.
    pub fn id(&self) -> String {
        field(&self.0, "id").as_string().unwrap_or_default()
    }

    /// The body. What is not text is not ours; it is turned into text, so that none of it is lost.
    pub fn body(&self) -> Body {
        let body = field(&self.0, "body");
        if let Some(text) = body.as_string() {
            return Body::Text(text);
        }
        let bytes = match body.dyn_ref::<ArrayBuffer>() {
            Some(buffer) => Some(Uint8Array::new(buffer)),
            None => body.dyn_ref::<Uint8Array>().cloned(),
        };
        if let Some(bytes) = bytes {
            return Body::Foreign {
                kind: "base64",
                text: STANDARD.encode(bytes.to_vec()),
            };
        }
        match JSON::stringify(&body)
            .ok()
            .and_then(|text| text.as_string())
        {
            Some(text) => Body::Foreign { kind: "json", text },
            // What has no JSON, such as a large integer.
            None => Body::Foreign {
                kind: "value",
                text: format!("{body:?}"),
            },
        }
    }

    /// Which delivery this is, from 1.
    pub fn attempt(&self) -> u32 {
        // Saturates; there are no more than a hundred.
        field(&self.0, "attempts").as_f64().unwrap_or(1.0) as u32
    }

    /// Settles the message.
    pub fn settle(&self, disposition: Disposition) {
        // Fails only for a message that is settled.
        let _ = match disposition {
            Disposition::Acknowledge => self.0.ack(),
            Disposition::Retry(delay) => self
                .0
                .retry(&object([("delaySeconds", whole_seconds(delay).into())])),
        };
    }
}
