//! The ports on Cloudflare Workers, and the requests and queue batches as they arrive there.

use crate::{
    config::Bound,
    observe::{Level, Record},
    ports::{
        Clock, Http, HttpError, HttpMethod, HttpRequest, HttpResponse, Log, Queue, QueueError,
        Random, Store, StoreError,
    },
    relay::Disposition,
    time::UnixMillis,
};
use futures_util::{
    StreamExt,
    future::{Either, select},
};
use std::{pin::pin, time::Duration};
use worker::{
    AbortController, Date, Delay, Env, Fetch, KvStore, MessageBuilder, QueueContentType, Request,
    js_sys::Reflect, wasm_bindgen::JsValue, worker_sys,
};

/// The KV namespace everything is remembered in.
pub const LEDGER: &str = "LEDGER";
/// The queue slow and failing sends go to.
pub const OUTBOX: &str = "OUTBOX";

/// KV's shortest: how long a read, or a miss, may be served from the edge's cache.
const KV_CACHE_SECONDS: u64 = 30;

/// The Worker's implementation of every port.
pub struct Platform {
    ledger: Option<KvStore>,
    outbox: Option<worker::Queue>,
}

impl Platform {
    pub fn new(env: &Env) -> Self {
        Self {
            ledger: env.kv(LEDGER).ok(),
            outbox: env.queue(OUTBOX).ok(),
        }
    }

    pub fn bound(&self) -> Bound {
        Bound {
            ledger: self.ledger.is_some(),
            outbox: self.outbox.is_some(),
        }
    }
}

impl Clock for Platform {
    fn now(&self) -> UnixMillis {
        UnixMillis(Date::now().as_millis())
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
        let read = ledger.get(key).cache_ttl(KV_CACHE_SECONDS).text().await;
        read.map_err(|_| StoreError)
    }

    async fn put(&self, key: &str, value: &str, lifetime: Duration) -> Result<(), StoreError> {
        let ledger = self.ledger.as_ref().ok_or(StoreError)?;
        let put = ledger.put(key, value).map_err(|_| StoreError)?;
        put.expiration_ttl(lifetime.as_secs())
            .execute()
            .await
            .map_err(|_| StoreError)
    }
}

impl Queue for Platform {
    async fn send(&self, text: &str, delay: Duration) -> Result<(), QueueError> {
        let outbox = self.outbox.as_ref().ok_or(QueueError::NotBound)?;
        let message = MessageBuilder::new(text)
            .content_type(QueueContentType::Text)
            .delay_seconds(whole_seconds(delay))
            .build();
        outbox.send(message).await.map_err(|_| QueueError::Refused)
    }
}

/// The queue counts in seconds; rounded up, so that nothing comes back too early.
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
        let controller = AbortController::default();
        let signal = controller.signal();
        let exchange = pin!(exchange(request, signal));
        // The timer also covers the reading of the body.
        let timer = pin!(Delay::from(timeout));
        match select(exchange, timer).await {
            Either::Left((response, _)) => response.ok_or(HttpError::Network),
            Either::Right(_) => {
                controller.abort();
                Err(HttpError::Timeout)
            }
        }
    }
}

async fn exchange(request: HttpRequest, signal: worker::AbortSignal) -> Option<HttpResponse> {
    let headers = web_sys::Headers::new().ok()?;
    for (name, value) in &request.headers {
        headers.set(name, value).ok()?;
    }
    let init = web_sys::RequestInit::new();
    init.set_method(match request.method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
    });
    init.set_headers(&headers);
    init.set_redirect(web_sys::RequestRedirect::Manual);
    if let Some(body) = &request.body {
        init.set_body(&JsValue::from_str(body));
    }
    let request = web_sys::Request::new_with_str_and_init(&request.url, &init).ok()?;
    let mut response = Fetch::Request(request.into())
        .send_with_signal(&signal)
        .await
        .ok()?;
    Some(HttpResponse {
        status: response.status_code(),
        headers: response.headers().entries().collect(),
        body: response.text().await.ok()?,
    })
}

impl Log for Platform {
    fn log(&self, record: &Record) {
        let line = record.to_json();
        match record.level {
            Level::Info => worker::console_log!("{line}"),
            Level::Warning => worker::console_warn!("{line}"),
            Level::Error => worker::console_error!("{line}"),
        }
    }
}

/// Reads a request's body, up to `bytes_max` real bytes. `None`: there are more.
pub async fn read_body(request: &mut Request, bytes_max: usize) -> Option<Vec<u8>> {
    let announced = request
        .headers()
        .get("content-length")
        .ok()
        .flatten()
        .and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return None;
    }
    let mut body = Vec::new();
    let Ok(mut stream) = request.stream() else {
        return Some(body);
    };
    while let Some(chunk) = stream.next().await {
        let Ok(chunk) = chunk else {
            // Cut off: what came fails the signature.
            return Some(body);
        };
        if body.len().saturating_add(chunk.len()) > bytes_max {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// One message of a queue batch. Crate `worker` does not show `attempts` (workers-rs#1057), so the
/// batch is taken in its JavaScript form.
pub struct QueueMessage {
    message: JsValue,
    handle: worker::RawMessage,
}

impl QueueMessage {
    /// The messages of a batch.
    pub fn all(batch: &worker_sys::MessageBatch) -> Vec<Self> {
        use worker::wasm_bindgen::JsCast;
        let messages = batch.messages().unwrap_or_default();
        messages
            .iter()
            .map(|message| Self {
                handle: message
                    .clone()
                    .unchecked_into::<worker_sys::Message>()
                    .into(),
                message,
            })
            .collect()
    }

    /// The queue's id of the message.
    pub fn id(&self) -> String {
        self.field("id")
            .and_then(|id| id.as_string())
            .unwrap_or_default()
    }

    /// The body, if it is text, as every message of ours is.
    pub fn text(&self) -> Option<String> {
        self.field("body")?.as_string()
    }

    /// Which delivery this is, from 1.
    pub fn attempt(&self) -> u32 {
        let attempts = self
            .field("attempts")
            .and_then(|attempts| attempts.as_f64());
        // Saturates; there are no more than a hundred.
        attempts.unwrap_or(1.0) as u32
    }

    /// Settles the message.
    pub fn settle(&self, disposition: Disposition) {
        use worker::MessageExt;
        match disposition {
            Disposition::Acknowledge => self.handle.ack(),
            Disposition::Retry(delay) => {
                let options = worker::QueueRetryOptionsBuilder::new()
                    .with_delay_seconds(whole_seconds(delay))
                    .build();
                self.handle.retry_with_options(&options);
            }
        }
    }

    fn field(&self, name: &str) -> Option<JsValue> {
        Reflect::get(&self.message, &JsValue::from_str(name)).ok()
    }
}
