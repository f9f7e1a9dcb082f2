//! The built Worker in workerd (`wrangler dev`), with the project's own `wrangler.toml` and the changes of a test.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

pub const SECRET: &str = "whsec_eBu8e2sIrFkw0EI7vgc7oBhpj8BJMwRr";
pub const OTHER_SECRET: &str = "whsec_AFT0EokOPsn1ENmUBxTYyv6KQwTs/AmB";
pub const NYLAS_WEBHOOK_SECRET: &str = "nylas-webhook-secret-for-tests";
pub const REPLY_SECRET: &str = "whsec_cmVwbHktc2VjcmV0LW9mLTI0LWJ5dGVz";
pub const API_KEY: &str = "nyk_v0_key_for_tests";

/// The changes of a test to the settings.
#[derive(Clone, Default)]
pub struct Settings {
    pub vars: BTreeMap<&'static str, String>,
    pub secrets: BTreeMap<&'static str, String>,
    pub without_queue: bool,
    /// The ends of queues that are removed: `producers` or `consumers`, and the end of the queue's name.
    pub removed: Vec<(&'static str, &'static str)>,
    pub without_ledger: bool,
    /// The retries of the outbox' consumer. `None`: as in `wrangler.toml`.
    pub max_retries: Option<i64>,
    /// How many messages the outbox' consumer gets at once, and how many seconds it waits for them. `None`: as in
    /// `wrangler.toml`.
    pub batch: Option<(i64, i64)>,
    /// The entries of the ledger at the start.
    pub ledger: Vec<(String, String)>,
    /// A certificate that the Worker trusts besides the usual ones, as PEM.
    pub certificate: Option<String>,
    /// The release: a folder of `tests/releases`. `None`: the present Worker.
    pub release: Option<&'static str>,
}

impl Settings {
    pub fn var(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.vars.insert(name, value.into());
        self
    }

    pub fn secret(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.secrets.insert(name, value.into());
        self
    }

    /// The version, as in `/health`.
    fn version(&self) -> &'static str {
        self.release.unwrap_or(env!("CARGO_PKG_VERSION"))
    }

    /// The usual secrets, and those of the test.
    fn all_secrets(&self) -> BTreeMap<&'static str, String> {
        let usual = [
            ("CLERK_WEBHOOK_SIGNING_SECRET", SECRET),
            ("NYLAS_API_KEY", API_KEY),
        ];
        let mut secrets = self.secrets.clone();
        for (name, value) in usual {
            secrets.entry(name).or_insert_with(|| value.to_owned());
        }
        secrets
    }
}

/// A running Worker. It and its processes end when dropped.
pub struct Relay {
    port: u16,
    folder: PathBuf,
    /// The files with the settings. The Worker of the first one answers.
    files: Vec<String>,
    process: Mutex<Option<Child>>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Relay {
    /// Starts a Worker under that name and waits until it answers.
    pub fn start(name: &str, settings: Settings) -> Self {
        let relay = Self::prepare(name, vec!["wrangler.toml".to_owned()]);
        relay.configure(&settings);
        for (key, value) in &settings.ledger {
            relay.put_in_ledger(key, value);
        }
        relay.run();
        relay
    }

    /// Starts releases and the present Worker on one ledger. `switchboard.mjs` is in front of them and between them.
    pub fn start_beside(name: &str, releases: &[&'static str], settings: &Settings) -> Self {
        let older = releases.iter().map(|release| Settings {
            release: Some(release),
            ..settings.clone()
        });
        let all: Vec<Settings> = older.chain([settings.clone()]).collect();
        let names: Vec<String> = all.iter().map(|one| worker_name(one.version())).collect();
        let mut files = vec!["wrangler.toml".to_owned()];
        files.extend(names.iter().map(|name| format!("{name}.toml")));
        let relay = Self::prepare(name, files);
        relay.write("secrets", "");
        relay.write("wrangler.toml", &switchboard_toml(&names));
        for (name, settings) in names.iter().zip(&all) {
            relay.write(&format!("{name}.toml"), &beside_toml(name, settings));
        }
        relay.run();
        relay
    }

    fn prepare(name: &str, files: Vec<String>) -> Self {
        let folder = std::env::temp_dir().join(format!("relay-e2e-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self {
            port: free_port(),
            folder,
            files,
            process: Mutex::new(None),
        }
    }

    /// Changes the settings. They apply from the next run on.
    pub fn configure(&self, settings: &Settings) {
        let toml = toml::to_string(&wrangler_toml(settings)).unwrap();
        self.write("wrangler.toml", &toml);
        let secrets = settings.all_secrets();
        let lines: String = secrets
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\"\n"))
            .collect();
        self.write("secrets", &lines);
        if let Some(certificate) = &settings.certificate {
            self.write("certificate.pem", certificate);
        }
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).unwrap();
    }

