//! Mails over SMTP: workerd's own sockets against a real mail server with TLS and authentication (`mail_server.py`).
//! Without Python or openssl these tests are skipped.

use crate::{
    GRANT, Stage,
    clerk::{Event, timed},
    relay::{Relay, Settings},
};
use nylas_stand_in::Submitted;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

type Test = fn(&Stage);

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const ALL: &[(&str, Test)] = &[$((stringify!($name), $name)),*];
    };
}

tests![
    over_smtp_a_mail_is_sent_whole_and_each_failure_of_the_server_is_one_mail,
    over_starttls_nothing_private_goes_out_unless_it_is_encrypted,
];

pub const PASSWORD: &str = "Marker-Passw0rd-of-the-account";
const IN_THE_END: Duration = Duration::from_secs(90);

/// A running mail server, and its folder of flags.
struct Server {
    folder: PathBuf,
    port: u16,
    process: Child,
}

impl Server {
    /// `None`: the machine has no Python with aiosmtpd. `implicit`: TLS at once; otherwise STARTTLS.
    fn start(name: &str, implicit: bool) -> Option<Self> {
        let folder =
            std::env::temp_dir().join(format!("mail-server-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        make_certificate(&folder, "cert.pem", "key.pem");
        make_certificate(&folder, "wrong.pem", "wrong-key.pem");
        let port = free_port(implicit);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/mail_server.py");
        let mut process =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/with-tools"))
                .args([
                    "bash",
                    "-c",
                    r#"exec "${AIOSMTPD_PYTHON:-false}" "$@""#,
                    "mail-server",
                ])
                .arg(script)
                .arg(&folder)
                .arg(port.to_string())
                .env("SMTP_PASSWORD", PASSWORD)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
        for _ in 0..300 {
            if fs::read_to_string(folder.join("log")).is_ok_and(|log| log.contains("ready")) {
                return Some(Self {
                    folder,
                    port,
                    process,
                });
            }
            if process.try_wait().unwrap().is_some() {
                eprintln!("no Python with aiosmtpd: tests with a mail server are skipped");
                return None;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("the mail server does not start");
    }

    fn set(&self, flag: &str, is_set: bool) {
        let path = self.folder.join(flag);
        match is_set {
            true => fs::write(path, "").unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.folder.join("log")).unwrap();
        let events = log.lines().map(|line| serde_json::from_str(line).unwrap());
        events
            .filter(|event: &Value| event["event"] == kind)
            .collect()
    }

    /// The mails to that address.
    fn mails_to(&self, to: &str) -> Vec<Value> {
        let mut mails = self.events("mail");
        mails.retain(|mail| mail["to"][0] == to);
        mails
    }

    // A deadline for the test.
    #[allow(clippy::disallowed_methods)]
    fn wait_for_mails(&self, to: &str, count: usize) -> Vec<Value> {
        for _ in 0..IN_THE_END.as_secs() * 10 {
            let mails = self.mails_to(to);
            if mails.len() >= count {
                return mails;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("{to} did not get {count} mails: {:?}", self.mails_to(to));
    }

    fn settings(&self, stage: &Stage) -> Settings {
        let certificate = fs::read_to_string(self.folder.join("cert.pem")).unwrap();
        Settings {
            certificate: Some(certificate),
            ..stage
                .settings()
                .var("SMTP_HOST", "localhost")
                .var("SMTP_PORT", self.port.to_string())
                .var("SMTP_PASSWORD", PASSWORD)
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// For `localhost`, signed by itself.
fn make_certificate(folder: &Path, certificate: &str, key: &str) {
    let made = Command::new("openssl")
        .current_dir(folder)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            key,
            "-out",
            certificate,
        ])
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|made| made.success()), "openssl failed");
}

fn free_port(implicit: bool) -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    match implicit {
        true => (10..60).map(|thousand| thousand * 1000 + 465).find(is_free),
        false => (20_000..60_000).find(|port| port % 1000 != 465 && is_free(port)),
    }
    .unwrap()
}

fn header<'a>(mail: &'a Value, name: &str) -> &'a str {
    let headers = mail["headers"].as_array().unwrap();
    let found = headers.iter().find(|header| header[0] == name);
    found
        .map(|header| header[1].as_str().unwrap())
        .unwrap_or_default()
}

fn recipient(event: &Event) -> String {
    let body: Value = serde_json::from_slice(&event.body()).unwrap();
    body["data"]["to_email_address"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A code to an address that says how the server behaves.
fn code_to(kind: &str) -> (Event, String) {
    let to = format!("marker-{kind}-{}@example.com", crate::clerk::now_seconds());
    (
        Event::code().with("to_email_address", to.clone().into()),
        to,
    )
}

fn over_smtp_a_mail_is_sent_whole_and_each_failure_of_the_server_is_one_mail(stage: &Stage) {
    let Some(server) = Server::start("implicit", true) else {
        return;
    };
    let relay = Relay::start("smtp", server.settings(stage));
    a_mail_is_sent_whole(stage, &relay, &server);
    refusals_are_told_apart(&relay, &server);
    silence_after_the_dot_is_settled_by_the_mailbox(stage, &relay, &server);
    a_lost_reply_to_a_mail_that_is_nowhere_is_sent_again(&relay, &server);
    a_hundred_mails_at_once_are_each_one_mail(&relay, &server);
    a_slow_banner_and_a_wrong_password_delay_a_mail(&relay, &server);
    is_not_logged(&relay);
    assert!(
        stage
            .nylas
            .mails()
            .iter()
            .all(|mail| !mail.to.contains("smtp"))
    );
}

/// No record has the password. wrangler's own table of variables does.
fn is_not_logged(relay: &Relay) {
    let logged = |record: &Value| record.to_string().contains(PASSWORD);
    assert!(!relay.records().iter().any(logged));
}

fn a_mail_is_sent_whole(stage: &Stage, relay: &Relay, server: &Server) {
    let event = Event::code()
        .with(
            "subject",
            "Dein Code für Äpfel\r\nBcc: eve@example.com".into(),
        )
        .with("body", "<p>für 123456</p>".into())
        .with("body_plain", "für 123456\n.\n".into());
    let answer = event.deliver(relay);
    assert_eq!(answer.answer(), (200, "sent".into()), "{}", relay.log());
    let to = recipient(&event);
    let mail = server.wait_for_mails(&to, 1).remove(0);
    assert_eq!(mail["sender"], "auth@acme.example");
    assert_eq!(header(&mail, "From"), "Acme <auth@acme.example>");
    assert_eq!(header(&mail, "To"), to);
    assert!(header(&mail, "Subject").starts_with("Dein Code für Äpfel"));
    assert_eq!(header(&mail, "Bcc"), "");
    assert_eq!(header(&mail, "Auto-Submitted"), "auto-generated");
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        header(&mail, "Message-ID"),
        format!("<{id}.0@acme.example>")
    );
    let types: Vec<&str> = mail["types"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(types, ["multipart/alternative", "text/plain", "text/html"]);
    let text = mail["bodies"][0].as_str().unwrap().replace('\r', "");
    assert_eq!(text.trim_end(), "für 123456\n.");
    assert_eq!(
        mail["bodies"][1].as_str().unwrap().trim_end(),
        "<p>für 123456</p>"
    );
    let login = server.events("auth").remove(0);
    assert_eq!(login["user"], "auth@acme.example");
    // Nothing went through the API, and the same webhook is a duplicate.
    assert!(stage.nylas.mails_to(&to).is_empty());
    thread::sleep(Duration::from_secs(1));
    assert_eq!(event.deliver(relay).answer().1, "duplicate");
    assert_eq!(server.mails_to(&to).len(), 1);
}

fn refusals_are_told_apart(relay: &Relay, server: &Server) {
    let (unknown, _) = code_to("no-such-user");
    let answer = unknown.deliver(relay);
    assert_eq!(answer.json()["status"], "rejected", "{}", answer.body);
    assert_eq!(answer.json()["reason"], "smtp_refused_recipient");
    let (refused, to) = code_to("policy");
    let answer = refused.deliver(relay);
    assert_eq!(answer.json()["status"], "queued", "{}", answer.body);
    assert_eq!(answer.json()["reason"], "smtp_deferred");
    server.set("policy-allows", true);
    server.wait_for_mails(&to, 1);
}

fn silence_after_the_dot_is_settled_by_the_mailbox(stage: &Stage, relay: &Relay, server: &Server) {
    let (event, to) = code_to("silent");
    let answer = event.deliver(relay);
    assert_eq!(answer.json()["status"], "queued", "{}", answer.body);
    assert_eq!(answer.json()["reason"], "smtp_timeout");
    let mail = server.wait_for_mails(&to, 1).remove(0);
    stage.nylas.submitted(&Submitted {
        grant_id: GRANT.to_owned(),
        to: to.clone(),
        headers: vec![("Message-ID".into(), header(&mail, "Message-ID").into())],
    });
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    relay.wait_for_record(&id, "sent");
    assert_eq!(server.mails_to(&to).len(), 1);
}

// How long the relay waited is what is tested.
#[allow(clippy::disallowed_methods)]
fn a_lost_reply_to_a_mail_that_is_nowhere_is_sent_again(relay: &Relay, server: &Server) {
    let (event, to) = code_to("hang-up");
    let answer = event.deliver(relay);
    assert_eq!(
        answer.json()["reason"],
        "smtp_outcome_unknown",
        "{}",
        answer.body
    );
    server.set("speaks", true);
    let (mails, waited) = timed(|| server.wait_for_mails(&to, 2));
    assert!(waited >= Duration::from_secs(18), "it was not waited for");
    assert_eq!(
        header(&mails[0], "Message-ID"),
        header(&mails[1], "Message-ID")
    );
    assert_eq!(mails[0]["raw"], mails[1]["raw"]);
}

fn a_hundred_mails_at_once_are_each_one_mail(relay: &Relay, server: &Server) {
    let events: Vec<Event> = (0..100)
        .map(|number| {
            let to = format!("marker-hundred-{number}@example.com");
            Event::code().with("to_email_address", to.into())
        })
        .collect();
    thread::scope(|scope| {
        for event in &events {
            scope.spawn(move || {
                let answer = event.deliver(relay);
                assert_eq!(answer.code, 200, "{}", answer.body);
            });
        }
    });
    let mut counts = BTreeMap::new();
    for number in 0..100 {
        let to = format!("marker-hundred-{number}@example.com");
        *counts
            .entry(server.wait_for_mails(&to, 1).len())
            .or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(1, 100)]));
}

fn a_slow_banner_and_a_wrong_password_delay_a_mail(relay: &Relay, server: &Server) {
    for (flag, reason) in [
        ("slow-banner", "smtp_timeout"),
        ("deny-auth", "account_unauthorized"),
    ] {
        server.set(flag, true);
        let (event, to) = code_to(&format!("delayed-{flag}"));
        let answer = event.deliver(relay);
        assert_eq!(answer.json()["status"], "queued", "{}", answer.body);
        assert_eq!(answer.json()["reason"], reason);
        assert!(server.mails_to(&to).is_empty());
        server.set(flag, false);
        assert_eq!(server.wait_for_mails(&to, 1).len(), 1);
    }
}

fn over_starttls_nothing_private_goes_out_unless_it_is_encrypted(stage: &Stage) {
    let Some(server) = Server::start("starttls", false) else {
        return;
    };
    let relay = Relay::start("starttls", server.settings(stage));
    for flag in ["strip-starttls", "inject", "wrong-certificate"] {
        let logins = server.events("auth").len();
        server.set(flag, true);
        let (event, to) = code_to(flag);
        let answer = event.deliver(&relay);
        assert_eq!(answer.json()["status"], "queued", "{flag}: {}", answer.body);
        assert_eq!(answer.json()["reason"], "smtp_not_encrypted", "{flag}");
        assert_eq!(server.events("auth").len(), logins, "{flag}");
        assert!(server.mails_to(&to).is_empty(), "{flag}");
        server.set(flag, false);
        assert_eq!(server.wait_for_mails(&to, 1).len(), 1, "{flag}");
    }
    let login = server.events("auth").remove(0);
    assert_eq!(login["encrypted"], true);
    // A healthy server: within the budget, and the sender does not hang afterwards.
    let event = Event::code();
    assert_eq!(event.deliver(&relay).answer(), (200, "sent".into()));
    assert_eq!(server.wait_for_mails(&recipient(&event), 1).len(), 1);
    is_not_logged(&relay);
}
