//! The closed sets of words, spelled as the report spells them.

use serde::{Deserialize, Serialize};

/// Declares a closed set: an enum with its text form, all of its members, parsing and serde.
macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident { $($(#[$member_doc:meta])* $member:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name {
            $($(#[$member_doc])* #[serde(rename = $text)] $member,)+
        }

        impl $name {
            /// Every member, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$member),+];

            /// The member's text form.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$member => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or_else(|| UnknownWord {
                    known: Self::ALL.iter().map(|word| word.as_str()).collect(),
                })
            }
        }
    };
}

/// A text that is no member of a closed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// The set's members.
    pub known: Vec<&'static str>,
}

impl std::fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not one of {}", self.known.join(", "))
    }
}

impl std::error::Error for UnknownWord {}

closed_set! {
    /// What a dependency is to the run.
    Kind {
        /// A model that generates.
        Llm = "llm",
        /// A store or index that is searched.
        Retrieval = "retrieval",
        /// A model that embeds.
        Embedding = "embedding",
        /// A tool that an agent calls.
        Tool = "tool",
        /// Another agent.
        Agent = "agent",
        /// The time before the first hop.
        Startup = "startup",
        /// Any other call.
        Http = "http",
    }
}

closed_set! {
    /// A part of a hop's time. The phases of a hop are disjoint and sum to it.
    Phase {
        /// Waiting for a concurrency permit.
        Gate = "gate",
        /// Waiting for a connection or an HTTP/2 stream slot.
        Pool = "pool",
        /// Looking the name up.
        Dns = "dns",
        /// Opening the connection.
        Connect = "connect",
        /// A forward proxy's CONNECT exchange.
        Proxy = "proxy",
        /// The TLS handshake.
        Tls = "tls",
        /// Sending the request.
        Send = "send",
        /// Request sent, no answer yet.
        Wait = "wait",
        /// Answer's head to its first content.
        FirstToken = "first_token",
        /// First content to last.
        Stream = "stream",
        /// Between two attempts.
        Backoff = "backoff",
        /// The caller's event loop or thread was blocked or starved.
        Stall = "stall",
        /// The caller's own time otherwise.
        Own = "self",
    }
}

closed_set! {
    /// How a hop or a run ended.
    Outcome {
        /// As it should.
        Ok = "ok",
        /// The peer said that the request is at fault (4xx).
        ClientError = "client_error",
        /// The peer failed (5xx).
        ServerError = "server_error",
        /// The peer refused for now (429 and kin).
        RateLimited = "rate_limited",
        /// Time ran out.
        Timeout = "timeout",
        /// No connection could be made.
        Connect = "connect",
        /// The name could not be resolved.
        Dns = "dns",
        /// The TLS handshake failed.
        Tls = "tls",
        /// The peer reset the connection.
        Reset = "reset",
        /// The body was cut or broken.
        Body = "body",
        /// Somebody stopped it.
        Cancelled = "cancelled",
        /// Turned away for lack of room.
        Shed = "shed",
        /// Any other failure.
        Error = "error",
    }
}

closed_set! {
    /// Who failed.
    FailedBy {
        /// The peer or the path to it.
        Peer = "peer",
        /// A limit or fault of hopwatch itself.
        Own = "own",
        /// The caller left.
        Caller = "caller",
    }
}

closed_set! {
    /// Which source made a record.
    Origin {
        /// From inside an unchanged process.
        Observer = "observer",
        /// The proxy.
        Gateway = "gateway",
        /// Spans received.
        Otlp = "otlp",
        /// The library's wrappers.
        Library = "library",
    }
}

closed_set! {
    /// Whether a call opened its connection.
    ConnectionState {
        /// Opened for this call.
        New = "new",
        /// An earlier call opened it.
        Reused = "reused",
    }
}

closed_set! {
    /// What kept an event loop or a thread from going on.
    StallCause {
        /// A sleep.
        Sleep = "sleep",
        /// A lock or semaphore.
        Lock = "lock",
        /// The interpreter's lock, held by another thread.
        InterpreterLock = "interpreter_lock",
        /// Waiting on a descriptor by `poll` or `select`.
        Poll = "poll",
        /// A blocking read or write on a connection.
        Io = "io",
        /// A name look-up.
        Resolve = "resolve",
        /// A child process.
        ChildProcess = "child_process",
        /// A file lock or `fsync`.
        File = "file",
        /// Computing.
        Cpu = "cpu",
        /// Not on the processor and in no call that is seen.
        Unknown = "unknown",
    }
}

closed_set! {
    /// Why a hop was slow: the catalogue of the design page, section 5.
    Cause {
        /// A new connection for each call.
        ClientRecreated = "client_recreated",
        /// Latency grows with the calls in flight.
        Overloaded = "overloaded",
        /// The caller has more in flight than the dependency can serve.
        ExcessConcurrency = "excess_concurrency",
        /// The dependency limits the rate.
        RateLimited = "rate_limited",
        /// No connection was free.
        PoolExhausted = "pool_exhausted",
        /// Refused, no route, wrong host or port.
        Unreachable = "unreachable",
        /// Resolution slow or failing.
        Dns = "dns",
        /// The connection attempt was never answered.
        ConnectTimeout = "connect_timeout",
        /// Handshake slow or failing.
        Tls = "tls",
        /// The forward proxy refuses or is slow.
        Proxy = "proxy",
        /// The deadline is below what the hop takes.
        TimeoutTooLow = "timeout_too_low",
        /// A call ran unbounded.
        NoTimeout = "no_timeout",
        /// Attempts exceed the budget.
        RetryStorm = "retry_storm",
        /// The input is outsized.
        OversizedPrompt = "oversized_prompt",
        /// Slower than normal, and nothing else explains it.
        SlowDependency = "slow_dependency",
        /// The tool's own time.
        SlowTool = "slow_tool",
        /// The event loop was blocked.
        BlockingInAsync = "blocking_in_async",
        /// A gap between tokens.
        StreamStalled = "stream_stalled",
        /// Reset or closed in mid-flight.
        ConnectionDropped = "connection_dropped",
        /// First call after a start or an idle time.
        ColdStart = "cold_start",
        /// Start-up work repeats in every run.
        RebuiltPerRequest = "rebuilt_per_request",
        /// Far more calls than normal.
        TooManyCalls = "too_many_calls",
        /// The caller's own time grew.
        CallerBusy = "caller_busy",
    }
}

impl Phase {
    /// Whether this part of a hop is the caller's own doing, never the dependency's (design page, rule 10).
    #[must_use]
    pub const fn is_callers(self) -> bool {
        matches!(self, Self::Stall | Self::Own)
    }
}

impl Outcome {
    /// Whether a client may try again after this and get another answer (report reference, section 5, "Attempts").
    #[must_use]
    pub const fn is_retryable(self, status: Option<u16>) -> bool {
        match self {
            Self::RateLimited
            | Self::ServerError
            | Self::Connect
            | Self::Reset
            | Self::Timeout
            | Self::Dns
            | Self::Tls
            | Self::Body
            | Self::Shed => true,
            _ => matches!(status, Some(408 | 409 | 429 | 500..=599)),
        }
    }

    /// Outcome and who failed of an HTTP status.
    #[must_use]
    pub const fn of_status(status: u16) -> (Self, Option<FailedBy>) {
        match status {
            429 => (Self::RateLimited, Some(FailedBy::Peer)),
            400..=499 => (Self::ClientError, Some(FailedBy::Peer)),
            500..=599 => (Self::ServerError, Some(FailedBy::Peer)),
            _ => (Self::Ok, None),
        }
    }
}
