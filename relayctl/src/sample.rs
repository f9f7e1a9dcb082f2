//! A made-up but realistic `email.created` for every template that Clerk is known to have.

use crate::{clock, failure::Failure, near::nearest, secrets};
use clerk_nylas_relay::model::time::UnixMillis;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Names of templates that other relays use and Clerk does not, each with the right name.
pub const WRONG_SLUGS: [(&str, &str); 10] = [
    ("email_link_sign_in", "magic_link_sign_in"),
    ("email_link_sign_up", "magic_link_sign_up"),
    ("email_link_verify_email", "magic_link_user_profile"),
    ("magic_link", "magic_link_sign_in"),
    ("sign_in_from_new_device", "new_device_sign_in"),
    ("email_code", "verification_code"),
    ("email_verification", "verification_code"),
    ("sign_in_code", "verification_code"),
    ("reset_password", "reset_password_code"),
    ("password_reset", "reset_password_code"),
];

#[derive(Deserialize)]
struct Template {
    slug: String,
    from: String,
    subject: String,
    heading: String,
    lines: Vec<String>,
    data: Map<String, Value>,
}

fn templates() -> Vec<Template> {
    // A test reads the file, so it is well-formed.
    serde_json::from_str(include_str!("../fixtures/templates.json")).unwrap_or_default()
}

/// The slugs of all known templates.
pub fn slugs() -> Vec<String> {
    templates()
        .into_iter()
        .map(|template| template.slug)
        .collect()
}

/// The sample that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The template.
    pub slug: String,
    /// The recipient.
    pub to: String,
    /// When Clerk made the event.
    pub at: UnixMillis,
    /// Changes: dotted path and value. Paths are inside the event's `data`, or after `event.` in the event itself.
    pub set: Vec<(String, Value)>,
}

/// The event of a template.
pub fn event(wanted: &Wanted) -> Result<Value, Failure> {
    let known = templates()
        .into_iter()
        .find(|template| template.slug == wanted.slug);
    let template = known.ok_or_else(|| unknown(&wanted.slug))?;
    let random = secrets::random::<8>()?;
    let code = (u64::from_le_bytes(random) % 900_000)
        .saturating_add(100_000)
        .to_string();
    let now = clock::utc(wanted.at);
    let mut data = json!({
        "app": {
            "name": "Acme", "url": "https://accounts.example.com", "domain_name": "example.com",
            "logo_image_url": null, "logo_url": null
        },
        "theme": {"primary_color": "#335bf1", "button_text_color": "#ffffff", "show_clerk_branding": true},
        "user": {"public_metadata": {}, "public_metadata_fallback": ""}
    });
    for (name, value) in template.data {
        let value = match value.as_str() {
            Some("$code") => json!(code),
            Some("$now") => json!(now),
            Some("$to") => json!(wanted.to),
            Some("$link") => json!(format!(
                "https://clerk.example.com/v1/verify?token={}",
                secrets::random_hex::<32>()?
            )),
            _ => value,
        };
        set(&mut data, &name, value)?;
    }
    // The template's variables come first, because subject and body are rendered with them.
    for (path, value) in &wanted.set {
        if let Some(inner) = path.strip_prefix("data.") {
            set(&mut data, inner, value.clone())?;
        }
    }
    let subject = render(&template.subject, &data);
    let heading = render(&template.heading, &data);
    let lines: Vec<String> = template
        .lines
        .iter()
        .map(|line| render(line, &data))
        .collect();
    let mut event = json!({
        "object": "event", "type": "email.created", "instance_id": "ins_sample", "timestamp": wanted.at.0,
        "event_attributes": {"http_request": {"client_ip": "192.0.2.1", "user_agent": "Mozilla/5.0 (sample)"}},
        "data": {
            "object": "email", "id": format!("ema_{}", secrets::random_hex::<12>()?), "slug": template.slug,
            "status": "queued", "delivered_by_clerk": false, "to_email_address": wanted.to,
            "from_email_name": template.from, "reply_to_email_name": null, "email_address_id": "idn_sample",
            "user_id": "user_sample", "subject": subject, "body": html(&subject, &heading, &lines),
            "body_plain": plain(&heading, &lines), "data": data
        }
    });
    for (path, value) in &wanted.set {
        if path.starts_with("data.") {
            continue;
        }
        match path.strip_prefix("event.") {
            Some(path) => set(&mut event, path, value.clone())?,
            None => set(&mut event, &format!("data.{path}"), value.clone())?,
        }
    }
    Ok(event)
}

