//! Where the observer's shared object and the rings of a run lie.
//!
//! The object is installed once, under a name that contains its hash, in a directory that only the user can write to, and
//! never taken away: descendants outlive the run, and the dynamic linker complains on their standard error about an object
//! that is missing. Rings lie in memory where there is room for them, and go with the run; those of a run that was killed are taken
//! away by the next one, since heads and bodies stand in them.

use crate::observer::OBJECT;
use crate::observer::layout::{FILE_BYTES, NO_ROOM};
use crate::scratch::{self, SWEEP_AFTER, Scratch, own_user, unique};
use sha2::{Digest, Sha256};
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Room that a directory must have for rings, in bytes.
const ROOM: u64 = 16 * FILE_BYTES as u64;

/// Start of the name of a directory of rings.
const RINGS_PREFIX: &str = "hopwatch-";

/// Where the observer's parts lie.
#[derive(Clone, Debug)]
pub struct Place {
    /// The installed shared object.
    pub object: PathBuf,
    /// This run's directory of rings.
    pub rings: PathBuf,
    /// Locked as long as the run lives.
    _held: Option<Arc<Scratch>>,
}

/// No place was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// This build has no observer.
    #[error("this build of hopwatch has no observer for this system")]
    NoObserver,
    /// The shared object could not be installed.
    #[error("cannot install the observer's shared object: {}. Set XDG_CACHE_HOME or TMPDIR to a directory of yours on a file system that allows programs (not mounted noexec)", listed(.0))]
    Object(Vec<Refused>),
    /// There is no room for rings.
    #[error("no directory for the observer's records: {}. Set TMPDIR to a directory with {} MiB free", listed(.0), ROOM >> 20)]
    Rings(Vec<Refused>),
}

/// A directory that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub directory: PathBuf,
    /// Why it will not do.
    pub reason: String,
}

fn listed(refused: &[Refused]) -> String {
    let each = refused.iter().map(|refused| format!("{}: {}", refused.directory.display(), refused.reason));
    each.collect::<Vec<_>>().join("; ")
}

/// Directories to try, in order.
struct Candidates {
    objects: Vec<PathBuf>,
    rings: Vec<PathBuf>,
}

impl Candidates {
    fn of_environment(get: impl Fn(&str) -> Option<OsString>) -> Self {
        let directory = |name: &str| get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let temporary = directory("TMPDIR").unwrap_or_else(|| "/tmp".into());
        let own = format!("hopwatch-{}", own_user());
        let cache = directory("XDG_CACHE_HOME").or_else(|| Some(directory("HOME")?.join(".cache")));
        let mut objects: Vec<PathBuf> = cache.into_iter().map(|cache| cache.join("hopwatch")).collect();
        objects.extend([temporary.join(&own), Path::new("/tmp").join(&own)]);
        let mut rings = vec![PathBuf::from("/dev/shm")];
        rings.extend(directory("XDG_RUNTIME_DIR"));
        rings.extend([temporary, "/tmp".into()]);
        objects.dedup();
        rings.dedup();
        Self { objects, rings }
    }
}

impl Place {
    /// Installs the object where that was not done yet, and makes a directory for rings.
    ///
    /// # Errors
    /// Says which directories were tried and why none will do.
    pub fn make() -> Result<Self, PlaceError> {
        Self::make_of(OBJECT, &Candidates::of_environment(|name| std::env::var_os(name)))
    }

    fn make_of(object: &[u8], candidates: &Candidates) -> Result<Self, PlaceError> {
        if object.is_empty() {
            return Err(PlaceError::NoObserver);
        }
        let object = first(&candidates.objects, |directory| install(object, directory)).map_err(PlaceError::Object)?;
        candidates.rings.iter().for_each(|directory| sweep(directory, SWEEP_AFTER));
        let rings = first(&candidates.rings, make_rings).map_err(PlaceError::Rings)?;
        Ok(Self { object, rings: rings.path.clone(), _held: Some(Arc::new(rings)) })
    }

    /// A place with these paths, where nothing is made.
    #[cfg(test)]
    pub(crate) fn named(object: &str, rings: &str) -> Self {
        Self { object: object.into(), rings: rings.into(), _held: None }
    }

    /// Takes the rings' directory away; the object stays.
    pub fn remove(&self) {
        // What cannot be removed now is in a directory for temporary files.
        let _ = fs::remove_dir_all(&self.rings);
    }
}

fn first<T>(directories: &[PathBuf], make: impl Fn(&Path) -> Result<T, String>) -> Result<T, Vec<Refused>> {
    let mut refused = Vec::new();
    for directory in directories {
        match make(directory) {
            Ok(made) => return Ok(made),
            Err(reason) => refused.push(Refused { directory: directory.clone(), reason }),
        }
    }
    Err(refused)
}

fn said(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::StorageFull => "no space left".to_owned(),
        _ => error.to_string(),
    }
}

fn install(object: &[u8], directory: &Path) -> Result<PathBuf, String> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(said)?;
    let about = fs::symlink_metadata(directory).map_err(said)?;
    let own = own_user();
    if !about.is_dir() || about.uid() != own {
        return Err("not a directory of yours".to_owned());
    }
    if about.mode() & 0o022 != 0 {
        return Err("others may write to it".to_owned());
    }
    // The dynamic linker splits LD_PRELOAD at these.
    if directory.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b' ' | b':' | b'\t' | b'\n')) {
        return Err("its name contains a space or a colon".to_owned());
    }
    let hash = Sha256::digest(object);
    let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let path = directory.join(format!("observer-{name}.so"));
    if !is_installed(&path, object, own) {
        let temporary = directory.join(format!(".observer-{name}.{}", unique()));
        let written = write_new(&temporary, object).and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(said(error));
        }
    }
    may_run(&path)?;
    Ok(path)
}

