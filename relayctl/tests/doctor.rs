//! `relayctl doctor`: a healthy relay passes. Each fault is planted alone, and doctor names it and nothing else.

// A test may stop at its first mistake.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use clerk_nylas_relay::signature::PUBLIC_SIGNING_SECRETS;
use common::{
    ADMIN_TOKEN, API_KEY, Answer, CLERK_KEY, FakeRelay, Folder, OTHER_SECRET, Relayctl, SECRET,
    Server,
};
use nylas_stand_in::{Account, AccountState, Action, Options, RequestKind, Rule, StandIn};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

const GRANT: &str = "b1a2c3d4-0000-4000-8000-000000000001";
const TRIGGERS: [&str; 9] = [
    "message.created",
    "message.send_failed",
    "message.delivered",
    "message.bounced",
    "message.complaint",
    "message.rejected",
    "grant.expired",
    "grant.deleted",
    "grant.updated",
];

fn without(trigger: &str) -> Vec<&'static str> {
    let mut triggers = TRIGGERS.to_vec();
    triggers.retain(|known| *known != trigger);
    triggers
}

/// A healthy relay and everything around it. Each fault changes one thing in it.
struct World {
    toml: String,
    env: BTreeMap<&'static str, String>,
    relay: FakeRelay,
    summary: Value,
    account_name: Option<&'static str>,
    grant: Value,
    grant_state: Option<AccountState>,
    grant_id: &'static str,
    elsewhere: bool,
    nylas_down: bool,
    webhook: Option<(&'static str, Vec<&'static str>)>,
    webhook_status: &'static str,
    clerk_code: u16,
    templates: Value,
    clerk_domain: &'static str,
    names: BTreeMap<&'static str, Vec<&'static str>>,
    dns_code: u16,
    sent: u32,
    args: Vec<&'static str>,
    relay_up: bool,
}

impl World {
    fn healthy() -> Self {
        let env = [
            ("CLERK_WEBHOOK_SIGNING_SECRET", SECRET),
            ("NYLAS_API_KEY", API_KEY),
            ("ADMIN_TOKEN", ADMIN_TOKEN),
            ("CLERK_SECRET_KEY", "sk_live_for_tests"),
        ];
        let names = [
            ("mail.acme.example MX", vec!["10 mx.nylas.example."]),
            (
                "mail.acme.example TXT",
                vec!["\"other=1\"", "\"v=spf1 include:nylas.example\" \" -all\""],
            ),
            (
                "s1._domainkey.mail.acme.example TXT",
                vec!["\"v=DKIM1; k=rsa; p=MIIB\""],
            ),
            ("_dmarc.acme.example TXT", vec!["\"v=DMARC1; p=none\""]),
        ];
        let template = |slug: &str| json!({"slug": slug, "delivered_by_clerk": false, "from_email_name": "login"});
        Self {
            toml: include_str!("../../wrangler.toml").to_owned(),
            env: env.map(|(name, value)| (name, value.to_owned())).into(),
            relay: FakeRelay::default(),
            summary: json!({
                "deliveries": {"dead_lettered": 0}, "accounts": [{"grant_id": GRANT, "state": "up"}],
                "oldest_queued_ms": 900,
            }),
            account_name: Some("Acme"),
            grant: Value::Null,
            grant_state: None,
            grant_id: GRANT,
            elsewhere: false,
            nylas_down: false,
            webhook: Some(("", TRIGGERS.into())),
            webhook_status: "active",
            clerk_code: 200,
            templates: json!([
                template("verification_code"),
                template("magic_link_sign_in")
            ]),
            clerk_domain: "acme.example",
            names: names.into(),
            dns_code: 200,
            sent: 0,
            args: vec!["--dkim-selector", "s1"],
            relay_up: true,
        }
    }

    fn toml(&mut self, from: &str, to: &str) {
        assert!(self.toml.contains(from), "{from}");
        self.toml = self.toml.replacen(from, to, 1);
    }

    fn var(&mut self, name: &str, value: &str) {
        self.toml("[vars]\n", &format!("[vars]\n{name} = '{value}'\n"));
    }

