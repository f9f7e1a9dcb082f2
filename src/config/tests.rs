use super::{reader::CLERK_SECRET_IS_PUBLIC, *};
use crate::signature::PUBLIC_SIGNING_SECRETS;

const SECRET: &str = "whsec_eBu8e2sIrFkw0EI7vgc7oBhpj8BJMwRr";

fn read(changes: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    let bound = Bound {
        ledger: true,
        outbox: true,
    };
    read_bound(changes, bound)
}

fn read_bound(changes: &[(&str, &str)], bound: Bound) -> Result<Config, Vec<Problem>> {
    let mut settings = vec![
        ("CLERK_WEBHOOK_SIGNING_SECRET", SECRET),
        ("NYLAS_API_KEY", "nyk_v0_key"),
        ("NYLAS_GRANT_ID", "4a1b2c3d-0000-4000-8000-000000000001"),
    ];
    settings.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    settings.extend_from_slice(changes);
    Config::read(
        |name| {
            let found = settings.iter().find(|(candidate, _)| *candidate == name);
            found.map(|(_, value)| (*value).to_owned())
        },
        bound,
    )
}

fn problems(changes: &[(&str, &str)]) -> Vec<&'static str> {
    match read(changes) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|problem| problem.name).collect(),
    }
}

fn read_nothing() -> Result<Config, Vec<Problem>> {
    let bound = Bound {
        ledger: false,
        outbox: false,
    };
    Config::read(|_| None, bound)
}

#[test]
fn always_queueing_needs_a_queue() {
    let simple = Bound {
        ledger: true,
        outbox: false,
    };
    assert!(read_bound(&[], simple).is_ok());
    let problems = read_bound(&[("INLINE_SEND_BUDGET_MS", "0")], simple).unwrap_err();
    assert_eq!(problems[0].name, "INLINE_SEND_BUDGET_MS");
}

#[test]
fn three_settings_are_enough() {
    let config = read(&[]).unwrap();
    assert_eq!(config.accounts.len(), 1);
    assert_eq!(config.inline_send_budget, Duration::from_millis(4_000));
    assert_eq!(config.templates, None);
    assert!(config.nylas_webhook_secrets.is_empty());
    assert_eq!(
        Some(config.nylas_api_base),
        ApiBase::parse(NYLAS_API_BASE_DEFAULT)
    );
}

#[test]
fn every_wrong_setting_is_named_at_once_and_no_value_is_shown() {
    let nothing = read_nothing().unwrap_err();
    let names = nothing
        .iter()
        .map(|problem| problem.name)
        .collect::<Vec<_>>();
    assert_eq!(
        names,
        [
            "CLERK_WEBHOOK_SIGNING_SECRET",
            "NYLAS_API_KEY",
            "NYLAS_GRANT_ID",
            "LEDGER"
        ]
    );
    let bad = read(&[
        ("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_PLANTED"),
        ("NYLAS_API_KEY", "PLANTED key"),
        ("NYLAS_GRANT_ID", "PLANTED@example.com"),
        ("NYLAS_API_BASE", "http://PLANTED.example"),
        ("INLINE_SEND_BUDGET_MS", "PLANTED"),
        ("NYLAS_WEBHOOK_SECRET", "mock-webhook-secret"),
        ("TEMPLATES", ","),
    ])
    .unwrap_err();
    assert_eq!(bad.len(), 7);
    assert!(!format!("{bad:?}").contains("PLANTED"));
}

/// Its own feature is off, and nothing else.
#[test]
fn a_wrong_optional_setting_stops_no_mail() {
    const GOOD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let agent = |url, secret| vec![("REPLY_WEBHOOK_URL", url), ("REPLY_WEBHOOK_SECRET", secret)];
    for (settings, wrong) in [
        (vec![("ADMIN_TOKEN", "PLANTED")], vec!["ADMIN_TOKEN"]),
        (
            vec![("ALERT_WEBHOOK_URL", "http://PLANTED.example")],
            vec!["ALERT_WEBHOOK_URL"],
        ),
        (
            vec![("NYLAS_DAILY_CAP", "PLANTED")],
            vec!["NYLAS_DAILY_CAP"],
        ),
        (vec![("NYLAS_DAILY_CAP", "0")], vec!["NYLAS_DAILY_CAP"]),
        (
            vec![("NYLAS_FROM_NAME", "PLANTED\nname")],
            vec!["NYLAS_FROM_NAME"],
        ),
        (
            vec![("NYLAS_WEBHOOK_SECRET", "mock-webhook-secret")],
            vec!["NYLAS_WEBHOOK_SECRET"],
        ),
        (
            vec![("REPLY_FORWARD_TO", "PLANTED")],
            vec!["REPLY_FORWARD_TO"],
        ),
        (
            vec![("REPLY_WEBHOOK_URL", "https://agent.example/")],
            vec!["REPLY_WEBHOOK_SECRET"],
        ),
        (
            vec![("REPLY_WEBHOOK_SECRET", GOOD_SECRET)],
            vec!["REPLY_WEBHOOK_URL"],
        ),
        (
            agent("https://agent.example/", "PLANTED"),
            vec!["REPLY_WEBHOOK_SECRET"],
        ),
        (
            agent("http://PLANTED.example/", "PLANTED"),
            vec!["REPLY_WEBHOOK_URL", "REPLY_WEBHOOK_SECRET"],
        ),
    ] {
        let config = read(&settings).unwrap();
        let named: Vec<_> = config.degraded.iter().map(|problem| problem.name).collect();
        assert_eq!(named, wrong);
        assert!(!format!("{:?}", config.degraded).contains("PLANTED"));
        assert!(config.agent.is_none() && config.admin_token.is_none());
        assert!(config.alert_url.is_none() && config.daily_cap.is_none());
        assert!(config.forward_to.is_none() && !config.hears_nylas());
        assert_eq!(config.accounts[0].name, None);
    }
    assert!(read(&[]).unwrap().degraded.is_empty());
}