    fn wrangler(&self) -> Command {
        let mut command = Command::new(root().join("scripts/with-tools"));
        command
            .current_dir(&self.folder)
            .env("NO_COLOR", "1")
            .env("WRANGLER_REGISTRY_PATH", self.folder.join("registry"))
            .env("WRANGLER_LOG_PATH", self.folder.join("wrangler-logs"))
            .env_remove("CARGO_TARGET_DIR")
            .arg("wrangler");
        command
    }

    fn put_in_ledger(&self, key: &str, value: &str) {
        let output = self
            .wrangler()
            .args([
                "kv",
                "key",
                "put",
                "--local",
                "--binding",
                "LEDGER",
                "--persist-to",
            ])
            .arg(self.folder.join("state"))
            .args([key, value])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The value of a key in the ledger. The Worker must be stopped.
    pub fn ledger(&self, key: &str) -> Option<String> {
        let output = self
            .wrangler()
            .args([
                "kv",
                "key",
                "get",
                "--local",
                "--text",
                "--binding",
                "LEDGER",
                "--persist-to",
            ])
            .arg(self.folder.join("state"))
            .arg(key)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !text.contains("Value not found")).then_some(text)
    }

    /// Starts the process with the state that the last one left.
    pub fn run(&self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        let mut wrangler = self.wrangler();
        let certificate = self.folder.join("certificate.pem");
        if certificate.exists() {
            // Miniflare hands it to workerd.
            wrangler.env("NODE_EXTRA_CA_CERTS", certificate);
        }
        let child = wrangler
            .args(["dev", "--ip", "127.0.0.1", "--inspector-port", "0"])
            .args(["--show-interactive-dev-session=false", "--port"])
            .arg(self.port.to_string())
            .args(["--env-file", "secrets", "--persist-to"])
            .arg(self.folder.join("state"))
            .args(self.files.iter().flat_map(|file| ["-c", file.as_str()]))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("scripts/with-tools could not be run");
        *self.process.lock().unwrap() = Some(child);
        for _ in 0..600 {
            if self.get("/health").is_some() {
                return;
            }
            let ended = self.process.lock().unwrap().as_mut().unwrap().try_wait();
            assert!(matches!(ended, Ok(None)), "wrangler ended:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the Worker did not answer in time:\n{}", self.log());
    }

    /// Kills the process and everything it started, at once.
    pub fn kill(&self) {
        if let Some(mut child) = self.process.lock().unwrap().take() {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = child.wait();
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Everything the Worker and wrangler printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The Worker's own records.
    pub fn records(&self) -> Vec<serde_json::Value> {
        self.log()
            .lines()
            // wrangler adds its own marks to warnings and errors.
            .filter_map(|line| {
                serde_json::from_str(line.get(line.find('{')?..=line.rfind('}')?)?).ok()
            })
            .filter(|record: &serde_json::Value| record.get("outcome").is_some())
            .collect()
    }

    /// Waits for the record of a message with that outcome.
    pub fn wait_for_record(&self, svix_id: &str, outcome: &str) -> serde_json::Value {
        for _ in 0..600 {
            let found = self
                .records()
                .into_iter()
                .find(|record| record["svix_id"] == svix_id && record["outcome"] == outcome);
            if let Some(record) = found {
                return record;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no record of {svix_id} with {outcome}:\n{}", self.log());
    }

    pub fn get(&self, path: &str) -> Option<Response> {
        self.request("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.request("POST", path, headers, body)
            .expect("the Worker did not answer")
    }

    /// Makes a request. Returns the answer, whatever its status.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Response> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = agent.run(request.body(body).unwrap()).ok()?;
        Some(Response {
            code: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| {
                    (
                        name.to_string(),
                        value.to_str().unwrap_or_default().to_owned(),
                    )
                })
                .collect(),
            body: response.body_mut().read_to_string().ok()?,
        })
    }

    /// Makes a POST whose body is shorter than its Content-Length.
    pub fn post_truncated(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        announced: usize,
    ) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut head =
            format!("POST {path} HTTP/1.1\r\nHost: relay\r\nContent-Length: {announced}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
        if std::env::var_os("KEEP_E2E").is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

pub struct Response {
    pub code: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(candidate, _)| candidate == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// Code and `status`, as in the table of answers.
    pub fn answer(&self) -> (u16, String) {
        (
            self.code,
            self.json()["status"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    }
}

/// The project's own file, without the build, and with the changes of a test.
fn wrangler_toml(settings: &Settings) -> toml::Table {
    let text = fs::read_to_string(root().join("wrangler.toml")).unwrap();
    let mut toml: toml::Table = text.parse().unwrap();
    let built = match settings.release {
        None => root().join("build/index.js"),
        Some(release) => root().join(format!("tests/releases/{release}/index.js")),
    };
    assert!(
        built.exists(),
        "the Worker is not built: run `make build` (or `make test`, which does)"
    );
    toml.insert("main".into(), built.to_str().unwrap().into());
    toml.remove("build");
    let vars = toml["vars"].as_table_mut().unwrap();
    // `wrangler dev` reads only the required secrets from a file, and an optional secret is not among them.
    vars.insert("NYLAS_WEBHOOK_SECRET".into(), NYLAS_WEBHOOK_SECRET.into());
    for (name, value) in &settings.vars {
        vars.insert((*name).into(), value.as_str().into());
    }
    if settings.without_queue {
        toml.remove("queues");
    }
    if settings.without_ledger {
        toml.remove("kv_namespaces");
    } else {
        // The namespace needs an id, so that `wrangler kv` can write to it.
        toml["kv_namespaces"][0]
            .as_table_mut()
            .unwrap()
            .insert("id".into(), "ledger".into());
    }
    if let Some((size, seconds)) = settings.batch {
        let consumers = toml["queues"]["consumers"].as_array_mut().unwrap();
        let outbox = consumers[0].as_table_mut().unwrap();
        outbox.insert("max_batch_size".into(), size.into());
        outbox.insert("max_batch_timeout".into(), seconds.into());
    }
    if let Some(max_retries) = settings.max_retries {
        let consumers = toml["queues"]["consumers"].as_array_mut().unwrap();
        consumers[0]
            .as_table_mut()
            .unwrap()
            .insert("max_retries".into(), max_retries.into());
    }
    for (ends, queue) in &settings.removed {
        let ends = toml["queues"][ends].as_array_mut().unwrap();
        let before = ends.len();
        ends.retain(|end| !end["queue"].as_str().unwrap().ends_with(queue));
        assert_eq!(ends.len() + 1, before, "{queue}");
    }
    toml
}

/// The name of a version's Worker among several: in paths and bindings, and with `-` instead of `_` at Cloudflare.
pub fn worker_name(version: &str) -> String {
    format!("v{}", version.replace('.', "_"))
}

/// The settings of one of several versions. It puts messages into one queue and processes those of another.
fn beside_toml(name: &str, settings: &Settings) -> String {
    let name = name.replace('_', "-");
    let mut toml = wrangler_toml(settings);
    toml.insert("name".into(), name.as_str().into());
    toml.remove("secrets");
    let vars = toml["vars"].as_table_mut().unwrap();
    for (name, value) in settings.all_secrets() {
        vars.insert(name.into(), value.into());
    }
    for producer in toml["queues"]["producers"].as_array_mut().unwrap() {
        if producer["binding"].as_str() != Some("DEAD") {
            producer["queue"] = format!("{name}-sent").into();
        }
    }
    // Everything is processed from one queue, as what an older version put there.
    let consumers = toml["queues"]["consumers"].as_array_mut().unwrap();
    consumers.retain(|consumer| !consumer["queue"].as_str().unwrap().ends_with("-inbox"));
    consumers[0]["queue"] = format!("{name}-work").into();
    consumers[0]["dead_letter_queue"] = format!("{name}-dead").into();
    consumers[1]["queue"] = format!("{name}-dead").into();
    toml::to_string(&toml).unwrap()
}

fn switchboard_toml(workers: &[String]) -> String {
    let main = root().join("tests/e2e/switchboard.mjs");
    let mut text = format!(
        "name = \"switchboard\"\nmain = {main:?}\ncompatibility_date = \"2026-11-01\"\n\
         kv_namespaces = [{{ binding = \"LEDGER\", id = \"ledger\" }}]\n\
         vars = {{ VERSIONS = {workers:?} }}\n"
    );
    for binding in workers {
        let name = binding.replace('_', "-");
        text.push_str(&format!(
            "[[services]]\nbinding = \"{binding}\"\nservice = \"{name}\"\n\
             [[queues.consumers]]\nqueue = \"{name}-sent\"\nmax_batch_timeout = 0\n\
             [[queues.producers]]\nbinding = \"{binding}_work\"\nqueue = \"{name}-work\"\n\
             [[queues.producers]]\nbinding = \"{binding}_dead\"\nqueue = \"{name}-dead\"\n"
        ));
    }
    text
}

/// A port of this machine that nobody listens on. Below 32768, so that the system gives it to no other process' socket
/// before the Worker listens; each run begins elsewhere, so that two of them do not meet.
fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = 10_500 + std::process::id() % 90 * 100;
    loop {
        let port = u16::try_from(first).unwrap() + TAKEN.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
