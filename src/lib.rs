//! clerk-nylas-relay: a Cloudflare Worker that sends Clerk's e-mails through a Nylas Agent Account,
//! exactly once.
//!
//! Start with [`relay`], where the parts are put in order, and [`delivery`], which keeps one mail
//! one. Everything but [`platform`] and this file knows nothing of Workers; here are the entry
//! points, and nothing but wiring.

// Outside tests it is denied: see `[workspace.lints]`.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod admin;
pub mod alerts;
pub mod checks;
pub mod cleaning;
pub mod clerk;
pub mod config;
pub mod delivery;
pub mod fates;
pub mod hand_off;
pub mod inbound;
pub mod json;
pub mod ledger;
pub mod notice;
pub mod nylas;
pub mod observe;
pub mod outbox;
pub mod platform;
pub mod ports;
pub mod relay;
pub mod replies;
pub mod shapes;
pub mod sweep;
pub mod time;
pub mod webhook;

use admin::AdminRequest;
use config::{Config, Problem};
use observe::{Event, VERSION};
use platform::{Platform, QueueMessage};
use ports::Clock;
use relay::{Answer, ClerkRequest, Delivery, WEBHOOK_BYTES_MAX};
use replies::NylasRequest;
use serde::Serialize;
use std::{convert::Infallible, future::poll_fn, pin::Pin, sync::Once, task::Poll};
use web_sys::UrlSearchParams;
use webhook::SignatureHeaders;
use worker::{
    Context, Env, event,
    wasm_bindgen::{JsValue, prelude::wasm_bindgen},
    web_sys::{Request, Response},
    worker_sys,
};

/// A form, or an address.
const ADMIN_BYTES_MAX: usize = 4096;

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response, Infallible> {
    report_panics();
    let platform = Platform::new(&env);
    let config = read_config(&env, &platform);
    if let Ok(config) = &config {
        relay::log_degraded(&platform, config);
    }
    let answer = answer(&request, &platform, config).await;
    let alerts = platform.take_alerts();
    if !alerts.is_empty() {
        let url = alert_url(&env);
        // After the answer.
        context.wait_until(async move { alerts::raise(&platform, url.as_deref(), alerts).await });
    }
    Ok(answer)
}

/// Not through the settings: that they are wrong is an alert, too.
fn alert_url(env: &Env) -> Option<String> {
    platform::setting(env, "ALERT_WEBHOOK_URL").filter(|url| nylas::is_endpoint(url))
}

async fn answer(
    request: &Request,
    platform: &Platform,
    config: Result<Config, Vec<Problem>>,
) -> Response {
    // Not through crate `url`: its Unicode tables would be a third of the Worker.
    let url = request.url();
    let (path, query) = path_and_query(&url);
    let method = request.method();
    match (path, method.as_str()) {
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
        ("/api/webhooks/nylas", "GET") => challenge(query),
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
        ("/admin", _) => admin(platform, config, request, None, query).await,
        (path, _) if path.starts_with("/api/admin/") => {
            let path = path.strip_prefix("/api/admin/");
            admin(platform, config, request, path, query).await
        }
        ("/health", "GET" | "HEAD") => health(config),
        ("/health", _) => method_not_allowed("GET, HEAD"),
        _ => not_found(),
    }
}

fn not_found() -> Response {
    respond(&Answer::new(
        404,
        "not_found",
        "the relay answers POST /api/webhooks/clerk, /api/webhooks/nylas and GET /health",
    ))
}

/// The operator's side: the API's path, or none for the page. It is not there until `ADMIN_TOKEN` is set.
async fn admin(
    platform: &Platform,
    config: Result<Config, Vec<Problem>>,
    request: &Request,
    path: Option<&str>,
    query: &str,
) -> Response {
    let Ok(config) = config else {
        return respond(&Answer::misconfigured());
    };
    let Some(token) = &config.admin_token else {
        return not_found();
    };
    let authorization = platform::header(request, "authorization").unwrap_or_default();
    if !admin::is_let_in(&authorization, token) {
        let realm = (
            "www-authenticate",
            "Basic realm=\"clerk-nylas-relay: any name, ADMIN_TOKEN\"",
        );
        return json_response(
            401,
            &json::object([("status", "unauthorized".into())]),
            Some(realm),
        );
    }
    let method = request.method();
    // A browser shows the token to whoever has it post a form; this header, they cannot set.
    let is_foreign = platform::header(request, "sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none");
    if method != "GET" && is_foreign {
        return json_response(403, &json::object([("status", "forbidden".into())]), None);
    }
    let body = match method.as_str() {
        "GET" => Some(Vec::new()),
        _ => platform::read_body(request, ADMIN_BYTES_MAX).await,
    };
    let Some(body) = body else {
        return respond(&Answer::too_large());
    };
    let Some(path) = path else {
        return admin_page(platform, &config, &method, query, &body).await;
    };
    let request = AdminRequest {
        method: &method,
        path,
        limit: parameter(query, "limit").and_then(|limit| limit.parse().ok()),
        body: &body,
    };
    let (code, body) = admin::api(platform, &config, &request).await;
    json_response(code, &body, None)
}

