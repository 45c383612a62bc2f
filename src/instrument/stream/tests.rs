use super::*;
use crate::instrument::recorder::Recorder;
use crate::model::{FailedBy, Kind, Outcome, Span};
use futures_util::StreamExt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const MS: Nanos = 1_000_000;

fn setup() -> (Arc<Recorder>, Hop) {
    let recorder = Arc::new(Recorder::new("test"));
    let hop = Hop::new(Arc::clone(&recorder), Kind::Llm, "openai", "chat");
    (recorder, hop)
}

async fn ms(time: u64) {
    tokio::time::sleep(Duration::from_millis(time)).await;
}

/// What was recorded, and that no hop was lost or is open.
fn recorded(recorder: &Arc<Recorder>) -> Vec<Span> {
    let mut spans = Vec::new();
    recorder.drain(&mut Vec::new(), &mut |record, _| spans.push(recorder.span(record, 0)));
    let losses = recorder.losses();
    assert_eq!((losses.started, losses.recorded, losses.open), (spans.len() as u64, spans.len() as u64, 0));
    spans
}

fn one(recorder: &Arc<Recorder>) -> crate::model::Call {
    let spans = recorded(recorder);
    assert_eq!(spans.len(), 1, "exactly one sample");
    let call = *spans[0].call.clone().unwrap();
    assert_eq!(call.timeline.duration(), spans[0].end.unwrap() - spans[0].start);
    call
}

fn phases(call: &crate::model::Call) -> Vec<(Phase, u64)> {
    call.timeline.stretches().map(|part| (part.phase, (part.end - part.start) / MS)).collect()
}

/// An item after each of these waits, in milliseconds.
fn items<const N: usize>(waits: [u64; N]) -> impl Stream<Item = Result<&'static str, io::Error>> {
    async_stream::stream! {
        for wait in waits {
            ms(wait).await;
            yield Ok("item");
        }
    }
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_timed_from_its_first_poll_to_its_end() {
    let (recorder, hop) = setup();
    let stream = hop.time_stream(items([200, 10, 70, 10])).bytes(|item| item.as_ref().map_or(0, |item| item.len()));
    ms(500).await;
    let all: Vec<_> = stream.collect().await;
    assert_eq!(all.len(), 4);
    let call = one(&recorder);
    assert_eq!(phases(&call), [(Phase::Wait, 200), (Phase::Stream, 90)]);
    assert_eq!((call.outcome, call.failed_by, call.stream), (Some(Outcome::Ok), None, Some(true)));
    assert_eq!((call.gap, call.bytes.received), (Some(70 * MS), 16));
}

