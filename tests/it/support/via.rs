//! The ways in which a program's calls are seen.

use std::thread;

/// What sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Via {
    #[default]
    Observer,
    Gateway,
    Both,
}

impl Via {
    pub(crate) const ALL: [Self; 3] = [Self::Observer, Self::Gateway, Self::Both];

    pub(crate) const fn option(self) -> &'static str {
        match self {
            Self::Observer => "--via=observer",
            Self::Gateway => "--via=gateway",
            Self::Both => "--via=both",
        }
    }

    /// Whether the program is looked into, and not only at what it sends.
    pub(crate) const fn is_inside(self) -> bool {
        matches!(self, Self::Observer | Self::Both)
    }

    /// Whether the program is pointed at a gateway.
    pub(crate) const fn is_between(self) -> bool {
        matches!(self, Self::Gateway | Self::Both)
    }
}

/// Plays a scene in each way, all at the same time: most of a scene is waiting.
#[track_caller]
pub(crate) fn each_way(scene: impl Fn(Via) + Sync) {
    let failed: Vec<Via> = thread::scope(|scope| {
        let play = |&via: &Via| {
            let scene = &scene;
            (via, scope.spawn(move || scene(via)))
        };
        let played: Vec<_> = Via::ALL.iter().map(play).collect();
        played.into_iter().filter_map(|(via, thread)| thread.join().is_err().then_some(via)).collect()
    });
    assert!(failed.is_empty(), "failed as seen by {failed:?}");
}
