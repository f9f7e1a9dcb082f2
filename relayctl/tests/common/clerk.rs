//! A played Clerk: the template operations of its Backend API, as strict as its specification
//! (`openapi-templates.resolved.json`, bapi 2026-05-12). The end-to-end tests of the Worker use this, too.
//!
//! Pages have ten templates unless more are asked for. A body with another field than `delivered_by_clerk`, a limit out
//! of range or a kind of template that does not exist is 422, an unknown slug 404, a wrong key 401.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const PAGE: usize = 10;
const PAGE_MAX: usize = 500;

/// One template.
#[derive(Clone)]
pub struct Template {
    pub slug: String,
    pub delivered_by_clerk: bool,
    pub from: String,
}

#[derive(Default)]
struct State {
    key: String,
    templates: Vec<Template>,
    /// What the next requests to paths that end with this are answered instead.
    failing: Vec<(String, u16, u32)>,
    /// Every switch: the slug, and whether Clerk delivers.
    switched: Vec<(String, bool)>,
    requests: u32,
}

/// The server. It stops when dropped.
pub struct PlayedClerk {
    pub url: String,
    port: u16,
    stop: Arc<AtomicBool>,
    state: Arc<Mutex<State>>,
}

impl PlayedClerk {
    /// Clerk, with these templates and twelve more that it delivers itself: more than a page.
    pub fn start(key: &str, left_to_the_relay: &[&str]) -> Self {
        let template = |slug: &str, delivered_by_clerk| Template {
            slug: slug.to_owned(),
            delivered_by_clerk,
            from: "login".to_owned(),
        };
        let mut templates: Vec<Template> = (0..12)
            .map(|number| template(&format!("of_clerk_{number}"), true))
            .collect();
        templates.extend(left_to_the_relay.iter().map(|slug| template(slug, false)));
        let state = Arc::new(Mutex::new(State {
            key: key.to_owned(),
            templates,
            ..State::default()
        }));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&state));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&shared);
                if let Ok(stream) = stream {
                    std::thread::spawn(move || serve(stream, &shared));
                }
            }
        });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            port,
            stop,
            state,
        }
    }

    /// The next `times` requests to paths that end with this are answered so.
    pub fn fails(&self, path: &str, status: u16, times: u32) {
        let mut state = self.state.lock().unwrap();
        state.failing.push((path.to_owned(), status, times));
    }

    /// Changes who delivers a template, as somebody in the dashboard.
    pub fn set(&self, slug: &str, delivered_by_clerk: bool) {
        let mut state = self.state.lock().unwrap();
        let mut all = state.templates.iter_mut();
        let template = all.find(|template| template.slug == slug).unwrap();
        template.delivered_by_clerk = delivered_by_clerk;
    }

    /// The templates that Clerk does not deliver.
    pub fn left(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let left = state.templates.iter();
        let left = left.filter(|template| !template.delivered_by_clerk);
        left.map(|template| template.slug.clone()).collect()
    }

    /// Every switch so far.
    pub fn switched(&self) -> Vec<(String, bool)> {
        self.state.lock().unwrap().switched.clone()
    }

    pub fn requests(&self) -> u32 {
        self.state.lock().unwrap().requests
    }

    /// Waits until Clerk delivers everything.
    #[allow(clippy::disallowed_methods)]
    pub fn wait_until_it_delivers_all(&self, limit: Duration) -> bool {
        let started = Instant::now();
        while started.elapsed() < limit {
            if self.left().is_empty() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

impl Drop for PlayedClerk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or_default() == 0 {
        return;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (
        words.next().unwrap_or_default().to_owned(),
        words.next().unwrap_or_default().to_owned(),
    );
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or_default() == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    let length = headers.get("content-length");
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() || method.is_empty() {
        return;
    }
    let (status, answer) = answer(
        &mut state.lock().unwrap(),
        &method,
        &target,
        &headers,
        &body,
    );
    let retry_after = if status == 429 {
        "retry-after: 1\r\n"
    } else {
        ""
    };
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{retry_after}content-length: {}\r\n\
         connection: close\r\n\r\n",
        answer.len()
    );
    let mut stream = stream;
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.flush();
}

fn error(status: u16, code: &str) -> (u16, Value) {
    let error = json!({"message": code, "long_message": code, "code": code});
    (
        status,
        json!({"errors": [error], "clerk_trace_id": "trace"}),
    )
}

fn answer(
    state: &mut State,
    method: &str,
    target: &str,
    headers: &BTreeMap<String, String>,
    body: &[u8],
) -> (u16, Value) {
    state.requests += 1;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if headers.get("authorization") != Some(&format!("Bearer {}", state.key)) {
        return error(401, "authentication_invalid");
    }
    let failing = state.failing.iter_mut();
    let mut failing = failing.filter(|(end, _, times)| path.ends_with(end.as_str()) && *times > 0);
    if let Some((_, status, times)) = failing.next() {
        *times -= 1;
        return error(*status, "failing");
    }
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        (_, ["v1", "templates", kind, ..]) if !["email", "sms"].contains(kind) => {
            error(422, "form_param_value_invalid")
        }
        ("GET", ["v1", "templates", "email"]) => list(state, query),
        ("GET", ["v1", "templates", "email", slug]) => match find(state, slug) {
            Some(template) => (200, shown(template)),
            None => error(404, "resource_not_found"),
        },
        ("POST", ["v1", "templates", "email", slug, "toggle_delivery"]) => {
            toggle(state, slug, headers, body)
        }
        ("GET", ["v1", "domains"]) => (200, json!({"data": [], "total_count": 0})),
        _ => error(404, "resource_not_found"),
    }
}

