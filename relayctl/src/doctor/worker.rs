//! Checks of the deployed Worker, by requests that Clerk, Nylas and a monitor make. None of them sends a mail.

use super::{
    finding::{Finding, fail, pass, skip, warn},
    patient::Patient,
};
use crate::{
    clock,
    failure::Failure,
    http::{Ask, Reply, check_given, is_loopback, is_private, list, text},
    nylas::WEBHOOK_PATH,
    places::place,
    secrets,
    sign::Signer,
    trigger,
    ui::length,
};
use clerk_nylas_relay::{model::time::millis, signature::PUBLIC_SIGNING_SECRETS};
use serde_json::{Value, json};

/// What Clerk's sender calls itself.
const SVIX_AGENT: &str = "Svix-Webhooks/1.84.0 (sender-9YMgn; +https://www.svix.com/http-sender/)";

const REST: [&str; 13] = [
    "worker-reachable",
    "worker-as-svix",
    "worker-version",
    "worker-settings",
    "worker-clock",
    "worker-signature",
    "worker-forgery",
    "worker-challenge",
    "worker-notifications",
    "worker-admin",
    "worker-accounts",
    "worker-dead-letters",
    "worker-backlog",
];

pub fn checks(patient: &Patient<'_>) -> Vec<Finding> {
    let skipped = |from: usize, cause: &str, fix: &str| {
        REST.into_iter()
            .skip(from)
            .map(|id| skip(id, cause, fix))
            .collect::<Vec<_>>()
    };
    if let Err(failure) = check_given(patient.args.url.as_deref()) {
        let mut findings = vec![fail("worker-url", failure.message, failure.fix)];
        findings.extend(skipped(0, "that is no address", "see worker-url"));
        return findings;
    }
    let Some((url, known)) = &patient.url else {
        let mut findings = vec![skip(
            "worker-url",
            "the Worker's address is not known",
            "name it with --url, or RELAY_URL",
        )];
        findings.extend(skipped(
            0,
            "the Worker's address is not known",
            "see worker-url",
        ));
        return findings;
    };
    let mut findings = vec![if is_private(url) {
        pass("worker-url", format!("{url}, {known}"))
    } else {
        fail(
            "worker-url",
            format!("{url} is not https: mails would travel in the open"),
            "use the https address",
        )
    }];
    let health = match patient.http.call(&Ask::get(format!("{url}/health"))) {
        Ok(reply) => reply,
        Err(failure) => {
            findings.push(fail("worker-reachable", failure.message, failure.fix));
            findings.extend(skipped(
                1,
                "the Worker does not answer",
                "see worker-reachable",
            ));
            return findings;
        }
    };
    let body = health.json();
    let as_svix = as_svix(patient, url);
    if text(&body, "/status").is_empty() {
        findings.push(match is_cloudflares_page(&health) {
            true => fail("worker-reachable", stopped_before(&health), UNSTOP),
            false => fail(
                "worker-reachable",
                format!("something at {url} answers {}, but it is not the relay", health.code),
                "check the address; deploy with `npx wrangler deploy`; a route or Cloudflare Access in front must let \
                 it through",
            ),
        });
        findings.push(as_svix);
        findings.extend(skipped(
            2,
            "the relay does not answer",
            "see worker-reachable",
        ));
        return findings;
    }
    findings.push(pass(
        "worker-reachable",
        format!("answered in {:.0} ms", health.took_ms),
    ));
    findings.push(as_svix);
    findings.push(version(text(&body, "/version")));
    let complete = settings(&body);
    findings.push(complete);
    findings.push(clock_skew(&health));
    findings.extend(signature(patient, url));
    findings.push(
        challenge(patient, url)
            .unwrap_or_else(|failure| fail("worker-challenge", failure.message, failure.fix)),
    );
    if text(&body, "/status") == "misconfigured" {
        // Notifications and the operator API then answer 503, which says nothing about them.
        let unknown = REST
            .into_iter()
            .skip_while(|id| *id != "worker-notifications");
        findings.extend(
            unknown.map(|id| skip(id, "the Worker is not configured", "see worker-settings")),
        );
        return findings;
    }
    findings.push(notifications(patient, url));
    findings.extend(admin(patient, url));
    findings
}

const UNSTOP: &str = "Cloudflare's dashboard, the domain, Security, Events shows what stopped it. Bot Fight Mode: \
                      switch it off (Security, Bots), because no rule can skip it. Super Bot Fight Mode, a managed \
                      challenge or a WAF rule: a custom rule that skips them for /api/webhooks/. Or give Clerk and \
                      Nylas the workers.dev address, which has none of these";

