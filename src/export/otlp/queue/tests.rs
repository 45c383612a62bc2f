use super::*;

const LIMITS: Limits = Limits { capacity: 10, batch: 4, delay: Duration::from_secs(3600) };

fn spans(count: usize) -> impl Iterator<Item = Bytes> {
    std::iter::repeat_n(Bytes::from_static(b"span"), count)
}

fn sent(next: Next) -> usize {
    match next {
        Next::Send(batch) => batch.len(),
        other => panic!("nothing to send: {other:?}"),
    }
}

#[track_caller]
fn holds(queue: &Queue, exported: u64, queued: u64, dropped: [u64; 3]) {
    let counts = queue.counts();
    assert_eq!((counts.exported, counts.queued), (exported, queued), "{counts:?}");
    assert_eq!(counts.dropped.by_reason().map(|(_, count)| count), dropped, "{counts:?}");
    assert_eq!(counts.accepted, counts.exported + counts.queued + counts.dropped.total(), "{counts:?}");
}

#[test]
fn the_newest_is_dropped_when_full_and_what_is_on_its_way_counts() {
    let queue = Queue::new(LIMITS);
    queue.push(spans(8));
    assert_eq!(sent(queue.next()), 4);
    holds(&queue, 0, 8, [0, 0, 0]);
    queue.push(spans(5));
    holds(&queue, 0, 10, [3, 0, 0]);
    assert!(queue.refuse(7));
    holds(&queue, 0, 10, [10, 0, 0]);
    queue.taken(1, "one was odd".to_owned());
    holds(&queue, 3, 6, [10, 1, 0]);
    assert!(!queue.refuse(7));
    holds(&queue, 3, 6, [10, 1, 0]);
}

#[test]
fn a_batch_waits_until_it_is_full_or_somebody_waits() {
    let queue = Queue::new(LIMITS);
    assert!(matches!(queue.next(), Next::Wait(None)));
    queue.push(spans(3));
    assert!(matches!(queue.next(), Next::Wait(Some(_))));
    assert!(!queue.flush(Duration::ZERO), "nobody sends");
    assert_eq!(sent(queue.next()), 3);
    queue.rejected("no".to_owned());
    holds(&queue, 0, 0, [0, 3, 0]);
    assert!(queue.flush(Duration::ZERO));
    queue.push(spans(1));
    assert!(matches!(queue.next(), Next::Wait(Some(_))), "the flush is over");
    queue.push(spans(3));
    assert_eq!(sent(queue.next()), 4);
}

#[test]
fn a_batch_goes_out_when_its_oldest_has_waited_long_enough() {
    let queue = Queue::new(Limits { delay: Duration::ZERO, ..LIMITS });
    queue.push(spans(1));
    assert_eq!(sent(queue.next()), 1);
}

#[test]
fn a_queue_smaller_than_its_batch_is_sent_when_full() {
    let queue = Queue::new(Limits { capacity: 2, batch: 512, ..LIMITS });
    queue.push(spans(3));
    assert_eq!(sent(queue.next()), 2);
    holds(&queue, 0, 2, [1, 0, 0]);
}

#[test]
fn what_is_left_at_the_end_is_counted_once() {
    let queue = Queue::new(LIMITS);
    queue.push(spans(6));
    assert_eq!(sent(queue.next()), 4);
    queue.shutdown(Duration::ZERO);
    holds(&queue, 0, 0, [0, 0, 6]);
    // The answer to what was on its way comes too late to count.
    queue.taken(0, String::new());
    queue.push(spans(2));
    queue.shutdown(Duration::ZERO);
    holds(&queue, 0, 0, [0, 0, 8]);
    assert!(matches!(queue.next(), Next::End));
}

#[test]
fn a_flush_waits_for_what_came_before_it_and_no_more() {
    let queue = Queue::new(LIMITS);
    queue.push(spans(2));
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| queue.flush(Duration::from_secs(60)));
        while !matches!(queue.next(), Next::Send(_)) {
            std::thread::yield_now();
        }
        queue.push(spans(2));
        queue.taken(0, String::new());
        assert!(flush.join().unwrap());
    });
    holds(&queue, 2, 2, [0, 0, 0]);
}
