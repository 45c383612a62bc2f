//! Queries that wait for their answers, in the order of both.

use std::collections::VecDeque;

use super::operation::{DEALLOCATE, PREPARE, QUERY};
use super::{Fact, SqlState};

/// Most queries of one connection that wait for their answers at once. Beyond it, what is asked counts to the last one.
const OUTSTANDING_LIMIT: usize = 256;

/// The queries of a connection.
#[derive(Debug, Default)]
pub(super) struct Queries {
    /// Queries so far.
    count: u64,
    /// Those whose answer has not ended, oldest first.
    list: VecDeque<Query>,
    /// The server steps over all messages up to the next `Sync`, since one of them failed with this.
    failing: Option<SqlState>,
}

/// What a message of the extended protocol is to its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// It prepares a statement.
    Parse,
    /// It binds values or asks for a description.
    Other,
    /// It executes.
    Execute,
    /// It forgets a statement or portal.
    Close,
}

#[derive(Debug, Default)]
struct Query {
    number: u64,
    /// Last byte so far.
    sent_at: u64,
    sent: u64,
    /// What its statement does, as far as its messages said.
    operation: Option<&'static str>,
    parses: bool,
    executes: bool,
    closes: bool,
    /// A message of the server answers each of its own: so many are still to come. `None` = it ends when the server is ready,
    /// and no sooner.
    steps: Option<u32>,
    /// Messages of its own may follow.
    open: bool,
    /// The server will say so often that it is ready.
    syncs: u32,
    /// Data is copied in.
    copies: bool,
    /// The last byte of its answer so far.
    answered: Option<u64>,
    received: u64,
    error: Option<SqlState>,
    /// When its own error came.
    failed: Option<u64>,
}

impl Queries {
    /// Whether no answer is outstanding.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A simple query, or a call of a function, begins.
    pub(super) fn simple(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        self.close(tell);
        let query = self.begin(at, tell);
        query.executes = true;
        query.steps = None;
    }

    /// A message of the extended protocol begins.
    pub(super) fn step(&mut self, message: Message, at: u64, tell: &mut impl FnMut(Fact)) {
        let goes_on = self.open().is_some_and(|query| !query.executes || query.steps.is_none() || message == Message::Close);
        if !goes_on {
            self.close(tell);
            self.begin(at, tell);
        }
        let Some(query) = self.open() else { return };
        match message {
            Message::Parse => query.parses = true,
            Message::Execute => query.executes = true,
            Message::Close => query.closes = true,
            Message::Other => {}
        }
        query.steps = query.steps.map(|steps| steps.saturating_add(1));
    }

    /// Says what the statement of the query under way does, where that is known.
    pub(super) fn does(&mut self, operation: &'static str) {
        if operation != QUERY
            && let Some(query) = self.open()
        {
            query.operation = Some(operation);
        }
    }

    /// A message of the query under way is complete.
    pub(super) fn sent(&mut self, at: u64, bytes: u64) {
        if let Some(query) = self.open() {
            query.sent_at = at;
            query.sent = query.sent.saturating_add(bytes);
        }
    }

    /// Messages of the client were not seen: nobody knows what they ask for.
    pub(super) fn blur(&mut self, at: u64, bytes: u64, tell: &mut impl FnMut(Fact)) {
        if self.list.front().is_some_and(|query| query.copies) {
            self.copied(at, bytes, false, tell);
            return;
        }
        if self.open().is_none() {
            self.begin(at, tell);
        }
        self.sent(at, bytes);
        if let Some(query) = self.open() {
            query.steps = None;
        }
    }

    /// The query under way is complete, and the server will say when it is done with it.
    pub(super) fn sync(&mut self, at: u64, bytes: u64, tell: &mut impl FnMut(Fact)) {
        if self.open().is_none() {
            match self.list.back_mut().filter(|query| query.syncs == 0) {
                // It was flushed before.
                Some(query) => {
                    query.syncs = 1;
                    return;
                }
                None => drop(self.begin(at, tell)),
            }
        }
        self.sent(at, bytes);
        if let Some(query) = self.open() {
            query.syncs = query.syncs.saturating_add(1);
        }
        self.close(tell);
    }

    /// No further message belongs to the query under way.
    pub(super) fn close(&mut self, tell: &mut impl FnMut(Fact)) {
        let Some(query) = self.open() else { return };
        query.open = false;
        query.tell_sent(tell);
        self.end_done(tell);
    }

    /// Data is copied in; `is_end`: none follows.
    pub(super) fn copied(&mut self, at: u64, bytes: u64, is_end: bool, tell: &mut impl FnMut(Fact)) {
        let Some(query) = self.list.front_mut().filter(|query| query.copies) else { return };
        query.sent_at = at;
        query.sent = query.sent.saturating_add(bytes);
        if is_end {
            query.copies = false;
            query.tell_sent(tell);
        }
    }

