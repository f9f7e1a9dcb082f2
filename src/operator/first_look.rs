//! A first look at each template: the shape of its first real event. An operator compares it with Clerk's "Send
//! example" before depending on it. A shape is names, types and lengths, never values.

use crate::{ledger::Ledger, ports::Ports};
use serde_json::{Value, json};

const FIELDS_MAX: usize = 80;

/// Keeps the shape of an event, if it is the first of its template.
pub async fn keep<P: Ports>(ports: &P, slug: &str, event: &[u8]) {
    let ledger = Ledger::new(ports);
    if ledger.has_shape(slug).await != Ok(false) {
        return;
    }
    let Ok(event) = serde_json::from_slice::<Value>(event) else {
        return;
    };
    let mut fields = Vec::new();
    walk("", &event, &mut fields);
    let shape = json!({"at": ports.now(), "fields": fields});
    // Safe to lose: the next event of the template will do.
    let _ = ledger.put_shape(slug, &shape.to_string()).await;
}

fn walk(path: &str, value: &Value, fields: &mut Vec<Value>) {
    if fields.len() >= FIELDS_MAX {
        return;
    }
    let (kind, length) = match value {
        Value::Null => ("null", None),
        Value::Bool(_) => ("boolean", None),
        Value::Number(_) => ("number", None),
        Value::String(text) => ("string", Some(text.len())),
        Value::Array(items) => ("array", Some(items.len())),
        Value::Object(members) => {
            for (name, member) in members {
                // An odd name could be a value that is used as a name.
                let is_plain = name.len() <= 64
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
                let name = if is_plain { name.as_str() } else { "?" };
                let mut inner = path.to_owned();
                if !path.is_empty() {
                    inner.push('.');
                }
                inner.push_str(name);
                walk(&inner, member, fields);
            }
            return;
        }
    };
    let mut field = json!({"path": path, "type": kind});
    if let (Value::Object(field), Some(length)) = (&mut field, length) {
        field.insert("length".to_owned(), length.into());
    }
    fields.push(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_names_types_and_lengths_and_no_value() {
        let event = serde_json::json!({
            "type": "email.created",
            "data": {"subject": "123456 is your code", "user_id": null, "data": {"otp_code": "123456", "a1": true}},
        });
        let mut fields = Vec::new();
        walk("", &event, &mut fields);
        let text = Value::from(fields).to_string();
        assert!(
            !text.contains("123456") && !text.contains("is your code"),
            "{text}"
        );
        assert!(
            text.contains(r#"{"length":6,"path":"data.data.otp_code","type":"string"}"#),
            "{text}"
        );
        assert!(
            text.contains(r#"{"path":"data.data.?","type":"boolean"}"#),
            "{text}"
        );
        assert!(
            text.contains(r#"{"path":"data.user_id","type":"null"}"#),
            "{text}"
        );
    }
}