async fn admin_page(
    platform: &Platform,
    config: &Config,
    method: &str,
    query: &str,
    body: &[u8],
) -> Response {
    if method == "POST" {
        let form = std::str::from_utf8(body).unwrap_or_default();
        let of = |name: &str| parameter(form, name).unwrap_or_default();
        let said = match admin::act(platform, config, &of("action"), &of("subject")).await {
            Ok(()) => return platform::response(303, "", &[("location", "/admin")]),
            Err(said) => said,
        };
        return show_page(platform, config, None, Some(said)).await;
    }
    let id = parameter(query, "id");
    show_page(platform, config, id.as_deref(), None).await
}

/// The page, with what to say of a form that could not be done.
async fn show_page(
    platform: &Platform,
    config: &Config,
    id: Option<&str>,
    said: Option<admin::Said>,
) -> Response {
    match admin::page(platform, config, id, said.map(|said| said.text)).await {
        Some(page) => platform::response(
            said.map_or(200, |said| said.code),
            &page,
            &[
                ("content-type", "text/html; charset=utf-8"),
                ("content-security-policy", admin::PAGE_POLICY),
                ("cache-control", "no-store"),
                ("referrer-policy", "no-referrer"),
                ("x-content-type-options", "nosniff"),
            ],
        ),
        None => json_response(
            503,
            &json::object([("status", "ledger_refused".into())]),
            None,
        ),
    }
}

fn parameter(form: &str, name: &str) -> Option<String> {
    UrlSearchParams::new_with_str(form).ok()?.get(name)
}

/// Of a request's URL, which is absolute and normalised.
fn path_and_query(url: &str) -> (&str, &str) {
    let (url, query) = url.split_once('?').unwrap_or((url, ""));
    // The third `/`: scheme://host/path.
    let path = url
        .match_indices('/')
        .nth(2)
        .and_then(|(start, _)| url.get(start..));
    (path.unwrap_or("/"), query)
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
        let (id, body) = (message.id(), message.body());
        let delivery = Delivery {
            id: &id,
            body: &body,
            attempt: message.attempt(),
        };
        message.settle(if is_dead {
            relay::bury(&platform, &delivery).await
        } else {
            relay::work_off(&platform, config, &delivery).await
        });
    });
    all(work.map(|work| Box::pin(work) as _).collect()).await;
    alerts::raise(
        &platform,
        alert_url(&env).as_deref(),
        platform.take_alerts(),
    )
    .await;
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

/// Every quarter of an hour: `[triggers]` in `wrangler.toml`. The runtime finds it by its name.
#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    wasm_bindgen_futures = worker::wasm_bindgen_futures,
    js_sys = worker::js_sys
)]
pub async fn scheduled(_event: JsValue, env: Env, _context: JsValue) {
    report_panics();
    let platform = Platform::new(&env);
    match read_config(&env, &platform) {
        Ok(config) => {
            relay::log_degraded(&platform, &config);
            sweep::run(&platform, &config).await;
            checks::run(&platform, &config).await;
        }
        Err(problems) => relay::log_misconfigured(&platform, Event::Sweep, &problems),
    }
    alerts::raise(
        &platform,
        alert_url(&env).as_deref(),
        platform.take_alerts(),
    )
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
    let encoding = platform::header(request, "content-encoding").unwrap_or_default();
    let request = NylasRequest {
        signature: signature.as_deref(),
        body: &body,
        is_gzip: encoding.trim().eq_ignore_ascii_case("gzip"),
        started,
    };
    replies::receive(platform, config, &request).await
}

/// Nylas checks a new webhook's address by asking for this value back, and nothing else.
fn challenge(query: &str) -> Response {
    let challenge = UrlSearchParams::new_with_str(query)
        .ok()
        .and_then(|parameters| parameters.get("challenge"));
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

fn health(config: Result<Config, Vec<Problem>>) -> Response {
    let (code, status, settings) = match config {
        Err(problems) => (503, "misconfigured", problems),
        // Sign-in mails are sent: a monitor that restarts or pages on 503 must not do so.
        Ok(config) if !config.degraded.is_empty() => (200, "degraded", config.degraded),
        Ok(_) => (200, "ok", Vec::new()),
    };
    let health = Health {
        settings,
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
    json_text_response(code, &body, header)
}

/// Apart from the function above, which is compiled for every kind of body.
fn json_text_response(code: u16, body: &str, header: Option<(&str, &str)>) -> Response {
    let mut headers = vec![
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
    ];
    headers.extend(header);
    platform::response(code, body, &headers)
}
