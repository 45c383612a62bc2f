//! Folders for as long as a process lives: nobody else may look into them, and those of processes that were killed are taken away by the
//! next one.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A folder that nobody holds is left alone for this long: its owner may be about to lock it.
pub(crate) const SWEEP_AFTER: Duration = Duration::from_secs(60);

/// A folder of one's own (mode 0700), locked while it is held. It stays when it is dropped: see [`Scratch::remove`].
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) path: PathBuf,
    /// Where a file system has no locks, nothing is swept either.
    _lock: Option<File>,
}

impl Scratch {
    /// Makes one in a directory; its name begins with `prefix`.
    ///
    /// # Errors
    /// It cannot be made there.
    pub(crate) fn make(directory: &Path, prefix: &str) -> io::Result<Self> {
        let path = directory.join(format!("{prefix}{}", unique()));
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::open(&path)?;
        let held = lock.try_lock().is_ok();
        Ok(Self { path, _lock: held.then_some(lock) })
    }

    /// Takes it away with what is in it.
    pub(crate) fn remove(&self) {
        // What cannot be removed now is in a directory for temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Takes away what killed processes left in a directory: folders of ours whose names begin with `prefix`, which `is_meant`, which nobody
/// has locked, and which are older than `age`.
pub(crate) fn sweep(directory: &Path, prefix: &str, age: Duration, is_meant: impl Fn(&Path) -> bool) {
    let own = own_user();
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().as_bytes().starts_with(prefix.as_bytes())) {
        let Ok(about) = entry.metadata() else { continue };
        let is_old = about.modified().is_ok_and(|modified| modified.elapsed().is_ok_and(|since| since >= age));
        if !about.is_dir() || about.uid() != own || !is_old || !is_meant(&entry.path()) {
            continue;
        }
        if File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The user that this process acts for.
pub(crate) fn own_user() -> u32 {
    // SAFETY: asks for a number.
    unsafe { libc::geteuid() }
}

/// A text that no other call and no other process gets.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let seed = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    format!("{}-{}-{:08x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed), seed as u32)
}
