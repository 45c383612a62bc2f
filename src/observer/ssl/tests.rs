use super::{SESSIONS, free, known, of_bio, session, set_bios};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

/// The tables are one for the process.
static TABLE: Mutex<()> = Mutex::new(());

fn lock() -> std::sync::MutexGuard<'static, ()> {
    TABLE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn bios_lead_to_their_session_until_it_is_freed() {
    let _guard = lock();
    set_bios(0x1000, 0x2000, 0x3000);
    let (by_read, ssl) = of_bio(0x2000).unwrap();
    assert!(ssl == 0x1000 && by_read.is_read_bio(0x2000) && by_read.is_write_bio(0x3000));
    assert!(of_bio(0x3000).is_some());
    by_read.conn.store(7, Relaxed);
    assert_eq!(free(0x1000), Some((7, -1)));
    assert!(of_bio(0x2000).is_none() && of_bio(0x3000).is_none() && known(0x1000).is_none() && free(0x1000).is_none());
}

#[test]
fn a_bio_that_moved_to_another_session_stays_with_it() {
    let _guard = lock();
    set_bios(0x5000, 0x6000, 0x6000);
    set_bios(0x7000, 0x6000, 0);
    free(0x5000);
    assert_eq!(of_bio(0x6000).map(|(_, ssl)| ssl), Some(0x7000));
    free(0x7000);
}

#[test]
fn a_new_session_at_an_old_address_starts_afresh() {
    let _guard = lock();
    let first = session(0x9000).unwrap();
    first.sent.store(9, Relaxed);
    assert!(first.turns(64) && !first.turns(64));
    free(0x9000);
    let second = session(0x9000).unwrap();
    assert!(second.sent.load(Relaxed) == 0 && second.turns(64));
    free(0x9000);
}

#[test]
fn a_crowded_table_refuses_and_recovers() {
    let _guard = lock();
    let keys: Vec<usize> = (1..=2 * SESSIONS).map(|at| 0x7f00_0000_0000 + at * 0x340).collect();
    let taken: Vec<usize> = keys.iter().copied().filter(|&key| session(key).is_some()).collect();
    assert!(taken.len() <= SESSIONS && taken.len() > SESSIONS / 2);
    assert!(taken.iter().all(|&key| known(key).is_some()));
    for key in taken {
        free(key);
    }
    assert!(keys.iter().all(|&key| known(key).is_none()));
    assert!(session(keys[0]).is_some());
    free(keys[0]);
}
