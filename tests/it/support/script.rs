//! What a scripted server does with a request, step by step.

use std::time::Duration;

use serde_json::Value;

/// One thing done on the connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Nothing for this long.
    Delay(Duration),
    /// These bytes, at once.
    Bytes(Vec<u8>),
    /// Nothing any more, until the client leaves or the test ends.
    Stall,
    /// RST.
    Reset,
    /// FIN, whatever was promised.
    Close,
}

/// The answer to one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(pub(crate) Vec<Step>);

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A whole JSON answer with its length.
    pub(crate) fn json(body: &Value) -> Self {
        Self::answer(200, &[], body)
    }

    /// A whole JSON answer with a status and further headers.
    pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &Value) -> Self {
        let body = body.to_string();
        let length = body.len().to_string();
        let mut all = vec![("content-type", "application/json"), ("content-length", length.as_str())];
        all.extend_from_slice(headers);
        let mut bytes = head(status, &all);
        bytes.extend_from_slice(body.as_bytes());
        Self(vec![Step::Bytes(bytes)])
    }

    /// The head of a stream of server-sent events, alone.
    pub(crate) fn event_stream() -> Self {
        let headers = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")];
        Self(vec![Step::Bytes(head(200, &headers))])
    }

    /// One event of such a stream, as one chunk.
    pub(crate) fn event(self, data: &str) -> Self {
        self.chunk(&format!("data: {data}\n\n"))
    }

    /// The same with a name.
    pub(crate) fn named_event(self, name: &str, data: &str) -> Self {
        self.chunk(&format!("event: {name}\ndata: {data}\n\n"))
    }

    fn chunk(self, text: &str) -> Self {
        self.then(Step::Bytes(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()))
    }

    /// The end of a chunked body.
    pub(crate) fn end(self) -> Self {
        self.then(Step::Bytes(b"0\r\n\r\n".to_vec()))
    }

    pub(crate) fn delay(self, millis: u64) -> Self {
        self.then(Step::Delay(Duration::from_millis(millis)))
    }

    pub(crate) fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// This after `millis`.
    pub(crate) fn after(mut self, millis: u64) -> Self {
        self.0.insert(0, Step::Delay(Duration::from_millis(millis)));
        self
    }

    /// The bytes of the whole answer, for comparison with what was counted.
    pub(crate) fn length(&self) -> usize {
        self.0.iter().map(|step| if let Step::Bytes(bytes) = step { bytes.len() } else { 0 }).sum()
    }
}

fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Status",
    };
    let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}
