//! Reads the account, its folders and its messages.

use crate::api::policies::DEFAULT_WORKSPACE;
use crate::clock::millis;
use crate::model::account::{Account, AccountState};
use crate::model::answer::Answer;
use crate::model::call::Call;
use crate::model::mailbox::{FOLDERS, Stored, folder_id, header_list};
use crate::model::unknowns::Unknowns;
use crate::shared::Shared;
use crate::state::State;
use base64::{Engine, engine::general_purpose::URL_SAFE};
use serde_json::{Map, Value, json};

const FILTERS: [&str; 7] = [
    "in",
    "received_after",
    "received_before",
    "subject",
    "thread_id",
    "from",
    "to",
];
const OTHERS: [&str; 5] = ["metadata_pair", "limit", "page_token", "fields", "select"];
/// The values of `fields`.
const FIELDS: [&str; 5] = [
    "standard",
    "include_headers",
    "include_basic_headers",
    "include_tracking_options",
    "raw_mime",
];
/// What `include_basic_headers` shows.
const BASIC_HEADERS: [&str; 3] = ["Message-ID", "In-Reply-To", "References"];
/// The fields of a message, which can be selected: "Field selection can evaluate top-level object fields only".
const MESSAGE: [&str; 22] = [
    "id",
    "object",
    "grant_id",
    "thread_id",
    "subject",
    "body",
    "snippet",
    "from",
    "to",
    "cc",
    "bcc",
    "reply_to",
    "date",
    "folders",
    "attachments",
    "headers",
    "metadata",
    "starred",
    "unread",
    "schedule_id",
    "tracking_options",
    "created_at",
];

pub fn grant(shared: &Shared, _: &Call, account: &Account) -> Answer {
    let mut state = shared.lock();
    let data = grant_data(&state, account);
    state.ok(data)
}

pub fn grant_data(state: &State, account: &Account) -> Value {
    let held = state.account(&account.grant_id);
    let created = held.map_or(0, |held| held.created_ms / 1000);
    json!({
        "id": account.grant_id, "provider": "nylas", "email": account.email, "name": account.name,
        "grant_status": "valid", "blocked": held.is_some_and(|held| held.state == AccountState::Blocked),
        "created_at": created, "updated_at": created, "scope": [], "settings": {},
        "workspace_id": DEFAULT_WORKSPACE,
    })
}

pub fn folders(shared: &Shared, _: &Call, account: &Account) -> Answer {
    let has_attributes = shared.options.unknowns.folders_have_attributes;
    let folder = |(name, attribute): (&str, &str)| {
        let attributes = if has_attributes {
            vec![attribute]
        } else {
            Vec::new()
        };
        json!({
            "id": folder_id(&account.grant_id, name), "grant_id": account.grant_id, "object": "folder", "name": name,
            "system_folder": true, "attributes": attributes,
        })
    };
    let data = FOLDERS.map(folder);
    shared.lock().ok(json!(data))
}

/// What outbound rules did to sends, newest first.
pub fn rule_evaluations(shared: &Shared, call: &Call, account: &Account) -> Answer {
    let mut state = shared.lock();
    let known = |name: &str| matches!(name, "limit" | "page_token");
    if let Some((unknown, _)) = call.query.iter().find(|(name, _)| !known(name)) {
        let message = format!("unknown query parameter: {unknown}");
        return state.error(400, "invalid_request_error", &message);
    }
    let own = |record: &&Value| record["grant_id"] == account.grant_id.as_str();
    let records: Vec<Value> = state
        .evaluations
        .iter()
        .rev()
        .filter(own)
        .cloned()
        .collect();
    state.ok(json!(records))
}

pub fn find(shared: &Shared, call: &Call, account: &Account) -> Answer {
    let mut state = shared.lock();
    let known = |name: &str| matches!(name, "fields" | "select");
    if let Err(message) = check_query(call, known) {
        return state.error(400, "invalid_request_error", &message);
    }
    let id = call.segments.last().map(String::as_str).unwrap_or_default();
    let found = state
        .messages
        .iter()
        .find(|stored| stored.grant_id == account.grant_id && stored.id == id);
    match found.map(|stored| shown(stored, call, &shared.options.unknowns)) {
        Some(data) => state.ok(data),
        None => state.error(404, "not_found_error", "requested object not found"),
    }
}

