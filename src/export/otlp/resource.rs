//! What describes the service that the telemetry is of.

use crate::model::attributes as names;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

/// What hopwatch calls itself to collectors.
pub(super) const USER_AGENT: &str = concat!("hopwatch/", env!("CARGO_PKG_VERSION"));
/// The instrumentation scope of all that is exported.
pub(super) const SCOPE: &str = "hopwatch";

/// The resource: what is given over what is known. Without a name the service is `unknown_service`, as the specification wants it.
pub(super) fn resource(given: &[(String, String)]) -> Resource {
    let known = [
        KeyValue::new(names::TELEMETRY_SDK_NAME, "hopwatch"),
        KeyValue::new(names::TELEMETRY_SDK_LANGUAGE, "rust"),
        KeyValue::new(names::TELEMETRY_SDK_VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new(names::PROCESS_PID, i64::from(std::process::id())),
    ];
    let service = format!("unknown_service:{}", program().unwrap_or_else(|| "hopwatch".to_owned()));
    let given = given.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_attribute(KeyValue::new(names::SERVICE_NAME, service))
        .with_attributes(known)
        .with_attributes(given)
        .build()
}

fn program() -> Option<String> {
    Some(std::env::current_exe().ok()?.file_name()?.to_string_lossy().into_owned())
}
