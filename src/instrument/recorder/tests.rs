use super::*;
use crate::instrument::hop::Hop;
use crate::model::{Kind, Outcome};
use std::sync::atomic::AtomicBool;

fn identity(losses: &Losses) -> (u64, u64) {
    (losses.started, losses.recorded + losses.open + losses.dropped.values().sum::<u64>())
}

#[test]
fn what_began_is_recorded_open_or_dropped_at_any_instant() {
    let recorder = Arc::new(Recorder::new("test"));
    let done = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let hop = Hop::new(Arc::clone(&recorder), Kind::Tool, "lookup", "lookup");
            std::thread::spawn(move || {
                for nth in 0..30_000 {
                    let open = hop.start();
                    if nth % 3 == 0 { drop(open) } else { open.end(Ending::ok()) }
                }
            })
        })
        .collect();
    let watcher = {
        let (recorder, done) = (Arc::clone(&recorder), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut drained = 0;
            while !done.load(Ordering::Acquire) {
                let (started, known) = identity(&recorder.losses());
                assert_eq!(started, known);
                recorder.drain(&mut Vec::new(), &mut |_, _| drained += 1);
            }
            recorder.drain(&mut Vec::new(), &mut |_, _| drained += 1);
            drained
        })
    };
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    done.store(true, Ordering::Release);
    let drained = watcher.join().unwrap();
    let losses = recorder.losses();
    assert_eq!(losses.started, 90_000);
    assert_eq!(losses.recorded, drained);
    assert_eq!(identity(&losses).0, identity(&losses).1);
}

#[test]
fn a_buffer_that_nobody_empties_drops_and_counts() {
    let recorder = Arc::new(Recorder::new("test"));
    let hop = Hop::new(Arc::clone(&recorder), Kind::Tool, "lookup", "lookup");
    (0..20_000).for_each(|_| hop.start().end(Ending::ok()));
    let losses = recorder.losses();
    assert_eq!(losses.started, 20_000);
    assert!(losses.dropped["buffer_full"] > 0);
    assert_eq!(identity(&losses).0, identity(&losses).1);
}

#[test]
fn odd_names_are_cleaned_capped_and_counted() {
    let recorder = Arc::new(Recorder::new("test"));
    let named = |name: &str| Hop::new(Arc::clone(&recorder), Kind::Tool, name, "call").dependency().to_owned();
    assert_eq!(named(""), "unknown");
    assert_eq!(named(" \n"), "unknown");
    assert_eq!(named("a\u{202e}b"), "a\u{fffd}b");
    assert!(named(&"x".repeat(10_000)).len() < 130);
    (0..10_001).for_each(|nth| drop(named(&format!("tenant-{nth}"))));
    assert_eq!(named("one-more"), "other");
    assert!(recorder.losses().missed["odd_names"] >= 5);
}

#[test]
fn a_slot_taken_again_is_not_ended_by_its_former_owner() {
    let recorder = Arc::new(Recorder::new("test"));
    let hop = Hop::new(Arc::clone(&recorder), Kind::Tool, "lookup", "lookup");
    let first = hop.start();
    let stale = first.context();
    first.end(Ending::ok());
    let second = hop.start();
    stale.phase(crate::model::Phase::Tls);
    let open = recorder.open(recorder.clock().now());
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].1.call.as_ref().unwrap().timeline.total(crate::model::Phase::Tls), None);
    second.end(Ending::of(Outcome::Reset));
}