pub fn list(shared: &Shared, call: &Call, account: &Account) -> Answer {
    let mut state = shared.lock();
    let page = match page(shared, &state, call, account) {
        Ok(page) => page,
        Err(message) => return state.error(400, "invalid_request_error", &message),
    };
    let mut answer = json!({ "request_id": state.fresh_uuid(), "data": page.0 });
    if let Some(next) = page.1 {
        answer["next_cursor"] = json!(next);
    }
    Answer::json(200, &answer)
}

fn page(
    shared: &Shared,
    state: &State,
    call: &Call,
    account: &Account,
) -> Result<(Vec<Value>, Option<String>), String> {
    let known = |name: &str| FILTERS.contains(&name) || OTHERS.contains(&name);
    check_query(call, known)?;
    let filtered = call
        .query
        .iter()
        .any(|(name, _)| FILTERS.contains(&name.as_str()));
    let pairs = call
        .query
        .iter()
        .filter(|(name, _)| name == "metadata_pair")
        .count();
    if pairs > 1 || (pairs == 1 && filtered) {
        return Err("metadata_pair cannot be combined with other filters".to_owned());
    }
    let limit = number(call, "limit")?.unwrap_or(50);
    if !(1..=200).contains(&limit) {
        return Err("limit: must be between 1 and 200".to_owned());
    }
    let wanted = conditions(call, account)?;
    let all = state
        .messages
        .iter()
        .filter(|stored| stored.grant_id == account.grant_id);
    let unknowns = &shared.options.unknowns;
    let found_from = shared
        .clock
        .now_ms()
        .saturating_sub(millis(unknowns.metadata_after));
    let too_new = |stored: &Stored| {
        let mut mails = state.mails.iter();
        pairs > 0 && mails.any(|mail| mail.id == stored.id && mail.at_ms > found_from)
    };
    let mut newest: Vec<&Stored> = all
        .rev()
        .filter(|stored| !too_new(stored))
        .filter(|stored| wanted.iter().all(|wanted| wanted(stored)))
        .collect();
    newest.sort_by_key(|stored| std::cmp::Reverse(date(stored)));
    let from = match call.query("page_token") {
        None => 0,
        Some(token) => {
            let after = token.strip_prefix("after-").unwrap_or_default();
            let last = newest.iter().position(|stored| stored.id == after);
            1 + last.ok_or("page_token: invalid")?
        }
    };
    let limit = usize::try_from(limit).unwrap_or(200);
    let more = newest.len() > from + limit;
    let shown_now: Vec<&Stored> = newest.into_iter().skip(from).take(limit).collect();
    let next = shown_now
        .last()
        .filter(|_| more)
        .map(|last| format!("after-{}", last.id));
    Ok((
        shown_now
            .into_iter()
            .map(|stored| shown(stored, call, unknowns))
            .collect(),
        next,
    ))
}

/// Checks the names of the parameters, and what is to be shown.
fn check_query(call: &Call, known: impl Fn(&str) -> bool) -> Result<(), String> {
    if let Some((unknown, _)) = call.query.iter().find(|(name, _)| !known(name)) {
        return Err(format!("unknown query parameter: {unknown}"));
    }
    if let Some(fields) = call
        .query("fields")
        .filter(|fields| !FIELDS.contains(fields))
    {
        return Err(format!("fields: {fields} is none of its values"));
    }
    let selected = call
        .query("select")
        .into_iter()
        .flat_map(|list| list.split(','));
    match selected.into_iter().find(|name| !MESSAGE.contains(name)) {
        Some(name) => Err(format!("select: a message has no field {name}")),
        None => Ok(()),
    }
}

type Condition = Box<dyn Fn(&Stored) -> bool>;