    /// What the checks found, by id: state, cause and fix.
    fn examine(mut self) -> BTreeMap<String, (String, String)> {
        let folder = Folder::new();
        let account = Account {
            grant_id: GRANT.into(),
            email: "login@mail.acme.example".into(),
            name: self.account_name.map(str::to_owned),
        };
        let nylas = StandIn::start_blocking(Options::new(API_KEY, vec![account.clone()])).unwrap();
        let other = StandIn::start_blocking(Options::new(
            API_KEY,
            if self.elsewhere {
                vec![account]
            } else {
                Vec::new()
            },
        ))
        .unwrap();
        if self.elsewhere {
            nylas.set_account_state(GRANT, AccountState::Gone);
        }
        if let Some(state) = self.grant_state {
            nylas.set_account_state(GRANT, state);
        }
        for number in 0..self.sent {
            send(&nylas, number);
        }
        if !self.grant.is_null() {
            let mut data = json!({
                "id": GRANT, "provider": "nylas", "email": "login@mail.acme.example", "name": "Acme",
                "grant_status": "valid", "blocked": false,
            });
            for (name, value) in self.grant.as_object().unwrap() {
                data[name] = value.clone();
            }
            nylas.script(Rule {
                grant_id: None,
                recipient: None,
                key_prefix: None,
                kind: RequestKind::Grant,
                times: None,
                action: Action::Answer {
                    status: 200,
                    body: json!({"data": data}),
                    headers: Vec::new(),
                    accept_mail: false,
                    keep: false,
                },
            });
        }
        // The answer is the stand-in's own, except for the status of the webhooks.
        let (base, status, down) = (nylas.base_url(), self.webhook_status, self.nylas_down);
        let front = Server::start(move |asked| {
            if down {
                return Answer::text(503, "");
            }
            forward(&base, asked, status)
        });
        let summary = self.summary.clone();
        if self.relay.admin.is_none() {
            self.relay.admin = Some(Arc::new(move |_| Answer::json(200, &summary)));
        }
        let relay = self.relay.start();
        if let Some((path, triggers)) = &self.webhook {
            let url = if path.is_empty() {
                format!("{}/api/webhooks/nylas", relay.url)
            } else {
                (*path).to_owned()
            };
            nylas.add_webhook(&url, "webhook-secret-for-tests", triggers);
        }
        let (code, templates, domain) = (self.clerk_code, self.templates, self.clerk_domain);
        let clerk = Server::start(move |asked| {
            assert!(asked.header("authorization").starts_with("Bearer sk_"));
            match asked.path.as_str() {
                "/v1/templates/email" if code == 200 => list_templates(asked, &templates),
                "/v1/templates/email" => Answer::json(code, &json!({"errors": []})),
                "/v1/domains" => {
                    Answer::json(200, &json!({"data": [{"name": domain}], "total_count": 1}))
                }
                _ => Answer::text(404, ""),
            }
        });
        let (names, dns_code) = (self.names, self.dns_code);
        let dns = Server::start(move |asked| {
            let (name, kind) = (asked.query("name").unwrap(), asked.query("type").unwrap());
            let number = if kind == "MX" { 15 } else { 16 };
            let records: Vec<Value> = names
                .get(format!("{name} {kind}").as_str())
                .into_iter()
                .flatten()
                .map(|data| json!({"name": name, "type": number, "TTL": 300, "data": data}))
                .collect();
            Answer::json(
                dns_code,
                &json!({"Status": if records.is_empty() { 3 } else { 0 }, "Answer": records}),
            )
        });
        let toml = self
            .toml
            .replace(
                "NYLAS_API_BASE = \"https://api.us.nylas.com\"",
                &format!("NYLAS_API_BASE = \"{}\"", front.url),
            )
            .replace(
                "NYLAS_GRANT_ID = \"\"",
                &format!("NYLAS_GRANT_ID = \"{}\"", self.grant_id),
            );
        folder.write("wrangler.toml", toml);
        let mut relayctl = Relayctl::new(&folder.0)
            .env("CLERK_API_BASE", &clerk.url)
            .env("RELAYCTL_DNS", &dns.url)
            .env("RELAYCTL_OTHER_REGION", other.base_url())
            .env(
                "RELAY_URL",
                if self.relay_up {
                    &relay.url
                } else {
                    "http://127.0.0.1:1"
                },
            );
        for (name, value) in &self.env {
            relayctl = relayctl.env(name, value);
        }
        let mut args = vec!["--json", "doctor"];
        args.extend(&self.args);
        let ran = relayctl.run(&args);
        for secret in [&SECRET[6..], API_KEY, ADMIN_TOKEN, CLERK_KEY] {
            assert!(
                !ran.all().contains(secret),
                "a secret is shown: {}",
                ran.all()
            );
        }
        let document = ran.json();
        let found: BTreeMap<String, (String, String)> = document["checks"]
            .as_array()
            .unwrap_or_else(|| panic!("{document}"))
            .iter()
            .map(|check| {
                let text = |name: &str| check[name].as_str().unwrap().to_owned();
                assert_eq!(text("docs"), format!("docs/doctor.md#{}", text("id")));
                assert!(
                    text("state") == "pass" || text("state") == "skip" || !text("fix").is_empty(),
                    "{check}"
                );
                (text("id"), (text("state"), text("cause")))
            })
            .collect();
        let failed = found.values().any(|(state, _)| state == "fail");
        assert_eq!(ran.code, i32::from(failed), "{document}");
        found
    }
}

/// Clerk's list: ten unless `limit` says otherwise, which is 1 to 500 (clerk/openapi-specs, bapi).
fn list_templates(asked: &common::Asked, templates: &Value) -> Answer {
    let number = |name: &str, otherwise: usize| {
        let given = asked.query(name);
        given.map_or(Ok(otherwise), |text| text.parse::<usize>())
    };
    match (number("limit", 10), number("offset", 0)) {
        (Ok(limit @ 1..=500), Ok(offset)) => {
            let all = templates.as_array().unwrap().iter();
            Answer::json(200, &all.skip(offset).take(limit).cloned().collect())
        }
        _ => Answer::json(
            422,
            &json!({"errors": [{"code": "form_param_value_invalid"}]}),
        ),
    }
}

