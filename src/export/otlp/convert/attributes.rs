//! A list of attributes that takes only what is known.

use crate::model::redact;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

/// Attributes in the making. Absent knowledge makes no attribute.
#[derive(Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn push(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() });
    }

    /// A name from outside, made safe to show.
    pub(super) fn name(&mut self, key: &str, value: Option<&str>) {
        self.text(key, value.map(redact::name));
    }

    /// A word of our own.
    pub(super) fn word(&mut self, key: &str, value: Option<&str>) {
        self.text(key, value.map(str::to_owned));
    }

    /// A text that is safe as it stands.
    pub(super) fn text(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.push(key, Value::StringValue(value));
        }
    }

    /// An integer; one that no `i64` holds is the largest there is.
    pub(super) fn int(&mut self, key: &str, value: Option<impl TryInto<i64>>) {
        if let Some(value) = value {
            self.push(key, Value::IntValue(value.try_into().unwrap_or(i64::MAX)));
        }
    }

    /// A number.
    pub(super) fn float(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.push(key, Value::DoubleValue(value));
        }
    }

    /// Yes or no.
    pub(super) fn bool(&mut self, key: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.push(key, Value::BoolValue(value));
        }
    }

    /// An attribute that is only there when it holds.
    pub(super) fn flag(&mut self, key: &str, holds: bool) {
        self.bool(key, holds.then_some(true));
    }
}

impl From<Vec<KeyValue>> for Attributes {
    fn from(list: Vec<KeyValue>) -> Self {
        Self(list)
    }
}

impl From<Attributes> for Vec<KeyValue> {
    fn from(attributes: Attributes) -> Self {
        attributes.0
    }
}
