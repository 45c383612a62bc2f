//! What is said about a command beside the report.

use super::options::GatewayPlan;
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

/// What looked at the command's calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookers<'a> {
    pub(super) observer: bool,
    pub(super) gateway: Option<&'a GatewayPlan>,
    /// The hosts that `--intercept` left alone; `None` = it was not on.
    pub(super) left_alone: Option<&'a [LeftAlone]>,
}

/// Said at the end about what was not seen, and how what was seen came to be; `None` = nothing looked at the command's calls.
pub(super) fn notes(observed: Option<&Observed>, lookers: Lookers<'_>) -> Vec<String> {
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
    notes.extend(led_through(&unread, lookers.left_alone.is_some()));
    notes.extend(lookers.left_alone.map(|_| INTERCEPTED.to_owned()));
    notes.extend(lookers.left_alone.unwrap_or_default().iter().take(NAMED_MAX).map(ToString::to_string));
    notes.extend(nothing_seen(observed, lookers));
    notes
}

/// What may have kept all calls from being seen, and what to try.
fn nothing_seen(observed: &Observed, Lookers { observer, gateway, .. }: Lookers<'_>) -> Option<String> {
    let is_carried = observed.spans.iter().filter_map(|span| span.call.as_deref()).any(|call| call.origin == Origin::Gateway);
    let inside = "a model or store inside the process makes none";
    match (gateway.filter(|_| !is_carried), observed.spans.is_empty()) {
        (None, false) => None,
        (None, true) => Some(format!(
            "no call was seen. A Go program, a static binary or a daemon that ran before hides its calls (`--via both` has the gateway look \
             too); {inside}"
        )),
        (Some(plan), is_empty) => {
            let from_inside = if observer && is_empty { "no call was seen from inside, and none" } else { "no call" };
            let inside = if is_empty { format!("; {inside}") } else { String::new() };
            let past_it = past_the_gateway(plan.sets_proxies, plan.sets_base_urls);
            Some(format!("{from_inside} came through the gateway{past_it}{inside}"))
        }
    }
}

/// What points a command at the gateway, and who goes past it nevertheless.
fn past_the_gateway(proxies: bool, base_urls: bool) -> String {
    let pointers = match (proxies, base_urls) {
        (true, true) => "HTTP_PROXY and its like and the base URLs of providers (OPENAI_BASE_URL and its like) lead",
        (true, false) => "HTTP_PROXY and its like alone lead (`--no-base-urls`)",
        (false, true) => "the base URLs of providers (OPENAI_BASE_URL and its like) alone lead (`--no-proxy-env`)",
        (false, false) => return ", since nothing leads to it (`--no-proxy-env`, `--no-base-urls`)".to_owned(),
    };
    format!(
        ", to which {pointers}. Some clients have to be told to heed these: aiohttp by `trust_env=True`, Node.js by NODE_USE_ENV_PROXY=1. \
         Go programs go past a proxy to loopback addresses, and a base URL in the code comes before its variable. Databases are led by \
         `[[tcp]]` routes"
    )
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
        let notes =
            |observed: Option<&Observed>| super::notes(observed, Lookers { observer: true, gateway: None, left_alone: None });
        let said = notes(Some(&observed(processes.clone())));
        assert_eq!(said[0], "`tool` was not seen: static");
        assert!(said[1].starts_with("no call was seen"));
        processes.extend((0..20).map(|index| process(index, &format!("tool{index}"), Some("static"))));
        assert_eq!(notes(Some(&observed(processes))).len(), NAMED_MAX + 2);
        assert_eq!(notes(None).len(), 1);
    }

    #[test]
    fn what_leads_to_the_gateway_is_told_and_who_goes_past_it() {
        for (proxies, base_urls, said) in [
            (true, true, "HTTP_PROXY"),
            (true, false, "--no-base-urls"),
            (false, true, "OPENAI_BASE_URL"),
            (false, true, "--no-proxy-env"),
        ] {
            let told = past_the_gateway(proxies, base_urls);
            assert!(told.contains(said) && told.contains("trust_env=True"), "{told}");
        }
        assert!(past_the_gateway(false, false).contains("nothing leads to it"));
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