/// One look at `/health` names them all.
#[test]
fn what_is_off_is_named_beside_what_stops_mails() {
    let wrong = problems(&[("NYLAS_API_KEY", ""), ("ADMIN_TOKEN", "short")]);
    assert_eq!(wrong, ["NYLAS_API_KEY", "ADMIN_TOKEN"]);
}

/// What stops mails comes first. `/health` and the log show them in this order.
#[test]
fn wrong_settings_are_named_in_a_fixed_order() {
    let bound = Bound {
        ledger: false,
        outbox: false,
    };
    let wrong = [
        ("CLERK_WEBHOOK_SIGNING_SECRET", ","),
        ("NYLAS_API_KEY", "a b"),
        ("NYLAS_ACCOUNTS", "[]"),
        ("NYLAS_API_BASE", "ftp://host"),
        ("TEMPLATES", ","),
        ("INLINE_SEND_BUDGET_MS", "0"),
        ("NYLAS_WEBHOOK_SECRET", "mock-webhook-secret"),
        ("NYLAS_FROM_NAME", "a\u{1}b"),
        ("REPLY_WEBHOOK_URL", "ftp://host"),
        ("REPLY_WEBHOOK_SECRET", "short"),
        ("REPLY_FORWARD_TO", "nobody"),
        ("ADMIN_TOKEN", "short"),
        ("ALERT_WEBHOOK_URL", "ftp://host"),
        ("NYLAS_DAILY_CAP", "many"),
    ];
    let problems = read_bound(&wrong, bound).unwrap_err();
    let named: Vec<_> = problems.iter().map(|problem| problem.name).collect();
    let mut expected = wrong.map(|(name, _)| name).to_vec();
    expected.insert(6, "LEDGER");
    assert_eq!(named, expected);
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    assert!(
        read(&[
            ("NYLAS_ACCOUNTS", ""),
            ("TEMPLATES", " "),
            ("NYLAS_FROM_NAME", "")
        ])
        .is_ok()
    );
    assert_eq!(problems(&[("NYLAS_API_KEY", " ")]), ["NYLAS_API_KEY"]);
}

#[test]
fn several_signing_secrets_are_separated_by_spaces_or_commas() {
    let other = "whsec_AFT0EokOPsn1ENmUBxTYyv6KQwTs/AmB";
    for list in [
        format!("{SECRET} {other}"),
        format!("{SECRET},{other}\n"),
        format!(" {SECRET} , {other}"),
    ] {
        assert_eq!(
            read(&[("CLERK_WEBHOOK_SIGNING_SECRET", &list)])
                .unwrap()
                .clerk_secrets
                .len(),
            2
        );
    }
    let half = format!("{SECRET} whsec_short");
    assert_eq!(
        problems(&[("CLERK_WEBHOOK_SIGNING_SECRET", &half)]),
        ["CLERK_WEBHOOK_SIGNING_SECRET"]
    );
}

#[test]
fn a_published_signing_secret_is_refused_where_mails_go_out() {
    for public in PUBLIC_SIGNING_SECRETS {
        let bare = public.trim_start_matches("whsec_").to_owned();
        let among_others = format!("{SECRET} {public}");
        for secret in [public.to_owned(), bare, among_others] {
            for base in ["", "https://api.us.nylas.com", "https://api.eu.nylas.com"] {
                let settings = [
                    ("CLERK_WEBHOOK_SIGNING_SECRET", secret.as_str()),
                    ("NYLAS_API_BASE", base),
                ];
                let problem = Problem {
                    name: "CLERK_WEBHOOK_SIGNING_SECRET",
                    problem: CLERK_SECRET_IS_PUBLIC,
                };
                assert_eq!(read(&settings).unwrap_err(), [problem], "{base}");
            }
        }
    }
}

#[test]
fn a_published_signing_secret_will_do_where_nylas_is_on_this_machine() {
    for public in PUBLIC_SIGNING_SECRETS {
        for base in [
            "http://127.0.0.1:4010",
            "http://localhost:4010",
            "http://[::1]:4010",
        ] {
            let settings = [
                ("CLERK_WEBHOOK_SIGNING_SECRET", public),
                ("NYLAS_API_BASE", base),
            ];
            assert!(read(&settings).is_ok(), "{base}");
        }
    }
}