fn is_installed(path: &Path, object: &[u8], own: u32) -> bool {
    let good = |about: fs::Metadata| about.is_file() && about.uid() == own && about.mode() & 0o022 == 0;
    fs::symlink_metadata(path).is_ok_and(good) && fs::read(path).is_ok_and(|there| there == object)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o755).open(path)?;
    file.write_all(bytes)
}

/// Maps the object as a program, which a file system mounted `noexec` does not allow.
fn may_run(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(said)?;
    // SAFETY: a new private mapping of one page of an open file; it is unmapped at once.
    unsafe {
        let address =
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE, file.as_raw_fd(), 0);
        if address == libc::MAP_FAILED {
            return Err("programs are not allowed there (noexec)".to_owned());
        }
        libc::munmap(address, 4096);
    }
    Ok(())
}

fn make_rings(directory: &Path) -> Result<Scratch, String> {
    let free = free_space(directory).map_err(said)?;
    if free < ROOM {
        return Err(format!("only {} MiB free", free >> 20));
    }
    Scratch::make(directory, RINGS_PREFIX).map_err(said)
}

/// Takes away the rings of runs that were killed.
fn sweep(directory: &Path, age: Duration) {
    scratch::sweep(directory, RINGS_PREFIX, age, holds_rings_only);
}

/// Objects lie in a directory of a like name where there is no cache.
fn holds_rings_only(directory: &Path) -> bool {
    let of_ring = |path: PathBuf| path.extension().is_some_and(|extension| extension == "ring" || extension == NO_ROOM);
    fs::read_dir(directory).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| of_ring(entry.path()))))
}

fn free_space(directory: &Path) -> io::Result<u64> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    let mut about = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends with a zero, and the call fills `about` when it succeeds; zeroes are valid too.
    let about = unsafe {
        if libc::statvfs(path.as_ptr(), about.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        about.assume_init()
    };
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

/// The object's file name, as it stands in `LD_PRELOAD`.
pub(crate) fn is_observer(entry: &OsStr) -> bool {
    let name = Path::new(entry).file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.starts_with("observer-") && name.ends_with(".so") && name.len() == "observer-0123456789abcdef.so".len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const OBJECT: &[u8] = b"\x7fELF not really";

    fn candidates(root: &Path) -> Candidates {
        Candidates { objects: vec![root.join("cache/hopwatch")], rings: vec![root.to_owned()] }
    }

    #[test]
    fn the_object_is_installed_once_and_outlives_the_rings() {
        let root = tempfile::tempdir().unwrap();
        let first = Place::make_of(OBJECT, &candidates(root.path())).unwrap();
        let second = Place::make_of(OBJECT, &candidates(root.path())).unwrap();
        assert_eq!(first.object, second.object);
        assert_ne!(first.rings, second.rings);
        assert_eq!(fs::read(&first.object).unwrap(), OBJECT);
        assert!(is_observer(first.object.as_os_str()));
        first.remove();
        assert!(!first.rings.exists() && second.rings.exists() && first.object.exists());
        assert_eq!(fs::metadata(&second.rings).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn an_object_that_was_changed_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::make_of(OBJECT, &candidates(root.path())).unwrap();
        fs::write(&place.object, b"something else").unwrap();
        assert_eq!(Place::make_of(OBJECT, &candidates(root.path())).unwrap().object, place.object);
        assert_eq!(fs::read(&place.object).unwrap(), OBJECT);
    }

    #[test]
    fn a_directory_that_will_not_do_leads_to_the_next_and_all_are_named() {
        let root = tempfile::tempdir().unwrap();
        let shared = root.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
        let missing = root.path().join("missing");
        let mut tried = candidates(root.path());
        tried.objects.insert(0, shared.clone());
        tried.rings.insert(0, missing.clone());
        let place = Place::make_of(OBJECT, &tried).unwrap();
        assert!(place.object.starts_with(root.path().join("cache")));
        tried.rings = vec![missing];
        let error = Place::make_of(OBJECT, &tried).unwrap_err().to_string();
        assert!(error.contains("no such directory") && error.contains("TMPDIR"), "{error}");
        tried.objects = vec![shared];
        let error = Place::make_of(OBJECT, &tried).unwrap_err().to_string();
        assert!(error.contains("others may write"), "{error}");
    }

    #[test]
    fn a_build_without_an_observer_says_so() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Place::make_of(b"", &candidates(root.path())).unwrap_err(), PlaceError::NoObserver);
    }

    #[test]
    fn rings_of_a_killed_run_are_swept_and_those_of_a_living_one_are_not() {
        let root = tempfile::tempdir().unwrap();
        let living = Place::make_of(OBJECT, &candidates(root.path())).unwrap();
        let killed = root.path().join("hopwatch-1-0-00000000");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join("1-2.ring"), b"secret").unwrap();
        fs::write(killed.join("3-4.noroom"), b"").unwrap();
        let other = root.path().join("hopwatch-cache");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("observer.so"), b"object").unwrap();
        sweep(root.path(), SWEEP_AFTER);
        assert!(killed.exists(), "it may be about to be locked");
        sweep(root.path(), Duration::ZERO);
        assert!(!killed.exists() && living.rings.exists() && other.exists());
    }
}