fn unknown(slug: &str) -> Failure {
    let hint = WRONG_SLUGS.iter().find(|(wrong, _)| *wrong == slug);
    Failure::usage(
        format!("there is no sample of a template \"{slug}\""),
        match hint {
            Some((_, right)) => format!("Clerk calls it {right}"),
            None => {
                let known = slugs();
                let near = nearest(slug, known.iter().map(String::as_str));
                let meant = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
                format!("{meant}`relayctl trigger list` names all; any other as --set slug={slug}")
            }
        },
    )
}

/// Puts a value at a dotted path, and makes the objects that the path needs.
pub fn set(value: &mut Value, path: &str, new: Value) -> Result<(), Failure> {
    let (name, rest) = path
        .split_once('.')
        .map_or((path, None), |(name, rest)| (name, Some(rest)));
    if name.is_empty() {
        return Err(Failure::usage(
            "an empty name stands in a path",
            "write names with dots between: data.otp_code",
        ));
    }
    if !value.is_object() {
        *value = json!({});
    }
    match (value.as_object_mut(), rest) {
        (Some(object), Some(rest)) => set(object.entry(name).or_insert(Value::Null), rest, new),
        (Some(object), None) => {
            object.insert(name.to_owned(), new);
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

/// Replaces each `{{path}}` by the value of the data at that path.
fn render(text: &str, data: &Value) -> String {
    let mut rendered = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((path, after)) = after.split_once("}}") else {
            break;
        };
        rendered.push_str(before);
        match data.pointer(&format!("/{}", path.replace('.', "/"))) {
            Some(Value::String(text)) => rendered.push_str(text),
            Some(Value::Null) | None => {}
            Some(other) => rendered.push_str(&other.to_string()),
        }
        rest = after;
    }
    rendered.push_str(rest);
    rendered
}

fn plain(heading: &str, lines: &[String]) -> String {
    let mut text = format!("{heading}\n");
    for line in lines {
        text.push('\n');
        text.push_str(line.trim_matches(['*', '[', ']']));
        text.push('\n');
    }
    text
}

fn html(title: &str, heading: &str, lines: &[String]) -> String {
    const STYLE: &str = "padding: 0; margin: 16px 0 0; font-family: Helvetica, Arial, sans-serif; color: #000000; \
                         line-height: 1.5;";
    let paragraphs: String = lines
        .iter()
        .map(|line| {
            let text = escape(line.trim_matches(['*', '[', ']']));
            match line.chars().next() {
                Some('*') => format!("<p style=\"{STYLE} font-size: 40px;\"><b>{text}</b></p>\n"),
                Some('[') => format!(
                    "<p style=\"{STYLE}\">\
                     <a href=\"{text}\" style=\"color: #335bf1;\">{text}</a></p>\n"
                ),
                _ => format!("<p style=\"{STYLE} font-size: 14px;\">{text}</p>\n"),
            }
        })
        .collect();
    let (title, heading) = (escape(title.trim()), escape(heading));
    format!(
        "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \
         \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\">\n\
         <html xmlns=\"http://www.w3.org/1999/xhtml\">\n\
         <head><meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\"><title>{title}</title></head>\n\
         <body style=\"margin: 0; padding: 0; background-color: #ffffff;\">\n\
         <table cellpadding=\"0\" cellspacing=\"0\" border=\"0\" width=\"100%\"><tbody><tr>\
         <td align=\"center\" style=\"padding: 48px 32px;\">\n\
         <table cellpadding=\"0\" cellspacing=\"0\" border=\"0\" width=\"600\"><tbody><tr>\
         <td align=\"left\" style=\"padding: 16px 32px;\">\n\
         <h1 style=\"margin: 0; font-family: Helvetica, Arial, sans-serif; font-size: 32px;\">{heading}</h1>\n\
         {paragraphs}</td></tr></tbody></table>\n</td></tr></tbody></table>\n</body>\n</html>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