/// Whether Cloudflare itself answered, in place of the Worker. The Worker's own answers are JSON with a status.
fn is_cloudflares_page(reply: &Reply) -> bool {
    let page = String::from_utf8_lossy(&reply.body).to_lowercase();
    let is_mitigated = reply.header("cf-mitigated").is_some();
    is_mitigated || (reply.status().is_empty() && page.contains("cloudflare"))
}

fn stopped_before(reply: &Reply) -> String {
    format!(
        "Cloudflare's own page answers {}, before the Worker: Bot Fight Mode, or a WAF rule of the domain",
        reply.code
    )
}

/// A request that the Worker refuses, under the name of Clerk's sender. It gets as far as the Worker, or it does not.
fn as_svix(patient: &Patient<'_>, url: &str) -> Finding {
    const ID: &str = "worker-as-svix";
    let webhook = format!("{url}/api/webhooks/clerk");
    let asked = Signer::random().and_then(|signer| {
        let id = trigger::message_id()?;
        let body = br#"{"object":"event","type":"relayctl.probe","data":{}}"#;
        let ask = trigger::signed(&webhook, &signer, &id, clock::now(), body.to_vec());
        patient.http.call(&ask.header("user-agent", SVIX_AGENT))
    });
    match asked {
        Err(failure) => fail(ID, failure.message, failure.fix),
        Ok(reply) if is_cloudflares_page(&reply) => fail(ID, stopped_before(&reply), UNSTOP),
        Ok(reply) if reply.status().is_empty() => fail(
            ID,
            format!(
                "a request as Clerk's sender makes it was answered {}",
                reply.code
            ),
            "what answers there is not this relay, or something in front of it: check the routes",
        ),
        Ok(reply) => pass(
            ID,
            format!(
                "what comes as Clerk's sender gets to the Worker ({})",
                reply.code
            ),
        ),
    }
}

fn version(running: &str) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    if running == own {
        pass("worker-version", running)
    } else {
        warn(
            "worker-version",
            format!(
                "the Worker is {}, relayctl is {own}",
                if running.is_empty() {
                    "of no known version"
                } else {
                    running
                }
            ),
            "deploy the version you checked out, or use the relayctl of the deployed one",
        )
    }
}

fn settings(body: &Value) -> Finding {
    const FIX: &str = "secrets: `npx wrangler secret put NAME`; variables: wrangler.toml, then `npx wrangler deploy`";
    let wrong: Vec<String> = list(body, "/settings")
        .iter()
        .map(|setting| format!("{} {}", text(setting, "/name"), text(setting, "/problem")))
        .collect();
    match text(body, "/status") {
        "ok" => pass("worker-settings", "complete"),
        "degraded" => warn(
            "worker-settings",
            format!(
                "mails are sent, but what these are for is off: {}",
                wrong.join("; ")
            ),
            FIX,
        ),
        _ => fail(
            "worker-settings",
            format!("the Worker answers every mail 503: {}", wrong.join("; ")),
            format!("{FIX}. Clerk repeats what it could not deliver"),
        ),
    }
}

fn clock_skew(reply: &Reply) -> Finding {
    const ID: &str = "worker-clock";
    let Some(theirs) = reply.header("date").and_then(clock::http_date) else {
        return skip(ID, "the answer has no Date", "");
    };
    let ours = clock::now();
    let off_ms = millis(ours.since(theirs)).max(millis(theirs.since(ours)));
    let off = length(off_ms);
    match off_ms {
        // `Date` has whole seconds, and the answer takes time to travel.
        0..5_000 => pass(ID, format!("within {} s", off_ms.div_ceil(1000))),
        5_000..240_000 => warn(
            ID,
            format!("this machine and the Worker differ by {off}"),
            "set this machine's clock by NTP",
        ),
        _ => fail(
            ID,
            format!("this machine and the Worker differ by {off}: what is signed here is refused"),
            "set this machine's clock by NTP",
        ),
    }
}

