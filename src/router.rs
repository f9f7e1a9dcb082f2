//! Paths and methods to handlers; the CSRF guard; response headers.

use crate::{
    config::Config,
    mail::receive::{self, ClerkRequest, WEBHOOK_BYTES_MAX},
    model::{
        alert::Alert,
        answer::Answer,
        log::VERSION,
        outcome::{Event, Outcome, Reason},
        problem::Problem,
    },
    operator::{
        about,
        api::{self, AdminRequest},
        auth, form,
        page::{self, Asked},
        settings::report_misconfigured,
    },
    platform::{self, Platform},
    ports::{Clock, Memory},
    replies::intake::{NOTIFICATION_BYTES_MAX, NylasRequest, receive as receive_notification},
    signature::SignatureHeaders,
};
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::{Value, json};
use web_sys::UrlSearchParams;
use worker::web_sys::{Request, Response};

/// A form, or an address.
const ADMIN_BYTES_MAX: usize = 4096;

/// What is left of a request after its answer.
#[derive(Default)]
pub struct Routed {
    pub alerts: Vec<Alert>,
    /// The first event of a template that this instance sees: its slug, and the event.
    pub first_event: Option<(String, Vec<u8>)>,
}

type Settings = Result<Config, Vec<Problem>>;

/// Answers a request, and does what is left to do after the answer. `respond` is called once.
pub async fn route(
    request: &Request,
    platform: &Platform,
    config: &Settings,
    respond: impl FnOnce(Response),
) -> Routed {
    // Not through crate `url`: its Unicode tables would be a third of the Worker.
    let url = request.url();
    let (_, path, query) = parts(&url);
    let method = request.method();
    match (path, method.as_str(), config) {
        ("/api/webhooks/clerk", "POST", Ok(config)) => {
            return clerk_webhook(platform, config, request, respond).await;
        }
        // Whatever the method: a person who looks with a browser sees it, too.
        ("/api/webhooks/clerk", _, Err(problems)) => {
            respond(answer(&Answer::misconfigured()));
            return misconfigured(platform, Event::ClerkWebhook, problems);
        }
        ("/api/webhooks/nylas", "POST", Err(problems)) => {
            respond(answer(&Answer::misconfigured()));
            return misconfigured(platform, Event::NylasWebhook, problems);
        }
        _ => {}
    }
    let others = route_others(request, platform, config, (path, &method, query));
    // Boxed, so that it is code of its own: a sign-in mail does not wait for its compilation.
    respond(others.boxed_local().await);
    Routed::default()
}

/// The routes with nothing left to do after the answer.
async fn route_others(
    request: &Request,
    platform: &Platform,
    config: &Settings,
    (path, method, query): (&str, &str, &str),
) -> Response {
    match (path, method, config) {
        ("/api/webhooks/clerk", ..) => method_not_allowed("POST"),
        ("/api/webhooks/nylas", "GET", _) => challenge(query),
        ("/api/webhooks/nylas", "POST", Ok(config)) => {
            nylas_webhook(platform, config, request).await
        }
        ("/api/webhooks/nylas", ..) => method_not_allowed("GET, POST"),
        ("/admin", ..) => admin(platform, config, request, None, query).await,
        ("/health", "GET" | "HEAD", _) => health(config),
        ("/health", ..) => method_not_allowed("GET, HEAD"),
        (path, ..) => match path.strip_prefix("/api/admin/") {
            Some(path) => admin(platform, config, request, Some(path), query).await,
            None => not_found(),
        },
    }
}

/// The answer to a request that nothing answered, so that its sender tries again.
pub fn unanswered() -> Response {
    answer(&Answer::new(503, Outcome::Retry, Reason::Unanswered))
}

fn misconfigured(platform: &Platform, event: Event, problems: &[Problem]) -> Routed {
    let alert = report_misconfigured(platform, event, problems);
    Routed {
        alerts: alert.into_iter().collect(),
        ..Routed::default()
    }
}

