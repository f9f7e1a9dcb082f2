//! Mails over SMTP: workerd's own sockets against a real mail server with TLS and authentication (`mail_server.py`).
//! Without Python or openssl these tests are skipped.

use crate::{
    FIRST, GRANT, Stage,
    clerk::{Event, timed},
    relay::{API_KEY, Relay, Settings},
    relayctl::Relayctl,
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
    time::{Duration, Instant},
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
/// A mail that is sent a second time by mistake is sent by then: 20 s and the queue's delays.
const SECOND_ATTEMPT: Duration = Duration::from_secs(40);
/// Flags: the server's certificate is another host's, of an authority that is trusted; or the right host's, of one that
/// is not.
const BAD_CERTIFICATES: [&str; 2] = ["other-host", "untrusted"];

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
        make_certificates(&folder);
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
        let authority = fs::read_to_string(self.folder.join("authority.pem")).unwrap();
        Settings {
            certificate: Some(authority),
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

/// An authority, which is trusted, and a stranger, who is not; `localhost` by both, and another host by the authority.
fn make_certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for signer in ["authority", "stranger"] {
        let files = format!("-keyout {signer}-key.pem -out {signer}.pem");
        openssl(
            folder,
            &format!("req -x509 {key} -days 2 -subj /CN={signer} {files}"),
        );
    }
    for (name, host, signer) in [
        ("right", "localhost", "authority"),
        ("other-host", "other.example", "authority"),
        ("untrusted", "localhost", "stranger"),
    ] {
        let extensions = format!("subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n");
        fs::write(folder.join("extensions"), extensions).unwrap();
        let files = format!("-keyout {name}-key.pem -out {name}.csr");
        openssl(folder, &format!("req -new {key} -subj /CN={host} {files}"));
        let signed = format!("-CA {signer}.pem -CAkey {signer}-key.pem -CAcreateserial");
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr {signed} -days 2 -extfile extensions -out {name}.pem"
            ),
        );
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let made = Command::new("openssl")
        .current_dir(folder)
        .args(arguments.split(' '))
        .output();
    let made = made.unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "openssl {arguments}: {said}");
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
    an_internationalised_domain_is_written_in_ascii(&relay, &server);
    refusals_are_told_apart(&relay, &server);
    silence_after_the_dot_is_settled_by_the_mailbox(stage, &relay, &server);
    a_lost_reply_to_a_mail_that_is_nowhere_is_sent_again(&relay, &server);
    let hundred = a_hundred_mails_at_once(&relay, &server);
    a_slow_banner_and_a_wrong_password_delay_a_mail(&relay, &server);
    // With TLS from the start the runtime does not tell a refused handshake from a refused connection.
    nothing_private_goes_out(&relay, &server, &BAD_CERTIFICATES, "smtp_unreachable");
    doctor_logs_in_and_says_why_it_cannot(stage, &server);
    each_of_the_hundred_is_one_mail(&server, hundred);
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

