use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Option<OtlpConfig>, OtlpConfigError> {
    env::read(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
}

fn with_endpoint(variables: &[(&str, &str)]) -> Option<OtlpConfig> {
    env::read_with_endpoint(&|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        .unwrap()
}

fn traces(variables: &[(&str, &str)]) -> OtlpSignal {
    read(variables).unwrap().unwrap().traces.unwrap()
}

const GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

#[test]
fn without_a_variable_it_is_the_local_collector() {
    let config = read(&[]).unwrap().unwrap();
    assert_eq!(config.traces.unwrap().endpoint, "http://localhost:4318/v1/traces");
    assert_eq!(config.metrics.unwrap().endpoint, "http://localhost:4318/v1/metrics");
    assert_eq!((config.batch, config.delay), (512, Duration::from_secs(5)));
    assert_eq!(traces(&[GRPC]).endpoint, "http://localhost:4317");
}

#[test]
fn the_common_endpoint_is_a_base_and_a_signals_own_is_taken_as_it_stands() {
    assert_eq!(traces(&[(ENDPOINT, "http://gw:4318/otlp/")]).endpoint, "http://gw:4318/otlp/v1/traces");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://gw:9/spans");
    assert_eq!(traces(&[(ENDPOINT, "http://elsewhere"), own]).endpoint, "http://gw:9/spans");
    assert_eq!(traces(&[GRPC, (ENDPOINT, "https://gw:4317")]).endpoint, "https://gw:4317");
}

#[test]
fn a_grpc_endpoint_may_lack_its_scheme() {
    assert_eq!(traces(&[GRPC, (ENDPOINT, "gw:4317")]).endpoint, "https://gw:4317");
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
    assert_eq!(traces(&[GRPC, insecure, (ENDPOINT, "gw:4317")]).endpoint, "http://gw:4317");
}

#[test]
fn a_signals_own_variable_wins_over_the_common_one() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "700"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/key.pem"),
    ];
    let config = read(&variables).unwrap().unwrap();
    let (traces, metrics) = (config.traces.unwrap(), config.metrics.unwrap());
    assert_eq!((traces.timeout, metrics.timeout), (Duration::from_millis(700), Duration::from_secs(3)));
    assert_eq!((traces.gzip, metrics.gzip), (true, false));
    assert_eq!(metrics.certificate.as_deref(), Some("/ca.pem".as_ref()));
    assert_eq!((traces.client_key.is_some(), metrics.client_key), (true, None));
}

#[test]
fn headers_are_percent_decoded_and_never_shown() {
    let signal = traces(&[("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20s3cret, x-team = a%2Cb,")]);
    let expected = [("authorization", "Bearer s3cret"), ("x-team", "a,b")];
    assert_eq!(signal.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let shown = format!("{signal:?}");
    assert!(shown.contains("authorization") && !shown.contains("s3cret"), "{shown}");
    let signal = OtlpSignal::new("https://user:s3cret@gw/v1/traces?key=s3cret", OtlpProtocol::Grpc);
    let shown = format!("{signal:?}");
    assert!(shown.contains("https://gw/v1/traces") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn the_service_is_named_by_its_own_variable_or_among_the_attributes() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,deployment.environment=test%20bed");
    let config = read(&[attributes, ("OTEL_SERVICE_NAME", "shop")]).unwrap().unwrap().or_service_name("other");
    let names: Vec<_> = config.resource.iter().filter(|(name, _)| name == "service.name").collect();
    assert_eq!(names, [&("service.name".to_owned(), "shop".to_owned())]);
    assert!(config.resource.contains(&("deployment.environment".to_owned(), "test bed".to_owned())));
    let config = read(&[]).unwrap().unwrap().or_service_name("other");
    assert_eq!(config.resource, [("service.name".to_owned(), "other".to_owned())]);
}

#[test]
fn signals_are_switched_off_one_by_one_or_together() {
    assert!(read(&[("OTEL_SDK_DISABLED", "TRUE")]).unwrap().is_none());
    let (no_traces, no_metrics) = (("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "prometheus"));
    assert!(read(&[no_traces, no_metrics]).unwrap().is_none());
    let config = read(&[no_traces]).unwrap().unwrap();
    assert!(config.traces.is_none() && config.metrics.is_some());
    assert!(read(&[("OTEL_TRACES_EXPORTER", "console,otlp")]).unwrap().unwrap().traces.is_some());
}

#[test]
fn only_what_was_told_an_endpoint_is_exported_where_that_is_asked() {
    assert!(with_endpoint(&[("OTEL_SERVICE_NAME", "shop"), GRPC]).is_none());
    assert!(with_endpoint(&[(ENDPOINT, "  ")]).is_none());
    assert!(with_endpoint(&[(ENDPOINT, "http://gw"), ("OTEL_SDK_DISABLED", "true")]).is_none());
    let config = with_endpoint(&[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://gw")]).unwrap();
    assert!(config.traces.is_none() && config.metrics.is_some());
}

#[test]
fn what_cannot_be_read_is_named_with_what_to_write() {
    let cases: &[(&str, &str, &str)] = &[
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "`http/protobuf`"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "udp", "`grpc` or `http/protobuf`"),
        (ENDPOINT, "gw:4318", "http://localhost:4318"),
        (ENDPOINT, "ftp://gw", "http://localhost:4318"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "milliseconds"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "`gzip` or `none`"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret", "name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=s3cret", "name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cret%0a", "name=value"),
        ("OTEL_RESOURCE_ATTRIBUTES", "shop", "name=value"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "number of spans"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1", "milliseconds"),
    ];
    for (name, value, hint) in cases {
        let error = read(&[(name, value)]).unwrap_err();
        assert_eq!(error.variable(), *name, "{error}");
        let text = error.to_string();
        assert!(text.starts_with(name) && text.contains(hint) && !text.contains("s3cret"), "{text}");
    }
}

#[test]
fn sizes_and_times_are_read() {
    let variables =
        [("OTEL_BSP_MAX_QUEUE_SIZE", "100"), ("OTEL_BSP_SCHEDULE_DELAY", "250"), ("OTEL_METRIC_EXPORT_INTERVAL", "1000")];
    let config = read(&variables).unwrap().unwrap();
    assert_eq!((config.queue, config.batch), (100, 100), "a batch is no larger than the queue");
    assert_eq!((config.delay, config.metric_interval), (Duration::from_millis(250), Duration::from_secs(1)));
}
