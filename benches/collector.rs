//! What a service feels of its collector: the time of each call with no export, and with collectors that are away, mute or slow.
//!
//! The cases take turns; each call is timed by itself, 10,000 a second as a busy service makes them. Printed are the median and the 99th
//! percentile of a round, as medians and quartiles over the rounds, the ratio of the 99th percentiles to those without export (paired
//! within a round), and what became of the spans.
//!
//! `cargo bench --bench collector`

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark may panic, and reads the clock")]

use hopwatch::export::otlp::{OtlpConfig, OtlpProtocol};
use hopwatch::{Hopwatch, Kind};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;
const CALLS: u32 = 5_000;
/// From one call to the next.
const PACE: Duration = Duration::from_micros(100);

struct Case {
    name: &'static str,
    watch: Hopwatch,
    medians: Vec<f64>,
    tails: Vec<f64>,
}

impl Case {
    fn new(name: &'static str, endpoint: Option<String>) -> Self {
        let builder = Hopwatch::builder().service("bench").own_metrics().shutdown_timeout(Duration::ZERO);
        let builder = match endpoint {
            Some(endpoint) => builder.otlp(OtlpConfig::new(&endpoint, OtlpProtocol::HttpProtobuf)),
            None => builder,
        };
        Self { name, watch: builder.build().unwrap(), medians: Vec::new(), tails: Vec::new() }
    }

    async fn round(&mut self) {
        let hop = self.watch.hop(Kind::Tool, "lookup");
        let mut times = Vec::with_capacity(CALLS as usize);
        let started = Instant::now();
        for nth in 0..CALLS {
            while started.elapsed() < PACE * nth {
                std::hint::spin_loop();
            }
            let call = Instant::now();
            hop.time(std::future::ready(())).await;
            times.push(call.elapsed().as_nanos() as f64);
        }
        times.sort_by(f64::total_cmp);
        self.medians.push(times[times.len() / 2]);
        self.tails.push(times[times.len() * 99 / 100]);
    }
}

/// A collector that does this with each connection.
fn collector(each: impl Fn(TcpStream) + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let each = each.clone();
            std::thread::spawn(move || each(stream));
        }
    });
    format!("http://{address}")
}

fn quartiles(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: usize| sorted[(sorted.len() - 1) * part / 4];
    (at(1), at(2), at(3))
}

fn main() {
    let away = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mute = collector(|mut stream| while stream.read(&mut [0; 65_536]).is_ok_and(|read| read > 0) {});
    let slow = collector(|mut stream| {
        // One answer a second, whatever was asked.
        while stream.read(&mut [0; 1 << 20]).is_ok_and(|read| read > 0) {
            std::thread::sleep(Duration::from_secs(1));
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    });
    let mut cases = [
        Case::new("no export", None),
        Case::new("away", Some(away)),
        Case::new("mute", Some(mute)),
        Case::new("slow", Some(slow)),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for _ in 0..ROUNDS {
        for case in &mut cases {
            runtime.block_on(case.round());
        }
    }
    let without = cases[0].tails.clone();
    for case in &cases {
        let (_, median, _) = quartiles(&case.medians);
        let (low, tail, high) = quartiles(&case.tails);
        let ratios: Vec<f64> = case.tails.iter().zip(&without).map(|(with, without)| with / without).collect();
        let (ratio_low, ratio, ratio_high) = quartiles(&ratios);
        println!(
            "{:<10} median {median:.0} ns, p99 {tail:.0} ns ({low:.0} to {high:.0}), ratio {ratio:.2} ({ratio_low:.2} to {ratio_high:.2})",
            case.name
        );
        if let Some(exporter) = case.watch.exporter() {
            println!("           {:?}", exporter.counts());
        }
        let losses = case.watch.losses();
        println!("           hops: {} started, {} recorded, dropped {:?}", losses.started, losses.recorded, losses.dropped);
    }
}
