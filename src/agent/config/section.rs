//! Reads the settings of one table: a flag over the environment over the file over the default.

use super::Sources;
use super::fault::{Faults, Problem, Setting, Source};
use super::keys::{self, Described, Key, Table};
use super::value::Value;
use crate::agent::nearest::nearest;
use crate::model::redact;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What there is to read of one table.
#[derive(Debug)]
pub(super) struct Section<'a> {
    faults: &'a mut Faults,
    /// What the file says, and the byte where it begins to.
    file: Option<(&'a DeTable<'a>, usize)>,
    /// What stands beside the file; an entry of a list has nothing there.
    beside: Option<&'a Sources>,
    /// Keys of the file that the table does not have.
    unknown: Vec<&'a str>,
}

impl<'a> Section<'a> {
    /// Reads a table that there is one of.
    pub(super) fn single<T: Table>(root: &'a DeTable<'a>, sources: &'a Sources, faults: &'a mut Faults) -> Option<T> {
        let file = root.get(T::NAME).and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some((table, value.span().start)),
            _ => {
                let hint = format!("write `[{}]`, and its keys below", T::NAME);
                faults.add_at(value.span().start, Problem::new(format!("`{}` is one table", T::NAME), hint));
                None
            }
        });
        Section { faults, file, beside: Some(sources), unknown: Vec::new() }.table()
    }

    /// Reads a list of tables. Those with a mistake are left out.
    pub(super) fn list<T: Table>(root: &DeTable<'_>, faults: &mut Faults) -> Vec<T> {
        let Some(value) = root.get(T::NAME) else { return Vec::new() };
        let entries = value.get_ref().as_array().map(|entries| entries.iter().collect::<Vec<_>>());
        let mut read = Vec::new();
        for entry in entries.unwrap_or_else(|| vec![value]) {
            let at = entry.span().start;
            match entry.get_ref() {
                DeValue::Table(table) if value.get_ref().is_array() => {
                    let section = Section { faults: &mut *faults, file: Some((table, at)), beside: None, unknown: Vec::new() };
                    read.extend(section.table());
                }
                _ => {
                    let hint = format!("write `[[{}]]` above each of them", T::NAME);
                    faults.add_at(at, Problem::new(format!("`{}` is a list of tables", T::NAME), hint));
                }
            }
        }
        read
    }

    fn table<T: Table>(mut self) -> Option<T> {
        if let Some((table, _)) = self.file {
            for key in table.keys().filter(|key| !T::KEYS.iter().any(|known| known.name == key.get_ref())) {
                self.faults.add_at(key.span().start, unknown::<T>(key.get_ref()));
                self.unknown.push(key.get_ref());
            }
        }
        T::read(&mut self)
    }

    /// Reads one setting; `None` = there is a mistake in it, which is noted.
    pub(super) fn read<T: Value>(&mut self, key: &'static Key) -> Option<Setting<T>> {
        let default = key.default.map(|text| self.judge(key, Source::Default, T::of_text(text)));
        // What a stronger source hides is read all the same: a mistake in it is one.
        let file = self.file.and_then(|(table, _)| table.get(key.name)).map(|value| self.in_file(key, value));
        let environment = self.beside.and_then(|sources| sources.variable(key)).and_then(|(name, text)| {
            let text = text.ok_or_else(|| Problem::from("its value is not UTF-8".to_owned()));
            match text.and_then(|text| T::of_text(&text)) {
                // What is said to every program keeps none of ours from starting.
                Err(problem) if !name.starts_with(keys::PREFIX) => {
                    self.faults.warn(Source::Environment(name.into()), problem);
                    None
                }
                read => Some(self.judge(key, Source::Environment(name.into()), read)),
            }
        });
        let flags = self.beside.map_or(&[][..], |sources| &sources.flags).iter().filter(|flag| flag.key == key.path());
        let flag = flags.map(|flag| self.judge(key, Source::Flag(flag.option), T::of_text(&flag.value))).last();
        if [&file, &environment, &flag].into_iter().any(|read| matches!(read, Some(None))) {
            return None;
        }
        let strongest = flag.or(environment).or(file).or(default);
        // A slip in its name was told as one.
        let misspelt = |key: &Key| self.unknown.iter().any(|written| nearest(written, [key.name]).is_some());
        if strongest.is_none() && !misspelt(key) {
            let at = self.file.map_or(0, |(_, at)| at);
            let hint = key.example_line().map_or_else(|| key.about.to_owned(), |line| format!("add it, like `{line}`"));
            self.faults.add_at(at, Problem::new(format!("`{}` is missing", key.name), hint));
        }
        strongest.flatten()
    }

    fn in_file<T: Value>(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) -> Option<Setting<T>> {
        let source = self.faults.place(value.span().start);
        match T::of_file(value) {
            Ok(read) => {
                let folder = match &source {
                    Source::File { path, .. } => path.parent(),
                    _ => None,
                };
                self.judge(key, source.clone(), Ok(read.under(folder.unwrap_or(Path::new("")))))
            }
            Err(wrong) => {
                wrong.into_iter().for_each(|(at, problem)| self.faults.add_at(at, problem));
                None
            }
        }
    }

    /// A value within the limits of its key, or a mistake that is noted.
    fn judge<T: Value>(&mut self, key: &Key, source: Source, read: Result<T, Problem>) -> Option<Setting<T>> {
        match read.and_then(|value| key.within(value)) {
            Ok(value) => Some(Setting { value, source }),
            Err(mut problem) => {
                if matches!(source, Source::Flag(_)) {
                    problem.message = format!("{}: {}", key.path(), problem.message);
                }
                self.faults.add(source, problem);
                None
            }
        }
    }
}

/// What to say of a key that a table does not have.
fn unknown<T: Table>(key: &str) -> Problem {
    let message = format!("unknown key `{}`", redact::name(key));
    let own = || T::KEYS.iter().map(|known| known.name);
    let hint = if let Some(homes) = homes(key) {
        format!("it belongs under {homes}")
    } else if let Some(near) = nearest(key, own()) {
        format!("did you mean `{near}`?")
    } else {
        let elsewhere = nearest(key, keys::all().map(|known| known.name)).and_then(|near| Some((near, homes(near)?)));
        match elsewhere {
            Some((near, homes)) => format!("did you mean `{near}`? It belongs under {homes}"),
            None => format!("keys here are `{}`", own().collect::<Vec<_>>().join("`, `")),
        }
    };
    Problem::new(message, hint)
}

/// What to say of a key of the root that is no table.
pub(super) fn unknown_table(key: &str) -> Problem {
    let last = key.rsplit('.').next().unwrap_or(key);
    let hint = if let Some(homes) = homes(last) {
        format!("write `{last}` under {homes}")
    } else if let Some(near) = nearest(key, keys::TABLES.iter().map(|table| table.name)) {
        format!("did you mean `{near}`?")
    } else {
        format!("tables are `{}`", keys::TABLES.iter().map(Described::header).collect::<Vec<_>>().join("`, `"))
    };
    Problem::new(format!("unknown key `{}`", redact::name(key)), hint)
}

/// The tables that have a key of this name.
fn homes(key: &str) -> Option<String> {
    let homes = keys::TABLES.iter().filter(|table| table.keys.iter().any(|known| known.name == key));
    let headers: Vec<_> = homes.map(|table| format!("`{}`", table.header())).collect();
    (!headers.is_empty()).then(|| headers.join(" or "))
}