/// That many templates; only the last of them is delivered by Clerk.
fn templates(count: usize) -> Value {
    let template = |number: usize| {
        json!({
            "slug": format!("template_{number}"), "delivered_by_clerk": number == count,
            "from_email_name": "login",
        })
    };
    (1..=count).map(template).collect()
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into()
}

fn send(nylas: &StandIn, number: u32) {
    let body = json!({
        "to": [{"email": format!("u{number}@example.com")}],
        "from": [{"email": "login@mail.acme.example"}], "subject": "s", "body": "b",
    });
    let answer = agent()
        .post(format!(
            "{}/v3/grants/{GRANT}/messages/send",
            nylas.base_url()
        ))
        .header("authorization", format!("Bearer {API_KEY}"))
        .header("content-type", "application/json")
        .send(body.to_string())
        .unwrap();
    assert_eq!(answer.status(), 200);
}

fn forward(base: &str, asked: &common::Asked, webhook_status: &str) -> Answer {
    let question = if asked.query.is_empty() {
        String::new()
    } else {
        format!("?{}", asked.query)
    };
    let url = format!("{base}{}{question}", asked.path);
    let mut answer = agent()
        .get(url)
        .header("authorization", asked.header("authorization"))
        .call()
        .unwrap();
    let mut body: Value = answer
        .body_mut()
        .read_to_string()
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    if asked.path == "/v3/webhooks" {
        for webhook in body["data"].as_array_mut().into_iter().flatten() {
            webhook["status"] = json!(webhook_status);
        }
    }
    Answer::json(answer.status().as_u16(), &body)
}

/// The agent's secret is at Cloudflare and not known here, which is no fault.
#[test]
fn what_is_only_known_to_the_worker_is_no_fault() {
    let mut world = World::healthy();
    world.var("REPLY_WEBHOOK_URL", "https://agent.example/replies");
    world.var("REPLY_FORWARD_TO", "support@acme.example");
    world.var("NYLAS_DAILY_CAP", "500");
    let found = world.examine();
    for id in ["config-replies", "config-operator", "config-schedule"] {
        assert_eq!(found[id].0, "pass", "{id}: {:?}", found[id]);
    }
}

#[test]
fn a_healthy_relay_passes_every_check() {
    let found = World::healthy().examine();
    assert_eq!(found.len(), relayctl::doctor::CHECKS.len());
    let not: Vec<_> = found
        .iter()
        .filter(|(_, (state, _))| state != "pass")
        .collect();
    // The only check without a planted setting, which is optional.
    let left_out: Vec<&String> = not.iter().map(|(id, _)| *id).collect();
    assert_eq!(left_out, ["config-nylas-webhook-secret"], "{not:?}");
}

/// A fault, the ids that must say so, with their state, and words of the first one's cause.
type Case = (
    &'static str,
    fn(&mut World),
    &'static [(&'static str, &'static str)],
    &'static str,
);

