//! The file for the JSON report: checked before the command starts, written whole or not at all.

use crate::cli::{Failure, status};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A place that could be written when it was checked.
#[derive(Debug)]
pub(crate) struct JsonFile {
    /// The file itself, links followed.
    path: PathBuf,
    /// A pipe or device: written in place, since nothing can be renamed over it.
    in_place: bool,
}

impl JsonFile {
    /// Checks that a report can be written there.
    pub(in crate::cli) fn check(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Err(Failure::usage("`--json` needs a file: standard output is the command's own")
                .hint("write `--json report.json`, or `--json /dev/stderr`"));
        }
        Self::try_check(path).map_err(|error| {
            Failure::usage(format!("cannot write the report to `{}`: {error}", path.display()))
                .hint("the command was not started; name a file in a directory that exists and can be written")
        })
    }

    fn try_check(path: &Path) -> io::Result<Self> {
        let path = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = path.file_name().ok_or(error)?;
                folder(path).canonicalize()?.join(file)
            }
            Err(error) => return Err(error),
        };
        let existing = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(metadata) => Some(metadata),
            Err(_) => None,
        };
        let in_place = existing.as_ref().is_some_and(|metadata| !metadata.is_file());
        if in_place {
            return Ok(Self { path, in_place });
        }
        if existing.is_some() {
            // A file that is protected stays so, although its directory would allow the rename.
            OpenOptions::new().append(true).open(&path)?;
        }
        let file = Self { path, in_place };
        let temporary = file.temporary();
        // One byte, so that a full disk is told now.
        let tried = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .and_then(|mut file| file.write_all(b"\n"));
        let removed = fs::remove_file(&temporary);
        tried.and(removed)?;
        Ok(file)
    }

    /// Writes the report, which `fill` does. It is never in memory as a whole: of a long run it is large.
    pub(in crate::cli) fn write(&self, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        self.try_write(fill).map_err(|error| {
            Failure::new(status::FAILED, format!("cannot write the report to `{}`: {error}", self.path.display()))
        })
    }

    fn try_write(&self, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let write = |file: File| {
            let mut file = BufWriter::new(file);
            fill(&mut file)?;
            file.flush()
        };
        if self.in_place {
            return OpenOptions::new().append(true).open(&self.path).and_then(write);
        }
        let temporary = self.temporary();
        let written = File::create(&temporary).and_then(write).and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            let _gone = fs::remove_file(&temporary);
        }
        written
    }

    fn temporary(&self) -> PathBuf {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        folder(&self.path).join(format!(".{file}.{}.tmp", std::process::id()))
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_replaces_the_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "old").unwrap();
        let file = JsonFile::check(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        file.write(|file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_report_that_cannot_be_written_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "old").unwrap();
        let file = JsonFile::check(&path).unwrap();
        let failed = file.write(|file| file.write_all(b"ne").and(Err(io::ErrorKind::StorageFull.into())));
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_kept_and_its_target_written() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target.json"), folder.path().join("link.json"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        JsonFile::check(&link).unwrap().write(|file| file.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    }

    #[test]
    fn places_that_cannot_hold_a_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("missing/report.json"), PathBuf::from("-"), PathBuf::new()] {
            assert!(JsonFile::check(&path).is_err(), "{}", path.display());
        }
        assert!(JsonFile::check(Path::new("/dev/null")).unwrap().write(|file| file.write_all(b"x")).is_ok());
    }
}
