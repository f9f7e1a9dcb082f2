//! Reading JSON back, field by field.
//!
//! Derived readers (`serde::Deserialize`) of our few structures, with the error messages they carry
//! and the number formatting those need, were a quarter of the Worker's upload. For the same reason all
//! JSON is read with `from_slice`: `from_str` is another copy of the parser.

use crate::{config::GrantId, time::UnixMillis, webhook::SvixId};
use serde_json::{Map, Value};

/// What can be read back from its JSON form. `None`: it is not that.
pub trait FromJson: Sized {
    fn from_json(value: &Value) -> Option<Self>;

    fn from_text(text: &str) -> Option<Self> {
        Self::from_json(&serde_json::from_slice(text.as_bytes()).ok()?)
    }
}

/// An object, built without `json!`, whose every value goes through a serializer of its own: ten
/// kilobytes of the upload.
pub(crate) fn object<const FIELDS: usize>(mut fields: [(&str, Value); FIELDS]) -> Value {
    object_of(&mut fields)
}

/// The same for all numbers of fields: compiled once.
#[inline(never)]
fn object_of(fields: &mut [(&str, Value)]) -> Value {
    let mut object = Map::new();
    for (name, value) in fields {
        object.insert((*name).to_owned(), value.take());
    }
    Value::Object(object)
}

/// A value as text. (`Value::to_string` is another copy of the writer.)
pub(crate) fn text(value: &Value) -> String {
    // Fails only for maps whose keys are no texts.
    serde_json::to_string(value).unwrap_or_default()
}

/// What stands at the end of a path. (`Value::pointer` takes its path apart with `str::replace`, a
/// search for texts within texts: 2 kB of the upload.)
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// Takes fields out of an object. (`Map::remove` keeps the tree balanced; here it is built anew.)
pub(crate) fn remove(object: &mut Map<String, Value>, names: &[&str]) {
    for (name, value) in std::mem::take(object) {
        if !names.contains(&name.as_str()) {
            object.insert(name, value);
        }
    }
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