const CASES: &[Case] = &[
    (
        "a grant id that is an address",
        |world| world.grant_id = "login@mail.acme.example",
        &[("config-accounts", "fail")],
        "not a grant id",
    ),
    (
        "both kinds of accounts",
        |world| world.var("NYLAS_ACCOUNTS", "[]"),
        &[("config-accounts", "fail")],
        "keep one of the two",
    ),
    (
        "plain http to Nylas",
        |world| world.toml("https://api.us.nylas.com\"\n", "http://nylas.example\"\n"),
        &[("config-api-base", "fail")],
        "is not an https address",
    ),
    (
        "too long a budget",
        |world| {
            world.toml(
                "INLINE_SEND_BUDGET_MS = \"4000\"",
                "INLINE_SEND_BUDGET_MS = \"60000\"",
            )
        },
        &[("config-budget", "fail")],
        "0 to 10000",
    ),
    (
        "a template Clerk does not have",
        |world| {
            world.var(
                "TEMPLATES",
                "verification_code,magic_link_sign_in,email_code",
            )
        },
        &[("config-templates", "fail")],
        "email_code",
    ),
    (
        "an unknown template",
        |world| {
            world.var(
                "TEMPLATES",
                "verification_code,magic_link_sign_in,brand_new",
            )
        },
        &[("config-templates", "warn")],
        "brand_new",
    ),
    (
        "no ledger",
        |world| world.toml("binding = \"LEDGER\"", "binding = \"LODGER\""),
        &[("config-ledger", "fail")],
        "is not bound",
    ),
    (
        "no queue",
        |world| world.toml("binding = \"OUTBOX\"", "binding = \"OUTBIX\""),
        &[("config-queue", "warn")],
        "goes back to Clerk",
    ),
    (
        "nothing consumes the queue",
        |world| {
            world.toml(
                "[[queues.consumers]]\nqueue = \"clerk-nylas-relay-outbox\"",
                "[[queues.consumers]]\nqueue = \"another\"",
            )
        },
        &[("config-queue", "fail")],
        "nothing consumes",
    ),
    (
        "dead letters are not stored",
        |world| world.toml("dead_letter_queue", "# dead_letter_queue"),
        &[("config-queue", "fail")],
        "dead letters",
    ),
    (
        "one queue for everything",
        |world| world.toml("binding = \"INBOX\"", "binding = \"ANOTHER\""),
        &[("config-inbox", "warn")],
        "holds up sign-in mails",
    ),
    (
        "nothing consumes the second queue",
        |world| {
            world.toml(
                "[[queues.consumers]]\nqueue = \"clerk-nylas-relay-inbox\"",
                "[[queues.consumers]]\nqueue = \"another\"",
            )
        },
        &[("config-inbox", "fail")],
        "nothing consumes",
    ),
    (
        "mails wait for a batch",
        |world| world.toml("max_batch_timeout = 0", "max_batch_timeout = 5"),
        &[("config-queue", "warn")],
        "waits up to 5 s",
    ),
    (
        "no wrangler.toml worth the name",
        |world| world.toml("[vars]", "[vars"),
        &[("config-file", "fail"), ("config-accounts", "fail")],
        "is not TOML",
    ),
    (
        "a cut signing secret",
        |world| {
            world
                .env
                .insert("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_abcd".into());
        },
        &[("config-clerk-secret", "fail")],
        "too short",
    ),
    (
        "a key with a space",
        |world| {
            world.env.insert("NYLAS_API_KEY", "nyk wrong".into());
        },
        &[("config-nylas-key", "fail"), ("nylas-key", "fail")],
        "NYLAS_API_KEY",
    ),
    (
        "the mock secret",
        |world| {
            world
                .env
                .insert("NYLAS_WEBHOOK_SECRET", "mock-webhook-secret".into());
        },
        &[("config-nylas-webhook-secret", "fail")],
        "everybody knows",
    ),
    (
        "an agent's address that is not https",
        |world| world.var("REPLY_WEBHOOK_URL", "http://agent.example/replies"),
        &[("config-replies", "fail")],
        "REPLY_WEBHOOK_URL is not an https address",
    ),
    (
        "a secret for an agent who has no address",
        |world| {
            world.env.insert("REPLY_WEBHOOK_SECRET", SECRET.into());
        },
        &[("config-replies", "fail")],
        "REPLY_WEBHOOK_URL is missing",
    ),
    (
        "a cut secret for the agent",
        |world| {
            world.var("REPLY_WEBHOOK_URL", "https://agent.example/replies");
            world
                .env
                .insert("REPLY_WEBHOOK_SECRET", "whsec_abcd".into());
        },
        &[("config-replies", "fail")],
        "REPLY_WEBHOOK_SECRET is not a signing secret",
    ),
    (
        "a forwarding address that is none",
        |world| world.var("REPLY_FORWARD_TO", "support"),
        &[("config-replies", "fail")],
        "REPLY_FORWARD_TO is not one plain",
    ),
    (
        "a short token",
        |world| {
            world.env.insert("ADMIN_TOKEN", "short".into());
            world.relay.admin = Some(Arc::new(|_| Answer::json(401, &json!({}))));
        },
        &[("config-operator", "fail"), ("worker-admin", "fail")],
        "shorter than 16 characters",
    ),
    (
        "alerts that travel in the open",
        |world| {
            let url = "http://alerts.example/hook";
            world.env.insert("ALERT_WEBHOOK_URL", url.into());
        },
        &[("config-operator", "fail")],
        "ALERT_WEBHOOK_URL is not an https address",
    ),
    (
        "a cap that is no number",
        |world| world.var("NYLAS_DAILY_CAP", "plenty"),
        &[("config-operator", "fail")],
        "NYLAS_DAILY_CAP is not a whole number",
    ),
    (
        "a port of another kind of server",
        |world| {
            world.var("SMTP_HOST", "mail.nylas.example");
            world.var("SMTP_PORT", "25");
            world
                .env
                .insert("SMTP_PASSWORD", "App-password-of-tests-1".into());
        },
        &[("config-smtp", "fail"), ("nylas-smtp", "fail")],
        "SMTP_PORT",
    ),
    (
        "a mail server where nobody answers",
        |world| {
            world.var("SMTP_HOST", "127.0.0.1");
            world.var("SMTP_PORT", "1");
            world
                .env
                .insert("SMTP_PASSWORD", "App-password-of-tests-1".into());
        },
        &[("nylas-smtp", "fail")],
        "smtp_unreachable",
    ),
    (
        "no schedule",
        |world| world.toml("[triggers]\ncrons = [\"*/15 * * * *\"]\n", ""),
        &[("config-schedule", "warn")],
        "looks for nothing by itself",
    ),
    (
        "a secret in wrangler.toml",
        |world| world.var("ADMIN_TOKEN", "in-the-open-for-everybody"),
        &[("config-secrets-in-vars", "fail")],
        "ADMIN_TOKEN",
    ),
    (
        "a wrong key of Clerk's",
        |world| world.clerk_code = 401,
        &[("clerk-key", "fail")],
        "401",
    ),
    (
        "one template with Clerk",
        |world| world.templates[1]["delivered_by_clerk"] = json!(true),
        &[("clerk-templates", "warn")],
        "magic_link_sign_in",
    ),
    (
        "Bot Fight Mode",
        |world| {
            world.relay.stops_senders = Some(("cf-mitigated", "<title>Just a moment...</title>"));
        },
        &[("worker-as-svix", "fail")],
        "Bot Fight Mode",
    ),
    (
        "a WAF rule",
        |world| {
            let page =
                "<title>Attention Required! | Cloudflare</title><div id=\"cf-error-details\">";
            world.relay.stops_senders = Some(("", page));
        },
        &[("worker-as-svix", "fail")],
        "answers 403, before the Worker: Bot Fight Mode, or a WAF rule of the domain",
    ),
    (
        "something else that answers senders",
        |world| world.relay.stops_senders = Some(("", "<h1>Forbidden</h1>")),
        &[("worker-as-svix", "fail")],
        "a request as Clerk's sender makes it was answered 403",
    ),
    (
        "Under Attack Mode, which stops everybody",
        |world| {
            world.relay.stops_senders = Some(("cf-mitigated", "<title>Just a moment...</title>"));
            world.relay.stops_all = true;
        },
        &[("worker-reachable", "fail"), ("worker-as-svix", "fail")],
        "Cloudflare's own page answers 403",
    ),
    (
        "the eleventh template with Clerk, which lists ten unless it is asked for more",
        |world| world.templates = templates(11),
        &[("clerk-templates", "warn")],
        "10 left to the relay; still delivered by Clerk: template_11",
    ),
    (
        "one template more than Clerk lists at once",
        |world| world.templates = templates(501),
        &[("clerk-templates", "warn")],
        "500 left to the relay; still delivered by Clerk: template_501",
    ),
    (
        "more templates than are read",
        |world| world.templates = templates(2001),
        &[("clerk-templates", "warn")],
        "Clerk listed 2000, the most that are read, so there may be more; of these: all 2000",
    ),
    (
        "all templates with Clerk",
        |world| {
            for template in world.templates.as_array_mut().unwrap() {
                template["delivered_by_clerk"] = json!(true);
            }
        },
        &[("clerk-templates", "fail")],
        "sends nothing",
    ),
    (
        "a template nobody sends",
        |world| world.var("TEMPLATES", "verification_code"),
        &[("clerk-filter", "fail")],
        "magic_link_sign_in",
    ),
    (
        "another From name at Clerk",
        |world| world.templates[0]["from_email_name"] = json!("notifications"),
        &[("clerk-from", "warn")],
        "notifications@",
    ),
    (
        "another domain",
        |world| world.clerk_domain = "other.example",
        &[("clerk-domain", "warn")],
        "phishing",
    ),
    (
        "Nylas fails",
        |world| world.nylas_down = true,
        &[("nylas-reachable", "fail")],
        "503",
    ),
    (
        "a wrong key of Nylas'",
        |world| {
            world.env.insert("NYLAS_API_KEY", "nyk_other".into());
        },
        &[("nylas-key", "fail")],
        "401",
    ),
    (
        "the other region",
        |world| world.elsewhere = true,
        &[("nylas-region", "fail")],
        "other region",
    ),
    (
        "an unknown account",
        |world| world.grant_state = Some(AccountState::Gone),
        &[("nylas-grant", "fail")],
        "knows no account",
    ),
    (
        "a mailbox that is no Agent Account",
        |world| world.grant = json!({"provider": "google"}),
        &[("nylas-provider", "fail")],
        "google",
    ),
    (
        "an invalid grant",
        |world| world.grant = json!({"grant_status": "invalid"}),
        &[("nylas-status", "fail")],
        "invalid",
    ),
    (
        "a blocked account",
        |world| world.grant_state = Some(AccountState::Blocked),
        &[("nylas-blocked", "fail")],
        "blocked",
    ),
    (
        "another address than configured",
        |world| {
            world.toml("NYLAS_GRANT_ID = \"\"", "");
            let account =
                json!({"grant_id": GRANT, "email": "old@mail.acme.example", "name": "Acme"});
            world.var("NYLAS_ACCOUNTS", &json!([account]).to_string());
        },
        &[("nylas-address", "fail")],
        "old@mail.acme.example",
    ),
    (
        "no display name",
        |world| world.account_name = None,
        &[("nylas-name", "warn")],
        "bare address",
    ),
    (
        "the cap is near",
        |world| {
            world.sent = 8;
            world.args.extend(["--daily-cap", "10"]);
        },
        &[("nylas-sent-today", "warn")],
        "8 of 10",
    ),
    (
        "the cap is used up",
        |world| {
            world.sent = 10;
            world.args.extend(["--daily-cap", "10"]);
        },
        &[("nylas-sent-today", "fail")],
        "nothing more",
    ),
    (
        "the cap of wrangler.toml reached",
        |world| {
            world.sent = 3;
            world.var("NYLAS_DAILY_CAP", "3");
        },
        &[("nylas-sent-today", "fail")],
        "3 of 3",
    ),
    (
        "no webhook at Nylas",
        |world| world.webhook = None,
        &[("nylas-webhook", "warn")],
        "unread",
    ),
    (
        "a webhook to another Worker",
        |world| world.webhook = Some(("http://127.0.0.1:1/api/webhooks/nylas", TRIGGERS.into())),
        &[("nylas-webhook", "fail")],
        "Nylas notifies http://127.0.0.1:1",
    ),
    (
        "a webhook that failed",
        |world| world.webhook_status = "failed",
        &[("nylas-webhook-status", "fail")],
        "failed",
    ),
    (
        "a webhook without the answers",
        |world| world.webhook = Some(("", without("message.created"))),
        &[("nylas-webhook-triggers", "fail")],
        "message.created",
    ),
    (
        "a webhook without failures of queued mails",
        |world| world.webhook = Some(("", without("message.send_failed"))),
        &[("nylas-webhook-triggers", "fail")],
        "message.send_failed",
    ),
    (
        "a webhook without bounces",
        |world| world.webhook = Some(("", without("message.bounced"))),
        &[("nylas-webhook-triggers", "warn")],
        "message.bounced",
    ),
    (
        "an address without https, where nobody is",
        |world| world.args.extend(["--url", "http://0.0.0.0:1"]),
        &[
            ("worker-url", "fail"),
            ("worker-reachable", "fail"),
            ("nylas-webhook", "fail"),
        ],
        "mails would travel in the open",
    ),
    (
        "the Worker is not there",
        |world| {
            world.relay_up = false;
            world.webhook = None;
        },
        &[("worker-reachable", "fail"), ("nylas-webhook", "warn")],
        "nothing listens",
    ),
    (
        "another version",
        |world| world.relay.version = "0.0.1".into(),
        &[("worker-version", "warn")],
        "0.0.1",
    ),
    (
        "the Worker lacks a setting",
        |world| {
            world.relay.problems = vec![json!({"name": "NYLAS_GRANT_ID", "problem": "is missing"})]
        },
        &[("worker-settings", "fail")],
        "NYLAS_GRANT_ID is missing",
    ),
    (
        "an optional setting is wrong",
        |world| {
            world.relay.degraded =
                vec![json!({"name": "NYLAS_DAILY_CAP", "problem": "is not a whole number from 1"})]
        },
        &[("worker-settings", "warn")],
        "NYLAS_DAILY_CAP is not a whole number",
    ),
    (
        "clocks an hour apart",
        |world| world.relay.clock_off_seconds = 3600,
        &[("worker-clock", "fail")],
        "differ by",
    ),
    (
        "clocks a minute apart",
        |world| world.relay.clock_off_seconds = -60,
        &[("worker-clock", "warn")],
        "differ",
    ),
    (
        "another signing secret",
        |world| world.relay.secret = OTHER_SECRET.into(),
        &[("worker-signature", "fail")],
        "refuses what the secret",
    ),
    (
        "any signature is accepted",
        |world| world.relay.accepts_forgeries = true,
        &[("worker-forgery", "fail")],
        "forged",
    ),
    (
        "a signature with a published secret is accepted",
        |world| {
            world.relay.secret = PUBLIC_SIGNING_SECRETS[0].into();
            world.env.insert(
                "CLERK_WEBHOOK_SIGNING_SECRET",
                PUBLIC_SIGNING_SECRETS[0].into(),
            );
        },
        &[("worker-forgery", "warn")],
        "a published signing secret",
    ),
    (
        "something changes the challenge",
        |world| world.relay.echo = false,
        &[("worker-challenge", "fail")],
        "not the challenge",
    ),
    (
        "no secret for notifications",
        |world| world.relay.nylas_code = 503,
        &[("worker-notifications", "warn")],
        "NYLAS_WEBHOOK_SECRET",
    ),
    (
        "unsigned notifications are accepted",
        |world| world.relay.nylas_code = 200,
        &[("worker-notifications", "fail")],
        "answered 200",
    ),
    (
        "another admin token",
        |world| {
            world
                .env
                .insert("ADMIN_TOKEN", "another-token-than-its-own".into());
        },
        &[("worker-admin", "fail")],
        "another ADMIN_TOKEN",
    ),
    (
        "no admin token",
        |world| {
            world.relay.admin = Some(Arc::new(|_| {
                Answer::json(404, &json!({"status": "not_found"}))
            }))
        },
        &[("worker-admin", "warn")],
        "no operator API",
    ),
    (
        "an account is down",
        |world| {
            world.summary["accounts"][0] =
                json!({"grant_id": GRANT, "state": "down", "reason": "account_paused"})
        },
        &[("worker-accounts", "fail")],
        "account_paused",
    ),
    (
        "dead letters",
        |world| world.summary["deliveries"]["dead_lettered"] = json!(3),
        &[("worker-dead-letters", "warn")],
        "3 mails",
    ),
    (
        "a backlog",
        |world| world.summary["oldest_queued_ms"] = json!(90_000),
        &[("worker-backlog", "warn")],
        "90 s",
    ),
    (
        "no MX",
        |world| {
            world.names.remove("mail.acme.example MX");
        },
        &[("dns-mx", "fail")],
        "no MX",
    ),
    (
        "no SPF",
        |world| {
            world.names.remove("mail.acme.example TXT");
        },
        &[("dns-spf", "fail")],
        "no SPF",
    ),
    (
        "two SPF records",
        |world| {
            world
                .names
                .get_mut("mail.acme.example TXT")
                .unwrap()
                .push("\"v=spf1 -all\"")
        },
        &[("dns-spf", "fail")],
        "2 SPF",
    ),
    (
        "SPF for everybody",
        |world| {
            world
                .names
                .insert("mail.acme.example TXT", vec!["\"v=spf1 +all\""]);
        },
        &[("dns-spf", "fail")],
        "anybody",
    ),
    (
        "no DKIM key",
        |world| {
            world.names.remove("s1._domainkey.mail.acme.example TXT");
        },
        &[("dns-dkim", "fail")],
        "no key",
    ),
    (
        "a revoked DKIM key",
        |world| {
            world.names.insert(
                "s1._domainkey.mail.acme.example TXT",
                vec!["\"v=DKIM1; p=\""],
            );
        },
        &[("dns-dkim", "fail")],
        "revoked",
    ),
    (
        "no DMARC",
        |world| {
            world.names.remove("_dmarc.acme.example TXT");
        },
        &[("dns-dmarc", "warn")],
        "no DMARC",
    ),
    (
        "names cannot be looked up",
        |world| world.dns_code = 500,
        &[
            ("dns-mx", "warn"),
            ("dns-spf", "warn"),
            ("dns-dkim", "warn"),
            ("dns-dmarc", "warn"),
        ],
        "could not be looked up",
    ),
];

