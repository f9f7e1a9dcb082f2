//! Whether the relay can take over: it answers, and an account sends.

use crate::{
    failure::Failure,
    http::{Ask, Http, relay_base, text},
    nylas::{Nylas, WEBHOOK_PATH, ok},
    roundtrip::mail_to_itself,
    secrets,
};

/// Finds out which accounts send, by having each send a mail to itself: Nylas says of a paused account only then that
/// it is paused. Returns the addresses that do, and what is wrong with the others.
pub fn accounts(
    nylas: &Nylas<'_>,
    grants: &[String],
) -> Result<(Vec<String>, Vec<Failure>), Failure> {
    let (mut senders, mut refusals) = (Vec::new(), Vec::new());
    for grant_id in grants {
        match sends(nylas, grant_id) {
            Ok(address) => senders.push(address),
            Err(failure) => refusals.push(Failure {
                message: format!("{grant_id} does not send: {}", failure.message),
                ..failure
            }),
        }
    }
    match refusals.pop() {
        Some(failure) if senders.is_empty() => Err(Failure {
            message: format!("{}; no template was taken", failure.message),
            ..failure
        }),
        failure => {
            refusals.extend(failure);
            Ok((senders, refusals))
        }
    }
}

fn sends(nylas: &Nylas<'_>, grant_id: &str) -> Result<String, Failure> {
    let grant = nylas.grant(grant_id)?;
    ok(&grant)?;
    let grant = grant.json();
    let address = text(&grant, "/data/email");
    let subject = format!("relayctl templates {}", secrets::random_hex::<8>()?);
    let mail = mail_to_itself(address, text(&grant, "/data/name"), &subject);
    ok(&nylas.post(&format!("/v3/grants/{grant_id}/messages/send"), &mail)?)?;
    Ok(address.to_owned())
}

/// The relay's address: as given, or that of the only webhook at Nylas that is one.
pub fn relay(url: Option<&str>, nylas: &Nylas<'_>) -> Result<String, Failure> {
    if let Some(url) = url {
        return Ok(relay_base(url).to_owned());
    }
    let webhooks = nylas.webhooks()?;
    let mut ours = webhooks
        .iter()
        .filter_map(|webhook| text(webhook, "/webhook_url").strip_suffix(WEBHOOK_PATH));
    match (ours.next(), ours.next()) {
        (Some(only), None) => Ok(only.to_owned()),
        _ => Err(Failure::usage(
            "the relay's address is not known",
            "name it with --url, or in RELAY_URL",
        )),
    }
}

/// The status that the relay gives itself: `ok`, `degraded`, `misconfigured`.
pub fn health(http: &Http, relay: &str) -> Result<String, Failure> {
    let reply = http.call(&Ask::get(format!("{relay}/health")))?;
    let status = reply.status();
    if reply.code == 200 && ["ok", "degraded"].contains(&status.as_str()) {
        return Ok(status);
    }
    Err(Failure::new(
        format!(
            "the relay sends no mail: {relay}/health answered {} {status}",
            reply.code
        ),
        "relayctl doctor says what is wrong",
    ))
}