fn signature(patient: &Patient<'_>, url: &str) -> Vec<Finding> {
    const ID: &str = "worker-signature";
    let webhook = format!("{url}/api/webhooks/clerk");
    // The relay ignores this type of event, so the probe proves the secret and sends nothing.
    let probe = json!({"object": "event", "type": "relayctl.probe", "data": {}})
        .to_string()
        .into_bytes();
    let send = |signer: &Signer| -> Result<Reply, Failure> {
        let id = trigger::message_id()?;
        patient.http.call(&trigger::signed(
            &webhook,
            signer,
            &id,
            clock::now(),
            probe.clone(),
        ))
    };
    let verified = match patient.secrets.get("CLERK_WEBHOOK_SIGNING_SECRET") {
        None => skip(
            ID,
            "CLERK_WEBHOOK_SIGNING_SECRET is not known here",
            "put it into the environment or .dev.vars to have it proved",
        )
        .lacking(&["CLERK_WEBHOOK_SIGNING_SECRET"]),
        Some(found) => match Signer::parse_all(found.secret.reveal(), &found.from) {
            Err(failure) => skip(ID, failure.message, "see config-clerk-secret"),
            Ok(signers) => {
                let answers: Vec<Finding> = signers
                    .iter()
                    .map(|signer| match send(signer) {
                        Err(failure) => fail(ID, failure.message, failure.fix),
                        Ok(reply) => judge_probe(&reply, &found.from),
                    })
                    .collect();
                answers
                    .into_iter()
                    .max_by_key(|finding| finding.state)
                    .unwrap_or_else(|| skip(ID, "no secret", ""))
            }
        },
    };
    vec![verified, forgery(url, send)]
}

/// Signs once with a random secret, then with each published one. The Worker must refuse them all.
fn forgery(url: &str, send: impl Fn(&Signer) -> Result<Reply, Failure>) -> Finding {
    const ID: &str = "worker-forgery";
    match Signer::random().and_then(|signer| send(&signer)) {
        Err(failure) => return fail(ID, failure.message, failure.fix),
        Ok(reply) if reply.code == 400 => {}
        Ok(reply) if reply.code == 503 => {
            return skip(ID, "the Worker is not configured", "see worker-settings");
        }
        Ok(reply) => {
            return fail(
                ID,
                format!(
                    "a forged event was answered {} {}",
                    reply.code,
                    reply.status()
                ),
                "what answers there is not this relay, or something in front of it answers for it: check the routes",
            );
        }
    }
    for public in PUBLIC_SIGNING_SECRETS {
        match Signer::parse(public, "the documentation").and_then(|signer| send(&signer)) {
            Err(failure) => return fail(ID, failure.message, failure.fix),
            Ok(reply) if reply.code == 200 => return accepts_a_public_secret(is_loopback(url)),
            Ok(_) => {}
        }
    }
    pass(ID, "400 bad_signature")
}

/// On a deployed Worker this is a fault; the Worker of `make dev` does it on purpose.
fn accepts_a_public_secret(is_local: bool) -> Finding {
    const ID: &str = "worker-forgery";
    let fix = format!(
        "copy your own endpoint's signing secret ({}), and store it: `npx wrangler secret put \
         CLERK_WEBHOOK_SIGNING_SECRET`",
        place("CLERK_WEBHOOK_SIGNING_SECRET")
    );
    if is_local {
        warn(
            ID,
            "the Worker accepts a published signing secret, which will do for development only",
            fix,
        )
    } else {
        fail(
            ID,
            "the Worker accepts a published signing secret: anybody can have mails sent in your name",
            fix,
        )
    }
}

fn judge_probe(reply: &Reply, from: &str) -> Finding {
    const ID: &str = "worker-signature";
    match (reply.code, reply.status().as_str()) {
        (200, "ignored") => pass(
            ID,
            format!("a signed probe was verified and ignored (secret from {from})"),
        ),
        (400, _) => fail(
            ID,
            format!("the Worker refuses what the secret from {from} signs"),
            format!(
                "copy the signing secret of this endpoint ({}), and store it: `npx wrangler secret put \
                 CLERK_WEBHOOK_SIGNING_SECRET`; each endpoint has its own. If worker-clock fails, that first",
                place("CLERK_WEBHOOK_SIGNING_SECRET")
            ),
        ),
        (503, "misconfigured") => skip(ID, "the Worker is not configured", "see worker-settings"),
        (code, status) => fail(
            ID,
            format!("a signed probe was answered {code} {status}"),
            "`npx wrangler tail` shows why",
        ),
    }
}

