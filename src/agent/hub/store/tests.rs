use super::*;
use crate::agent::hub::tests::{MS, T0, ended, open, run};
use crate::attribution::judge;
use crate::model::{Losses, Outcome};

fn keep(store: &mut Store, name: &str, calls: &[Span], at: Nanos) {
    let run = run(name, calls);
    let judgement = judge(&run, &Losses::default());
    store.keep(Judged { id: name.to_owned(), run, judgement }, at);
}

fn names(store: &Store) -> Vec<&str> {
    store.runs().map(|kept| &*kept.run.name).collect()
}

#[test]
fn the_last_runs_are_kept_for_as_long_as_is_said() {
    let mut store = Store::new(3, 1_000 * MS);
    for (name, at) in [("a", 0), ("b", 100), ("c", 200), ("d", 300)] {
        keep(&mut store, name, &[], T0 + at * MS);
    }
    assert_eq!(names(&store), ["b", "c", "d"]);
    store.forget_old(T0 + 1_199 * MS);
    assert_eq!(names(&store), ["c", "d"]);
    store.limit(1, 1_000 * MS);
    assert_eq!(names(&store), ["d"]);
    store.limit(5, 10 * MS);
    store.forget_old(T0 + 310 * MS);
    assert!(names(&store).is_empty());
}

#[test]
fn runs_that_take_too_much_memory_make_the_oldest_go_and_the_last_one_stays() {
    let mut store = Store::new(1_000, Nanos::MAX);
    // About 20 MiB each.
    let mut large = ended(1, "docs", Outcome::Ok);
    large.operation = "x".repeat(20 << 20).into();
    for name in ["a", "b", "c", "d", "e"] {
        keep(&mut store, name, std::slice::from_ref(&large), T0);
    }
    assert_eq!(names(&store), ["c", "d", "e"]);
    large.operation = "x".repeat(70 << 20).into();
    keep(&mut store, "f", std::slice::from_ref(&large), T0);
    assert_eq!(names(&store), ["f"]);
    keep(&mut store, "g", &[], T0);
    assert_eq!(names(&store), ["g"]);
    assert!(store.held < 1 << 20, "{}", store.held);
}

#[test]
fn dependencies_beyond_what_is_told_apart_are_added_up() {
    let mut store = Store::new(1, Nanos::MAX);
    for id in 0..DEPENDENCIES as u64 + 500 {
        store.count(&ended(id, &format!("host-{id}"), Outcome::Ok), T0);
    }
    store.count(&ended(0, "host-0", Outcome::Reset), T0);
    store.count(&open(1, "host-1"), T0);
    let told = store.dependencies(Steps::All, T0);
    // The very last name stands for all others.
    assert_eq!(told.len(), DEPENDENCIES + 1);
    assert_eq!(told.iter().find(|one| one.dependency == OTHER).unwrap().calls, 500);
    assert_eq!(told.iter().find(|one| one.dependency == "host-0").unwrap().calls, 2);
    assert_eq!(told.iter().map(|one| one.calls).sum::<u64>(), DEPENDENCIES as u64 + 501);
}

#[test]
fn the_last_minutes_of_no_more_dependencies_are_kept_than_there_is_room_for() {
    let mut store = Store::new(1, Nanos::MAX);
    for id in 0..TRENDS as u64 + 10 {
        store.count(&ended(id, &format!("host-{id}"), Outcome::Ok), T0);
    }
    let with_trend = |store: &Store, now| store.dependencies(Steps::All, now).iter().filter(|one| !one.trend.is_empty()).count();
    assert_eq!(with_trend(&store, T0), TRENDS);
    // Those that were quiet for long leave their place to others.
    let later = T0 + 700_000 * MS;
    store.forget_old(later);
    store.count(&ended(1, &format!("host-{}", TRENDS + 5), Outcome::Ok), later);
    assert_eq!(with_trend(&store, later), 1);
    assert_eq!(store.counted(), TRENDS as u64 + 11);
}
