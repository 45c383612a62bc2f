//! What each cause of the catalogue means to whoever reads it on a dashboard.

use crate::model::Cause;

/// A cause in three sentences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Explained {
    /// When it is stated.
    pub(super) meaning: &'static str,
    /// Where the numbers behind it are.
    pub(super) look: &'static str,
    /// What to change.
    pub(super) remedy: &'static str,
}

pub(super) const fn explained(cause: Cause) -> Explained {
    let (meaning, look, remedy) = match cause {
        Cause::ClientRecreated => (
            "A new connection, often with a TLS session, is opened for each call, while earlier ones were idle or had been \
             closed by the client.",
            "Start-up: *Clients built anew*, *Set-up of connections*.",
            "Make one client and share it.",
        ),
        Cause::Overloaded => (
            "The dependency's latency grows with the calls that are in flight to it.",
            "Dependency: *In flight against latency*.",
            "Give the dependency more capacity, or send it less at once.",
        ),
        Cause::ExcessConcurrency => (
            "The program has more calls in flight than the dependency serves well, or waits at its own gate.",
            "Runtime: *Gates, in use*, *Wait for a permit*.",
            "Cap the concurrency at the knee; widen the gate only if the dependency can bear it.",
        ),
        Cause::RateLimited => (
            "The dependency refuses for now (429 and kin), or asks to wait.",
            "LLM: *Refused by rate limits*, *Asked to wait*.",
            "Send less at once, heed `retry-after`, or ask for a higher limit.",
        ),
        Cause::PoolExhausted => (
            "Calls wait for a connection or a stream slot of their own pool.",
            "Runtime: *Wait for a connection*.",
            "Read answers to their end and give connections back; then widen the pool.",
        ),
        Cause::Unreachable => (
            "Connections are refused, or there is no way to the address.",
            "Dependency: *Outcomes*; `hopwatch probe` from the same place.",
            "Check host and port (`localhost` inside a container is the container) and whether it runs.",
        ),
        Cause::Dns => (
            "Looking the name up is slow, or fails.",
            "Dependency: *Time of a call, by phase* (dns), *Outcomes*.",
            "Check the resolver and the name; cache look-ups on the host.",
        ),
        Cause::ConnectTimeout => (
            "Attempts to connect are never answered.",
            "Dependency: *Time of a call, by phase* (connect).",
            "Check firewalls, egress rules and the route; set a short connect timeout.",
        ),
        Cause::Tls => (
            "The TLS handshake is slow, or fails.",
            "Dependency: *Time of a call, by phase* (tls); `hopwatch probe` shows the certificate.",
            "Check certificates and trusted authorities; reuse connections.",
        ),
        Cause::Proxy => (
            "The forward proxy refuses, or is slow.",
            "Dependency: *Time of a call, by phase* (proxy).",
            "Check the proxy's rules and load; except hosts that need none (`NO_PROXY`).",
        ),
        Cause::TimeoutTooLow => (
            "The deadline is below what this call normally takes.",
            "Dependency: *Percentiles*; Timeouts: *Budget left*.",
            "Raise the timeout above the 99th percentile, or do less in one call.",
        ),
        Cause::NoTimeout => (
            "A call runs far past its normal, and nothing bounds it.",
            "Dependency: *Age of open calls, by phase*.",
            "Give it a timeout of its own.",
        ),
        Cause::RetryStorm => (
            "Tries, each with its own timeout, use up more than the budget, or follow each other without a pause.",
            "Dependency: *Tries by number*.",
            "Retry less, with backoff, and within the run's deadline.",
        ),
        Cause::OversizedPrompt => (
            "The first token takes as long as the input is large, and this input is outsized.",
            "Dependency: *First token, by size of the input*; LLM: *Sizes of inputs*.",
            "Send less context, or cache its beginning.",
        ),
        Cause::SlowDependency => (
            "The dependency took longer than it usually does, and nothing else explains it.",
            "Dependency: *Percentiles*, *Durations*.",
            "Give it a timeout of its own well under the run's, and look there for what was slow.",
        ),
        Cause::SlowTool => (
            "A tool's own time grew; nothing that it calls explains it.",
            "Dependency: *Percentiles* of the tool.",
            "Give the tool a timeout, and profile it.",
        ),
        Cause::BlockingInAsync => (
            "The event loop was blocked: answers had arrived and were not read.",
            "Runtime: *Stalls*, *Time blocked*.",
            "Move blocking work to a thread (`asyncio.to_thread`, `spawn_blocking`).",
        ),
        Cause::StreamStalled => (
            "A stream paused between tokens for far longer than usual.",
            "LLM: *Longest gap within an answer*.",
            "Set a timeout between pieces, and look at the model server at that moment.",
        ),
        Cause::ConnectionDropped => (
            "A connection was reset or closed in the middle of a call.",
            "Dependency: *Outcomes* (reset, body).",
            "Look for restarts and memory limits of the server; keep idle connections for less long than it does.",
        ),
        Cause::ColdStart => (
            "The first call after a start or an idle time pays for what later ones find ready.",
            "Start-up: *Cold against warm*, *Start-up inside of runs*.",
            "Warm up before serving, and keep an instance running.",
        ),
        Cause::RebuiltPerRequest => (
            "Start-up work repeats in every run.",
            "Start-up: *Start-up inside of runs*.",
            "Do it once, at start-up, and share what it makes.",
        ),
        Cause::TooManyCalls => (
            "The run made far more calls than is normal.",
            "Dependency: *Calls*.",
            "Look for loops and for one query for each item; batch.",
        ),
        Cause::CallerBusy => (
            "The program's own time grew.",
            "Runtime: *The caller's share of a run*.",
            "Look for throttling of its CPU, garbage collection and serialization.",
        ),
    };
    Explained { meaning, look, remedy }
}
