//! Before a program starts: which file it is, whether it can be seen, and the environment it gets.

use super::elf::{self, Program};
use super::place::{Place, is_observer};
use crate::observer::layout::{ENV_RINGS, ENV_SKIP};
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Scripts whose interpreter is a script, and so on.
const DEPTH: usize = 4;
/// Where programs are searched when there is no `PATH`, as the C library has it.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Whether the observer will see what a program does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It will.
    Seen,
    /// It will not, for this reason: "curl is statically linked, so nothing can be loaded into it".
    NotSeen(String),
}

/// A command that cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is no such file, or none of this name in `PATH`.
    #[error("not found")]
    NotFound,
    /// The file may not be executed, or is a directory.
    #[error("not executable")]
    NotExecutable,
}

/// Finds the file that a command starts, as `execvp` does: a command with a slash is a path, others are searched in `path`
/// (the value of `PATH`).
///
/// # Errors
/// When there is none, or none that may be executed.
pub fn resolve(command: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, ResolveError> {
    if command.is_empty() {
        return Err(ResolveError::NotFound);
    }
    if command.as_bytes().contains(&b'/') {
        return executable(Path::new(command)).map(|()| PathBuf::from(command));
    }
    let mut error = ResolveError::NotFound;
    for directory in std::env::split_paths(path.unwrap_or_else(|| OsStr::new(DEFAULT_PATH))) {
        let directory = if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory };
        let candidate = directory.join(command);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(ResolveError::NotExecutable) => error = ResolveError::NotExecutable,
            Err(ResolveError::NotFound) => {}
        }
    }
    Err(error)
}

fn executable(path: &Path) -> Result<(), ResolveError> {
    let about = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => ResolveError::NotExecutable,
        _ => ResolveError::NotFound,
    })?;
    let text = CString::new(path.as_os_str().as_bytes()).map_err(|_| ResolveError::NotFound)?;
    // SAFETY: the path ends with a zero.
    let allowed = unsafe { libc::access(text.as_ptr(), libc::X_OK) } == 0;
    if about.is_file() && allowed { Ok(()) } else { Err(ResolveError::NotExecutable) }
}

/// Whether the observer will see what a program does; of a script, its interpreter.
#[must_use]
pub fn examine(program: &Path) -> Sight {
    look(program, DEPTH)
}

fn look(program: &Path, depth: usize) -> Sight {
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let name = crate::model::redact::name(&name);
    let mut start = Vec::new();
    let read = File::open(program).and_then(|file| file.take(elf::ENOUGH as u64).read_to_end(&mut start));
    if read.is_err() {
        // A program that may be executed but not read.
        return Sight::NotSeen(format!("{name} cannot be read, so it is not known what it is"));
    }
    if is_privileged(program) {
        return Sight::NotSeen(format!(
            "{name} runs with other rights than yours (set-id or capabilities), and nothing is loaded into such programs"
        ));
    }
    match elf::read(&start) {
        Program::Dynamic => Sight::Seen,
        Program::Static => Sight::NotSeen(format!("{name} is statically linked, so nothing can be loaded into it")),
        Program::Go => Sight::NotSeen(format!("{name} is a Go program, which makes its system calls without the C library")),
        Program::Foreign => Sight::NotSeen(format!("{name} is made for another kind of machine")),
        Program::Other if depth == 0 => Sight::NotSeen(format!("{name} is a script whose interpreter was not found")),
        Program::Other => match interpreter(&start) {
            Some(interpreter) => look(&interpreter, depth - 1),
            None => Sight::NotSeen(format!("{name} is a script whose interpreter was not found")),
        },
    }
}

/// Whether a program gets rights that the caller does not have: the dynamic linker loads nothing into it then.
fn is_privileged(program: &Path) -> bool {
    let Ok(about) = fs::metadata(program) else { return false };
    // SAFETY: these ask for numbers.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    let set_uid = about.mode() & libc::S_ISUID != 0 && about.uid() != uid;
    let set_gid = about.mode() & libc::S_ISGID != 0 && about.mode() & libc::S_IXGRP != 0 && about.gid() != gid;
    set_uid || set_gid || (uid != 0 && has_capabilities(program))
}

fn has_capabilities(program: &Path) -> bool {
    let Ok(path) = CString::new(program.as_os_str().as_bytes()) else { return false };
    // SAFETY: both texts end with a zero; a size of 0 asks for the length alone.
    unsafe { libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0) > 0 }
}

/// The program that runs a script: that of its `#!` line, `env` looked through, else the shell.
fn interpreter(start: &[u8]) -> Option<PathBuf> {
    let Some(line) = start.strip_prefix(b"#!") else {
        return Some(PathBuf::from("/bin/sh"));
    };
    let line = line.split(|&byte| byte == b'\n').next()?;
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let program = PathBuf::from(OsString::from_vec(words.next()?.to_vec()));
    if program.file_name() != Some(OsStr::new("env")) {
        return Some(program);
    }
    let named = words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='))?;
    resolve(OsStr::from_bytes(named), std::env::var_os("PATH").as_deref()).ok()
}

