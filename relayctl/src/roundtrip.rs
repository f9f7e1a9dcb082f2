//! `relayctl roundtrip`: sends one mail from the account to itself, and times it until it is in Sent and in the inbox.

use crate::{
    clock::{self, Stopwatch},
    failure::Failure,
    http::{Http, list, text},
    nylas::{Nylas, base, encode, ok},
    places::place,
    project::{Project, Settings},
    secrets,
    ui::{BAD, DIM, GOOD, Ui},
};
use clap::Args;
use clerk_nylas_relay::config::NYLAS_API_BASE_DEFAULT;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// The arguments of `roundtrip`.
#[derive(Args, Debug)]
pub struct RoundtripArgs {
    /// The folder of wrangler.toml and .dev.vars
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// The account; otherwise NYLAS_GRANT_ID, or the first of NYLAS_ACCOUNTS
    #[arg(long, value_name = "GRANT_ID")]
    pub grant: Option<String>,
    /// How many seconds the mail may take
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub wait: u64,
    /// A file with the key; otherwise the environment's NYLAS_API_KEY, or .dev.vars
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// Runs `roundtrip`. Returns whether the mail arrived and is in Sent.
pub fn run(args: &RoundtripArgs, http: &Http, ui: &Ui) -> Result<bool, Failure> {
    let project = Project::read(&args.folder)?;
    let settings = Settings::new(project.as_ref(), &args.folder);
    let configured = settings
        .variable("NYLAS_API_BASE")
        .unwrap_or_else(|| NYLAS_API_BASE_DEFAULT.to_owned());
    let base = base(&configured).ok_or_else(|| {
        Failure::usage(
            "NYLAS_API_BASE is not an address the relay accepts",
            "https://api.us.nylas.com or https://api.eu.nylas.com",
        )
    })?;
    let grant_id = args
        .grant
        .clone()
        .or_else(|| settings.grant_ids().into_iter().next())
        .ok_or_else(|| {
            Failure::usage(
                "the account is not known",
                format!(
                    "run it in the project's folder, or name the account with --grant (its grant id: {})",
                    place("NYLAS_GRANT_ID")
                ),
            )
        })?;
    let key = secrets::require("NYLAS_API_KEY", args.key_file.as_deref(), &args.folder)?;
    let nylas = Nylas::new(http, base, key);
    let grant = nylas.grant(&grant_id)?;
    ok(&grant)?;
    let grant = grant.json();
    let (address, name) = (text(&grant, "/data/email"), text(&grant, "/data/name"));
    let folders = nylas.folders(&grant_id)?;

    let token = secrets::random_hex::<8>()?;
    let subject = format!("relayctl round trip {token}");
    let mail = mail_to_itself(address, name, &subject);
    ui.note(format!("sending from {address} to itself ..."));
    let started = clock::now().seconds();
    let watch = Stopwatch::start();
    let sent = nylas.post(&format!("/v3/grants/{grant_id}/messages/send"), &mail)?;
    ok(&sent)?;
    let accepted_ms = watch.elapsed_ms().round();

    let places = [
        ("Sent", folders.sent.clone()),
        ("inbox", folders.inbox.clone()),
    ];
    let mut arrived: [Option<f64>; 2] = [None, None];
    while arrived.iter().any(Option::is_none) && watch.elapsed() < Duration::from_secs(args.wait) {
        for ((_, folder), arrived) in places.iter().zip(arrived.iter_mut()) {
            if arrived.is_some() {
                continue;
            }
            let within = folder
                .as_ref()
                .map_or_else(String::new, |folder| format!("in={}&", encode(folder)));
            let since = started.saturating_sub(300);
            let reply = nylas.get(&format!(
                "/v3/grants/{grant_id}/messages?{within}received_after={since}&subject={}&limit=20",
                encode(&subject)
            ))?;
            ok(&reply)?;
            let body = reply.json();
            if folder.is_some()
                && list(&body, "/data")
                    .iter()
                    .any(|message| text(message, "/subject") == subject)
            {
                *arrived = Some(watch.elapsed_ms().round());
            }
        }
        // Without the folder there is nothing to wait for.
        if places
            .iter()
            .zip(&arrived)
            .all(|((_, folder), arrived)| folder.is_none() || arrived.is_some())
        {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    ui.line(format!(
        "{GOOD}accepted{GOOD:#}  by Nylas after {accepted_ms} ms (answer {})",
        sent.code
    ));
    for ((place, folder), arrived) in places.iter().zip(&arrived) {
        match (arrived, folder) {
            (Some(ms), _) => ui.line(format!("{GOOD}there{GOOD:#}     in {place} after {ms} ms")),
            (None, Some(_)) => ui.line(format!(
                "{BAD}missing{BAD:#}   in {place} after {} s",
                args.wait
            )),
            (None, None) => ui.line(format!(
                "{BAD}missing{BAD:#}   the account has no folder {place}"
            )),
        }
    }
    let [in_sent, in_inbox] = arrived;
    let done = in_sent.is_some() && in_inbox.is_some();
    if !done {
        ui.line(format!(
            "  fix: {DIM}a mail that was accepted and is not in the inbox is stuck at the domain: relayctl doctor \
             --only nylas,dns; then the spam folder{DIM:#}"
        ));
    }
    ui.document(&json!({
        "ok": done, "address": address, "code": sent.code, "accepted_ms": accepted_ms,
        "sent_ms": in_sent, "inbox_ms": in_inbox,
    }));
    Ok(done)
}

/// A mail from an account to itself.
pub fn mail_to_itself(address: &str, name: &str, subject: &str) -> Value {
    let person = if name.is_empty() {
        json!({"email": address})
    } else {
        json!({"email": address, "name": name})
    };
    json!({
        "from": [person], "to": [{"email": address}], "subject": subject,
        "body": "<p>A round trip of relayctl. It can be deleted.</p>",
        "custom_headers": [{"name": "Auto-Submitted", "value": "auto-generated"}],
    })
}
