//! The reference of all settings, made from their table: for `--help`, and as a commented file.

use super::keys::{self, Key};

/// Columns of a line at most.
const WIDTH: usize = 98;

/// Every setting, for `--help`.
#[must_use]
pub fn help() -> String {
    let mut out = String::from("Settings, by table of the file, with their defaults and what sets them beside it:\n");
    for table in &keys::TABLES {
        out.push('\n');
        out.push_str(&table.header());
        out.push('\n');
        for key in table.keys {
            let line = key.default_line().unwrap_or_else(|| key.name.to_owned());
            let variables = key.variables.join(", ");
            let gap = if variables.is_empty() { "" } else { "  " };
            wrap(&mut out, "  ", &format!("{line}{gap}{variables}"));
            wrap(&mut out, "      ", key.about);
        }
    }
    out
}

/// A file that says every default, all of it commented out.
#[must_use]
pub fn commented_file() -> String {
    let mut out = String::from(
        "\
# Configuration of hopwatch: every key, with its default or an example, commented out.
#
# The environment wins over this file, and an option (`--set gateway.workers=2`) over both.
# `hopwatch config check` explains mistakes; `hopwatch config show` tells what is in force.
#
# Durations are written like \"500ms\", \"10s\", \"1m30s\", sizes like \"64KiB\", addresses like
# \"127.0.0.1:9470\". Relative paths start at the folder of this file.
",
    );
    for table in &keys::TABLES {
        out.push('\n');
        wrap(&mut out, "# ", table.about);
        // An entry of a list exists once its header stands there.
        out.push_str(if table.listed { "#" } else { "" });
        out.push_str(&table.header());
        out.push('\n');
        for key in table.keys {
            out.push('\n');
            wrap(&mut out, "# ", key.about);
            let facts = facts(key);
            if !facts.is_empty() {
                wrap(&mut out, "# ", &facts);
            }
            if let Some(line) = key.default_line().or_else(|| key.example_line()) {
                out.push_str(&format!("#{line}\n"));
            }
        }
    }
    out
}

/// Whether a key must be given, its range and its variables.
fn facts(key: &Key) -> String {
    let given = match key.default {
        None => Some("Must be given.".to_owned()),
        Some("") => Some("Not set by default.".to_owned()),
        Some(_) => None,
    };
    let range = key.limits.map(|(least, most)| format!("From {least} to {most}."));
    let variables = (!key.variables.is_empty()).then(|| format!("Variable: {}.", key.variables.join(", else ")));
    given.into_iter().chain(range).chain(variables).collect::<Vec<_>>().join(" ")
}

/// Writes a text in lines that are not too long, each behind an indent.
fn wrap(out: &mut String, indent: &str, text: &str) {
    let mut width = 0;
    for word in text.split(' ') {
        let longer = width + 1 + word.len();
        if width > 0 && longer <= WIDTH {
            out.push(' ');
            width = longer;
        } else {
            out.push_str(if width > 0 { "\n" } else { "" });
            out.push_str(indent);
            width = indent.len() + word.len();
        }
        out.push_str(word);
    }
    out.push('\n');
}
