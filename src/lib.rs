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
use futures_util::future::join_all;
use observe::{Event, VERSION};
use platform::{Platform, QueueMessage};
use ports::Clock;
use relay::{Answer, ClerkRequest, Delivery, WEBHOOK_BYTES_MAX};
use serde_json::json;
use std::sync::Once;
use webhook::SignatureHeaders;
use worker::{
    Context, Env, Method, Request, Response, ResponseBuilder, Result, event,
    wasm_bindgen::{JsValue, prelude::wasm_bindgen},
    worker_sys,
};

const JSON: &str = "application/json";

#[event(fetch)]
async fn fetch(mut request: Request, env: Env, _context: Context) -> Result<Response> {
    report_panics();
    let platform = Platform::new(&env);
    let config = read_config(&env, &platform);
    match (request.path().as_str(), request.method()) {
        ("/api/webhooks/clerk", method) => {
            let answer = match (&config, method) {
                (Err(problems), _) => {
                    relay::log_misconfigured(&platform, Event::ClerkWebhook, problems);
                    Answer::misconfigured()
                }
                (Ok(config), Method::Post) => clerk_webhook(&platform, config, &mut request).await,
                (Ok(_), _) => return method_not_allowed("POST"),
            };
            respond(&answer)
        }
        ("/api/webhooks/nylas", Method::Get) => challenge(&request),
        ("/api/webhooks/nylas", Method::Post) => {
            let answer = match &config {
                Err(problems) => {
                    relay::log_misconfigured(&platform, Event::NylasWebhook, problems);
                    Answer::misconfigured()
                }
                Ok(config) => nylas_webhook(&platform, config, &mut request).await,
            };
            respond(&answer)
        }
        ("/api/webhooks/nylas", _) => method_not_allowed("GET, POST"),
        ("/health", Method::Get | Method::Head) => health(config.err()),
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
) -> std::result::Result<JsValue, JsValue> {
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
    join_all(work).await;
    Ok(JsValue::UNDEFINED)
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

fn read_config(env: &Env, platform: &Platform) -> std::result::Result<Config, Vec<Problem>> {
    Config::read(
        // Secrets and variables are the same kind of binding.
        |name| env.var(name).ok().map(|value| value.to_string()),
        platform.bound(),
    )
}

async fn clerk_webhook(platform: &Platform, config: &Config, request: &mut Request) -> Answer {
    let started = platform.now();
    let Some(body) = platform::read_body(request, WEBHOOK_BYTES_MAX).await else {
        return Answer::too_large();
    };
    let headers = SignatureHeaders::pick(|name| request.headers().get(name).ok().flatten());
    let request = ClerkRequest {
        headers: &headers,
        body: &body,
        started,
    };
    relay::receive(platform, config, &request).await
}

async fn nylas_webhook(platform: &Platform, config: &Config, request: &mut Request) -> Answer {
    let started = platform.now();
    let Some(body) = platform::read_body(request, replies::NOTIFICATION_BYTES_MAX).await else {
        return Answer::new(413, "too_large", "the body is larger than 1.5 MiB");
    };
    let signature = request.headers().get("x-nylas-signature").ok().flatten();
    replies::receive(platform, config, signature.as_deref(), &body, started).await
}

/// Nylas checks a new webhook's address by asking for this value back, and nothing else.
fn challenge(request: &Request) -> Result<Response> {
    // Not `request.url()`: it takes crate `url` and its Unicode tables along, a third of the Worker.
    let url = request.inner().url();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let challenge = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "challenge")
        .map(|(_, value)| value.into_owned());
    match challenge {
        Some(challenge) => Ok(ResponseBuilder::new()
            .with_header("content-type", "text/plain; charset=utf-8")?
            .with_header("x-content-type-options", "nosniff")?
            .with_header("content-length", &challenge.len().to_string())?
            .fixed(challenge.into_bytes())),
        None => respond(&Answer::new(
            400,
            "challenge_missing",
            "Nylas adds ?challenge=... when the webhook is created",
        )),
    }
}

fn health(problems: Option<Vec<Problem>>) -> Result<Response> {
    let (code, body) = match problems {
        None => (200, json!({"status": "ok", "version": VERSION})),
        Some(settings) => (
            503,
            json!({"status": "misconfigured", "version": VERSION, "settings": settings}),
        ),
    };
    json_response(code, &body.to_string())
}

fn method_not_allowed(allowed: &str) -> Result<Response> {
    let answer = Answer::new(405, "method_not_allowed", "see the Allow header");
    let mut response = respond(&answer)?;
    response.headers_mut().set("allow", allowed)?;
    Ok(response)
}

fn respond(answer: &Answer) -> Result<Response> {
    json_response(answer.code, &serde_json::to_string(&answer.body)?)
}

fn json_response(code: u16, body: &str) -> Result<Response> {
    Ok(ResponseBuilder::new()
        .with_status(code)
        .with_header("content-type", JSON)?
        .with_header("cache-control", "no-store")?
        .fixed(body.as_bytes().to_vec()))
}
