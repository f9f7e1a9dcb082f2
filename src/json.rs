//! Reading JSON back, field by field.
//!
//! Derived readers (`serde::Deserialize`) of our few structures, with the error messages they carry
//! and the number formatting those need, were a quarter of the Worker's upload. For the same reason all
//! JSON is read with `from_slice`: `from_str` is another copy of the parser.

use crate::{config::GrantId, time::UnixMillis, webhook::SvixId};
use serde_json::Value;

/// What can be read back from its JSON form. `None`: it is not that.
pub trait FromJson: Sized {
    fn from_json(value: &Value) -> Option<Self>;

    fn from_text(text: &str) -> Option<Self> {
        Self::from_json(&serde_json::from_slice(text.as_bytes()).ok()?)
    }
}

/// An object, built without `json!`, whose every value goes through a serializer of its own: ten
/// kilobytes of the upload.
pub(crate) fn object<const FIELDS: usize>(fields: [(&str, Value); FIELDS]) -> Value {
    let mut object = serde_json::Map::new();
    for (name, value) in fields {
        object.insert(name.to_owned(), value);
    }
    Value::Object(object)
}

/// A field that must be there.
pub(crate) fn field<T: FromJson>(object: &Value, name: &str) -> Option<T> {
    T::from_json(object.get(name)?)
}

/// A field that may be absent or null. `None`: it is there and malformed.
pub(crate) fn optional<T: FromJson>(object: &Value, name: &str) -> Option<Option<T>> {
    match object.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => T::from_json(value).map(Some),
    }
}

impl FromJson for String {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl FromJson for bool {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl FromJson for u32 {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }
}

impl FromJson for u64 {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_u64()
    }
}

impl FromJson for UnixMillis {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_u64().map(Self)
    }
}

impl FromJson for SvixId {
    fn from_json(value: &Value) -> Option<Self> {
        Self::parse(value.as_str()?)
    }
}

impl FromJson for GrantId {
    fn from_json(value: &Value) -> Option<Self> {
        Self::parse(value.as_str()?)
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::from_json).collect()
    }
}
