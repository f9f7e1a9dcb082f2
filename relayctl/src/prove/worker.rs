//! What is asked of the deployed Worker, through its operator's API.

use super::{
    answer::{Answer, answer, untold, verdict},
    args::ProveArgs,
    prober::{LOOKED_AT, Prober},
};
use crate::{
    clock::Stopwatch,
    failure::Failure,
    http::{Ask, Http, Reply, is_private, list, relay_base, text},
    nylas::WEBHOOK_PATH,
    secrets,
    ui::Ui,
};
use clerk_nylas_relay::model::secret::Secret;
use serde_json::Value;

const NOTIFICATIONS: [&str; 3] = [
    "notifications-signed",
    "notifications-as-asked",
    "notifications-in-order",
];
const OWN: [&str; 2] = ["kv-staleness", "queue-delay"];

/// The operator's API of the Worker.
struct Api<'a> {
    http: &'a Http,
    base: String,
    token: Secret,
}

impl Api<'_> {
    /// The error names nothing, because the answers are attached to reports.
    fn call(&self, method: &'static str, path: &str) -> Result<Value, String> {
        let mut ask =
            Ask::get(format!("{}/api/admin/{path}", self.base)).bearer(self.token.reveal());
        if method == "POST" {
            (ask.method, ask.body) = (method, Some(Vec::new()));
        }
        let reply: Result<Reply, Failure> = self.http.call(&ask);
        match reply {
            Err(_) => Err("the Worker did not answer".to_owned()),
            Ok(reply) => match reply.code {
                200 => Ok(reply.json()),
                401 => Err("the Worker has another ADMIN_TOKEN".to_owned()),
                404 => Err("the Worker has no ADMIN_TOKEN, or is of an older version".to_owned()),
                code => Err(format!("the operator's API answered {code}")),
            },
        }
    }
}

/// Asks the Worker, if it can be.
/// `accepted`: whether there is a mail for it to be told of.
pub fn ask(
    prober: &Prober<'_>,
    args: &ProveArgs,
    accepted: bool,
    http: &Http,
    ui: &Ui,
) -> Vec<Answer> {
    let all = NOTIFICATIONS.into_iter().chain(OWN);
    match api(prober, args, http) {
        Err(came) => all.map(|id| untold(id, came.clone())).collect(),
        Ok(api) => {
            ui.note("asking the Worker, for up to three minutes ...");
            let mut answers = own(prober, &api);
            answers.extend(match accepted {
                true => notifications(prober, &api),
                false => NOTIFICATIONS
                    .map(|id| untold(id, "no mail was accepted"))
                    .into(),
            });
            answers
        }
    }
}

/// The Worker's API, if it is known, answers, and has the account.
fn api<'a>(prober: &Prober<'_>, args: &ProveArgs, http: &'a Http) -> Result<Api<'a>, String> {
    let url = args.url.as_deref().map(relay_base);
    let Some(url) = url.filter(|url| is_private(url)) else {
        return Err(
            "the Worker's https address is not known: set RELAY_URL and ADMIN_TOKEN".to_owned(),
        );
    };
    let token = secrets::find("ADMIN_TOKEN", args.token_file.as_deref(), &args.folder);
    let Some(found) = token.ok().flatten() else {
        return Err("ADMIN_TOKEN is not known: set it, at the Worker and here".to_owned());
    };
    let api = Api {
        http,
        base: url.to_owned(),
        token: found.secret,
    };
    let summary = api.call("GET", "summary")?;
    let mut accounts = list(&summary, "/accounts").iter();
    if !accounts.any(|account| text(account, "/grant_id") == prober.grant_id) {
        return Err(
            "the Worker does not have this account: NYLAS_GRANT_ID or NYLAS_ACCOUNTS there"
                .to_owned(),
        );
    }
    Ok(api)
}

/// A record is written and a message queued; both are waited for.
fn own(prober: &Prober<'_>, api: &Api<'_>) -> Vec<Answer> {
    let path = format!("probes/{}", prober.run);
    // The miss is asked for on purpose: Cloudflare remembers misses, too.
    let begun = api.call("GET", &path).and_then(|_| api.call("POST", &path));
    let begun = match begun {
        Err(came) => return OWN.map(|id| untold(id, came.clone())).into(),
        Ok(begun) => begun,
    };
    let watch = Stopwatch::start();
    let (mut shows, mut came_out, mut failed) = (None, None, String::new());
    let limit = prober.pace.seconds(150);
    let is_queued = text(&begun, "/queue_error").is_empty();
    while watch.elapsed() < limit && (shows.is_none() || (is_queued && came_out.is_none())) {
        match api.call("GET", &path) {
            Err(came) => failed = came,
            Ok(seen) => {
                if shows.is_none() && !seen.pointer("/written_at").is_none_or(Value::is_null) {
                    shows = Some(watch.elapsed());
                }
                let mut rows = list(&seen, "/seen").iter();
                came_out = rows.find(|row| text(row, "/name") == "queue").cloned();
            }
        }
        prober.pace.pause();
    }
    let staleness = match shows {
        Some(after) => answer(
            "kv-staleness",
            verdict(after <= prober.pace.seconds(120)),
            format!("it showed after {} ms", after.as_millis()),
        ),
        None if !failed.is_empty() => untold("kv-staleness", failed.clone()),
        None => answer(
            "kv-staleness",
            verdict(false),
            format!("it did not show within {} ms", limit.as_millis()),
        ),
    };
    vec![staleness, queue(prober, &begun, came_out.as_ref(), &failed)]
}

