//! What is said about a command beside the report.

use crate::cli::{Failure, status};
use crate::gateway::LeftAlone;
use crate::model::{Origin, redact};
use crate::observe::{self, Observed, Process, ResolveError};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;

/// Finds the program of a command.
pub(super) fn resolve(command: &OsStr) -> Result<PathBuf, Failure> {
    let shown = command.display();
    observe::resolve(command, std::env::var_os("PATH").as_deref()).map_err(|error| match error {
        ResolveError::NotFound => Failure::new(status::NOT_FOUND, format!("command `{shown}` not found"))
            .hint("check its spelling and `PATH`; options of hopwatch stand before `--`, the command after"),
        ResolveError::NotExecutable => Failure::new(status::NOT_EXECUTABLE, format!("`{shown}` is not executable"))
            .hint("make it so (`chmod +x`), or name its interpreter: `hopwatch run -- python script.py`"),
    })
}

/// Said before a command starts that cannot be observed.
pub(super) fn by_gateway(name: &str, reason: &str) -> String {
    format!("hopwatch: `{name}` cannot be observed from inside: {reason}; its calls go through the gateway instead\n")
}

/// Most processes that are named one by one.
const NAMED_MAX: usize = 5;

/// Said once, when `--intercept` begins to leave a host alone.
pub(super) fn left_alone(left: &LeftAlone) -> String {
    format!("hopwatch: {left}; its calls are led through unread from here on\n")
}

/// Said at the end about what was not seen, and how what was seen came to be; `None` = nothing looked at the command's calls.
/// `left_alone`: the hosts that `--intercept` left alone; `None` = it was not on.
pub(super) fn notes(observed: Option<&Observed>, left_alone: Option<&[LeftAlone]>) -> Vec<String> {
    let Some(observed) = observed else {
        return vec!["the calls of this command were not watched: its time cannot be told apart".to_owned()];
    };
    let unseen = observed.processes.iter().filter_map(|process| Some((process.program.as_str(), process.note.as_deref()?)));
    // A shell loop may start one program a thousand times.
    let unseen: BTreeSet<(&str, &str)> = unseen.collect();
    let mut notes: Vec<String> = unseen
        .iter()
        .take(NAMED_MAX)
        .map(|(program, reason)| format!("`{}` was not seen: {}", redact::name(program), redact::name(reason)))
        .collect();
    if unseen.len() > NAMED_MAX {
        notes.push(format!("{} more programs were not seen", unseen.len() - NAMED_MAX));
    }
    let opaque = |origin| {
        let calls = observed.spans.iter().filter_map(|span| Some((span, span.call.as_deref()?)));
        calls.filter(move |(_, call)| call.opaque && call.origin == origin)
    };
    let linked = opaque(Origin::Observer).filter_map(|(_, call)| call.client.pid).collect();
    notes.extend(opaque_tls(&linked, &observed.processes));
    let unread = opaque(Origin::Gateway).filter_map(|(span, _)| span.dependency.as_deref()).collect();
    notes.extend(led_through(&unread, left_alone.is_some()));
    notes.extend(left_alone.map(|_| INTERCEPTED.to_owned()));
    notes.extend(left_alone.unwrap_or_default().iter().take(NAMED_MAX).map(ToString::to_string));
    if observed.spans.is_empty() {
        notes.push(
            "no call was seen. A Go program, a static binary or a daemon that ran before hides its calls; a model or store inside \
             the process makes none"
                .to_owned(),
        );
    }
    notes
}

/// Programs that bring their own TLS, of which only record heads are seen, by their processes.
fn opaque_tls(pids: &BTreeSet<u32>, processes: &[Process]) -> Option<String> {
    let program = |pid| processes.iter().rfind(|process| process.pid == pid).map(|process| process.program.as_str());
    let programs: BTreeSet<&str> = pids.iter().filter_map(|&pid| program(pid)).collect();
    let named: Vec<String> = programs.iter().take(NAMED_MAX).map(|program| format!("`{}`", redact::name(program))).collect();
    (!named.is_empty()).then(|| {
        format!(
            "TLS is linked into the program ({}): status, tokens and first token of its calls are not seen, and their times are estimates",
            named.join(", ")
        )
    })
}

/// Said of a run with `--intercept`.
const INTERCEPTED: &str =
    "`--intercept` was on: the gateway showed the command certificates of its own, and verified those of the hosts itself";

/// Dependencies whose calls went through tunnels of the gateway, although it may have been told to look into them.
fn led_through(dependencies: &BTreeSet<&str>, intercepted: bool) -> Option<String> {
    let shown_by = if intercepted {
        "the observer or a base URL that leads to the gateway"
    } else {
        "the observer, a base URL that leads to the gateway, or `--intercept`"
    };
    let named: Vec<String> = dependencies.iter().take(NAMED_MAX).map(|name| format!("`{}`", redact::name(name))).collect();
    (!named.is_empty()).then(|| {
        format!(
            "TLS to {} was led through unread: status, tokens and first token of these calls are not seen, and their times are estimates; \
             they are with {shown_by}",
            named.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_were_not_seen_are_named_once_and_not_without_end() {
        let process = |pid, program: &str, note: Option<&str>| Process {
            pid,
            ppid: 1,
            program: program.to_owned(),
            start: 0,
            end: None,
            rings: note.is_none(),
            note: note.map(str::to_owned),
        };
        let mut processes =
            vec![process(1, "python", None), process(2, "tool", Some("static")), process(3, "tool", Some("static"))];
        let observed = |processes| Observed { processes, ..Observed::default() };
        let said = notes(Some(&observed(processes.clone())), None);
        assert_eq!(said[0], "`tool` was not seen: static");
        assert!(said[1].starts_with("no call was seen"));
        processes.extend((0..20).map(|index| process(index, &format!("tool{index}"), Some("static"))));
        assert_eq!(notes(Some(&observed(processes)), None).len(), NAMED_MAX + 2);
        assert_eq!(notes(None, None).len(), 1);
    }

    #[test]
    fn programs_with_a_tls_of_their_own_are_told_once() {
        let process = |pid| Process { pid, ppid: 1, program: "node".to_owned(), start: 0, end: None, rings: true, note: None };
        let processes = [process(1), process(2), process(3)];
        assert_eq!(opaque_tls(&BTreeSet::new(), &processes), None);
        let said = opaque_tls(&BTreeSet::from([1, 2]), &processes).unwrap();
        assert!(said.starts_with("TLS is linked into the program (`node`): "), "{said}");
    }
}
