//! The demo's agent: an ordinary async program that knows nothing of hopwatch.

use super::faults::{Fault, WARM_UP};
use super::servers::BUDGET_HEADER;
use crate::agent::duration;
use crate::cli::{Failure, print, status};
use crate::model::clock::monotonic;
use clap::Args;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Tries again after a 429, as the OpenAI client does by default.
const RETRIES: u32 = 2;
/// Questions before the last one.
const QUESTIONS: [&str; 4] =
    ["How long do I have for a return?", "Do you ship to Norway?", "Is my order insured?", "Can I change my address?"];

/// The agent of `hopwatch demo`
#[derive(Debug, Args)]
pub(in crate::cli) struct AgentArgs {
    /// The fault, for those that are in the agent itself
    #[arg(long)]
    fault: Fault,
    /// Address of the model server
    #[arg(long)]
    llm: SocketAddr,
    /// Address of the retriever
    #[arg(long)]
    docs: SocketAddr,
    /// Address of the tool
    #[arg(long)]
    tool: SocketAddr,
    /// Time for all questions
    #[arg(long, value_parser = duration::parse)]
    budget: Duration,
}

type Failed = Box<dyn Error + Send + Sync>;

/// The agent.
#[derive(Clone, Debug)]
struct Agent {
    client: Client,
    args: std::sync::Arc<AgentArgs>,
    started: Instant,
}

/// Asks all questions; 1 when one of them fails.
pub(in crate::cli) fn agent(args: AgentArgs) -> Result<u8, Failure> {
    let started = monotonic();
    let start_failed = |error: &dyn Error| Failure::new(status::FAILED, format!("cannot start the agent: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| start_failed(&error))?;
    let client = new_client().map_err(|error| start_failed(&error))?;
    let agent = Agent { client, args: std::sync::Arc::new(args), started };
    for number in 0..=WARM_UP {
        let question = QUESTIONS[number % QUESTIONS.len()];
        let asked = monotonic();
        print(&format!("question {}  {question}\n", number + 1))?;
        match runtime.block_on(agent.answer(question, number == WARM_UP)) {
            Ok(answer) => print(&format!("  answer    {answer} ({:.2} s)\n", asked.elapsed().as_secs_f64()))?,
            Err(error) => {
                print(&format!("  failed    {} ({:.2} s)\n", chain(&*error), asked.elapsed().as_secs_f64()))?;
                return Ok(1);
            }
        }
    }
    Ok(0)
}

/// Proxies of the environment have no business on loopback.
fn new_client() -> reqwest::Result<Client> {
    // Cargo adds features up: where anything asks for reqwest's TLS without a provider, it wants one of the process.
    let _there_already = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build()
}

impl Agent {
    /// Retrieve, look the policy up, let the model answer.
    async fn answer(&self, question: &str, last: bool) -> Result<String, Failed> {
        let search = self.client.get(format!("http://{}/search?k=4", self.args.docs));
        let documents: Value = self.within_budget("retrieval", search).await?.json().await?;
        let policy = self.client.post(format!("http://{}/policy", self.args.tool)).json(&json!({"topic": "refund"}));
        let policy: Value = self.within_budget("tool", policy).await?.json().await?;
        let prompt = format!("{documents} {policy} {question}");
        if last && self.args.fault == Fault::BlockedLoop {
            let agent = self.clone();
            let completion = tokio::spawn(async move { agent.complete(&prompt).await });
            // The request is under way when the blocking code starts.
            tokio::time::sleep(Duration::from_millis(30)).await;
            rank_documents(self.left() + Duration::from_millis(50));
            return completion.await?;
        }
        self.complete(&prompt).await
    }

    /// The model's answer, after another try or two where it asks to wait.
    async fn complete(&self, prompt: &str) -> Result<String, Failed> {
        let client = if self.args.fault == Fault::NewClientPerCall { new_client()? } else { self.client.clone() };
        let body = json!({
            "model": "gpt-4o-mini", "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": prompt}],
        });
        for retry in 0..=RETRIES {
            let url = format!("http://{}/v1/chat/completions", self.args.llm);
            let request = client.post(url).header("x-stainless-retry-count", retry).json(&body);
            let response = self.within_budget("model", request).await?;
            if response.status().as_u16() == 429 && retry < RETRIES {
                let asked = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                response.bytes().await?;
                tokio::time::sleep(Duration::from_secs(asked.unwrap_or(1))).await;
                continue;
            }
            let response = response.error_for_status()?;
            return tokio::time::timeout(self.left(), read_stream(response)).await.map_err(|_| "model: request timed out")?;
        }
        Err("model: no tries left".into())
    }

    /// Sends a request, and gives up when the budget is used up.
    async fn within_budget(&self, whom: &str, request: RequestBuilder) -> Result<Response, Failed> {
        let left = self.left();
        let sent = request.header(BUDGET_HEADER, left.as_millis().to_string()).send();
        let response = tokio::time::timeout(left, sent).await.map_err(|_| format!("{whom}: request timed out"))?;
        response.map_err(|error| format!("{whom}: {}", chain(&error)).into())
    }

    fn left(&self) -> Duration {
        self.args.budget.saturating_sub(self.started.elapsed())
    }
}

/// Reads a streamed completion to its end.
async fn read_stream(mut response: Response) -> Result<String, Failed> {
    let mut text = String::new();
    while let Some(chunk) = response.chunk().await? {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let words = text.lines().filter_map(|line| {
        let event: Value = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
        Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned())
    });
    Ok(words.collect())
}

/// Blocking code where none should be: everything on this event loop waits for it.
fn rank_documents(time: Duration) {
    std::thread::sleep(time);
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
