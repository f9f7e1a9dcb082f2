//! clerk-nylas-relay: a Cloudflare Worker that sends Clerk's e-mails through a Nylas Agent Account,
//! exactly once.
//!
//! Start with [`relay`], where the parts are put in order, and [`delivery`], which keeps one mail
//! one. Everything but [`platform`] and this file knows nothing of Workers; here are the entry
//! points, and nothing but wiring.

// Outside tests it is denied: see `[workspace.lints]`.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod clerk;
pub mod config;
pub mod delivery;
pub mod json;
pub mod ledger;
pub mod nylas;
pub mod observe;
pub mod outbox;
pub mod platform;
pub mod ports;
pub mod relay;
pub mod replies;
pub mod time;
pub mod webhook;

use config::{Config, Problem};
use observe::{Event, VERSION};
use platform::{Platform, QueueMessage};
use ports::Clock;
use relay::{Answer, ClerkRequest, Delivery, WEBHOOK_BYTES_MAX};
use serde::Serialize;
use std::{convert::Infallible, future::poll_fn, pin::Pin, sync::Once, task::Poll};
use web_sys::Url;
use webhook::SignatureHeaders;
use worker::{
    Context, Env, event,
    wasm_bindgen::{JsValue, prelude::wasm_bindgen},
    web_sys::{Request, Response},
    worker_sys,
};

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response, Infallible> {
    report_panics();
    let platform = Platform::new(&env);
    let config = read_config(&env, &platform);
    Ok(answer(&request, &platform, config).await)
}

async fn answer(
    request: &Request,
    platform: &Platform,
    config: Result<Config, Vec<Problem>>,
) -> Response {
    // The runtime's own `URL`: crate `url` brings its Unicode tables along.
    let url = Url::new(&request.url()).ok();
    let path = url.as_ref().map(Url::pathname).unwrap_or_default();
    let method = request.method();
    match (path.as_str(), method.as_str()) {
        ("/api/webhooks/clerk", method) => {
            let answer = match (&config, method) {
                (Err(problems), _) => {
                    relay::log_misconfigured(platform, Event::ClerkWebhook, problems);
                    Answer::misconfigured()
                }
                (Ok(config), "POST") => clerk_webhook(platform, config, request).await,
                (Ok(_), _) => return method_not_allowed("POST"),
            };
            respond(&answer)
        }
        ("/api/webhooks/nylas", "GET") => challenge(url),
        ("/api/webhooks/nylas", "POST") => {
            let answer = match &config {
                Err(problems) => {
                    relay::log_misconfigured(platform, Event::NylasWebhook, problems);
                    Answer::misconfigured()
                }
                Ok(config) => nylas_webhook(platform, config, request).await,
            };
            respond(&answer)
        }
        ("/api/webhooks/nylas", _) => method_not_allowed("GET, POST"),
        ("/health", "GET" | "HEAD") => health(config.err()),
        ("/health", _) => method_not_allowed("GET, HEAD"),
        _ => respond(&Answer::new(
            404,
            "not_found",
            "the relay answers POST /api/webhooks/clerk, /api/webhooks/nylas and GET /health",
        )),
    }
}

/// `#[event(queue)]` turns an error into a panic and hides how often a message was delivered, so this
/// is what it expands to, without both. The runtime finds it by its name.
#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    wasm_bindgen_futures = worker::wasm_bindgen_futures,
    js_sys = worker::js_sys
)]
pub async fn queue(
    batch: worker_sys::MessageBatch,
    env: Env,
    _context: worker_sys::Context,
) -> Result<JsValue, JsValue> {
    report_panics();
    let platform = Platform::new(&env);
    let config = read_config(&env, &platform);
    let config = config.as_ref().map_err(Vec::as_slice);
    let is_dead = batch
        .queue()
        .is_ok_and(|name| String::from(name).ends_with("-dead"));
    let messages = QueueMessage::all(&batch);
    let work = messages.iter().map(async |message| {
        let (id, text) = (message.id(), message.text());
        let delivery = Delivery {
            id: &id,
            text: text.as_deref(),
            attempt: message.attempt(),
        };
        message.settle(if is_dead {
            relay::bury(&platform, &delivery).await
        } else {
            relay::work_off(&platform, config, &delivery).await
        });
    });
    all(work.map(|work| Box::pin(work) as _).collect()).await;
    Ok(JsValue::UNDEFINED)
}

/// Does all of the work at once. A batch is at most a hundred messages.
async fn all(mut work: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    poll_fn(|context| {
        work.retain_mut(|work| work.as_mut().poll(context).is_pending());
        if work.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// A readable report of a panic on the console, before the hook of crate `worker`, which restarts
/// the instance.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            console_error_panic_hook::hook(panic);
            next(panic);
        }));
    });
}

fn read_config(env: &Env, platform: &Platform) -> Result<Config, Vec<Problem>> {
    Config::read(|name| platform::setting(env, name), platform.bound())
}

async fn clerk_webhook(platform: &Platform, config: &Config, request: &Request) -> Answer {
    let started = platform.now();
    let Some(body) = platform::read_body(request, WEBHOOK_BYTES_MAX).await else {
        return Answer::too_large();
    };
    let headers = SignatureHeaders::pick(|name| platform::header(request, name));
    let request = ClerkRequest {
        headers: &headers,
        body: &body,
        started,
    };
    relay::receive(platform, config, &request).await
}

async fn nylas_webhook(platform: &Platform, config: &Config, request: &Request) -> Answer {
    let started = platform.now();
    let Some(body) = platform::read_body(request, replies::NOTIFICATION_BYTES_MAX).await else {
        return Answer::new(413, "too_large", "the body is larger than 1.5 MiB");
    };
    let signature = platform::header(request, "x-nylas-signature");
    replies::receive(platform, config, signature.as_deref(), &body, started).await
}

/// Nylas checks a new webhook's address by asking for this value back, and nothing else.
fn challenge(url: Option<Url>) -> Response {
    let challenge = url.and_then(|url| url.search_params().get("challenge"));
    match challenge {
        Some(challenge) => platform::response(
            200,
            &challenge,
            &[
                ("content-type", "text/plain; charset=utf-8"),
                ("x-content-type-options", "nosniff"),
                ("content-length", &challenge.len().to_string()),
            ],
        ),
        None => respond(&Answer::new(
            400,
            "challenge_missing",
            "Nylas adds ?challenge=... when the webhook is created",
        )),
    }
}

/// The body of an answer to `GET /health`.
#[derive(Serialize)]
struct Health {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    settings: Vec<Problem>,
    status: &'static str,
    version: &'static str,
}

fn health(problems: Option<Vec<Problem>>) -> Response {
    let (code, status) = match problems {
        None => (200, "ok"),
        Some(_) => (503, "misconfigured"),
    };
    let health = Health {
        settings: problems.unwrap_or_default(),
        status,
        version: VERSION,
    };
    json_response(code, &health, None)
}

fn method_not_allowed(allowed: &str) -> Response {
    let answer = Answer::new(405, "method_not_allowed", "see the Allow header");
    json_response(answer.code, &answer.body, Some(("allow", allowed)))
}

fn respond(answer: &Answer) -> Response {
    json_response(answer.code, &answer.body, None)
}

fn json_response(code: u16, body: &impl Serialize, header: Option<(&str, &str)>) -> Response {
    // Our bodies are texts only, which are always writable.
    let body = serde_json::to_string(body).unwrap_or_default();
    let mut headers = vec![
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
    ];
    headers.extend(header);
    platform::response(code, &body, &headers)
}
