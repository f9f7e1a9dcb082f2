//! Nylas' own limits for strangers' mail: a policy on the accounts' workspaces. It acts before the relay sees a mail.

use crate::{
    failure::Failure,
    http::{Reply, list, text},
    nylas::{Nylas, ok, said},
};
use serde_json::{Value, json};

/// The name of the policy, by which it is found again.
pub const POLICY: &str = "clerk-nylas-relay";
/// The mails an account takes a day. Every sign-in mail may get one automatic answer, and few people answer.
const RECEIVED_MAX: u64 = 500;
/// The size of a mail with its attachments: a few screenshots.
const SIZE_MAX: u64 = 10 * 1024 * 1024;

/// What the policy does, for people.
pub const SUMMARY: &str =
    "at most 500 mails a day and account, at most 10 MB each, and checks for spam";

/// What is there, and what is missing.
#[derive(Debug)]
pub enum Protection {
    /// Nothing has to be done, or nothing can be; why.
    Settled(String),
    /// These workspaces have no policy.
    Missing {
        /// The policy, if an earlier run made it.
        policy: Option<String>,
        /// Their ids.
        workspaces: Vec<String>,
    },
}

/// Looks at the workspaces of the accounts.
pub fn look(nylas: &Nylas<'_>, grants: &[String]) -> Result<Protection, Failure> {
    let (all, policies) = (
        nylas.get("/v3/workspaces")?,
        nylas.get("/v3/policies?limit=200")?,
    );
    for reply in [&all, &policies] {
        if is_not_offered(reply) {
            let says = format!(
                "Nylas offers no policies here ({}{})",
                reply.code,
                said(reply)
            );
            return Ok(Protection::Settled(says));
        }
        ok(reply)?;
    }
    let (all, policies) = (all.json(), policies.json());
    let ours = list(&policies, "/data")
        .iter()
        .find(|policy| text(policy, "/name") == POLICY)
        .map(|policy| text(policy, "/id").to_owned());
    let (mut missing, mut others) = (Vec::new(), 0_u32);
    for grant in grants {
        let reply = nylas.grant(grant)?;
        ok(&reply)?;
        let grant = reply.json();
        let own = text(&grant, "/data/workspace_id");
        // An account without one is in the application's default workspace.
        let is_its = |workspace: &&Value| {
            let is_default = workspace.get("default").and_then(Value::as_bool) == Some(true);
            text(workspace, "/workspace_id") == own || own.is_empty() && is_default
        };
        let Some(workspace) = list(&all, "/data").iter().find(is_its) else {
            let says = "an account is in no workspace, so it can have no policy".to_owned();
            return Ok(Protection::Settled(says));
        };
        let (id, policy) = (
            text(workspace, "/workspace_id"),
            text(workspace, "/policy_id"),
        );
        if policy.is_empty() {
            if !missing.iter().any(|known| known == id) {
                missing.push(id.to_owned());
            }
        } else if ours.as_deref() != Some(policy) {
            others = others.saturating_add(1);
        }
    }
    Ok(match (missing.is_empty(), others) {
        (false, _) => Protection::Missing {
            policy: ours,
            workspaces: missing,
        },
        // What somebody chose, the values in ours included, stays as it is.
        (true, 0) => Protection::Settled(format!("the policy {POLICY} at Nylas")),
        (true, _) => Protection::Settled("a policy of your own at Nylas".to_owned()),
    })
}

/// Makes the policy unless it is there, and attaches it.
pub fn apply(
    nylas: &Nylas<'_>,
    policy: Option<String>,
    workspaces: &[String],
) -> Result<(), Failure> {
    let policy = match policy {
        Some(policy) => policy,
        None => {
            let wanted = json!({
                "name": POLICY,
                "limits": {
                    "limit_count_daily_message_received": RECEIVED_MAX,
                    "limit_size_total_mime": SIZE_MAX,
                },
                "spam_detection": {"use_list_dnsbl": true, "use_header_anomaly_detection": true},
            });
            let reply = nylas.post("/v3/policies", &wanted)?;
            ok(&reply)?;
            text(&reply.json(), "/data/id").to_owned()
        }
    };
    for workspace in workspaces {
        let path = format!("/v3/workspaces/{workspace}");
        ok(&nylas.patch(&path, &json!({"policy_id": policy}))?)?;
    }
    Ok(())
}

/// Whether the plan or the region does not have it.
fn is_not_offered(reply: &Reply) -> bool {
    matches!(reply.code, 403 | 404)
}