    /// Bytes of an answer came.
    pub(super) fn answers(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        if let Some(query) = self.list.front_mut() {
            query.answers(at, tell);
        }
    }

    /// So many bytes of an answer are complete.
    pub(super) fn received(&mut self, bytes: u64) {
        if let Some(query) = self.list.front_mut() {
            query.received = query.received.saturating_add(bytes);
        }
    }

    /// The server waits for the data that is to be copied in: that is no answer yet.
    pub(super) fn copies(&mut self) {
        if let Some(query) = self.list.front_mut() {
            query.copies = true;
            query.answered = None;
        }
    }

    /// The server is done with one message of the client.
    pub(super) fn stepped(&mut self, tell: &mut impl FnMut(Fact)) {
        if let Some(query) = self.list.front_mut() {
            query.steps = query.steps.map(|steps| steps.saturating_sub(1));
            self.end_done(tell);
        }
    }

    /// A query failed.
    pub(super) fn failed(&mut self, at: u64, error: SqlState, tell: &mut impl FnMut(Fact)) {
        let Some(query) = self.list.front_mut() else { return };
        (query.error, query.failed) = (Some(error), Some(at));
        self.failing = Some(error);
        self.end_done(tell);
    }

    /// The server is ready: it is done with all that was asked up to a `Sync`.
    pub(super) fn ready(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        let failing = self.failing.take();
        // Where none was seen, it was in messages that were not.
        let mut over = self.list.iter().position(|query| query.syncs > 0).map_or(self.list.len(), |place| place + 1);
        if let Some(query) = over.checked_sub(1).and_then(|last| self.list.get_mut(last))
            && query.syncs > 1
        {
            query.syncs -= 1;
            over -= 1;
        }
        for mut query in self.list.drain(..over) {
            if query.steps != Some(0) {
                query.error = query.error.or(failing);
            }
            query.answers(at, tell);
            query.end(at, tell);
        }
    }

    /// The client asks for more: if there is but one query and it was answered, that is over. Whether none is left.
    pub(super) fn finish_answered(&mut self, tell: &mut impl FnMut(Fact)) -> bool {
        let is_over = |query: &mut Query| !query.open && query.answered.is_some();
        if self.list.len() == 1
            && let Some(query) = self.list.pop_front_if(is_over)
        {
            query.end(query.answered.unwrap_or(query.sent_at), tell);
        }
        self.list.is_empty()
    }

    /// Nothing more of the server comes: what failed is over.
    pub(super) fn end(&mut self, tell: &mut impl FnMut(Fact)) {
        if let Some(query) = self.list.pop_front_if(|query| query.failed.is_some()) {
            query.end(query.answered.unwrap_or(query.sent_at), tell);
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn retained_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Query>()
    }

    fn open(&mut self) -> Option<&mut Query> {
        self.list.back_mut().filter(|query| query.open)
    }

    fn begin(&mut self, at: u64, tell: &mut impl FnMut(Fact)) -> &mut Query {
        if self.list.len() < OUTSTANDING_LIMIT {
            let number = self.count;
            self.count += 1;
            tell(Fact::QueryStarted { query: number, at });
            self.list.push_back(Query { number, open: true, sent_at: at, steps: Some(0), ..Query::default() });
        }
        let last = self.list.len() - 1;
        let query = &mut self.list[last];
        if !query.open {
            (query.open, query.steps) = (true, None);
        }
        query
    }

    /// Ends the oldest query if it is not the server's next `ReadyForQuery` that does.
    fn end_done(&mut self, tell: &mut impl FnMut(Fact)) {
        let is_done = |query: &mut Query| {
            let answered = query.answered.is_some() && (query.steps == Some(0) || query.failed.is_some());
            answered && !query.open && query.syncs == 0
        };
        if let Some(query) = self.list.pop_front_if(is_done) {
            query.end(query.answered.unwrap_or(query.sent_at), tell);
        }
    }
}

impl Query {
    fn tell_sent(&self, tell: &mut impl FnMut(Fact)) {
        let operation = match self.operation {
            Some(operation) if self.executes => operation,
            _ if self.executes => QUERY,
            _ if self.parses => PREPARE,
            _ if self.closes => DEALLOCATE,
            operation => operation.unwrap_or(QUERY),
        };
        tell(Fact::QuerySent { query: self.number, at: self.sent_at, bytes: self.sent, operation });
    }

    fn answers(&mut self, at: u64, tell: &mut impl FnMut(Fact)) {
        if std::mem::take(&mut self.copies) {
            self.tell_sent(tell);
        }
        if self.answered.replace(at).is_none() {
            tell(Fact::AnswerStarted { query: self.number, at });
        }
    }

    /// Its answer ended at `at`, or with its error.
    fn end(&self, at: u64, tell: &mut impl FnMut(Fact)) {
        let at = self.failed.unwrap_or(at);
        tell(Fact::AnswerEnded { query: self.number, at, bytes: self.received, error: self.error });
    }
}
