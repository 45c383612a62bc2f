//! The demo's model server, retriever and tool, on loopback.

use super::faults::{Fault, WARM_UP};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

/// The header in which the agent tells how much of its budget is left, in milliseconds.
pub(super) const BUDGET_HEADER: &str = "x-budget-ms";
/// How long a rate-limited client is asked to wait, in seconds.
const RETRY_AFTER_S: u32 = 1;
/// What a slow dependency leaves of the budget: less than the model takes.
const LEFT_OVER: Duration = Duration::from_millis(100);
/// Longest request that is taken.
const REQUEST_MAX: usize = 64 * 1024;

/// The servers while they run; dropping ends them.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) llm: SocketAddr,
    pub(super) docs: SocketAddr,
    pub(super) tool: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a server plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Llm,
    Docs,
    Tool,
}

/// One server.
#[derive(Debug)]
struct Server {
    role: Role,
    fault: Fault,
    calls: AtomicUsize,
    /// Nobody shall listen any more.
    closed: Notify,
}

/// What the server needs of a request.
struct Request {
    budget: Duration,
}

/// What happens to the connection after an answer.
#[derive(PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

impl Servers {
    /// Starts all three on ports that the system picks.
    pub(super) fn start(fault: Fault) -> io::Result<Self> {
        let bind = || {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>((listener.local_addr()?, listener))
        };
        let ((llm, llm_listener), (docs, docs_listener), (tool, tool_listener)) = (bind()?, bind()?, bind()?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            let all = [(Role::Llm, llm_listener), (Role::Docs, docs_listener), (Role::Tool, tool_listener)];
            runtime.block_on(async {
                for (role, listener) in all {
                    let server = Server { role, fault, calls: AtomicUsize::new(0), closed: Notify::new() };
                    // Tasks end with the runtime.
                    tokio::spawn(Arc::new(server).listen(listener));
                }
                let _dropped = stopped.await;
            });
        };
        let thread = std::thread::Builder::new().name("demo-servers".to_owned()).spawn(serve)?;
        Ok(Self { llm, docs, tool, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Server {
    async fn listen(self: Arc<Self>, listener: std::net::TcpListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    tokio::spawn(Arc::clone(&self).serve(stream));
                }
                () = self.closed.notified() => return Ok(()),
            }
        }
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::new();
        while let Some(request) = read_request(&mut stream, &mut buffer).await? {
            let faulty = self.calls.fetch_add(1, Ordering::Relaxed) >= WARM_UP;
            let after = match self.role {
                Role::Llm => self.complete(&mut stream, &request, faulty).await?,
                Role::Docs | Role::Tool => self.look_up(&mut stream, &request, faulty).await?,
            };
            if after == After::Close {
                break;
            }
        }
        Ok(())
    }

    /// Retriever and tool: a small JSON answer.
    async fn look_up(&self, stream: &mut TcpStream, request: &Request, faulty: bool) -> io::Result<After> {
        let (body, usual, slow) = match self.role {
            Role::Docs => (r#"{"documents":["Refunds are possible within 30 days of delivery."]}"#, 40, Fault::SlowRetrieval),
            _ => (r#"{"policy":"refund","days":30}"#, 25, Fault::SlowTool),
        };
        let is_slow = faulty && self.fault == slow;
        sleep(if is_slow { request.budget.saturating_sub(LEFT_OVER) } else { Duration::from_millis(usual) }).await;
        answer(stream, "200 OK", "", body).await?;
        let is_last = self.role == Role::Tool && self.fault == Fault::Refused && self.calls.load(Ordering::Relaxed) == WARM_UP;
        if is_last {
            self.closed.notify_one();
            return Ok(After::Close);
        }
        Ok(After::Keep)
    }

    /// Model server: a stream of tokens.
    async fn complete(&self, stream: &mut TcpStream, request: &Request, faulty: bool) -> io::Result<After> {
        let fault = if faulty { self.fault } else { Fault::None };
        let beyond_budget = request.budget + Duration::from_secs(2);
        sleep(Duration::from_millis(150)).await;
        if fault == Fault::RateLimited {
            let headers = format!("retry-after: {RETRY_AFTER_S}\r\nx-ratelimit-remaining-requests: 0\r\n");
            let body =
                r#"{"error":{"message":"Rate limit reached for requests","type":"requests","code":"rate_limit_exceeded"}}"#;
            answer(stream, "429 Too Many Requests", &headers, body).await?;
            return Ok(After::Keep);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        sleep(if fault == Fault::SlowFirstToken { beyond_budget } else { Duration::from_millis(20) }).await;
        let words = ["Refunds", " are", " possible", " within", " 30", " days", " of", " delivery", "."];
        for (index, word) in words.iter().enumerate() {
            if index == 3 && fault == Fault::StalledStream {
                sleep(beyond_budget).await;
            }
            if index == 3 && fault == Fault::Reset {
                // Closing with no time to linger sends a reset.
                stream.set_zero_linger()?;
                return Ok(After::Close);
            }
            event(stream, &format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{word}"}}}}]}}"#)).await?;
            sleep(Duration::from_millis(8)).await;
        }
        event(stream, r#"{"choices":[],"usage":{"prompt_tokens":182,"completion_tokens":9,"total_tokens":191}}"#).await?;
        chunk(stream, "data: [DONE]\n\n").await?;
        stream.write_all(b"0\r\n\r\n").await?;
        Ok(After::Keep)
    }
}

/// Reads a request to its end; `None` when the client left.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        if let Some(head_end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..head_end]).to_ascii_lowercase();
            let number = |name: &str| {
                let value = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                value.and_then(|value| value.trim().parse::<u64>().ok())
            };
            let length = usize::try_from(number("content-length").unwrap_or(0)).unwrap_or(REQUEST_MAX);
            let end = head_end + 4 + length.min(REQUEST_MAX);
            if buffer.len() >= end {
                buffer.drain(..end);
                return Ok(Some(Request { budget: Duration::from_millis(number(BUDGET_HEADER).unwrap_or(0)) }));
            }
        }
        if buffer.len() > 2 * REQUEST_MAX || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await
}

/// One server-sent event of a completion; `rest` is an object without the fields that all of them share.
async fn event(stream: &mut TcpStream, rest: &str) -> io::Result<()> {
    let shared = r#"{"id":"chatcmpl-demo","object":"chat.completion.chunk","model":"gpt-4o-mini","#;
    chunk(stream, &format!("data: {shared}{}\n\n", rest.trim_start_matches('{'))).await
}

async fn chunk(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await
}
