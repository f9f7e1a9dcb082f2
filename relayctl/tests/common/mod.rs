//! What the tests share: a command to run, a small HTTP server, a fake relay.
//!
//! Each test file is a crate of its own and uses a part of it.
#![allow(dead_code)]

pub mod clerk;
pub mod documented;
pub mod ran;

use clerk_nylas_relay::signature::SigningSecret;
pub use ran::Ran;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub const SECRET: &str = "whsec_eBu8e2sIrFkw0EI7vgc7oBhpj8BJMwRr";
pub const OTHER_SECRET: &str = "whsec_AFT0EokOPsn1ENmUBxTYyv6KQwTs/AmB";
pub const API_KEY: &str = "nyk_v0_key_for_tests";
pub const ADMIN_TOKEN: &str = "admin-token-for-tests-0123456789";
pub const CLERK_KEY: &str = "sk_test_for_tests";

#[allow(clippy::disallowed_methods)]
pub fn now_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A folder that is deleted when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("relayctl-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `relayctl`, in a folder, with no environment but the one given.
pub struct Relayctl {
    pub folder: PathBuf,
    pub env: BTreeMap<String, String>,
}

impl Relayctl {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            env: BTreeMap::new(),
        }
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relayctl"));
        command
            .args(args)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(&self.env)
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }
}

/// A request to the small server.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn query(&self, name: &str) -> Option<String> {
        let mut pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.replace("%40", "@").replace("%3A", ":"))
    }
}

/// An answer of the small server.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(code: u16, body: &Value) -> Self {
        Self {
            code,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.to_string().into_bytes(),
        }
    }

    pub fn text(code: u16, body: &str) -> Self {
        Self {
            code,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// How a server answers.
pub type Answering = dyn Fn(&Asked) -> Answer + Send + Sync;

/// An HTTP server on loopback. Each connection has a thread and one request. Stops when dropped.
pub struct Server {
    pub url: String,
    port: u16,
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                let Ok(stream) = stream else { continue };
                std::thread::spawn(move || {
                    let _ = serve(stream, &*answer, &seen);
                });
            }
        });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            port,
            stop,
            asked,
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&Asked) -> Answer + Send + Sync),
    seen: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let mut asked = Asked {
        method: words.next().unwrap_or_default().into(),
        ..Asked::default()
    };
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (asked.path, asked.query) = (path.into(), query.into());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            asked
                .headers
                .insert(name.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    if asked.header("expect").starts_with("100") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let length = asked.header("content-length").parse().unwrap_or(0);
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body)?;
    if asked.method.is_empty() {
        return Ok(());
    }
    seen.lock().unwrap().push(asked.clone());
    let made = answer(&asked);
    let mut head = format!(
        "HTTP/1.1 {} X\r\ncontent-length: {}\r\nconnection: close\r\n",
        made.code,
        made.body.len()
    );
    for (name, value) in &made.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&made.body)?;
    stream.flush()
}

/// A fake relay with the real Worker's answers. It verifies signatures with Svix' own library.
#[derive(Clone)]
pub struct FakeRelay {
    pub secret: String,
    pub version: String,
    /// What `/health` reports as wrong.
    pub problems: Vec<Value>,
    /// Wrong optional settings, which stop no mail.
    pub degraded: Vec<Value>,
    /// The answer to a valid mail.
    pub sends: (u16, &'static str),
    /// Whether it accepts any signature.
    pub accepts_forgeries: bool,
    pub echo: bool,
    /// The answer to an unsigned notification.
    pub nylas_code: u16,
    /// Added to the `Date` header.
    pub clock_off_seconds: i64,
    pub admin: Option<Arc<Answering>>,
    /// What Cloudflare answers, in place of the Worker, to what calls itself a webhook's sender: headers and a page.
    pub stops_senders: Option<(&'static str, &'static str)>,
    /// The same, to everything.
    pub stops_all: bool,
    pub seen: Arc<Mutex<Vec<String>>>,
    /// A folder that plays Cloudflare: the secrets stored there, and whether anything is deployed.
    pub cloud: Option<PathBuf>,
}

impl Default for FakeRelay {
    fn default() -> Self {
        Self {
            secret: SECRET.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            problems: Vec::new(),
            degraded: Vec::new(),
            sends: (200, "sent"),
            accepts_forgeries: false,
            echo: true,
            nylas_code: 401,
            clock_off_seconds: 0,
            admin: None,
            stops_senders: None,
            stops_all: false,
            seen: Arc::default(),
            cloud: None,
        }
    }
}

impl FakeRelay {
    /// Knows one mail that was sent. After so many looks Nylas has reported that it bounced.
    pub fn of_a_mail_that_bounces(sent: Value, after_looks: u32) -> Server {
        let looks = AtomicU32::new(0);
        let admin = move |asked: &Asked| {
            assert_eq!(asked.query("events").unwrap(), "true");
            let mut mail = sent.clone();
            if looks.fetch_add(1, Ordering::Relaxed) >= after_looks {
                mail["fate"] = json!("bounced");
            }
            Answer::json(200, &json!({"deliveries": [mail]}))
        };
        Self {
            admin: Some(Arc::new(admin)),
            ..Self::default()
        }
        .start()
    }

