use super::{FDS, begin, bit, copy, end_of, tracked};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

/// The table is one for the process.
static TABLE: Mutex<()> = Mutex::new(());

fn lock() -> std::sync::MutexGuard<'static, ()> {
    TABLE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn a_reused_descriptor_is_another_connection() {
    let _guard = lock();
    let first = begin(50_000, bit::CONNECTING, 5).unwrap().id.load(Relaxed);
    let ended = end_of(50_000).unwrap();
    assert_eq!((ended.id, ended.shared), (first, false));
    assert!(tracked(50_000).is_none() && end_of(50_000).is_none());
    let second = begin(50_000, 0, 6).unwrap();
    assert_ne!(second.id.load(Relaxed), first);
    assert!(!second.has(bit::CONNECTING));
    end_of(50_000);
}

#[test]
fn a_copied_connection_ends_with_its_last_descriptor() {
    let _guard = lock();
    let id = begin(50_001, 0, 1).unwrap().id.load(Relaxed);
    copy(50_001, 50_002);
    assert_eq!(tracked(50_002).unwrap().id.load(Relaxed), id);
    assert!(end_of(50_001).unwrap().shared);
    assert!(!end_of(50_002).unwrap().shared);
}

#[test]
fn a_turn_is_told_once_for_each_change_of_direction() {
    let _guard = lock();
    let connection = begin(50_003, 0, 1).unwrap();
    let turns: Vec<bool> = [bit::WRITING, bit::WRITING, bit::READING, bit::READING, bit::WRITING]
        .map(|direction| connection.turns(direction))
        .into();
    assert_eq!(turns, [true, false, true, false, true]);
    end_of(50_003);
}

#[test]
fn connecting_is_taken_by_one() {
    let _guard = lock();
    let connection = begin(50_004, bit::CONNECTING | bit::NONBLOCK, 1).unwrap();
    assert!(connection.take(bit::CONNECTING) && !connection.take(bit::CONNECTING) && connection.has(bit::NONBLOCK));
    end_of(50_004);
}

#[test]
fn descriptors_outside_the_table_are_not_tracked() {
    assert!(tracked(-1).is_none() && tracked(i32::MAX).is_none() && begin(FDS as i32, 0, 0).is_none());
}
