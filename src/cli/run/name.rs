//! What a run is called when nobody names it: the script rather than its interpreter.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Programs that run what their arguments name.
const INTERPRETERS: [&str; 12] = ["python", "pypy", "node", "ruby", "perl", "bash", "sh", "dash", "zsh", "deno", "bun", "php"];
/// Programs that run another command, with the words that stand between.
const RUNNERS: [(&str, &[&str]); 6] =
    [("uv", &["run"]), ("poetry", &["run"]), ("pipenv", &["run"]), ("pdm", &["run"]), ("env", &[]), ("nice", &[])];

/// The name of a run of this command.
pub(super) fn of_command(command: &OsStr, arguments: &[OsString]) -> String {
    let program = base_name(command);
    if let Some((_, verbs)) = RUNNERS.iter().find(|(runner, _)| *runner == program) {
        let mut rest = arguments;
        for verb in *verbs {
            match rest.split_first() {
                Some((first, after)) if first == verb => rest = after,
                _ => return program,
            }
        }
        while let Some((first, after)) = rest.split_first() {
            let word = first.to_string_lossy();
            if !word.starts_with('-') && !word.contains('=') {
                return of_command(first, after);
            }
            rest = after;
        }
        return program;
    }
    let stem = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if INTERPRETERS.contains(&stem) { script(arguments).unwrap_or(program) } else { program }
}

/// The script or module among an interpreter's arguments.
fn script(arguments: &[OsString]) -> Option<String> {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        match &*text {
            "-m" => return words.next().map(|module| module.to_string_lossy().into_owned()),
            "-c" | "-e" | "-" | "-p" => return None,
            // Options of Python that take a value of their own.
            "-W" | "-X" => _ = words.next(),
            option if option.starts_with('-') => {}
            _ => return Some(base_name(word)),
        }
    }
    None
}

fn base_name(path: &OsStr) -> String {
    Path::new(path).file_name().unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_called_by_its_script() {
        for (line, name) in [
            ("python support_agent.py --fast", "support_agent.py"),
            ("/usr/bin/python3.12 -u -X dev apps/agent.py", "agent.py"),
            ("python -m uvicorn app:main", "uvicorn"),
            ("python -c print(1)", "python"),
            ("uv run --offline agent.py", "agent.py"),
            ("env A=1 python agent.py", "agent.py"),
            ("uv pip install x", "uv"),
            ("./target/debug/service serve", "service"),
            ("sh -c exit", "sh"),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(of_command(&words[0], &words[1..]), name, "{line}");
        }
    }
}
