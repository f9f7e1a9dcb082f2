//! Policies and the workspaces that carry them, as strict as Nylas' schema.

use crate::model::answer::Answer;
use crate::model::call::Call;
use crate::shared::Shared;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// The one workspace: the application's default, which Nylas makes and manages.
pub const DEFAULT_WORKSPACE: &str = "55555555-0000-4000-8000-000000000000";

/// Limits that are whole numbers, and their plan's maximum. Nylas documents the first and the second of the free
/// plan's; the others are made up.
const LIMITS: [(&str, u64); 8] = [
    ("limit_count_daily_email_sent", 200),
    ("limit_size_total_mime", 50 * 1024 * 1024),
    ("limit_count_daily_message_received", 1_000),
    ("limit_attachment_size_limit", 25 * 1024 * 1024),
    ("limit_attachment_count_limit", 20),
    ("limit_storage_total", 3 * 1024 * 1024 * 1024),
    ("limit_inbox_retention_period", 30),
    ("limit_spam_retention_period", 7),
];
const ALLOWED_TYPES: &str = "limit_attachment_allowed_types";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: Option<String>,
    limits: Option<Map<String, Value>>,
    rules: Option<Vec<String>>,
    spam_detection: Option<SpamDetection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpamDetection {
    use_list_dnsbl: Option<bool>,
    use_header_anomaly_detection: Option<bool>,
    spam_sensitivity: Option<f64>,
}

/// A change of a workspace. `Some(None)`: the policy is detached.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default, deserialize_with = "given")]
    policy_id: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    rule_ids: Option<Option<Vec<String>>>,
    name: Option<String>,
    auto_group: Option<bool>,
}

fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Wanted {
    /// The policy with these values instead.
    fn read(call: &Call, mut policy: Value) -> Result<Value, String> {
        let wanted: Self = serde_json::from_slice(&call.body).map_err(|error| error.to_string())?;
        if let Some(name) = wanted.name {
            policy["name"] = json!(name);
        }
        if policy["name"].as_str().unwrap_or_default().is_empty() {
            return Err("name: is required".to_owned());
        }
        if let Some(rules) = wanted.rules {
            policy["rules"] = json!(rules);
        }
        for (name, value) in wanted.limits.into_iter().flatten() {
            let plan = LIMITS.iter().find(|(known, _)| *known == name);
            let is_fine = match plan {
                Some((_, most)) => value.as_u64().is_some_and(|limit| limit <= *most),
                None => name == ALLOWED_TYPES && value.is_array(),
            };
            if !is_fine {
                return Err(format!("limits.{name}: unknown, or above the plan's limit"));
            }
            policy["limits"][name] = value;
        }
        let days = |name: &str| {
            policy
                .pointer(&format!("/limits/{name}"))
                .and_then(Value::as_u64)
        };
        if let (Some(inbox), Some(spam)) = (
            days("limit_inbox_retention_period"),
            days("limit_spam_retention_period"),
        ) && spam >= inbox
        {
            return Err("limits.limit_spam_retention_period: must be the shorter one".to_owned());
        }
        if let Some(spam) = wanted.spam_detection {
            let fits = |sensitivity: &f64| (0.1..=5.0).contains(sensitivity);
            if !spam.spam_sensitivity.as_ref().is_none_or(fits) {
                return Err("spam_detection.spam_sensitivity: must be 0.1 to 5".to_owned());
            }
            for (name, value) in [
                ("use_list_dnsbl", spam.use_list_dnsbl.map(Value::from)),
                (
                    "use_header_anomaly_detection",
                    spam.use_header_anomaly_detection.map(Value::from),
                ),
                ("spam_sensitivity", spam.spam_sensitivity.map(Value::from)),
            ] {
                if let Some(value) = value {
                    policy["spam_detection"][name] = value;
                }
            }
        }
        Ok(policy)
    }
}

pub fn create(shared: &Shared, call: &Call) -> Answer {
    let mut state = shared.lock();
    match Wanted::read(call, json!({})) {
        Err(message) => state.error(400, "invalid_request_error", &message),
        Ok(mut policy) => {
            policy["id"] = json!(state.fresh_uuid());
            policy["created_at"] = json!(shared.clock.now_ms() / 1000);
            state.policies.push(policy.clone());
            state.ok(policy)
        }
    }
}

pub fn list(shared: &Shared) -> Answer {
    let mut state = shared.lock();
    let policies = json!(state.policies);
    state.ok(policies)
}

pub fn update(shared: &Shared, id: &str, call: &Call) -> Answer {
    let mut state = shared.lock();
    let Some(at) = state.policies.iter().position(|policy| policy["id"] == *id) else {
        return state.error(404, "not_found_error", "requested object not found");
    };
    match Wanted::read(call, state.policies[at].clone()) {
        Err(message) => state.error(400, "invalid_request_error", &message),
        Ok(policy) => {
            state.policies[at] = policy.clone();
            state.ok(policy)
        }
    }
}

pub fn delete(shared: &Shared, id: &str) -> Answer {
    let mut state = shared.lock();
    let before = state.policies.len();
    state.policies.retain(|policy| policy["id"] != *id);
    if state.policies.len() == before {
        return state.error(404, "not_found_error", "requested object not found");
    }
    let answer = json!({ "request_id": state.fresh_uuid() });
    Answer::json(200, &answer)
}

pub fn workspaces(shared: &Shared) -> Answer {
    let mut state = shared.lock();
    let mut workspace = json!({
        "workspace_id": DEFAULT_WORKSPACE, "name": "Default", "default": true, "auto_group": false, "rule_ids": [],
    });
    if let Some(policy) = &state.workspace_policy {
        workspace["policy_id"] = json!(policy);
    }
    state.ok(json!([workspace]))
}

/// Attaches a policy, or detaches it. On the default workspace nothing else can be changed.
pub fn change_workspace(shared: &Shared, id: &str, call: &Call) -> Answer {
    let change: Result<Change, _> = serde_json::from_slice(&call.body);
    let mut state = shared.lock();
    if id != DEFAULT_WORKSPACE {
        return state.error(404, "not_found_error", "requested object not found");
    }
    let change = match change {
        Ok(change) if change.name.is_none() && change.auto_group.is_none() => change,
        Ok(_) => {
            let message = "only policy_id and rule_ids of the default workspace can be changed";
            return state.error(400, "invalid_request_error", message);
        }
        Err(error) => return state.error(400, "invalid_request_error", &error.to_string()),
    };
    if change
        .rule_ids
        .flatten()
        .is_some_and(|rules| !rules.is_empty())
    {
        let message = "rule_ids: no such rule in this application";
        return state.error(400, "invalid_request_error", message);
    }
    if let Some(policy) = change.policy_id {
        let is_known = |id: &String| state.policies.iter().any(|policy| policy["id"] == **id);
        if !policy.as_ref().is_none_or(is_known) {
            let message = "policy_id: no such policy in this application";
            return state.error(400, "invalid_request_error", message);
        }
        state.workspace_policy = policy;
    }
    drop(state);
    workspaces(shared)
}
