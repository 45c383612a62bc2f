//! Native histograms in place of classic ones: a real Prometheus takes them, and every panel of a histogram has data too.
//!
//! hopwatch's own text has classic buckets; native ones come of pipelines that convert, such as OTLP into Prometheus.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use hopwatch::model::Phase;
use hopwatch::model::names::{ALL, Instrument, Metric};

use crate::ask::wait_for;
use crate::boards::{boards, filled, readable, targets};
use crate::prometheus::{Prometheus, targets as jobs};
use crate::promql::Read;
use crate::support::part::part;

const CONTENT_TYPE: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Numbers of fields and kinds in Prometheus' `metrics.proto`.
mod proto {
    pub(super) const COUNTER: u64 = 0;
    pub(super) const GAUGE: u64 = 1;
    pub(super) const HISTOGRAM: u64 = 4;

    /// A message under way.
    #[derive(Default)]
    pub(super) struct Message(pub(super) Vec<u8>);

    impl Message {
        fn varint(&mut self, mut value: u64) {
            while value >= 0x80 {
                self.0.push(value as u8 | 0x80);
                value >>= 7;
            }
            self.0.push(value as u8);
        }

        pub(super) fn number(mut self, field: u64, value: u64) -> Self {
            self.varint(field << 3);
            self.varint(value);
            self
        }

        pub(super) fn signed(self, field: u64, value: i64) -> Self {
            self.number(field, ((value << 1) ^ (value >> 63)) as u64)
        }

        pub(super) fn double(mut self, field: u64, value: f64) -> Self {
            self.varint(field << 3 | 1);
            self.0.extend(value.to_le_bytes());
            self
        }

        pub(super) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
            self.varint(field << 3 | 2);
            self.varint(value.len() as u64);
            self.0.extend(value);
            self
        }

        pub(super) fn delimited(self) -> Vec<u8> {
            let mut out = Self::default();
            out.varint(self.0.len() as u64);
            out.0.extend(self.0);
            out.0
        }
    }
}

use proto::Message;

/// Values of a label that panels ask for.
fn values(metric: &Metric, label: &str) -> Vec<&'static str> {
    match label {
        "phase" if metric.labels.contains(&"dependency") => Phase::ALL.iter().map(|phase| phase.as_str()).collect(),
        "state" => vec!["new", "reused"],
        "outcome" => vec!["ok", "timeout", "rate_limited"],
        "gen_ai_token_type" => vec!["input", "output"],
        "kind" => vec!["llm", "startup"],
        "input" => vec!["1k", "4k"],
        "error_type" => vec!["timeout"],
        _ => vec!["x"],
    }
}

/// A family of series, `scrape` times observed.
fn family(metric: &Metric, scrape: u64) -> Vec<u8> {
    let mut sets: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
    for label in metric.labels {
        sets = sets
            .into_iter()
            .flat_map(|set| values(metric, label).into_iter().map(move |value| [set.as_slice(), &[(*label, value)]].concat()))
            .collect();
    }
    let kind = match metric.instrument {
        Instrument::Counter => proto::COUNTER,
        Instrument::Gauge => proto::GAUGE,
        Instrument::Histogram => proto::HISTOGRAM,
    };
    let family = Message::default().bytes(1, metric.name.as_bytes()).bytes(2, metric.help.as_bytes()).number(3, kind);
    let family = sets.iter().fold(family, |family, set| {
        let labels = set.iter().fold(Message::default(), |message, (name, value)| {
            message.bytes(1, &Message::default().bytes(1, name.as_bytes()).bytes(2, value.as_bytes()).0)
        });
        let value = Message::default().double(1, scrape as f64);
        family.bytes(
            4,
            &match metric.instrument {
                Instrument::Counter => labels.bytes(3, &value.0),
                Instrument::Gauge => labels.bytes(2, &value.0),
                Instrument::Histogram => labels.bytes(7, &histogram(scrape).0),
            }
            .0,
        )
    });
    family.delimited()
}

/// Of schema 0, whose bounds are powers of two: as many observations in each of three buckets.
fn histogram(scrape: u64) -> Message {
    let each = i64::try_from(scrape).unwrap();
    let span = Message::default().signed(1, -1).number(2, 3);
    Message::default()
        .number(1, scrape * 3)
        .double(2, scrape as f64 * 2.6)
        .signed(5, 0)
        .double(6, 1e-38)
        .number(7, 0)
        .bytes(12, &span.0)
        .signed(13, each)
        .signed(13, 0)
        .signed(13, 0)
}

/// Serves every metric, its histograms as native ones.
struct Exposition {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exposition {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            let scrapes = AtomicU64::new(0);
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let scrape = scrapes.fetch_add(1, Ordering::Relaxed) + 1;
                    answer(stream, &ALL.iter().flat_map(|metric| family(metric, scrape)).collect::<Vec<u8>>());
                }
            }
        });
        Self { address, is_over, thread: Some(thread) }
    }
}

impl Drop for Exposition {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn answer(stream: TcpStream, body: &[u8]) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    // To the end of the head.
    drop(lines.by_ref().find(String::is_empty));
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let mut stream = stream;
    // Who asked may be gone.
    drop(stream.write_all(&[head.as_bytes(), body].concat()));
}

#[test]
fn panels_of_histograms_have_data_from_native_ones_too() {
    let Some(program) = part("prometheus") else { return };
    let exposition = Exposition::start();
    let config = format!("global: {{scrape_interval: 1s}}\n{}", jobs(&[("hopwatch", &exposition.address.to_string())]));
    let prometheus = Prometheus::with(&program, &config, &["--enable-feature=native-histograms"]);
    let of_histograms: Vec<(String, String)> = boards()
        .iter()
        .flat_map(targets)
        .filter(|target| {
            let read = Read::of(&readable(&target.expr)).unwrap();
            read.selectors().any(|selected| {
                selected.name.ends_with("_bucket") || selected.name.ends_with("_sum") || selected.name.ends_with("_count")
            })
        })
        .map(|target| {
            let all =
                [("namespace", ".*"), ("job", ".+"), ("instance", ".+"), ("run", ".+"), ("dependency", ".+"), ("model", ".*")];
            (target.place.clone(), filled(&target.expr, "10s", "1m", &all))
        })
        .collect();
    assert!(of_histograms.len() > 40, "{}", of_histograms.len());
    wait_for("there is data", || {
        let has_none = |(_, query): &&(String, String)| prometheus.range(query).iter().all(|(_, value)| !value.is_finite());
        let empty: Vec<String> =
            of_histograms.iter().filter(has_none).map(|(place, query)| format!("{place}: {query}")).collect();
        if empty.is_empty() { Ok(()) } else { Err(empty.join("\n")) }
    });
    // All of it is of the native form.
    assert_eq!(prometheus.query("{__name__=~'.+_(bucket|sum|count)'}"), []);
    let mean = "histogram_sum(hopwatch_run_duration_seconds) / histogram_count(hopwatch_run_duration_seconds)";
    assert!((prometheus.value(mean) - 2.6 / 3.0).abs() < 1e-9);
}
