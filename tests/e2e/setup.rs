//! A first deployment with the real wrangler. `relayctl setup` turns empty accounts and an empty folder into a relay
//! that runs in workerd, and then the operator's next commands run. The same by hand, as the README says.
//!
//! Nylas is the stand-in, without any account. `cloudflare.mjs` plays Cloudflare's API and runs what is uploaded.

use crate::{
    Stage,
    clerk::{Event, now_seconds, sign},
    relay::{API_KEY, SECRET},
    relayctl::{Ran, Relayctl, states},
    tests::SOON,
};
use nylas_stand_in::{Account, Options, StandIn};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

type Test = fn(&Stage);

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const ALL: &[(&str, Test)] = &[$((stringify!($name), $name)),*];
    };
}

tests![
    setup_makes_a_working_relay_from_nothing_and_then_changes_nothing,
    the_same_by_hand_as_the_readme_says,
];

const ADDRESS: &str = "login@acme.example";

/// Empty accounts, and an operator's folder.
struct World {
    folder: PathBuf,
    /// The addresses of Cloudflare's API and of the Worker, once it is deployed.
    cloudflare: String,
    url: String,
    nylas: StandIn,
    process: Child,
    /// The process ends when this is closed.
    stdin: Option<ChildStdin>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl World {
    fn empty(name: &str) -> Self {
        let name = format!("relay-e2e-{}-{name}", std::process::id());
        let base = std::env::temp_dir().join(name);
        let (folder, cloud) = (base.join("folder"), base.join("cloud"));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&cloud).unwrap();
        // The built Worker, as in a release.
        for file in ["index.js", "index_bg.wasm"] {
            fs::copy(root().join("build").join(file), folder.join(file)).unwrap();
        }
        let mut process = Command::new(root().join("scripts/with-tools"))
            .arg("node")
            .arg(root().join("tests/e2e/cloudflare.mjs"))
            .env("FOLDER", &cloud)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(cloud.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let (cloudflare, url) = (line(), line());
        let account = Account {
            grant_id: "g0".into(),
            email: "somebody@else.example".into(),
            name: None,
        };
        Self {
            folder,
            cloudflare,
            url,
            nylas: StandIn::start_blocking(Options::new(API_KEY, vec![account])).unwrap(),
            stdin: process.stdin.take(),
            process,
        }
    }

    /// The environment that makes wrangler use this Cloudflare.
    fn environment(&self) -> [(&'static str, String); 5] {
        let logs = self.folder.join("../cloud/logs");
        [
            (
                "CLOUDFLARE_API_BASE_URL",
                format!("{}/client/v4", self.cloudflare),
            ),
            ("CLOUDFLARE_API_TOKEN", "cloudflare-token".to_owned()),
            ("CLOUDFLARE_ACCOUNT_ID", "account".to_owned()),
            ("WRANGLER_LOG_PATH", logs.to_str().unwrap().to_owned()),
            ("WRANGLER_SEND_METRICS", "false".to_owned()),
        ]
    }

    fn relayctl(&self) -> Relayctl {
        let with_tools = root().join("scripts/with-tools");
        let mut relayctl = Relayctl::new(&self.folder)
            .env(
                "RELAYCTL_WRANGLER",
                format!("{} wrangler", with_tools.display()),
            )
            .env("NYLAS_API_BASE", self.nylas.base_url())
            .env("NYLAS_API_KEY", API_KEY)
            .env("NYLAS_EMAIL", ADDRESS)
            .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
            // Nothing answers there. doctor then does not know the records, which is no fault.
            .env("RELAYCTL_DNS", "http://127.0.0.1:1");
        for (name, value) in self.environment() {
            relayctl = relayctl.env(name, value);
        }
        relayctl
    }

    fn setup(&self, more: &[&str]) -> Ran {
        let token = self.folder.join("admin-token");
        let always = [
            "setup",
            "--yes",
            "--json",
            "--from-name",
            "Acme",
            "--admin-token-file",
        ];
        self.relayctl()
            .run(&[&always[..], &[token.to_str().unwrap()], more].concat())
    }

    /// Runs wrangler by hand. Returns whether it succeeded, and its output.
    fn wrangler(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(root().join("scripts/with-tools"))
            .arg("wrangler")
            .args(arguments)
            .current_dir(&self.folder)
            .envs(self.environment())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    fn ask(&self, path: &str, body: &str) -> Value {
        let url = format!("{}{path}", self.cloudflare);
        let mut answer = match body {
            "" => ureq::get(url).call(),
            body => ureq::post(url).send(body),
        }
        .unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Everything that exists at Cloudflare.
    fn state(&self) -> Value {
        self.ask("/state", "")
    }

    fn log(&self) -> String {
        let read = |file: &str| fs::read_to_string(self.folder.join("../cloud").join(file));
        format!(
            "{}\n{}",
            read("log").unwrap_or_default(),
            read("worker.log").unwrap_or_default()
        )
    }

    /// Stops Cloudflare and the Worker.
    fn stop(&mut self) {
        self.stdin = None;
        let _ = self.process.wait();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
        if std::env::var_os("KEEP_E2E").is_none() {
            let _ = fs::remove_dir_all(self.folder.parent().unwrap());
        }
    }
}

fn changed(ran: &Ran) -> Vec<String> {
    let states = states(ran).into_iter();
    let changed = states.filter(|(_, state)| state == "changed");
    changed.map(|(step, _)| step).collect()
}

fn setup_makes_a_working_relay_from_nothing_and_then_changes_nothing(_: &Stage) {
    let mut world = World::empty("setup");
    // Secrets for development must not be deployed.
    let development = format!(
        "CLERK_WEBHOOK_SIGNING_SECRET={}\nNYLAS_API_KEY=nyk_development\n",
        crate::relay::OTHER_SECRET
    );
    fs::write(world.folder.join(".dev.vars"), development).unwrap();
    // A new account has no address on workers.dev, and takes no Worker: not even the draft that holds the secrets.
    world.ask("/refuse", "no workers.dev");
    let homeless = world.setup(&[]);
    assert_eq!(homeless.code, 1, "{}", homeless.all());
    let said = homeless.json();
    let (error, fix) = (
        said["error"].as_str().unwrap(),
        said["fix"].as_str().unwrap(),
    );
    assert!(
        error.contains("step secrets") && fix.contains("/workers/onboarding"),
        "{said}"
    );
    // Cloudflare stores the code and then fails, so the queues, schedule and address are missing.
    world.ask("/refuse", "/consumers");
    let stopped = world.setup(&[]);
    assert_eq!(stopped.code, 1, "{}", stopped.all());
    let error = stopped.json()["error"].as_str().unwrap().to_owned();
    assert!(
        error.contains("step deploy") && error.contains("Queue consumers"),
        "{error}"
    );
    // setup takes the address that wrangler prints, where nothing answers here.
    let elsewhere = world.setup(&["--only", "deploy"]).well();
    assert_eq!(
        elsewhere.json()["url"],
        "https://clerk-nylas-relay.acme.workers.dev"
    );

    let url = world.url.clone();
    let first = world.setup(&["--url", &url]);
    assert_eq!(first.code, 0, "{}{}", first.all(), world.log());
    assert_eq!(changed(&first), ["webhook", "protection"]);
    let state = world.state();
    for queue in state["queues"].as_array().unwrap() {
        assert_eq!(queue["consumers"][0]["max_batch_timeout"], 0, "{queue}");
    }
    assert_eq!(state["queues"].as_array().unwrap().len(), 3);
    assert_eq!(state["schedules"], serde_json::json!(["*/15 * * * *"]));
    assert_eq!(state["secrets"]["CLERK_WEBHOOK_SIGNING_SECRET"], SECRET);
    assert_eq!(state["secrets"]["NYLAS_API_KEY"], API_KEY);

    // A mail arrives from the new account, under its name.
    let token = fs::read_to_string(world.folder.join("admin-token")).unwrap();
    let relayctl = world
        .relayctl()
        .env("RELAY_URL", &world.url)
        .env("ADMIN_TOKEN", token.trim());
    let to = "marker-setup@example.com";
    relayctl.run(&["trigger", "--to", to]).well();
    let mail = world.nylas.wait_for_mail(to, SOON);
    let mail = mail.unwrap_or_else(|| panic!("no mail:\n{}", world.log()));
    assert_eq!(
        (mail.from_email.as_str(), mail.from_name.as_deref()),
        (ADDRESS, Some("Acme"))
    );

    // setup finds what it has made.
    let before = world.state();
    let wrangler_toml = fs::read_to_string(world.folder.join("wrangler.toml")).unwrap();
    let second = world.setup(&["--url", &url]);
    assert_eq!(second.code, 0, "{}", second.all());
    let unchanged = |(_, state): &(String, String)| state == "unchanged";
    assert!(states(&second).iter().all(unchanged), "{}", second.all());
    let after = world.state();
    for what in [
        "namespaces",
        "queues",
        "secrets",
        "versions",
        "deployments",
        "schedules",
    ] {
        assert_eq!(before[what], after[what], "{what}");
    }
    assert_eq!(
        fs::read_to_string(world.folder.join("wrangler.toml")).unwrap(),
        wrangler_toml
    );

    // Every check runs against the real Worker. Nothing fails, and everything about the Worker is known.
    let webhook_secret = after["secrets"]["NYLAS_WEBHOOK_SECRET"].as_str().unwrap();
    let relayctl = relayctl.env("NYLAS_WEBHOOK_SECRET", webhook_secret);
    let doctor = relayctl.run(&["doctor", "--json"]).well().json();
    let findings = doctor["checks"].as_array().unwrap();
    assert!(findings.len() >= 40, "{doctor}");
    for finding in findings {
        let id = finding["id"].as_str().unwrap();
        if id.starts_with("worker-") || id.starts_with("nylas-") || id.starts_with("config-") {
            assert_eq!(finding["state"], "pass", "{finding}");
        }
    }
    let roundtrip = relayctl.run(&["roundtrip", "--json", "--wait", "30"]);
    assert_eq!(roundtrip.well().json()["address"], ADDRESS);

    // A captured request, signed by the sender's own library.
    let (event, now) = (Event::code(), now_seconds());
    let captured = |secret: &str| {
        let signature = sign(&event.id, &event.body(), secret, now);
        fs::write(world.folder.join("body"), event.body()).unwrap();
        let headers = format!(
            "svix-id: {}\nsvix-timestamp: {now}\nsvix-signature: {signature}\n",
            event.id
        );
        fs::write(world.folder.join("headers"), headers).unwrap();
        relayctl.run(&["verify", "--json", "--body", "body", "--headers", "headers"])
    };
    assert_eq!(captured(SECRET).well().json()["id"], event.id.as_str());
    let forged = captured(crate::relay::OTHER_SECRET);
    assert_eq!(
        (forged.code, &forged.json()["ok"]),
        (1, &Value::Bool(false))
    );

    // Once the Worker is gone, doctor reports it.
    world.stop();
    let gone = relayctl.run(&["doctor", "--json", "--only", "worker"]);
    assert_eq!(gone.code, 1);
    let gone = gone.json();
    let failed = gone["checks"].as_array().unwrap();
    let mut failed = failed.iter().filter(|finding| finding["state"] == "fail");
    assert_eq!(failed.next().unwrap()["id"], "worker-reachable");
    for secret in [SECRET, API_KEY, webhook_secret, token.trim(), to] {
        let said = format!("{}{}{gone}", stopped.all(), first.all());
        assert!(!said.contains(secret), "{said}");
    }
}

fn the_same_by_hand_as_the_readme_says(_: &Stage) {
    let world = World::empty("by-hand");
    let settings = fs::read_to_string(root().join("wrangler.toml")).unwrap();
    let (before, rest) = settings.split_once("[build]").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let settings = format!("{before}{after}")
        .replace("build/index.js", "index.js")
        .replace(
            "https://api.us.nylas.com\"",
            &format!("{}\"", world.nylas.base_url()),
        )
        .replace("NYLAS_GRANT_ID = \"\"", "NYLAS_GRANT_ID = \"g0\"");
    fs::write(world.folder.join("wrangler.toml"), settings).unwrap();
    let secrets = format!("CLERK_WEBHOOK_SIGNING_SECRET={SECRET}\nNYLAS_API_KEY={API_KEY}\n");
    fs::write(world.folder.join("secrets"), secrets).unwrap();
    let (ok, said) = world.wrangler(&["deploy", "--secrets-file", "secrets"]);
    assert!(ok, "{said}{}", world.log());
    // An upgrade is the same deployment again, without the secrets.
    let (ok, said) = world.wrangler(&["deploy"]);
    assert!(ok, "{said}{}", world.log());
    let state = world.state();
    assert_eq!(state["namespaces"].as_array().unwrap().len(), 1, "{state}");
    let queues = state["queues"].as_array().unwrap().iter();
    let mut queues: Vec<_> = queues.map(|queue| queue["queue_name"].clone()).collect();
    queues.sort_by_key(ToString::to_string);
    let named = ["dead", "inbox", "outbox"].map(|name| format!("clerk-nylas-relay-{name}"));
    assert_eq!(queues, named, "{state}");
    let to = "marker-with-wrangler@example.com";
    let relayctl = world.relayctl().env("RELAY_URL", &world.url);
    relayctl.run(&["trigger", "--to", to]).well();
    assert!(
        world.nylas.wait_for_mail(to, SOON).is_some(),
        "{}",
        world.log()
    );
}
