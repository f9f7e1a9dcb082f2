//! Rows of the operator's lists: reading their fields, and making those of a history.

use serde_json::{Map, Value, json};

/// A row of a mail's history.
pub fn history_entry(at: u64, event: Value, reason: Value) -> Value {
    json!({"at": at, "event": event, "reason": reason})
}

pub fn field(row: &Value, name: &str) -> Value {
    row.get(name).cloned().unwrap_or_default()
}

pub fn number(row: &Value, name: &str) -> Option<u64> {
    row.get(name).and_then(Value::as_u64)
}

pub fn field_is(row: &Value, name: &str, value: &str) -> bool {
    row.get(name).and_then(Value::as_str) == Some(value)
}

/// How many rows there are of each kind.
pub fn counts(rows: &[Value], name: &str) -> Value {
    let mut counts = Map::new();
    for row in rows {
        let kind = row.get(name).and_then(Value::as_str).unwrap_or("unknown");
        let count = counts.get(kind).and_then(Value::as_u64).unwrap_or_default();
        counts.insert(kind.to_owned(), count.saturating_add(1).into());
    }
    Value::Object(counts)
}

/// The text of a field; empty if there is none.
pub fn word<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A list of an answer.
pub fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    let rows = answer.get(name).and_then(Value::as_array);
    rows.map(Vec::as_slice).unwrap_or_default()
}
