//! PromQL, read.

use std::time::Duration;

use promql_parser::label::Matcher;
use promql_parser::parser::{Expr, LabelModifier, VectorSelector, parse};

/// A selector of series, with what it stands in.
pub(crate) struct Selected<'a> {
    pub(crate) name: &'a str,
    pub(crate) matchers: &'a [Matcher],
    /// The range, and the function over it.
    pub(crate) range: Option<(Duration, &'a str)>,
}

/// What a query is made of.
#[derive(Default)]
pub(crate) struct Read {
    parts: Vec<Part>,
}

enum Part {
    Selector {
        selector: VectorSelector,
        range: Option<(Duration, String)>,
    },
    /// Labels that something is added up or matched by.
    Labels(Vec<String>),
}

impl Read {
    /// Reads a query; an error tells what is wrong with it.
    pub(crate) fn of(query: &str) -> Result<Self, String> {
        let mut read = Self::default();
        read.walk(&parse(query).map_err(|error| format!("{error}: {query}"))?, "");
        Ok(read)
    }

    pub(crate) fn selectors(&self) -> impl Iterator<Item = Selected<'_>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Selector { selector, range } => Some(Selected {
                name: selector.name.as_deref().unwrap_or_default(),
                matchers: &selector.matchers.matchers,
                range: range.as_ref().map(|(range, function)| (*range, function.as_str())),
            }),
            Part::Labels(_) => None,
        })
    }

    /// Labels that are named outside of selectors.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        self.parts
            .iter()
            .flat_map(|part| match part {
                Part::Labels(labels) => labels.as_slice(),
                Part::Selector { .. } => &[],
            })
            .map(String::as_str)
    }

    fn name(&mut self, modifier: Option<&LabelModifier>) {
        self.parts.extend(modifier.map(|modifier| Part::Labels(modifier.labels().labels.clone())));
    }

    /// `inside` = the function that is called on it.
    fn walk(&mut self, expr: &Expr, inside: &str) {
        match expr {
            Expr::Aggregate(of) => {
                self.name(of.modifier.as_ref());
                of.param.iter().for_each(|param| self.walk(param, ""));
                self.walk(&of.expr, "");
            }
            Expr::Unary(of) => self.walk(&of.expr, ""),
            Expr::Binary(of) => {
                self.name(of.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()));
                self.walk(&of.lhs, "");
                self.walk(&of.rhs, "");
            }
            Expr::Paren(of) => self.walk(&of.expr, inside),
            Expr::Subquery(of) => self.walk(&of.expr, ""),
            Expr::VectorSelector(selector) => self.parts.push(Part::Selector { selector: selector.clone(), range: None }),
            Expr::MatrixSelector(matrix) => {
                let range = Some((matrix.range, inside.to_owned()));
                self.parts.push(Part::Selector { selector: matrix.vs.clone(), range });
            }
            Expr::Call(call) => call.args.args.iter().for_each(|argument| self.walk(argument, call.func.name)),
            _ => {}
        }
    }
}
