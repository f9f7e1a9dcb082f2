//! `relayctl setup` from empty accounts and an empty folder to a relay that runs in workerd, and what an operator does next.
//!
//! Nylas is the stand-in, with no account in it; Cloudflare's side is played by `cloudflare.sh`, which runs what is deployed.

use crate::{
    Stage,
    clerk::{Event, now_seconds, sign},
    relay::{API_KEY, SECRET},
    relayctl::{Ran, Relayctl},
    tests::SOON,
};
use nylas_stand_in::{Options, StandIn};
use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

type Test = fn(&Stage);

pub const ALL: &[(&str, Test)] = &[(
    "setup_makes_a_working_relay_from_nothing_and_then_changes_nothing",
    setup_makes_a_working_relay_from_nothing_and_then_changes_nothing,
)];

const ADDRESS: &str = "login@acme.example";

/// An operator's folder, with the built Worker in it and nothing else, and accounts with nothing in them.
struct World {
    folder: PathBuf,
    cloud: PathBuf,
    url: String,
    nylas: StandIn,
}

impl World {
    fn empty() -> Self {
        let name = format!("relay-e2e-{}-setup", std::process::id());
        let base = std::env::temp_dir().join(name);
        let (folder, cloud) = (base.join("folder"), base.join("cloud"));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&cloud).unwrap();
        for file in ["index.js", "index_bg.wasm"] {
            let built = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("build")
                .join(file);
            fs::copy(built, folder.join(file)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        fs::write(cloud.join("port"), port.to_string()).unwrap();
        fs::write(cloud.join("url"), &url).unwrap();
        Self {
            folder,
            cloud,
            url,
            nylas: StandIn::start_blocking(Options::new(API_KEY, Vec::new())).unwrap(),
        }
    }

    fn relayctl(&self) -> Relayctl {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/cloudflare.sh");
        Relayctl::new(&self.folder)
            .env("RELAYCTL_WRANGLER", format!("bash {script}"))
            .env("FAKE_CLOUD", self.cloud.to_str().unwrap())
            .env("NYLAS_API_BASE", self.nylas.base_url())
            .env("NYLAS_API_KEY", API_KEY)
            .env("NYLAS_EMAIL", ADDRESS)
            .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
            // Nobody answers there: what is looked up is not known, which is no fault.
            .env("RELAYCTL_DNS", "http://127.0.0.1:1")
    }

    fn setup(&self) -> Ran {
        let token = self.folder.join("admin-token");
        self.relayctl().run(&[
            "setup",
            "--yes",
            "--json",
            "--from-name",
            "Acme",
            "--admin-token-file",
            token.to_str().unwrap(),
        ])
    }

    /// What was asked of wrangler.
    fn asked(&self) -> String {
        fs::read_to_string(self.cloud.join("log")).unwrap()
    }

    /// The running Worker's process.
    fn process(&self) -> String {
        fs::read_to_string(self.cloud.join("group")).unwrap_or_default()
    }

    fn worker_log(&self) -> String {
        fs::read_to_string(self.cloud.join("worker.log")).unwrap_or_default()
    }

    fn stop(&self) {
        let group = format!("-{}", self.process().trim());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.process().is_empty() {
            self.stop();
        }
        if std::env::var_os("KEEP_E2E").is_none() {
            let _ = fs::remove_dir_all(self.folder.parent().unwrap());
        }
    }
}

fn states(ran: &Ran) -> Vec<(String, String)> {
    let document = ran.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let steps = document["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| (text(&step["step"]), text(&step["state"])))
        .collect()
}

fn setup_makes_a_working_relay_from_nothing_and_then_changes_nothing(_: &Stage) {
    let world = World::empty();
    let first = world.setup();
    assert_eq!(first.code, 0, "{}{}", first.all(), world.worker_log());
    let changed = states(&first);
    let changed = changed.iter().filter(|(_, state)| state == "changed");
    let changed: Vec<&str> = changed.map(|(step, _)| step.as_str()).collect();
    assert_eq!(
        changed,
        [
            "account", "settings", "storage", "queues", "secrets", "deploy", "webhook"
        ]
    );
    assert_eq!(first.json()["url"], world.url.as_str());

    // A mail arrives, from the account that was made, under its name.
    let token = fs::read_to_string(world.folder.join("admin-token")).unwrap();
    let relayctl = world
        .relayctl()
        .env("RELAY_URL", &world.url)
        .env("ADMIN_TOKEN", token.trim());
    let to = "marker-setup@example.com";
    relayctl.run(&["trigger", "--to", to]).well();
    let mail = world.nylas.wait_for_mail(to, SOON);
    let mail = mail.unwrap_or_else(|| panic!("no mail:\n{}", world.worker_log()));
    assert_eq!(
        (mail.from_email.as_str(), mail.from_name.as_deref()),
        (ADDRESS, Some("Acme"))
    );

    // What was made is found again: by setup, by the name it prints.
    let (asked, process) = (world.asked(), world.process());
    let wrangler_toml = fs::read_to_string(world.folder.join("wrangler.toml")).unwrap();
    let second = world.setup();
    assert_eq!(second.code, 0, "{}", second.all());
    let unchanged = |(_, state): &(String, String)| state == "unchanged";
    assert!(states(&second).iter().all(unchanged), "{}", second.all());
    assert_eq!(process, world.process(), "nothing was deployed again");
    assert_eq!(
        fs::read_to_string(world.folder.join("wrangler.toml")).unwrap(),
        wrangler_toml
    );
    let new = world.asked().replacen(&asked, "", 1);
    for write in ["create", "put", "bulk", "deploy", "delete"] {
        assert!(!new.contains(write), "{new}");
    }

    // Every check against the real thing: nothing fails, and of the Worker everything is known.
    let webhook_secret = fs::read_to_string(world.cloud.join("secret-NYLAS_WEBHOOK_SECRET"));
    let webhook_secret = webhook_secret.unwrap();
    let relayctl = relayctl.env("NYLAS_WEBHOOK_SECRET", &webhook_secret);
    let doctor = relayctl.run(&["doctor", "--json"]).well().json();
    let findings = doctor["checks"].as_array().unwrap();
    assert!(findings.len() >= 40, "{doctor}");
    for finding in findings {
        let id = finding["id"].as_str().unwrap();
        if id == "worker-clock" {
            // Cloudflare adds a Date to answers, workerd does not.
            assert_eq!(finding["state"], "skip", "{finding}");
        } else if id.starts_with("worker-") || id.starts_with("nylas-") || id.starts_with("config-")
        {
            assert_eq!(finding["state"], "pass", "{finding}");
        }
    }
    let roundtrip = relayctl.run(&["roundtrip", "--json", "--wait", "30"]);
    assert_eq!(roundtrip.well().json()["address"], ADDRESS);

    // A request as it was captured, signed by the sender's own library.
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

    // Gone: the operator is told so.
    world.stop();
    let gone = relayctl.run(&["doctor", "--json", "--only", "worker"]);
    assert_eq!(gone.code, 1);
    let gone = gone.json();
    let failed = gone["checks"].as_array().unwrap();
    let mut failed = failed.iter().filter(|finding| finding["state"] == "fail");
    assert_eq!(failed.next().unwrap()["id"], "worker-reachable");
    for secret in [SECRET, API_KEY, &webhook_secret, token.trim(), to] {
        let said = format!("{}{}{gone}", first.all(), world.asked());
        assert!(!said.contains(secret), "{said}");
    }
}
