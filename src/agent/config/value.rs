//! Values as they stand in a file, a variable or an option, and as they are shown again.

use super::fault::Problem;
use crate::agent::size::Size;
use crate::agent::{address, duration};
use ipnet::IpNet;
use serde_json::{Value as Json, json};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// A byte of the file, and what is wrong there.
pub(super) type Misread = (usize, Problem);

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// How it is written, to stand after "write": `a duration, like …`.
    const FORM: &'static str;
    /// What its number counts in JSON.
    const UNIT: Option<&'static str> = None;
    /// Literals of a file that are read, beside lists.
    const LITERALS: &'static [Literal] = &[Literal::Text];

    /// Reads what a variable or an option says, or a literal of the file.
    fn of_text(text: &str) -> Result<Self, Problem>;

    /// Reads what the file says.
    fn of_file(value: &Spanned<DeValue<'_>>) -> Result<Self, Vec<Misread>> {
        let at = value.span().start;
        match Literal::of(value.get_ref()) {
            Ok((literal, text)) if Self::LITERALS.contains(&literal) => {
                Self::of_text(&text).map_err(|problem| vec![(at, problem)])
            }
            Ok((literal, _)) => Err(vec![(at, mistaken::<Self>(literal.article()))]),
            Err(other) => Err(vec![(at, mistaken::<Self>(other))]),
        }
    }

    /// Whether it lies between two others, both included.
    fn within(&self, _least: &Self, _most: &Self) -> bool {
        true
    }

    /// Makes relative paths start at a folder.
    #[must_use]
    fn under(self, _folder: &Path) -> Self {
        self
    }

    /// As [`Value::of_text`] reads it, but for secrets, which are masked.
    fn text(&self) -> String;

    /// As it stands in a file; `None` = nothing can stand there.
    fn toml(&self) -> Option<String> {
        Some(quoted(&self.text()))
    }

    /// For machines.
    fn json(&self) -> Json {
        self.text().into()
    }
}

/// What a file may hold for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Text,
    Number,
    Truth,
}

impl Literal {
    /// Which one it is, and its text; else what it is called.
    fn of(value: &DeValue<'_>) -> Result<(Self, String), &'static str> {
        match value {
            DeValue::String(text) => Ok((Self::Text, text.clone().into_owned())),
            DeValue::Integer(number) => {
                let decimal = i128::from_str_radix(number.as_str(), number.radix()).map(|number| number.to_string());
                Ok((Self::Number, decimal.unwrap_or_else(|_| number.to_string())))
            }
            DeValue::Float(number) => Ok((Self::Number, number.as_str().to_owned())),
            DeValue::Boolean(truth) => Ok((Self::Truth, truth.to_string())),
            DeValue::Datetime(_) => Err("a date"),
            DeValue::Array(_) => Err("a list"),
            DeValue::Table(_) => Err("a table"),
        }
    }

    const fn article(self) -> &'static str {
        match self {
            Self::Text => "text in quotes",
            Self::Number => "a number",
            Self::Truth => "true or false",
        }
    }
}

fn mistaken<T: Value>(found: &str) -> Problem {
    Problem::new(format!("{found} cannot stand here"), format!("write {}", T::FORM))
}

/// A text as TOML quotes it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}

// === the types of settings ===

impl Value for bool {
    const FORM: &'static str = "`true` or `false`";
    const LITERALS: &'static [Literal] = &[Literal::Truth];

