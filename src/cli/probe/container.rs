//! Whether this process runs inside a container, where `localhost` is the container itself.

use std::fs;
use std::path::Path;

/// Files that container engines put into a container: Docker, and Podman and its kin.
const MARKS: [&str; 2] = [".dockerenv", "run/.containerenv"];
/// Parts of the control group of a container's first process, by engine.
const GROUPS: [&str; 6] = ["/docker/", "/docker-", "/kubepods", "/containerd", "/libpod", "/lxc/"];

/// What tells that this is a container; `None` = nothing does.
pub(super) fn mark() -> Option<String> {
    mark_in(Path::new("/"))
}

fn mark_in(root: &Path) -> Option<String> {
    let file = MARKS.into_iter().find(|mark| root.join(mark).exists());
    file.map(|file| format!("/{file}")).or_else(|| {
        let groups = fs::read_to_string(root.join("proc/1/cgroup")).unwrap_or_default();
        GROUPS.iter().any(|group| groups.contains(group)).then(|| "/proc/1/cgroup".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(file: &str, text: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        mark_in(folder.path())
    }

    #[test]
    fn containers_of_every_engine_are_known() {
        assert_eq!(root(".dockerenv", "").as_deref(), Some("/.dockerenv"));
        assert_eq!(root("run/.containerenv", "").as_deref(), Some("/run/.containerenv"));
        for group in ["12:pids:/docker/0123", "0::/kubepods.slice/kubepods-besteffort.slice/x", "1:name=systemd:/lxc/a"] {
            assert_eq!(root("proc/1/cgroup", group).as_deref(), Some("/proc/1/cgroup"), "{group}");
        }
    }

    #[test]
    fn an_ordinary_machine_is_none() {
        assert_eq!(root("proc/1/cgroup", "0::/init.scope\n"), None);
        assert_eq!(root("etc/hostname", "host"), None);
    }
}