#[tokio::test(start_paused = true)]
async fn a_future_that_gives_a_stream_is_one_call() {
    let (recorder, hop) = setup();
    let opened = hop.stream(async {
        ms(100).await;
        Ok::<_, io::Error>(Box::pin(items([300, 20])))
    });
    let mut stream = opened.await.unwrap();
    while let Some(item) = stream.next().await {
        assert_eq!(item.unwrap(), "item");
    }
    let call = one(&recorder);
    assert_eq!(phases(&call), [(Phase::Wait, 100), (Phase::FirstToken, 300), (Phase::Stream, 20)]);
    assert_eq!(call.gap, Some(20 * MS));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_busy_consumer_is_its_own_when_the_next_item_lay_there() {
    let (recorder, hop) = setup();
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let feeder = tokio::spawn(async move {
        for _ in 0..3 {
            ms(10).await;
            send.send("item").unwrap();
        }
    });
    let mut stream = std::pin::pin!(hop.time_stream(async_stream::stream! {
        let mut receive = receive;
        while let Some(item) = receive.recv().await {
            yield item;
        }
    }));
    while stream.next().await.is_some() {
        ms(100).await;
    }
    feeder.await.unwrap();
    let call = one(&recorder);
    // The first item at 10; the others came while its consumer was busy, as did the end.
    assert_eq!(phases(&call), [(Phase::Wait, 10), (Phase::Own, 300)]);
    assert_eq!(call.gap, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_back_before_the_next_item_cost_no_time() {
    let (recorder, hop) = setup();
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let feeder = tokio::spawn(async move {
        for _ in 0..3 {
            ms(100).await;
            send.send("item").unwrap();
        }
    });
    let mut stream = std::pin::pin!(hop.time_stream(async_stream::stream! {
        let mut receive = receive;
        while let Some(item) = receive.recv().await {
            yield item;
        }
    }));
    while stream.next().await.is_some() {
        ms(30).await;
    }
    feeder.await.unwrap();
    let call = one(&recorder);
    assert_eq!(phases(&call), [(Phase::Wait, 100), (Phase::Stream, 200), (Phase::Own, 30)]);
    assert_eq!(call.gap, Some(100 * MS));
}

#[tokio::test(start_paused = true)]
async fn many_short_pauses_of_the_consumer_add_up_to_few_phases() {
    let (recorder, hop) = setup();
    let mut stream = std::pin::pin!(hop.time_stream(futures_util::stream::repeat(7)));
    for _ in 0..5_000 {
        stream.next().await.unwrap();
        tokio::time::advance(Duration::from_micros(200)).await;
    }
    let open = recorder.open(recorder.clock().now());
    let own = open[0].1.call.as_ref().unwrap().timeline.total(Phase::Own).unwrap();
    assert!((998 * MS..=1_000 * MS).contains(&own), "{own}");
}

/// How a stream is left.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    Complete,
    Empty,
    ErrorItem,
    ErrorThenMore,
    HalfRead,
    NeverPolled,
    DroppedWaiting,
    ToldToBeDone,
    Panics,
    ClassifierPanics,
}

#[tokio::test(start_paused = true)]
async fn every_ending_of_a_stream_is_one_sample() {
    use Case::{
        ClassifierPanics, Complete, DroppedWaiting, Empty, ErrorItem, ErrorThenMore, HalfRead, NeverPolled, Panics, ToldToBeDone,
    };
    let ok = Some((Outcome::Ok, None, Phase::Stream));
    let panicked = Some((Outcome::Error, Some(FailedBy::Caller), Phase::Stream));
    let cases = [
        (Complete, ok),
        (Empty, Some((Outcome::Ok, None, Phase::Wait))),
        (ErrorItem, Some((Outcome::Reset, Some(FailedBy::Peer), Phase::Stream))),
        (ErrorThenMore, Some((Outcome::Reset, Some(FailedBy::Peer), Phase::Stream))),
        (HalfRead, Some((Outcome::Cancelled, Some(FailedBy::Caller), Phase::Stream))),
        (NeverPolled, None),
        (DroppedWaiting, Some((Outcome::Cancelled, Some(FailedBy::Caller), Phase::Wait))),
        (ToldToBeDone, ok),
        (Panics, panicked),
        (ClassifierPanics, panicked),
    ];
    for (case, expected) in cases {
        let (recorder, hop) = setup();
        let inner: Pin<Box<dyn Stream<Item = Result<&'static str, io::Error>>>> = match case {
            Empty => Box::pin(async_stream::stream! { ms(20).await; for item in [] { yield item; } }),
            ErrorItem | ErrorThenMore => Box::pin(async_stream::stream! {
                ms(20).await;
                yield Ok("item");
                ms(20).await;
                yield Err(broken());
                ms(500).await;
                yield Ok("more");
            }),
            Panics => Box::pin(async_stream::stream! {
                ms(20).await;
                yield Ok("item");
                ms(20).await;
                panic!("on purpose");
            }),
            ToldToBeDone => Box::pin(futures_util::stream::iter([Ok("item"), Ok("item")])),
            _ => Box::pin(items([20, 20, 20])),
        };
        let panics = case == ClassifierPanics;
        let mut seen = 0;
        let mut stream = hop.classify_stream(inner, move |item: &Result<_, io::Error>| {
            seen += 1;
            assert!(!panics || seen < 2, "on purpose");
            ended_by(item)
        });
        let read = async {
            match case {
                NeverPolled => {}
                DroppedWaiting => {
                    assert!(futures_util::poll!(stream.next()).is_pending());
                    ms(10).await;
                }
                HalfRead => {
                    assert!(stream.next().await.is_some() && futures_util::poll!(stream.next()).is_pending());
                    ms(10).await;
                }
                ToldToBeDone => {
                    ms(20).await;
                    assert!(
                        stream.next().await.is_some() && {
                            ms(20).await;
                            stream.next().await.is_some()
                        }
                    );
                }
                ErrorItem => while !matches!(stream.next().await, Some(Err(_))) {},
                _ => while stream.next().await.is_some() {},
            }
        };
        let result = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(read)).await;
        assert_eq!(result.is_err(), matches!(case, Panics | ClassifierPanics), "{case:?}");
        drop(stream);
        let spans = recorded(&recorder);
        let Some((outcome, failed_by, phase)) = expected else {
            assert!(spans.is_empty(), "{case:?}");
            continue;
        };
        assert_eq!(spans.len(), 1, "{case:?}");
        let call = spans[0].call.as_ref().unwrap();
        assert_eq!((call.outcome, call.failed_by), (Some(outcome), failed_by), "{case:?}");
        let last = call.timeline.stretches().rfind(|part| part.phase != Phase::Own).map(|part| part.phase);
        assert!(last == Some(phase) || (case == ToldToBeDone && last.is_none()), "{case:?}: {last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_open_ends_the_call_with_its_error() {
    let (recorder, hop) = setup();
    let opened = hop
        .stream(async {
            ms(20).await;
            Err::<Pin<Box<dyn Stream<Item = Result<(), io::Error>>>>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
        })
        .await;
    assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let call = one(&recorder);
    assert_eq!((call.outcome, call.failed_by), (Some(Outcome::Connect), Some(FailedBy::Peer)));
    assert_eq!(phases(&call), [(Phase::Wait, 20)]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_opened_and_is_left_alone_is_cancelled_in_its_callers_time() {
    let (recorder, hop) = setup();
    let stream = hop
        .stream(async {
            ms(20).await;
            Ok::<_, io::Error>(Box::pin(items([300])))
        })
        .await
        .unwrap();
    ms(80).await;
    drop(stream);
    let call = one(&recorder);
    assert_eq!((call.outcome, call.failed_by), (Some(Outcome::Cancelled), Some(FailedBy::Caller)));
    assert_eq!(phases(&call), [(Phase::Wait, 20), (Phase::Own, 80)]);
}

#[tokio::test]
async fn items_hints_and_what_follows_the_end_are_those_of_the_stream() {
    let (recorder, hop) = setup();
    let mut stream = hop.try_time_stream(futures_util::stream::iter([Ok(1), Err(broken()), Ok(3)]));
    assert_eq!(stream.size_hint(), (3, Some(3)));
    assert_eq!(stream.next().await.unwrap().unwrap(), 1);
    assert_eq!(stream.next().await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(stream.size_hint(), (1, Some(1)));
    assert_eq!(stream.next().await.unwrap().unwrap(), 3);
    assert!(stream.next().await.is_none() && stream.next().await.is_none());
    assert_eq!(one(&recorder).outcome, Some(Outcome::Reset));
    let fused = hop.time_stream(futures_util::stream::iter([1]).fuse());
    assert!(!fused.is_terminated());
}

#[test]
fn an_item_that_lay_there_while_the_event_loop_was_blocked_is_no_gap_of_the_stream() {
    use crate::instrument::run::{RunStart, Scoped, Unfinished};
    let (recorder, hop) = setup();
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    let (first_read, was_read) = tokio::sync::oneshot::channel();
    send.send("item").unwrap();
    let read = async {
        let mut stream = hop.time_stream(futures_util::stream::poll_fn(move |cx| receive.poll_recv(cx)));
        stream.next().await.unwrap();
        first_read.send(()).unwrap();
        while stream.next().await.is_some() {}
    };
    let sender = send.clone();
    let careless = async move {
        was_read.await.unwrap();
        let feeder = std::thread::spawn(move || sender.send("item").unwrap());
        feeder.join().unwrap();
        std::thread::sleep(Duration::from_millis(400));
        std::future::pending::<()>().await;
    };
    let start = RunStart { deadline: Some(Duration::from_millis(1_500)), ..RunStart::new("test") };
    let work = async { tokio::join!(read, careless) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Err(Unfinished::Expired(expired)) = runtime.block_on(Scoped::new(&recorder, start, work, |_| Ending::ok())) else {
        panic!("not late");
    };
    drop(send);
    let call = expired.run.spans[1].call.as_ref().unwrap();
    let stall = call.timeline.total(Phase::Stall).unwrap_or(0);
    assert!(stall >= 390 * MS, "{:?}", phases(call));
}

#[tokio::test]
async fn hops_inside_a_stream_are_below_its_call() {
    let (recorder, hop) = setup();
    let inner = Hop::new(Arc::clone(&recorder), Kind::Retrieval, "qdrant", "search");
    let found = inner.clone();
    let stream = hop.time_stream(async_stream::stream! { yield found.time(async { 7 }).await; });
    assert_eq!(stream.collect::<Vec<_>>().await, [7]);
    let spans = recorded(&recorder);
    let (search, chat) = (&spans[0], &spans[1]);
    assert_eq!((search.dependency.as_deref(), search.parent), (Some("qdrant"), Some(chat.id)));
}
