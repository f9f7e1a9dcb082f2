//! DNS look-ups over HTTPS, in the JSON form that Cloudflare and Google answer.

use crate::{
    failure::Failure,
    http::{Ask, Http, list, text},
    nylas::encode,
};
use serde_json::Value;

/// The records of one type under a name. An unknown name has none.
pub fn look_up(
    http: &Http,
    endpoint: &str,
    name: &str,
    kind: &str,
) -> Result<Vec<String>, Failure> {
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    let url = format!("{endpoint}{joint}name={}&type={kind}", encode(name));
    let reply = http.call(&Ask::get(url).header("accept", "application/dns-json"))?;
    let body = reply.json();
    let status = body.get("Status").and_then(Value::as_u64);
    match (reply.code, status) {
        (200, Some(0 | 3)) => {}
        (200, Some(status)) => {
            return Err(Failure::new(
                format!("the name service answered {name} with error {status}"),
                "look the records up another way, or try again",
            ));
        }
        (code, _) => {
            return Err(Failure::new(
                format!(
                    "the name service at {} answered {code}, not DNS as JSON",
                    crate::http::host(endpoint)
                ),
                "name another with --dns, for example https://dns.google/resolve",
            ));
        }
    }
    let number = match kind {
        "MX" => 15,
        "CNAME" => 5,
        _ => 16,
    };
    Ok(list(&body, "/Answer")
        .iter()
        .filter(|record| record.get("type").and_then(Value::as_u64) == Some(number))
        .map(|record| unquote(text(record, "/data")))
        .collect())
}

/// Joins the strings of a TXT record: `"v=spf1 " "-all"` is `v=spf1 -all`.
fn unquote(data: &str) -> String {
    if !data.starts_with('"') {
        return data.to_owned();
    }
    data.split('"').skip(1).step_by(2).collect()
}