fn list(state: &State, query: &str) -> (u16, Value) {
    let (mut limit, mut offset) = (PAGE, 0);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("limit", text)) => match text.parse() {
                Ok(number) if (1..=PAGE_MAX).contains(&number) => limit = number,
                _ => return error(422, "form_param_value_invalid"),
            },
            Some(("offset", text)) => match text.parse() {
                Ok(number) => offset = number,
                Err(_) => return error(422, "form_param_value_invalid"),
            },
            Some(("paginated", "true" | "false")) => {}
            _ => return error(422, "form_param_unknown"),
        }
    }
    let page = state.templates.iter().skip(offset).take(limit);
    (200, page.map(shown).collect())
}

fn toggle(
    state: &mut State,
    slug: &str,
    headers: &BTreeMap<String, String>,
    body: &[u8],
) -> (u16, Value) {
    let is_json = headers
        .get("content-type")
        .is_some_and(|kind| kind.starts_with("application/json"));
    let Ok(Value::Object(wanted)) = serde_json::from_slice(body) else {
        return error(400, "request_body_invalid");
    };
    let by_clerk = wanted.get("delivered_by_clerk").and_then(Value::as_bool);
    let Some(by_clerk) = by_clerk.filter(|_| is_json && wanted.len() == 1) else {
        return error(422, "form_param_unknown");
    };
    let mut all = state.templates.iter_mut();
    let Some(template) = all.find(|template| template.slug == slug) else {
        return error(404, "resource_not_found");
    };
    template.delivered_by_clerk = by_clerk;
    let answer = shown(template);
    state.switched.push((slug.to_owned(), by_clerk));
    (200, answer)
}

fn find<'a>(state: &'a State, slug: &str) -> Option<&'a Template> {
    state
        .templates
        .iter()
        .find(|template| template.slug == slug)
}

/// Every field of the specification.
fn shown(template: &Template) -> Value {
    json!({
        "id": format!("tmpl_{}", template.slug), "object": "template", "instance_id": "ins_1",
        "resource_type": "user", "template_type": "email", "name": template.slug.replace('_', " "),
        "slug": template.slug, "position": 0, "can_revert": true, "can_delete": false,
        "can_edit_body": true, "can_toggle": false, "subject": "{{otp_code}} is your code",
        "markup": "<p>{{otp_code}}</p>", "body": "<p>{{otp_code}}</p>", "available_variables": ["otp_code"],
        "required_variables": ["otp_code"], "from_email_name": template.from, "reply_to_email_name": "",
        "delivered_by_clerk": template.delivered_by_clerk, "enabled": true, "flagged_as_suspicious": false,
        "updated_at": 1_795_446_245_000_u64, "created_at": 1_795_446_245_000_u64,
    })
}
