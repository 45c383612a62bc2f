//! What a command is to trust under `--intercept`: a file that lives as long as it does.

use crate::cli::{Failure, status};
use crate::gateway::Intercept;
use crate::scratch::{self, SWEEP_AFTER, Scratch};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Variables by which programs are told the file of authorities that they trust: OpenSSL with Go, Python's `httpx` and `aiohttp`, Rust
/// and Ruby; `requests`; curl; Node; AWS clients; git; pip; gRPC; `httplib2`; Cargo; Deno; Nix; Google Cloud's command line.
pub(super) const FILE_VARIABLES: [&str; 13] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HTTPLIB2_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "DENO_CERT",
    "NIX_SSL_CERT_FILE",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
];
/// Taken away: some programs would look there first. What is in its folders is in the file.
pub(super) const FOLDER_VARIABLE: &str = "SSL_CERT_DIR";

/// Start of the name of the folder.
const PREFIX: &str = "hopwatch-ca-";
const FILE: &str = "ca.pem";

/// The file, in a folder of its own. Dropped, both are gone.
#[derive(Debug)]
pub(super) struct Trusted {
    folder: Scratch,
    file: PathBuf,
}

impl Trusted {
    /// Writes what a command has to trust, and what it trusts anyway: the system's authorities, and those of `named` files and folders.
    pub(super) fn write(intercept: &Intercept, named: &[PathBuf]) -> Result<Self, Failure> {
        let bundle = intercept.bundle(named).ok_or_else(|| {
            Failure::new(
                status::FAILED,
                "`--intercept` finds no certificate authorities on this system, so that no host could be verified",
            )
            .hint("install them (`ca-certificates`), or name a PEM file in SSL_CERT_FILE")
        })?;
        let directory = std::env::temp_dir();
        Self::write_in(&directory, &bundle).map_err(|error| {
            let message =
                format!("`--intercept` cannot write what the command is to trust to `{}`: {error}", directory.display());
            Failure::new(status::FAILED, message).hint("set TMPDIR to a directory of yours")
        })
    }

    fn write_in(directory: &Path, bundle: &str) -> io::Result<Self> {
        scratch::sweep(directory, PREFIX, SWEEP_AFTER, |_| true);
        let folder = Scratch::make(directory, PREFIX)?;
        let file = folder.path.join(FILE);
        // Dropped where it fails, nothing stays behind.
        let trusted = Self { folder, file };
        let mut to = File::options().write(true).create_new(true).mode(0o600).open(&trusted.file)?;
        to.write_all(bundle.as_bytes())?;
        Ok(trusted)
    }

    /// What tells the command of it.
    pub(super) fn environment(&self) -> impl Iterator<Item = (OsString, OsString)> {
        FILE_VARIABLES.into_iter().map(|name| (name.into(), self.file.clone().into()))
    }
}

impl Drop for Trusted {
    fn drop(&mut self) {
        self.folder.remove();
    }
}

/// What the variables name beyond what any gateway trusts.
pub(super) fn named_by(environment: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    FILE_VARIABLES.into_iter().filter_map(set).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    #[test]
    fn the_file_is_its_owners_alone_and_goes_with_its_holder() {
        let root = tempfile::tempdir().unwrap();
        let trusted = Trusted::write_in(root.path(), "certificates").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&trusted.folder.path), mode(&trusted.file)), (0o700, 0o600));
        assert_eq!(fs::read_to_string(&trusted.file).unwrap(), "certificates");
        let environment: Vec<_> = trusted.environment().collect();
        assert!(environment.contains(&("SSL_CERT_FILE".into(), trusted.file.clone().into())));
        assert!(environment.iter().all(|(_, value)| *value == *trusted.file.as_os_str()));
        drop(trusted);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert!(Trusted::write_in(&root.path().join("missing"), "").is_err());
    }

    #[test]
    fn what_a_killed_run_left_is_taken_away_and_what_is_held_is_not() {
        let root = tempfile::tempdir().unwrap();
        let held = Trusted::write_in(root.path(), "certificates").unwrap();
        let left = root.path().join(format!("{PREFIX}1-0-00000000"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join(FILE), "certificates").unwrap();
        scratch::sweep(root.path(), PREFIX, SWEEP_AFTER, |_| true);
        assert!(left.exists(), "it may be about to be locked");
        scratch::sweep(root.path(), PREFIX, Duration::ZERO, |_| true);
        assert!(!left.exists() && held.file.exists());
    }

    #[test]
    fn what_the_user_had_named_is_found() {
        let named = named_by(|name| match name {
            "NODE_EXTRA_CA_CERTS" => Some("node.pem".into()),
            "AWS_CA_BUNDLE" => Some(OsString::new()),
            _ => None,
        });
        assert_eq!(named, [PathBuf::from("node.pem")]);
    }
}