/// What is to be set in the environment of a program so that it is observed; `current` tells the values that it would have.
/// In programs of the base names `skip` the observer stays inactive, and so in those that the environment names already.
#[must_use]
pub fn environment(place: &Place, skip: &[String], current: impl Fn(&str) -> Option<OsString>) -> Vec<(OsString, OsString)> {
    let mut preload = place.object.clone().into_os_string();
    if let Some(kept) = current("LD_PRELOAD") {
        let entries = kept.as_bytes().split(|byte| matches!(byte, b':' | b' ' | b'\t' | b'\n')).map(OsStr::from_bytes);
        for entry in entries.filter(|entry| !entry.is_empty() && !is_observer(entry)) {
            preload.push(":");
            preload.push(entry);
        }
    }
    // AddressSanitizer refuses to start behind any preload otherwise.
    let mut sanitizer = current("ASAN_OPTIONS").unwrap_or_default();
    if !sanitizer.is_empty() {
        sanitizer.push(":");
    }
    sanitizer.push("verify_asan_link_order=0");
    let mut values = vec![
        ("LD_PRELOAD".into(), preload),
        (ENV_RINGS.into(), place.rings.clone().into_os_string()),
        ("ASAN_OPTIONS".into(), sanitizer),
    ];
    if !skip.is_empty() {
        let mut names = OsString::from(skip.join(":"));
        if let Some(kept) = current(ENV_SKIP).filter(|kept| !kept.is_empty()) {
            names.push(":");
            names.push(kept);
        }
        values.push((ENV_SKIP.into(), names));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn script(directory: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn commands_are_found_as_the_shell_finds_them() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("a"), root.path().join("b"));
        fs::create_dir(&first).unwrap();
        fs::create_dir(&second).unwrap();
        script(&first, "tool", "", 0o644);
        let good = script(&second, "tool", "", 0o755);
        script(&first, "data", "", 0o644);
        let path = std::env::join_paths([&first, &second]).unwrap();
        let found = |command: &str| resolve(OsStr::new(command), Some(&path));
        assert_eq!(found("tool"), Ok(good.clone()));
        assert_eq!(found("data"), Err(ResolveError::NotExecutable));
        assert_eq!(found("nothing"), Err(ResolveError::NotFound));
        assert_eq!(found(good.to_str().unwrap()), Ok(good));
        assert_eq!(found(first.to_str().unwrap()), Err(ResolveError::NotExecutable));
        assert_eq!(found(""), Err(ResolveError::NotFound));
        assert!(resolve(OsStr::new("sh"), None).is_ok());
    }

    #[test]
    fn a_script_is_seen_where_its_interpreter_is() {
        let root = tempfile::tempdir().unwrap();
        let look = |text: &str| examine(&script(root.path(), "script", text, 0o755));
        assert_eq!(look("#!/bin/sh\ntrue\n"), Sight::Seen);
        assert_eq!(look("#!/usr/bin/env -S FOO=1 sh -e\n"), Sight::Seen);
        assert_eq!(look("no head at all\n"), Sight::Seen);
        assert!(matches!(look("#!/nowhere/at/all\n"), Sight::NotSeen(_)));
        assert!(matches!(look("#!/usr/bin/env no-such-program-here\n"), Sight::NotSeen(_)));
        let own = script(root.path(), "own", "", 0o755);
        fs::write(&own, format!("#!{}\n", own.display())).unwrap();
        assert!(matches!(examine(&own), Sight::NotSeen(_)));
    }

    #[test]
    fn the_users_preload_is_kept_and_ours_stands_first_and_once() {
        let place = Place::named("/c/observer-0123456789abcdef.so", "/r");
        let set = |preload: &str, sanitizer: &str| {
            let values = environment(&place, &[], |name| match name {
                "LD_PRELOAD" => Some(preload.into()),
                "ASAN_OPTIONS" => Some(sanitizer.into()),
                _ => None,
            });
            values.into_iter().map(|(_, value)| value.into_string().unwrap()).collect::<Vec<_>>()
        };
        let ours = "/c/observer-0123456789abcdef.so";
        assert_eq!(set("", ""), [ours, "/r", "verify_asan_link_order=0"]);
        assert_eq!(set(&format!("libx.so {ours}:/d/observer-fedcba9876543210.so"), "a=1")[0], format!("{ours}:libx.so"));
        assert_eq!(set("", "a=1")[2], "a=1:verify_asan_link_order=0");
    }

    #[test]
    fn skipped_programs_add_to_those_that_the_environment_names() {
        let place = Place::named("/c/observer-0123456789abcdef.so", "/r");
        let set = |skip: &[&str], current: &'static str| {
            let skip: Vec<String> = skip.iter().map(|&name| name.to_owned()).collect();
            let values = environment(&place, &skip, |name| (name == ENV_SKIP).then(|| current.into()));
            values.into_iter().find(|(name, _)| name == ENV_SKIP).map(|(_, value)| value.into_string().unwrap())
        };
        assert_eq!(set(&[], "make"), None);
        assert_eq!(set(&["git", "node"], "").as_deref(), Some("git:node"));
        assert_eq!(set(&["git"], "make:sh").as_deref(), Some("git:make:sh"));
    }
}
