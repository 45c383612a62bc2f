//! Usage errors in the house's form, with the nearest valid word.

use super::{CommandLine, Failure, status};
use crate::agent::nearest::nearest;
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What a parse that did not succeed comes to: help and version are printed, errors become a failure.
pub(crate) fn failure(error: &clap::Error) -> Failure {
    if !error.use_stderr() {
        // A reader that went away is no failure.
        let _unheard = error.print();
        return Failure::silent(0);
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let verb = verb();
    let help = match &verb {
        Some(verb) => format!("see `hopwatch {verb} --help`"),
        None => "see `hopwatch --help`".to_owned(),
    };
    match (error.kind(), text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) {
        (ErrorKind::UnknownArgument, Some(argument), _) => unknown_option(argument, verb.as_deref(), help),
        (ErrorKind::InvalidSubcommand, ..) => {
            let word = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let verbs = verbs(verb.as_deref());
            let before = verb.map_or_else(String::new, |verb| format!("{verb} "));
            let hint = nearest(word, verbs.iter().map(String::as_str)).map_or_else(
                || format!("verbs are `{}`; {help}", verbs.join("`, `")),
                |near| format!("did you mean `hopwatch {before}{near}`?"),
            );
            Failure::usage(format!("unknown verb `{word}`")).hint(hint)
        }
        (ErrorKind::MissingSubcommand, ..) => match &verb {
            Some(_) => {
                Failure::usage("no verb given").hint(format!("verbs are `{}`; {help}", verbs(verb.as_deref()).join("`, `")))
            }
            None => Failure::usage("no verb given").hint("start with `hopwatch demo`, or see `hopwatch --help`"),
        },
        (ErrorKind::InvalidValue, Some(argument), Some(value)) => {
            let option = argument.split(' ').next().unwrap_or(argument);
            let valid: Vec<&str> = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(values)) => values.iter().map(String::as_str).collect(),
                _ => Vec::new(),
            };
            if value.is_empty() {
                return Failure::usage(format!("`{option}` needs a value")).hint(help);
            }
            let known = format!("values are `{}`", valid.join("`, `"));
            let hint = nearest(value, valid.iter().copied())
                .map_or_else(|| known.clone(), |near| format!("did you mean `{near}`? The {known}"));
            Failure::usage(format!("`{value}` is no value for `{option}`")).hint(hint)
        }
        (ErrorKind::ValueValidation, Some(argument), _) => {
            let option = argument.split(' ').next().unwrap_or(argument);
            let reason = std::error::Error::source(error).map_or_else(|| "invalid value".to_owned(), ToString::to_string);
            match reason.split_once("\nhint: ") {
                Some((reason, hint)) => Failure::usage(format!("`{option}`: {reason}")).hint(hint),
                None => Failure::usage(format!("`{option}`: {reason}")).hint(help),
            }
        }
        (ErrorKind::MissingRequiredArgument, ..) if verb.as_deref() == Some("run") => {
            Failure::usage("no command given").hint("put it after `--`: `hopwatch run --deadline 10s -- python agent.py`")
        }
        (ErrorKind::MissingRequiredArgument, ..) => {
            let missing = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(missing)) => missing.join("`, `"),
                _ => String::new(),
            };
            Failure::usage(format!("`{missing}` is missing")).hint(help)
        }
        (ErrorKind::ArgumentConflict, Some(argument), _) => {
            Failure::usage(format!("`{argument}` cannot be given more than once, or not with another option")).hint(help)
        }
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default();
            Failure::new(status::USAGE, first.strip_prefix("error: ").unwrap_or(first)).hint(help)
        }
    }
}

fn unknown_option(argument: &str, verb: Option<&str>, help: String) -> Failure {
    if !argument.starts_with('-') {
        return Failure::usage(format!("unexpected argument `{argument}`")).hint(help);
    }
    let options = options(verb);
    let word = argument.trim_start_matches('-').split('=').next().unwrap_or_default();
    let hint = match nearest(word, options.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `--{near}`?"),
        None => help,
    };
    Failure::usage(format!("unknown option `{argument}`")).hint(hint)
}

/// The verbs on the command line, as far as they are some: `config check`.
fn verb() -> Option<String> {
    let mut command = &CommandLine::command();
    let mut found = Vec::new();
    for word in std::env::args_os().skip(1) {
        let Some(verb) = word.to_str().and_then(|word| command.find_subcommand(word)) else { break };
        found.push(verb.get_name().to_owned());
        command = verb;
    }
    (!found.is_empty()).then(|| found.join(" "))
}

/// The command of such verbs.
fn command<'a>(line: &'a clap::Command, verb: Option<&str>) -> &'a clap::Command {
    let verbs = verb.into_iter().flat_map(|verb| verb.split(' '));
    verbs.fold(line, |command, verb| command.find_subcommand(verb).unwrap_or(command))
}

fn verbs(verb: Option<&str>) -> Vec<String> {
    let line = CommandLine::command();
    let shown = command(&line, verb).get_subcommands().filter(|verb| !verb.is_hide_set());
    shown.map(|verb| verb.get_name().to_owned()).collect()
}

fn options(verb: Option<&str>) -> Vec<String> {
    let mut line = CommandLine::command();
    line.build();
    command(&line, verb).get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)).collect()
}