#[test]
fn each_fault_is_named_and_nothing_else_is() {
    let results: Vec<_> = std::thread::scope(|scope| {
        let chunks: Vec<_> = CASES.chunks(CASES.len().div_ceil(4)).collect();
        let threads: Vec<_> = chunks
            .into_iter()
            .map(|chunk| scope.spawn(move || chunk.iter().map(mistake_in).collect::<Vec<_>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let wrong: Vec<String> = results.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_check_has_a_fault_that_it_names() {
    let planted = |id: &str| {
        let mut expected = CASES.iter().flat_map(|(_, _, expected, _)| *expected);
        expected.any(|(named, _)| *named == id)
    };
    let ids = relayctl::doctor::CHECKS.iter().map(|(id, _)| *id);
    let without: Vec<&str> = ids.filter(|id| !planted(id)).collect();
    assert_eq!(without, [""; 0]);
}

/// What doctor got wrong about a fault, if anything.
fn mistake_in((name, plant, expected, words): &Case) -> Option<String> {
    let mut world = World::healthy();
    plant(&mut world);
    let found = world.examine();
    let mut named: Vec<(&str, &str)> = found
        .iter()
        .filter(|(_, (state, _))| state == "warn" || state == "fail")
        .map(|(id, (state, _))| (id.as_str(), state.as_str()))
        .collect();
    let mut wanted = expected.to_vec();
    named.sort_unstable();
    wanted.sort_unstable();
    let cause = &found[expected[0].0].1;
    (named != wanted || !cause.contains(words))
        .then(|| format!("{name}: found {named:?} ({cause}), expected {wanted:?} ({words})"))
}

#[test]
fn what_is_not_known_is_skipped_not_failed() {
    let folder = Folder::new();
    folder.write(
        "wrangler.toml",
        include_str!("../../wrangler.toml")
            .replace("NYLAS_GRANT_ID = \"\"", "NYLAS_GRANT_ID = \"g1\""),
    );
    let ran = Relayctl::new(&folder.0).run(&["doctor"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    // One line says how many and what to set; the document names each.
    let document = Relayctl::new(&folder.0).run(&["doctor", "--json"]).json();
    let checks = document["checks"].as_array().unwrap();
    let is_skipped = |check: &&Value| check["state"] == "skip";
    let count = checks.iter().filter(is_skipped).count();
    let line = format!(
        "skip  {count} checks, because CLERK_SECRET_KEY, CLERK_WEBHOOK_SIGNING_SECRET, NYLAS_API_KEY, \
         NYLAS_WEBHOOK_SECRET are not known (set them in the environment or .dev.vars); the Worker's address is not \
         known (name it with --url, or RELAY_URL); --json lists them"
    );
    let of_skips: Vec<&str> = ran
        .out
        .lines()
        .filter(|line| line.trim_start().starts_with("skip"))
        .collect();
    assert_eq!(of_skips, [line]);
    let totals = format!("0 failed, {count} skipped");
    assert!(count > 20 && ran.out.contains(&totals), "{}", ran.out);
    let strict = World::healthy();
    let found = strict.examine();
    assert_eq!(found["config-file"].0, "pass");
}

/// What cannot be there is one line, and neither Clerk nor a name service is asked, whatever the environment has.
#[test]
fn of_the_relay_of_make_dev_what_it_cannot_have_is_skipped() {
    let folder = Folder::new();
    folder.write("wrangler.toml", include_str!("../../wrangler.toml"));
    let account = Account {
        grant_id: GRANT.into(),
        email: "notifications@acme.example".into(),
        name: Some("Acme".into()),
    };
    let nylas = StandIn::start_blocking(Options::new(API_KEY, vec![account])).unwrap();
    let mut healthy = World::healthy();
    let summary = healthy.summary.clone();
    healthy.relay.admin = Some(Arc::new(move |_| Answer::json(200, &summary)));
    let relay = healthy.relay.start();
    let webhook = format!("{}/api/webhooks/nylas", relay.url);
    nylas.add_webhook(&webhook, "webhook-secret-for-tests", &TRIGGERS);
    let profile = [
        ("RELAY_URL", relay.url.as_str()),
        ("CLERK_WEBHOOK_SIGNING_SECRET", SECRET),
        ("ADMIN_TOKEN", ADMIN_TOKEN),
        ("NYLAS_API_BASE", &nylas.base_url()),
        ("NYLAS_API_KEY", API_KEY),
        ("NYLAS_GRANT_ID", GRANT),
        ("NYLAS_WEBHOOK_SECRET", "webhook-secret-for-tests"),
    ];
    let lines = profile.map(|(name, value)| format!("{name}={value}\n"));
    folder.write(".wrangler/relay-local.env", lines.concat());
    let elsewhere = Server::start(|asked| panic!("asked elsewhere: {asked:?}"));
    let ran = Relayctl::new(&folder.0)
        .env("CLERK_SECRET_KEY", CLERK_KEY)
        .env("CLERK_API_BASE", &elsewhere.url)
        .env("RELAYCTL_DNS", &elsewhere.url)
        .run(&["--local", "doctor"]);
    let line = "skip  9 checks, because `make dev` plays neither Clerk's API nor a name service; --json lists them";
    assert!(ran.out.lines().any(|shown| shown == line), "{}", ran.all());
    assert!(
        ran.out.contains(" 0 warned, 0 failed, 9 skipped"),
        "{}",
        ran.all()
    );
}

#[test]
fn a_published_signing_secret_is_a_fault_where_mails_go_out() {
    let folder = Folder::new();
    folder.write(
        "wrangler.toml",
        include_str!("../../wrangler.toml")
            .replace("NYLAS_GRANT_ID = \"\"", "NYLAS_GRANT_ID = \"g1\""),
    );
    for public in PUBLIC_SIGNING_SECRETS {
        let ran = Relayctl::new(&folder.0)
            .env("CLERK_WEBHOOK_SIGNING_SECRET", public)
            .run(&["doctor", "--only", "config", "--json"]);
        assert_eq!(ran.code, 1, "{}", ran.all());
        let document = ran.json();
        let checks = document["checks"].as_array().unwrap();
        let failed: Vec<&Value> = checks
            .iter()
            .filter(|check| check["state"] == "fail")
            .collect();
        assert_eq!(failed.len(), 1, "{document}");
        assert_eq!(failed[0]["id"], "config-clerk-secret");
        assert!(!ran.all().contains(public), "{}", ran.all());
    }
}

#[test]
fn every_check_has_its_section() {
    let docs = include_str!("../../docs/doctor.md");
    for (id, _) in relayctl::doctor::CHECKS {
        assert!(
            docs.lines().any(|line| line == format!("### {id}")),
            "docs/doctor.md has no section {id}"
        );
    }
}

#[test]
fn the_address_is_taken_from_nylas_webhook_where_it_is_not_given() {
    let folder = Folder::new();
    let relay = FakeRelay::default().start();
    let account = Account {
        grant_id: GRANT.into(),
        email: "login@acme.example".into(),
        name: None,
    };
    let nylas = StandIn::start_blocking(Options::new(API_KEY, vec![account])).unwrap();
    nylas.add_webhook(&format!("{}/api/webhooks/nylas", relay.url), "s", &TRIGGERS);
    let ran = Relayctl::new(&folder.0)
        .env("NYLAS_API_KEY", API_KEY)
        .env("NYLAS_API_BASE", nylas.base_url())
        .env("NYLAS_GRANT_ID", GRANT)
        .run(&["doctor", "--only", "worker", "--json"]);
    let document = ran.json();
    let url = &document["checks"][0];
    assert!(
        url["cause"]
            .as_str()
            .unwrap()
            .contains("from Nylas' webhook"),
        "{document}"
    );
    assert_eq!(ran.code, 0, "{document}");
}