fn conditions(call: &Call, account: &Account) -> Result<Vec<Condition>, String> {
    let mut conditions: Vec<Condition> = Vec::new();
    if let Some(pair) = call.query("metadata_pair") {
        let (key, value) = pair
            .split_once(':')
            .ok_or("metadata_pair: must be KEY:VALUE")?;
        if !["key1", "key2", "key3", "key4", "key5"].contains(&key) {
            return Err("metadata_pair: only key1 to key5 can be searched".to_owned());
        }
        let (pointer, value) = (format!("/metadata/{key}"), json!(value));
        conditions.push(Box::new(move |stored| {
            stored.message.pointer(&pointer) == Some(&value)
        }));
    }
    if let Some(folder) = call.query("in") {
        if !FOLDERS
            .iter()
            .any(|(name, _)| folder_id(&account.grant_id, name) == folder)
        {
            return Err("in: must be a folder's id".to_owned());
        }
        let folder = json!(folder);
        conditions.push(Box::new(move |stored| {
            holds(stored, "folders", |entry| entry == &folder)
        }));
    }
    if let Some(after) = number(call, "received_after")? {
        conditions.push(Box::new(move |stored| date(stored) > after));
    }
    if let Some(before) = number(call, "received_before")? {
        conditions.push(Box::new(move |stored| date(stored) < before));
    }
    for field in ["subject", "thread_id"] {
        if let Some(wanted) = call.query(field) {
            let wanted = json!(wanted);
            conditions.push(Box::new(move |stored| {
                stored.message.get(field) == Some(&wanted)
            }));
        }
    }
    for field in ["from", "to"] {
        if let Some(wanted) = call.query(field) {
            let wanted = json!(wanted);
            let is = move |entry: &Value| entry.get("email") == Some(&wanted);
            conditions.push(Box::new(move |stored| holds(stored, field, &is)));
        }
    }
    Ok(conditions)
}

fn holds(stored: &Stored, field: &str, is: impl Fn(&Value) -> bool) -> bool {
    stored
        .message
        .get(field)
        .and_then(Value::as_array)
        .is_some_and(|entries| entries.iter().any(is))
}

fn number(call: &Call, name: &str) -> Result<Option<u64>, String> {
    let parsed = call.query(name).map(str::parse).transpose();
    parsed.map_err(|_| format!("{name}: must be a number"))
}

fn date(stored: &Stored) -> u64 {
    stored
        .message
        .get("date")
        .and_then(Value::as_u64)
        .unwrap_or(0)
}

/// A message as it is shown: with its headers, and only the fields that are selected. Others are not even copied.
fn shown(stored: &Stored, call: &Call, unknowns: &Unknowns) -> Value {
    if call.query("fields") == Some("raw_mime") {
        return json!({
            "id": stored.id, "object": "message", "grant_id": stored.grant_id,
            "raw_mime": URL_SAFE.encode(mime(stored, unknowns.makes_text_part)),
        });
    }
    let selected: Option<Vec<&str>> = call.query("select").map(|list| list.split(',').collect());
    let is_selected = |name: &str| selected.as_ref().is_none_or(|list| list.contains(&name));
    let fields = stored.message.as_object().into_iter().flatten();
    let mut message: Map<String, Value> = fields
        .filter(|(name, _)| is_selected(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(folders) = message.get_mut("folders")
        && !unknowns.folders_are_ids
    {
        let name_of = |id: &Value| {
            let mut known = FOLDERS.iter().map(|(name, _)| *name);
            known.find(|name| json!(folder_id(&stored.grant_id, name)) == *id)
        };
        *folders = folders
            .as_array()
            .into_iter()
            .flatten()
            .map(name_of)
            .collect();
    }
    let with_headers = call
        .query("fields")
        .is_some_and(|fields| fields.starts_with("include_"));
    if with_headers && is_selected("headers") {
        let basic = call.query("fields") == Some("include_basic_headers");
        let mut headers = stored.headers.clone();
        headers.retain(|(name, _)| {
            !basic
                || BASIC_HEADERS
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(name))
        });
        message.insert("headers".to_owned(), header_list(&headers));
    }
    message.into()
}

/// The message as it travels: in HTML alone, or with the same as text before it.
fn mime(stored: &Stored, with_text: bool) -> String {
    let headers = stored.headers.iter();
    let mut mime: String = headers
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let body = stored
        .message
        .get("body")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let html = format!("Content-Type: text/html; charset=utf-8\r\n\r\n{body}\r\n");
    mime.push_str("MIME-Version: 1.0\r\n");
    if with_text {
        mime.push_str("Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n");
        mime.push_str("Content-Type: text/plain; charset=utf-8\r\n\r\nas text\r\n--b\r\n");
        mime.push_str(&html);
        mime.push_str("--b--\r\n");
    } else {
        mime.push_str(&html);
    }
    mime
}