#[test]
fn what_setup_stores_until_the_real_secret_is_there_counts_as_missing() {
    let missing = read(&[("CLERK_WEBHOOK_SIGNING_SECRET", "")]).unwrap_err();
    let pending = read(&[("CLERK_WEBHOOK_SIGNING_SECRET", CLERK_SECRET_PENDING)]).unwrap_err();
    assert_eq!(pending, missing);
    // Older versions do not know the value, and it is no secret to them either.
    assert!(SigningSecret::parse(CLERK_SECRET_PENDING).is_err());
}

#[test]
fn the_example_file_holds_no_usable_secret() {
    let example = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/.dev.vars.example"));
    let values = |name: &str| {
        let lines = example.lines().filter_map(move |line| {
            let (known, value) = line.split_once('=')?;
            (known == name).then(|| value.trim_matches('"').to_owned())
        });
        lines.collect::<Vec<_>>()
    };
    let secrets = values("CLERK_WEBHOOK_SIGNING_SECRET");
    assert_eq!(secrets.len(), 1, "{example}");
    let settings = [("CLERK_WEBHOOK_SIGNING_SECRET", secrets[0].as_str())];
    assert_eq!(problems(&settings), ["CLERK_WEBHOOK_SIGNING_SECRET"]);
}

#[test]
fn accounts_are_a_list_with_addresses() {
    let accounts = r#"[
        {"grant_id":"g1","email":"a@example.com","name":"Acme"},
        {"grant_id":"g2","email":"b@example.com"}
    ]"#;
    let config = read(&[
        ("NYLAS_GRANT_ID", ""),
        ("NYLAS_ACCOUNTS", accounts),
        ("NYLAS_FROM_NAME", "Other"),
    ])
    .unwrap();
    let names = config
        .accounts
        .iter()
        .map(|account| account.name.as_deref())
        .collect::<Vec<_>>();
    assert_eq!(names, [Some("Acme"), Some("Other")]);
    assert!(config.account(&GrantId::parse("g2").unwrap()).is_some());
    assert_eq!(
        problems(&[("NYLAS_ACCOUNTS", accounts)]),
        ["NYLAS_ACCOUNTS"],
        "beside NYLAS_GRANT_ID"
    );
    for wrong in [
        "[]",
        "{}",
        "g1",
        r#"[{"grant_id":"g1"}]"#,
        r#"[{"grant_id":"g1","email":"none"}]"#,
        r#"[{"grant_id":"a@b.c","email":"a@b.c"}]"#,
        r#"[{"grant_id":"g1","email":"a@b.c"},{"grant_id":"g1","email":"d@e.f"}]"#,
        r#"[{"grant_id":"g1","email":"a@b.c","nmae":"typo"}]"#,
    ] {
        let settings = [("NYLAS_GRANT_ID", ""), ("NYLAS_ACCOUNTS", wrong)];
        assert_eq!(problems(&settings), ["NYLAS_ACCOUNTS"], "{wrong}");
    }
}

#[test]
fn the_key_travels_by_https_or_on_loopback() {
    for base in [
        "https://api.eu.nylas.com",
        "https://api.us.nylas.com/",
        "http://127.0.0.1:4010",
        "http://localhost:4010",
        "http://[::1]:4010",
    ] {
        assert!(read(&[("NYLAS_API_BASE", base)]).is_ok(), "{base}");
    }
    for base in [
        "http://api.us.nylas.com",
        "http://127.0.0.1.evil",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
        "http://127.0.0.1@evil.example",
        "http://127.0.0.1:80@evil.example",
        "http://127.0.0.1:80:evil.example",
        "http://[::1].evil.example",
        "http://[::1",
        "http://evil.example\\@127.0.0.1",
        "http://evil.example#127.0.0.1",
        "https://user:pass@host",
        "https://",
        "https://host/v3",
        "https://host?x",
        "ftp://host",
        "api.us.nylas.com",
    ] {
        assert_eq!(
            problems(&[("NYLAS_API_BASE", base)]),
            ["NYLAS_API_BASE"],
            "{base}"
        );
    }
}

#[test]
fn the_budget_stays_clear_of_svix_timeout() {
    for good in ["0", "4000", "10000"] {
        assert!(read(&[("INLINE_SEND_BUDGET_MS", good)]).is_ok());
    }
    for bad in ["-1", "10001", "4s", "1.5", "99999999999999999999"] {
        assert_eq!(
            problems(&[("INLINE_SEND_BUDGET_MS", bad)]),
            ["INLINE_SEND_BUDGET_MS"]
        );
    }
}

#[test]
fn templates_are_a_comma_list() {
    let config = read(&[("TEMPLATES", "verification_code, invitation,")]).unwrap();
    assert_eq!(
        config.templates.unwrap(),
        ["verification_code", "invitation"]
    );
}

#[test]
fn debug_shows_no_secret() {
    let config = read(&[("NYLAS_WEBHOOK_SECRET", "planted-secret")]).unwrap();
    let shown = format!("{config:?}");
    for secret in ["nyk_v0_key", "planted-secret", "eBu8e2sI"] {
        assert!(!shown.contains(secret));
    }
}