fn challenge(patient: &Patient<'_>, url: &str) -> Result<Finding, Failure> {
    const ID: &str = "worker-challenge";
    let challenge = format!("relayctl-{}", secrets::random_hex::<8>()?);
    let reply = patient.http.call(&Ask::get(format!(
        "{url}{WEBHOOK_PATH}?challenge={challenge}"
    )))?;
    const FIX: &str = "Nylas must get the bare value with a Content-Length: look for what changes answers in front \
                       of the Worker (a proxy, a transform rule)";
    Ok(if reply.code != 200 || reply.body != challenge.as_bytes() {
        fail(
            ID,
            format!("the answer was {} and not the challenge itself", reply.code),
            FIX,
        )
    } else if reply.header("transfer-encoding").is_some()
        || reply.header("content-length").is_none()
    {
        warn(
            ID,
            "the challenge comes back without a Content-Length, which Nylas wants",
            FIX,
        )
    } else {
        pass(ID, "echoed")
    })
}

fn notifications(patient: &Patient<'_>, url: &str) -> Finding {
    const ID: &str = "worker-notifications";
    let ask =
        Ask::get(format!("{url}{WEBHOOK_PATH}")).json("POST", &json!({"type": "relayctl.probe"}));
    match patient.http.call(&ask) {
        Err(failure) => fail(ID, failure.message, failure.fix),
        Ok(reply) => match reply.code {
            401 => pass(ID, "401"),
            503 => warn(
                ID,
                "the Worker has no NYLAS_WEBHOOK_SECRET: users' answers and bounces are not accepted",
                "`relayctl setup --only webhook` makes the webhook and stores its secret",
            ),
            code => fail(
                ID,
                format!("an unsigned notification was answered {code}"),
                "what answers there is not this relay: check the routes",
            ),
        },
    }
}

fn admin(patient: &Patient<'_>, url: &str) -> Vec<Finding> {
    let ids = ["worker-accounts", "worker-dead-letters", "worker-backlog"];
    let only = |first: Finding| {
        let rest = ids.map(|id| skip(id, "the operator API was not asked", "see worker-admin"));
        std::iter::once(first).chain(rest).collect::<Vec<_>>()
    };
    const ID: &str = "worker-admin";
    let Some(found) = patient.secrets.get("ADMIN_TOKEN") else {
        let first = skip(
            ID,
            "ADMIN_TOKEN is not known here; it is optional",
            "put it into the environment or .dev.vars",
        );
        return only(first.lacking(&["ADMIN_TOKEN"]));
    };
    let reply = match patient
        .http
        .call(&Ask::get(format!("{url}/api/admin/summary")).bearer(found.secret.reveal()))
    {
        Ok(reply) => reply,
        Err(failure) => return only(fail(ID, failure.message, failure.fix)),
    };
    match reply.code {
        200 => {}
        401 => {
            return only(fail(
                ID,
                format!("the Worker has another ADMIN_TOKEN than {}", found.from),
                "`npx wrangler secret put ADMIN_TOKEN`, or use the one it has",
            ));
        }
        404 => {
            return only(warn(
                ID,
                "the Worker has no ADMIN_TOKEN, so it has no operator API",
                "`npx wrangler secret put ADMIN_TOKEN`",
            ));
        }
        code => {
            return only(fail(
                ID,
                format!("the operator API answered {code}"),
                "`npx wrangler tail` shows why",
            ));
        }
    }
    let summary = reply.json();
    let mut findings = vec![pass(ID, "answers")];
    let down: Vec<String> = list(&summary, "/accounts")
        .iter()
        .filter(|account| text(account, "/state") == "down")
        .map(|account| {
            format!(
                "{} ({})",
                text(account, "/grant_id"),
                text(account, "/reason")
            )
        })
        .collect();
    findings.push(if down.is_empty() {
        pass("worker-accounts", "all are up")
    } else {
        fail(
            "worker-accounts",
            format!("down: {}", down.join(", ")),
            "docs/operations.md says what each reason means; mails go through the other accounts, or wait",
        )
    });
    let number = |pointer: &str| {
        summary
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or(0)
    };
    findings.push(match number("/deliveries/dead_lettered") {
        0 => pass("worker-dead-letters", "none"),
        count => warn(
            "worker-dead-letters",
            format!("{count} mails were given up on and are stored"),
            "`relayctl list --dead`, then `relayctl redrive --dead`",
        ),
    });
    findings.push(match number("/oldest_queued_ms") {
        0..60_000 => pass("worker-backlog", "none has"),
        age => warn(
            "worker-backlog",
            format!("the oldest has waited for {}", length(age)),
            "`relayctl list` shows the reason; codes die after 10 minutes",
        ),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_published_secret_is_a_fault_but_on_this_machine() {
        assert_eq!(accepts_a_public_secret(false).state, State::Fail);
        assert_eq!(accepts_a_public_secret(true).state, State::Warn);
    }
}