    pub fn start(self) -> Server {
        Server::start(move |asked| {
            let date = http_date(i64::try_from(now_seconds()).unwrap() + self.clock_off_seconds);
            self.answer(asked).header("date", &date)
        })
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let plain = |code: u16, status: &str| {
            Answer::json(code, &json!({"status": status, "reason": "fake"}))
        };
        if self
            .cloud
            .as_ref()
            .is_some_and(|cloud| !cloud.join("tag").exists())
        {
            return Answer::text(404, "error code: 1042");
        }
        let is_sender = asked.header("user-agent").starts_with("Svix-Webhooks/1.");
        if let Some((header, page)) = self.stops_senders.filter(|_| is_sender || self.stops_all) {
            let answer = Answer::text(403, page).header("server", "cloudflare");
            return match header {
                "" => answer,
                header => answer.header(header, "challenge"),
            };
        }
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/health") if self.problems().is_empty() && self.degraded.is_empty() => {
                Answer::json(200, &json!({"status": "ok", "version": self.version}))
            }
            ("GET", "/health") if self.problems().is_empty() => Answer::json(
                200,
                &json!({"status": "degraded", "version": self.version, "settings": self.degraded}),
            ),
            ("GET", "/health") => Answer::json(
                503,
                &json!({"status": "misconfigured", "version": self.version, "settings": self.problems()}),
            ),
            ("POST", "/api/webhooks/clerk") => self.webhook(asked),
            (_, "/api/webhooks/clerk") => plain(405, "method_not_allowed"),
            ("GET", "/api/webhooks/nylas") => {
                let challenge = asked.query("challenge").unwrap_or_default();
                Answer::text(200, if self.echo { &challenge } else { "hello" })
            }
            ("POST", "/api/webhooks/nylas") => plain(self.nylas_code, "bad_signature"),
            (_, path) if path.starts_with("/api/admin/") => match &self.admin {
                Some(_) if asked.header("authorization") != format!("Bearer {ADMIN_TOKEN}") => {
                    plain(401, "unauthorized")
                }
                Some(admin) => admin(asked),
                None => plain(404, "not_found"),
            },
            _ => plain(404, "not_found"),
        }
    }

    /// Clerk's signing secret, as it was stored at Cloudflare.
    fn stored(&self) -> Option<String> {
        let name = "secret-CLERK_WEBHOOK_SIGNING_SECRET";
        std::fs::read_to_string(self.cloud.as_ref()?.join(name)).ok()
    }

    /// The problems that the test set, and a stored text that is no signing secret.
    fn problems(&self) -> Vec<Value> {
        let mut problems = self.problems.clone();
        if self
            .stored()
            .is_some_and(|stored| SigningSecret::parse(&stored).is_err())
        {
            let name = "CLERK_WEBHOOK_SIGNING_SECRET";
            problems.push(json!({"name": name, "problem": "is missing"}));
        }
        problems
    }

    fn webhook(&self, asked: &Asked) -> Answer {
        let answer = |code: u16, status: &str| {
            Answer::json(
                code,
                &json!({"status": status, "id": asked.header("svix-id"), "reason": "fake"}),
            )
        };
        if !self.problems().is_empty() {
            return answer(503, "misconfigured");
        }
        if asked.body.len() > 1024 * 1024 {
            return answer(413, "too_large");
        }
        let mut headers = http::HeaderMap::new();
        for name in ["svix-id", "svix-timestamp", "svix-signature"] {
            if let Some(value) = asked.headers.get(name) {
                headers.insert(name, value.parse().unwrap());
            }
        }
        let stored = self.stored();
        let webhook =
            svix::webhooks::Webhook::new(stored.as_ref().unwrap_or(&self.secret)).unwrap();
        if webhook.verify(&asked.body, &headers).is_err() && !self.accepts_forgeries {
            return answer(400, "bad_signature");
        }
        let Ok(event) = serde_json::from_slice::<Value>(&asked.body) else {
            return answer(200, "unusable");
        };
        if event["type"] != "email.created" {
            return answer(200, "ignored");
        }
        let data = &event["data"];
        if data["delivered_by_clerk"] != false {
            return answer(200, "delivered_by_clerk");
        }
        let to = data["to_email_address"].as_str().unwrap_or_default();
        if to.is_empty()
            || to.contains(',')
            || data["subject"].as_str().is_none_or(str::is_empty)
            || (data["body"].is_null() && data["body_plain"].is_null())
        {
            return answer(200, "unusable");
        }
        if event["timestamp"].as_u64().unwrap() / 1000 + 600 < now_seconds() {
            return answer(200, "expired");
        }
        let mut seen = self.seen.lock().unwrap();
        if seen.iter().any(|id| id == asked.header("svix-id")) {
            return answer(200, "duplicate");
        }
        seen.push(asked.header("svix-id").to_owned());
        answer(self.sends.0, self.sends.1)
    }
}

/// RFC 9110's form of a date.
pub fn http_date(seconds: i64) -> String {
    let text = relayctl::clock::utc(clerk_nylas_relay::model::time::UnixMillis::from_seconds(
        u64::try_from(seconds).unwrap(),
    ));
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month: usize = text[5..7].parse().unwrap();
    format!(
        "Mon, {} {} {} {} GMT",
        &text[8..10],
        months[month - 1],
        &text[..4],
        &text[11..19]
    )
}
