//! Checks at Clerk: which templates it leaves to the relay, and with which sender name.

use super::{
    finding::{Finding, State, fail, pass, skip, some_of, warn},
    patient::Patient,
};
use crate::{
    http::{Ask, list, text},
    places::place,
    templates::{
        Filter,
        clerk::{Clerk, TEMPLATES_MAX, Template},
    },
};
use clerk_nylas_relay::model::mail::Slug;
use serde_json::Value;

pub const CHECKS: [&str; 5] = [
    "clerk-key",
    "clerk-templates",
    "clerk-filter",
    "clerk-from",
    "clerk-domain",
];

pub fn checks(patient: &Patient<'_>) -> Vec<Finding> {
    let [key_id, rest @ ..] = CHECKS;
    let without = |first: Finding| {
        let others = rest.map(|id| skip(id, "Clerk was not asked", "see clerk-key"));
        std::iter::once(first).chain(others).collect::<Vec<_>>()
    };
    let Some(found) = patient.secrets.get("CLERK_SECRET_KEY") else {
        let first = skip(
            key_id,
            "CLERK_SECRET_KEY is not known, so Clerk cannot be asked; it is optional",
            format!(
                "put it into the environment for this one command ({})",
                place("CLERK_SECRET_KEY")
            ),
        );
        return without(first.lacking(&["CLERK_SECRET_KEY"]));
    };
    let key = found.secret.reveal();
    let base = patient.args.clerk_base.trim_end_matches('/');
    let asked = Clerk::new(patient.http, base, found.clone());
    let templates = match asked.and_then(|clerk| clerk.templates()) {
        Ok(templates) => templates,
        Err(failure) => return without(fail(key_id, failure.message, failure.fix)),
    };
    let kind = if key.starts_with("sk_live_") {
        "production"
    } else {
        "development"
    };
    let mut findings = vec![pass(
        key_id,
        format!("accepted ({kind} instance), {} templates", templates.len()),
    )];
    let with = |by_clerk: bool| -> Vec<&Template> {
        let all = templates.iter();
        all.filter(|template| template.delivered_by_clerk == by_clerk)
            .collect()
    };
    let slug = |template: &&Template| template.slug.clone();
    let (ours, theirs) = (with(false), with(true));
    let still: Vec<String> = theirs.iter().map(slug).collect();
    const SWITCH: &str = "`relayctl templates take` the ones that the relay is to deliver; if the relay handed them \
                          back, once the account sends again";
    let by_whom = if templates.is_empty() {
        warn(
            "clerk-templates",
            "Clerk lists no templates",
            "look at Customization, Emails, in Clerk's dashboard",
        )
    } else if ours.is_empty() {
        fail(
            "clerk-templates",
            format!(
                "Clerk delivers all {} templates itself: the relay sends nothing",
                still.len()
            ),
            SWITCH,
        )
    } else if still.is_empty() {
        pass(
            "clerk-templates",
            format!("all {} are left to the relay", ours.len()),
        )
    } else {
        // Sorted, with the templates that users wait for first.
        let mut shown = still.clone();
        shown.sort_by_key(|slug| Slug::new(Some(slug)).ttl());
        warn(
            "clerk-templates",
            format!(
                "{} left to the relay; still delivered by Clerk: {}",
                ours.len(),
                some_of(&shown, 8)
            ),
            SWITCH,
        )
    };
    findings.push(if templates.len() < TEMPLATES_MAX {
        by_whom
    } else {
        // As bad as what is known, and no better than a warning.
        Finding {
            state: by_whom.state.max(State::Warn),
            cause: format!(
                "Clerk listed {}, the most that are read, so there may be more; of these: {}",
                templates.len(),
                by_whom.cause
            ),
            fix: format!(
                "look at Customization, Emails, for the others. {}",
                by_whom.fix
            ),
            ..by_whom
        }
    });
    let filter = Filter::read(patient.settings());
    let dropped: Vec<String> = ours
        .iter()
        .map(slug)
        .filter(|slug| !filter.is_relayed(slug))
        .collect();
    findings.push(if dropped.is_empty() {
        pass("clerk-filter", "every one does")
    } else {
        fail(
            "clerk-filter",
            format!(
                "Clerk does not deliver {}, and TEMPLATES leaves it out: nobody sends it",
                some_of(&dropped, 8)
            ),
            "add it to TEMPLATES in wrangler.toml, or `relayctl templates give-back` it",
        )
    });
    findings.push(from(patient, &ours));
    findings.push(domain(
        patient,
        kind,
        patient
            .http
            .call(&Ask::get(format!("{base}/v1/domains")).bearer(key))
            .ok()
            .filter(|reply| reply.code == 200)
            .map(|reply| reply.json()),
    ));
    findings
}

fn from(patient: &Patient<'_>, ours: &[&Template]) -> Finding {
    const ID: &str = "clerk-from";
    let addresses = patient.known_addresses();
    let locals: Vec<&str> = addresses
        .iter()
        .filter_map(|address| address.split('@').next())
        .collect();
    if locals.is_empty() {
        return skip(ID, "the account's address is not known", "see nylas-grant");
    }
    let mut others: Vec<String> = ours
        .iter()
        .map(|template| template.from.as_str())
        .filter(|name| {
            !name.is_empty() && !locals.iter().any(|local| local.eq_ignore_ascii_case(name))
        })
        .map(str::to_owned)
        .collect();
    others.sort();
    others.dedup();
    if others.is_empty() {
        pass(ID, format!("{}@ at both", locals.join("@, ")))
    } else {
        warn(
            ID,
            format!(
                "Clerk's templates say {}@, mails come from {}",
                others.join("@, "),
                some_of(&addresses, 3)
            ),
            "set the template's From name in Clerk to the account's local part, so that nobody relies on an address \
             that is not used",
        )
    }
}

fn domain(patient: &Patient<'_>, kind: &str, answer: Option<Value>) -> Finding {
    const ID: &str = "clerk-domain";
    if kind == "development" {
        return skip(ID, "a development instance has Clerk's own domain", "");
    }
    let Some(answer) = answer else {
        return skip(ID, "Clerk did not answer with its domains", "");
    };
    let known: Vec<String> = list(&answer, "/data")
        .iter()
        .map(|domain| text(domain, "/name").to_lowercase())
        .collect();
    let belongs = |domain: &String| {
        known
            .iter()
            .any(|known| domain == known || domain.ends_with(&format!(".{known}")))
    };
    let strange: Vec<String> = patient
        .domains()
        .into_iter()
        .filter(|domain| !belongs(domain))
        .collect();
    if patient.domains().is_empty() {
        skip(ID, "the account's address is not known", "see nylas-grant")
    } else if strange.is_empty() {
        pass(ID, some_of(&patient.domains(), 3))
    } else {
        warn(
            ID,
            format!(
                "mails come from {}, the application is {}: users may take them for phishing",
                strange.join(", "),
                some_of(&known, 3)
            ),
            "use an Agent Account on the application's domain or a subdomain of it",
        )
    }
}