fn queue(prober: &Prober<'_>, begun: &Value, came_out: Option<&Value>, failed: &str) -> Answer {
    const ID: &str = "queue-delay";
    let error = text(begun, "/queue_error");
    if !error.is_empty() {
        return untold(ID, format!("the queue refused the message: {error}"));
    }
    match came_out {
        Some(row) => {
            let waited = row.get("waited_ms").and_then(Value::as_u64);
            let waited = waited.unwrap_or(u64::MAX);
            let limit = prober.pace.seconds(10).as_millis();
            let saw = match row.get("record_visible") {
                Some(Value::Bool(true)) => "saw the record",
                _ => "did not see the record yet",
            };
            answer(
                ID,
                verdict(u128::from(waited) <= limit),
                format!("it came out after {waited} ms, and the consumer {saw}"),
            )
        }
        None if !failed.is_empty() => untold(ID, failed),
        None => answer(
            ID,
            verdict(false),
            "it did not come out: the consumer has stopped, or is of an older version",
        ),
    }
}

/// What the Worker noticed of a mail.
fn notifications(prober: &Prober<'_>, api: &Api<'_>) -> Vec<Answer> {
    let path = format!("probes/{}", prober.name(LOOKED_AT));
    let of_type = |rows: &[Value], kind: &str| -> Vec<Value> {
        let such = rows
            .iter()
            .filter(|row| text(row, "/type").starts_with(kind));
        such.cloned().collect()
    };
    let watch = Stopwatch::start();
    let rows = loop {
        let rows = match api.call("GET", &path) {
            Err(came) => return NOTIFICATIONS.map(|id| untold(id, came.clone())).into(),
            Ok(seen) => list(&seen, "/seen").to_vec(),
        };
        let both = ["message.created", "message.delivered"];
        let has_both = both.iter().all(|kind| !of_type(&rows, kind).is_empty());
        if has_both || watch.elapsed() > prober.pace.seconds(60) {
            break rows;
        }
        prober.pace.pause();
    };
    let webhook = webhook(prober, &api.base);
    let [signed, as_asked, in_order] = NOTIFICATIONS;
    let is = |row: &Value, name: &str| row.get(name) == Some(&Value::Bool(true));
    let asks = webhook
        .as_ref()
        .is_some_and(|found| is(found, "compressed_delivery"));
    if rows.is_empty() {
        let kind = if asks { "compressed" } else { "uncompressed" };
        let first = match webhook {
            Some(_) => answer(
                signed,
                verdict(false),
                format!(
                    "there is an active webhook for {kind} notifications, and the Worker accepted nothing"
                ),
            ),
            None => untold(signed, "Nylas has no active webhook to the Worker"),
        };
        let rest = [as_asked, in_order].map(|id| untold(id, "no notification was accepted"));
        return std::iter::once(first).chain(rest).collect();
    }
    let packed = rows.iter().filter(|row| is(row, "gzip_body")).count();
    let expected = if asks { rows.len() } else { 0 };
    let created = of_type(&rows, "message.created");
    let delivered = of_type(&rows, "message.delivered");
    let at = |rows: &[Value]| {
        let first = rows.first().and_then(|row| row.get("at")?.as_u64());
        first.unwrap_or_default()
    };
    let again = |rows: &[Value]| {
        let mut attempts = rows
            .iter()
            .filter_map(|row| row.get("delivery_attempt")?.as_u64());
        rows.len() > 1 || attempts.any(|attempt| attempt > 1)
    };
    let order = if created.is_empty() || delivered.is_empty() {
        untold(in_order, "not both came within a minute")
    } else {
        let ordered = at(&created) <= at(&delivered);
        let once = !again(&created) && !again(&delivered);
        let came = format!(
            "{}; {}",
            if ordered {
                "in this order"
            } else {
                "message.delivered first"
            },
            if once {
                "each once"
            } else {
                "one more than once"
            }
        );
        answer(in_order, verdict(ordered && once), came)
    };
    vec![
        answer(
            signed,
            verdict(true),
            format!("{} accepted: {}", rows.len(), kinds(&rows)),
        ),
        answer(
            as_asked,
            verdict(packed == expected),
            format!(
                "{packed} of {} compressed; the webhook {} for it",
                rows.len(),
                if asks { "asks" } else { "does not ask" }
            ),
        ),
        order,
    ]
}

/// The types that came. They are Nylas' own words.
fn kinds(rows: &[Value]) -> String {
    let mut kinds: Vec<&str> = rows.iter().map(|row| text(row, "/type")).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.join(", ")
}

/// Nylas' active webhook to the Worker.
fn webhook(prober: &Prober<'_>, base: &str) -> Option<Value> {
    let wanted = format!("{base}{WEBHOOK_PATH}");
    let webhooks = prober.nylas.webhooks().ok()?;
    webhooks.into_iter().find(|webhook| {
        text(webhook, "/webhook_url") == wanted && text(webhook, "/status") == "active"
    })
}