async fn clerk_webhook(
    platform: &Platform,
    config: &Config,
    request: &Request,
    respond: impl FnOnce(Response),
) -> Routed {
    let started = platform.now();
    let headers = SignatureHeaders::pick(|name| platform::header(request, name));
    let claim = match headers.claim(started) {
        Ok(claim) => claim,
        // Its body is not read.
        Err(forged) => {
            respond(answer(&receive::refuse(platform, forged, started)));
            return Routed::default();
        }
    };
    let Some(body) = platform::read_body(request, WEBHOOK_BYTES_MAX).await else {
        respond(answer(&Answer::too_large()));
        return Routed::default();
    };
    let clerk_request = ClerkRequest {
        claim: &claim,
        body: &body,
        started,
    };
    let respond = |webhook: Answer| respond(answer(&webhook));
    let handled = receive::receive(platform, config, &clerk_request, respond).await;
    let new_template = handled
        .template
        .filter(|template| platform.first_seen(template));
    Routed {
        alerts: handled.alerts,
        first_event: new_template.map(|template| (template, body)),
    }
}

async fn nylas_webhook(platform: &Platform, config: &Config, request: &Request) -> Response {
    let started = platform.now();
    let signature = platform::header(request, "x-nylas-signature");
    let body = match signature {
        Some(_) => platform::read_body(request, NOTIFICATION_BYTES_MAX).await,
        // No body makes it a request of Nylas', so it is not read.
        None => Some(Vec::new()),
    };
    let Some(body) = body else {
        let (outcome, reason) = (Outcome::TooLarge, Reason::SayOverOneAndAHalfMebibytes);
        return answer(&Answer::new(413, outcome, reason));
    };
    let encoding = platform::header(request, "content-encoding").unwrap_or_default();
    let request = NylasRequest {
        signature: signature.as_deref(),
        body: &body,
        is_gzip: encoding.trim().eq_ignore_ascii_case("gzip"),
        started,
    };
    answer(&receive_notification(platform, config, &request).await)
}

/// Nylas checks a new webhook's address by asking for this value back, and nothing else.
fn challenge(query: &str) -> Response {
    match parameter(query, "challenge") {
        Some(challenge) => platform::response(
            200,
            &challenge,
            &[
                ("content-type", "text/plain; charset=utf-8"),
                ("x-content-type-options", "nosniff"),
                // A compressed answer would lose its length, which Nylas asks for.
                ("cache-control", "no-transform"),
                ("content-length", &challenge.len().to_string()),
            ],
        ),
        None => answer(&Answer::new(
            400,
            Outcome::ChallengeMissing,
            Reason::SayChallenge,
        )),
    }
}

/// The operator's side: the API's path, or none for the page. It is not there until `ADMIN_TOKEN` is set.
async fn admin(
    platform: &Platform,
    config: &Settings,
    request: &Request,
    path: Option<&str>,
    query: &str,
) -> Response {
    let Ok(config) = config else {
        return answer(&Answer::misconfigured());
    };
    let Some(token) = &config.admin_token else {
        return not_found();
    };
    let authorization = platform::header(request, "authorization").unwrap_or_default();
    if !auth::authorize(platform, &authorization, token).await {
        let realm = "Basic realm=\"clerk-nylas-relay: any name, ADMIN_TOKEN\"";
        let header = Some(("www-authenticate", realm));
        return json_response(401, &json!({"status": "unauthorized"}), header);
    }
    let (method, url) = (request.method(), request.url());
    let site = platform::header(request, "sec-fetch-site");
    let from = platform::header(request, "origin");
    let (origin, ..) = parts(&url);
    if method != "GET" && auth::is_cross_site(site.as_deref(), from.as_deref(), origin) {
        return json_response(403, &json!({"status": "forbidden"}), None);
    }
    about::remember_page(platform, origin).await;
    let body = match method.as_str() {
        "GET" => Some(Vec::new()),
        _ => platform::read_body(request, ADMIN_BYTES_MAX).await,
    };
    let Some(body) = body else {
        return answer(&Answer::too_large());
    };
    let Some(path) = path else {
        return admin_page(platform, config, &method, query, &body).await;
    };
    let request = AdminRequest {
        method: &method,
        path,
        limit: parameter(query, "limit").and_then(|limit| limit.parse().ok()),
        with_events: parameter(query, "events").is_some(),
        body: &body,
    };
    let (code, body): (u16, Value) = api::api(platform, config, &request).await;
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
        let said = match form::act(platform, config, &of("action"), &of("subject")).await {
            Ok(next) => return platform::response(303, "", &[("location", &next)]),
            Err(said) => said,
        };
        return show_page(platform, config, &Asked::default(), Some(said)).await;
    }
    let asked = Asked::read(|name| parameter(query, name));
    show_page(platform, config, &asked, None).await
}