/// In the envelope and in the header, by the runtime's own rules for domains. What is no domain is left to the server.
fn an_internationalised_domain_is_written_in_ascii(relay: &Relay, server: &Server) {
    for (address, on_the_wire) in [
        (
            "marker-idn@bücher.example",
            "marker-idn@xn--bcher-kva.example",
        ),
        (
            "marker-idn@Straße.example",
            "marker-idn@xn--strae-oqa.example",
        ),
        (
            "marker-idn@例え.テスト",
            "marker-idn@xn--r8jz45g.xn--zckzah",
        ),
        (
            "marker-jäne@bücher.example",
            "marker-jäne@xn--bcher-kva.example",
        ),
        ("marker-idn@ü.example/x", "marker-idn@ü.example/x"),
    ] {
        let event = Event::code().with("to_email_address", address.into());
        let answer = event.deliver(relay);
        assert_eq!(
            answer.answer(),
            (200, "sent".into()),
            "{address}: {}",
            relay.log()
        );
        let mail = server.wait_for_mails(on_the_wire, 1).remove(0);
        assert_eq!(mail["to"], serde_json::json!([on_the_wire]));
        assert_eq!(header(&mail, "To"), on_the_wire);
    }
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

fn hundred() -> impl Iterator<Item = String> {
    (0..100).map(|number| format!("marker-hundred-{number}@example.com"))
}

/// Returns when all of them were there.
#[allow(clippy::disallowed_methods)]
fn a_hundred_mails_at_once(relay: &Relay, server: &Server) -> Instant {
    let events: Vec<Event> = hundred()
        .map(|to| Event::code().with("to_email_address", to.into()))
        .collect();
    thread::scope(|scope| {
        for event in &events {
            scope.spawn(move || {
                let answer = event.deliver(relay);
                assert_eq!(answer.code, 200, "{}", answer.body);
            });
        }
    });
    for to in hundred() {
        server.wait_for_mails(&to, 1);
    }
    Instant::now()
}

/// Counted once a second mail would have come, too.
fn each_of_the_hundred_is_one_mail(server: &Server, all_there: Instant) {
    thread::sleep(SECOND_ATTEMPT.saturating_sub(all_there.elapsed()));
    let mut counts = BTreeMap::new();
    for to in hundred() {
        *counts.entry(server.mails_to(&to).len()).or_insert(0) += 1;
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

/// No password and no mail goes to such a server. The mail waits until the server is another.
fn nothing_private_goes_out(relay: &Relay, server: &Server, flags: &[&str], reason: &str) {
    for flag in flags {
        let logins = server.events("auth").len();
        server.set(flag, true);
        let (event, to) = code_to(flag);
        let answer = event.deliver(relay);
        assert_eq!(answer.json()["status"], "queued", "{flag}: {}", answer.body);
        assert_eq!(answer.json()["reason"], reason, "{flag}");
        assert_eq!(server.events("auth").len(), logins, "{flag}");
        assert!(server.mails_to(&to).is_empty(), "{flag}");
        server.set(flag, false);
        assert_eq!(server.wait_for_mails(&to, 1).len(), 1, "{flag}");
    }
}

/// `relayctl` with the same settings as the Worker.
fn operator(stage: &Stage, server: &Server) -> Relayctl {
    let folder = server.folder.join("operator");
    fs::create_dir_all(&folder).unwrap();
    let authority = server.folder.join("authority.pem");
    Relayctl::new(&folder)
        .env("NYLAS_API_BASE", stage.nylas.base_url())
        .env("NYLAS_API_KEY", API_KEY)
        .env("NYLAS_GRANT_ID", GRANT)
        .env("SMTP_HOST", "localhost")
        .env("SMTP_PORT", server.port.to_string())
        .env("SMTP_PASSWORD", PASSWORD)
        .env("NODE_EXTRA_CA_CERTS", authority.display().to_string())
}

/// What `relayctl doctor` finds of the login.
fn doctor(stage: &Stage, server: &Server, settings: &[(&'static str, String)]) -> Value {
    let mut relayctl = operator(stage, server);
    for (name, value) in settings {
        relayctl = relayctl.env(name, value);
    }
    let ran = relayctl.run(&["doctor", "--json", "--only", "nylas"]);
    assert!(!ran.all().contains("Passw0rd"), "{}", ran.all());
    let document = ran.json();
    let mut findings = document["checks"].as_array().unwrap().iter();
    let of_smtp = findings.find(|finding| finding["id"] == "nylas-smtp");
    of_smtp.unwrap().clone()
}

fn doctor_logs_in_and_says_why_it_cannot(stage: &Stage, server: &Server) {
    let (mails, logins) = (server.events("mail").len(), || server.events("auth").len());
    let before = logins();
    let good = doctor(stage, server, &[]);
    assert_eq!(good["state"], "pass", "{good}");
    let cause = good["cause"].as_str().unwrap();
    assert!(cause.ends_with("takes the password"), "{good}");
    assert_eq!(logins(), before + 1);
    let wrong = ("SMTP_PASSWORD", "Another-Passw0rd".to_owned());
    fails(&doctor(stage, server, &[wrong]), "account_unauthorized");
    let before = logins();
    for flag in BAD_CERTIFICATES {
        server.set(flag, true);
        fails(&doctor(stage, server, &[]), "no encrypted connection");
        server.set(flag, false);
    }
    assert_eq!(logins(), before);
    // Each account logs in with its own password.
    let accounts = serde_json::json!([
        {"grant_id": FIRST, "email": "auth@first.example"},
        {"grant_id": GRANT, "email": "auth@acme.example"},
    ]);
    let passwords = serde_json::json!({FIRST: PASSWORD, GRANT: "Another-Passw0rd"});
    let pair = [
        ("NYLAS_GRANT_ID", String::new()),
        ("NYLAS_ACCOUNTS", accounts.to_string()),
        ("SMTP_PASSWORD", passwords.to_string()),
    ];
    fails(
        &doctor(stage, server, &pair),
        "auth@acme.example: the mail server refuses",
    );
    // Nobody can log in as an account whose address is not known.
    let before = logins();
    let unknown = ("NYLAS_GRANT_ID", "unknown-grant".to_owned());
    let skipped = doctor(stage, server, &[unknown]);
    assert_eq!(skipped["state"], "skip", "{skipped}");
    let cause = skipped["cause"].as_str().unwrap();
    assert!(cause.ends_with("no login as unknown-grant"), "{skipped}");
    assert_eq!(logins(), before);
    assert_eq!(server.events("mail").len(), mails);
}

fn fails(finding: &Value, because: &str) {
    assert_eq!(finding["state"], "fail", "{finding}");
    assert!(
        finding["cause"].as_str().unwrap().contains(because),
        "{finding}"
    );
}

/// `relayctl prove` hands a mail in and looks for it in a mailbox that keeps its `Message-ID`, or has its own.
fn prove_says_whether_message_ids_are_kept(stage: &Stage, server: &Server) {
    for (shown_as, verdict, came) in [
        (None, "holds", "shows it under its Message-ID"),
        (
            Some("<1@nylas.example>"),
            "does_not_hold",
            "without its Message-ID",
        ),
    ] {
        let before = server.mails_to("auth@acme.example").len();
        let proved = thread::scope(|scope| {
            let proved = scope.spawn(|| prove(stage, server));
            let mail = server
                .wait_for_mails("auth@acme.example", before + 1)
                .remove(before);
            let id = header(&mail, "Message-ID");
            assert!(
                id.starts_with("<msg_sample_prove_") && id.ends_with("@acme.example>"),
                "{id}"
            );
            stage.nylas.submitted(&Submitted {
                grant_id: GRANT.to_owned(),
                to: "auth@acme.example".to_owned(),
                headers: vec![
                    ("Subject".into(), header(&mail, "Subject").into()),
                    ("Message-ID".into(), shown_as.unwrap_or(id).into()),
                ],
            });
            proved.join().unwrap()
        });
        assert_eq!(proved["verdict"], verdict, "{proved}");
        assert!(proved["came"].as_str().unwrap().contains(came), "{proved}");
        assert_eq!(server.mails_to("auth@acme.example").len(), before + 1);
    }
    // Where the server does not take the mail, nothing is told.
    server.set("deny-auth", true);
    let untold = prove(stage, server);
    server.set("deny-auth", false);
    assert_eq!(untold["verdict"], "could_not_be_told", "{untold}");
    assert!(
        untold["came"]
            .as_str()
            .unwrap()
            .contains("refuses the login"),
        "{untold}"
    );
}

/// What `relayctl prove` says of Message-IDs.
fn prove(stage: &Stage, server: &Server) -> Value {
    let ran = operator(stage, server).run(&["prove", "--yes", "--json", "--second-ms", "100"]);
    for private in ["Passw0rd", "@", "localhost"] {
        assert!(!ran.all().contains(private), "{}", ran.all());
    }
    let document = ran.json();
    let mut answers = document["answers"].as_array().unwrap().iter();
    let of_smtp = answers.find(|answer| answer["id"] == "message-ids-kept");
    of_smtp.unwrap().clone()
}

fn over_starttls_nothing_private_goes_out_unless_it_is_encrypted(stage: &Stage) {
    let Some(server) = Server::start("starttls", false) else {
        return;
    };
    let relay = Relay::start("starttls", server.settings(stage));
    let flags = ["strip-starttls", "inject", "other-host", "untrusted"];
    nothing_private_goes_out(&relay, &server, &flags, "smtp_not_encrypted");
    doctor_logs_in_and_says_why_it_cannot(stage, &server);
    prove_says_whether_message_ids_are_kept(stage, &server);
    let login = server.events("auth").remove(0);
    assert_eq!(login["encrypted"], true);
    // A healthy server: within the budget, and the sender does not hang afterwards.
    let event = Event::code();
    assert_eq!(event.deliver(&relay).answer(), (200, "sent".into()));
    assert_eq!(server.wait_for_mails(&recipient(&event), 1).len(), 1);
    is_not_logged(&relay);
}