    fn of_text(text: &str) -> Result<Self, Problem> {
        match text.trim() {
            word if word.eq_ignore_ascii_case("true") || word == "1" => Ok(true),
            word if word.eq_ignore_ascii_case("false") || word == "0" => Ok(false),
            _ => Err(Problem::new(format!("`{text}` is neither true nor false"), format!("write {}", Self::FORM))),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn toml(&self) -> Option<String> {
        Some(self.text())
    }

    fn json(&self) -> Json {
        (*self).into()
    }
}

impl Value for usize {
    const FORM: &'static str = "a whole number";
    const LITERALS: &'static [Literal] = &[Literal::Number];

    fn of_text(text: &str) -> Result<Self, Problem> {
        let whole = text.trim().parse().ok();
        whole.ok_or_else(|| Problem::new(format!("`{text}` is no whole number"), format!("write {}", Self::FORM)))
    }

    fn within(&self, least: &Self, most: &Self) -> bool {
        (least..=most).contains(&self)
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn toml(&self) -> Option<String> {
        Some(self.text())
    }

    fn json(&self) -> Json {
        (*self).into()
    }
}

impl Value for String {
    const FORM: &'static str = "text in quotes";

    fn of_text(text: &str) -> Result<Self, Problem> {
        if text.trim().is_empty() { Err("it is empty".to_owned().into()) } else { Ok(text.to_owned()) }
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl Value for Duration {
    const FORM: &'static str = "a duration, like `10s`, `1m30s`, `500ms` or `2h`";
    const UNIT: Option<&'static str> = Some("ms");
    const LITERALS: &'static [Literal] = &[Literal::Text, Literal::Number];

    fn of_text(text: &str) -> Result<Self, Problem> {
        duration::parse(text).map_err(|error| Problem::new(error.to_string(), duration::DurationError::HINT))
    }

    fn within(&self, least: &Self, most: &Self) -> bool {
        (least..=most).contains(&self)
    }

    fn text(&self) -> String {
        duration::text(*self)
    }

    fn json(&self) -> Json {
        json!(self.as_micros() as f64 / 1e3)
    }
}

impl Value for Size {
    const FORM: &'static str = "a size, like `64KiB` or `1MiB`";
    const UNIT: Option<&'static str> = Some("bytes");
    const LITERALS: &'static [Literal] = &[Literal::Text, Literal::Number];

    fn of_text(text: &str) -> Result<Self, Problem> {
        Self::parse(text).map_err(|message| Problem::new(message, Self::HINT))
    }

    fn within(&self, least: &Self, most: &Self) -> bool {
        (least..=most).contains(&self)
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn json(&self) -> Json {
        self.0.into()
    }
}

impl Value for SocketAddr {
    const FORM: &'static str = "an address and its port, like `127.0.0.1:9471`; a port alone is the loopback's";
    const LITERALS: &'static [Literal] = &[Literal::Text, Literal::Number];

    fn of_text(text: &str) -> Result<Self, Problem> {
        address::parse(text.trim()).map_err(|message| Problem::new(message, address::HINT))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for IpNet {
    const FORM: &'static str = "a network, like `10.0.0.0/8` or `fd00::/8`; an address alone is itself";

    fn of_text(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Self::from));
        network
            .map(|network| network.trunc())
            .ok_or_else(|| Problem::new(format!("`{text}` is no network"), format!("write {}", Self::FORM)))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    const FORM: &'static str = "the path of a file";

    fn of_text(text: &str) -> Result<Self, Problem> {
        String::of_text(text).map(Self::from)
    }

    fn under(self, folder: &Path) -> Self {
        folder.join(self)
    }

    fn text(&self) -> String {
        self.display().to_string()
    }
}

/// Nothing, where the text is empty.
impl<T: Value> Value for Option<T> {
    const FORM: &'static str = T::FORM;
    const UNIT: Option<&'static str> = T::UNIT;

    fn of_text(text: &str) -> Result<Self, Problem> {
        if text.is_empty() { Ok(None) } else { T::of_text(text).map(Some) }
    }

    fn of_file(value: &Spanned<DeValue<'_>>) -> Result<Self, Vec<Misread>> {
        T::of_file(value).map(Some)
    }

    fn under(self, folder: &Path) -> Self {
        self.map(|value| value.under(folder))
    }

    fn text(&self) -> String {
        self.as_ref().map_or_else(String::new, T::text)
    }

    fn toml(&self) -> Option<String> {
        self.as_ref().and_then(T::toml)
    }

    fn json(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::json)
    }
}

/// Separated by commas outside of files. One value is a list of one.
impl<T: Value> Value for Vec<T> {
    const FORM: &'static str = T::FORM;
    const UNIT: Option<&'static str> = T::UNIT;

    fn of_text(text: &str) -> Result<Self, Problem> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(T::of_text).collect()
    }

    fn of_file(value: &Spanned<DeValue<'_>>) -> Result<Self, Vec<Misread>> {
        let DeValue::Array(values) = value.get_ref() else { return T::of_file(value).map(|value| vec![value]) };
        let mut read = Self::new();
        let mut wrong = Vec::new();
        for value in values {
            match T::of_file(value) {
                Ok(value) => read.push(value),
                Err(misread) => wrong.extend(misread),
            }
        }
        if wrong.is_empty() { Ok(read) } else { Err(wrong) }
    }

    fn under(self, folder: &Path) -> Self {
        self.into_iter().map(|value| value.under(folder)).collect()
    }

    fn text(&self) -> String {
        self.iter().map(T::text).collect::<Vec<_>>().join(", ")
    }

    fn toml(&self) -> Option<String> {
        Some(format!("[{}]", self.iter().filter_map(T::toml).collect::<Vec<_>>().join(", ")))
    }

    fn json(&self) -> Json {
        self.iter().map(T::json).collect()
    }
}