/// The page, with what to say of a form that could not be done.
async fn show_page(
    platform: &Platform,
    config: &Config,
    asked: &Asked,
    said: Option<form::Said>,
) -> Response {
    match page::page(platform, config, asked, said.map(|said| said.text)).await {
        Some(page) => platform::response(
            said.map_or(200, |said| said.code),
            &page,
            &[
                ("content-type", "text/html; charset=utf-8"),
                ("content-security-policy", &page::policy()),
                ("cache-control", "no-store"),
                // Not `no-referrer`: a browser then says `Origin: null` with the page's own forms.
                ("referrer-policy", "same-origin"),
                ("x-content-type-options", "nosniff"),
            ],
        ),
        None => json_response(503, &json!({"status": "ledger_refused"}), None),
    }
}

/// The body of an answer to `GET /health`.
#[derive(Serialize)]
struct Health<'a> {
    #[serde(skip_serializing_if = "<[Problem]>::is_empty")]
    settings: &'a [Problem],
    status: &'static str,
    version: &'static str,
}

fn health(config: &Settings) -> Response {
    let (code, status, settings) = match config {
        Err(problems) => (503, "misconfigured", problems.as_slice()),
        // Sign-in mails are sent: a monitor that restarts or pages on 503 must not do so.
        Ok(config) if !config.degraded.is_empty() => (200, "degraded", config.degraded.as_slice()),
        Ok(_) => (200, "ok", Default::default()),
    };
    let health = Health {
        settings,
        status,
        version: VERSION,
    };
    json_response(code, &health, None)
}

fn not_found() -> Response {
    answer(&Answer::new(404, Outcome::NotFound, Reason::SayRoutes))
}

fn method_not_allowed(allowed: &str) -> Response {
    let answer = Answer::new(405, Outcome::MethodNotAllowed, Reason::SayAllow);
    json_response(answer.code, &answer.body, Some(("allow", allowed)))
}

fn answer(answer: &Answer) -> Response {
    json_response(answer.code, &answer.body, None)
}

fn json_response(
    code: u16,
    body: &impl Serialize,
    header: Option<(&'static str, &str)>,
) -> Response {
    // Our bodies are texts only, which are always writable.
    let body = serde_json::to_string(body).unwrap_or_default();
    match header {
        None => platform::json_response(code, &body),
        Some(header) => platform::response(
            code,
            &body,
            &[
                ("content-type", "application/json"),
                ("cache-control", "no-store"),
                header,
            ],
        ),
    }
}

fn parameter(form: &str, name: &str) -> Option<String> {
    UrlSearchParams::new_with_str(form).ok()?.get(name)
}

/// Origin, path and query of a request's URL, which is absolute and normalised.
fn parts(url: &str) -> (&str, &str, &str) {
    let (url, query) = url.split_once('?').unwrap_or((url, ""));
    // The third `/`: scheme://host/path.
    let third = url.match_indices('/').nth(2);
    let (origin, path) = third
        .and_then(|(start, _)| url.split_at_checked(start))
        .unwrap_or((url, "/"));
    (origin, path, query)
}
