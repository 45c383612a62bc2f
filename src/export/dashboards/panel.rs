//! A panel, and the JSON that Grafana reads it from.

use crate::model::names::label;
use crate::model::palette::{self, CALLER, FAILURE};
use crate::model::{Kind, Outcome, Phase};
use serde_json::{Value, json};

/// What the caller's own time is called.
const OWN_TIME: &str = "(own time)";
/// The column of a table's numbers, as Grafana calls it.
pub(super) const VALUE: &str = "Value";
/// The same, as it is shown.
const COUNT: &str = "count";
/// Columns of a dashboard.
const COLUMNS: u64 = 24;
/// Height of a panel that shows one number.
const STAT_HEIGHT: u64 = 4;
/// Height of any other.
const HEIGHT: u64 = 9;

/// How a panel shows its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// One number, the last.
    Number,
    /// The name of what is largest.
    Name,
    /// Lines over time.
    Lines,
    /// Areas over time, one on the other.
    Stack,
    /// Buckets over time.
    Heatmap,
    /// A bar each, from left to right.
    Bars,
    /// Rows.
    Table,
}

/// A unit, as Grafana spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    PerSecond,
    BytesPerSecond,
    Share,
    Count,
}

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::PerSecond => "cps",
            Self::BytesPerSecond => "Bps",
            Self::Share => "percentunit",
            Self::Count => "short",
        }
    }
}

/// What gives a series its colour. No two of them are told apart by red and green, and what is no failure is never red.
#[derive(Clone, Debug)]
pub(super) enum Colors {
    /// All have this one.
    One(&'static str),
    /// Of each name its own.
    Named(&'static [(&'static str, &'static str)]),
    /// Shades of one: names that are not known before.
    Shades,
    /// The series are phases.
    Phases,
    /// The series are outcomes.
    Outcomes,
    /// The series are dependencies, written `kind/name`.
    Kinds,
    /// The colour of a failure from this value on.
    FailureFrom(f64),
}

/// A query with what its series are called.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) expr: String,
    pub(super) legend: &'static str,
    /// Shown against an axis of its own, on the right, in this unit.
    pub(super) aside: Option<Unit>,
}

/// One picture.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) view: View,
    pub(super) unit: Unit,
    pub(super) colors: Colors,
    pub(super) queries: Vec<Query>,
    /// What is said where there is nothing to show.
    pub(super) empty: &'static str,
    /// Columns of 24.
    pub(super) width: u64,
    /// A series leads here, with the time and the variables of the dashboard.
    pub(super) leads: Option<Lead>,
    /// A column of a table whose values are shown as other texts.
    pub(super) texts: Option<Texts>,
    /// The columns of a table from left to right, and how wide each is in pixels; 0 = as wide as the others leave.
    pub(super) columns: &'static [(&'static str, u64)],
}

/// What is shown for the values of a column.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    pub(super) column: &'static str,
    pub(super) of: Vec<(&'static str, &'static str)>,
}

/// Where a series or a row leads.
#[derive(Clone, Debug)]
pub(super) struct Lead {
    pub(super) title: &'static str,
    pub(super) url: String,
    /// The column of a table that leads there; else every series does.
    pub(super) column: Option<&'static str>,
}

/// A panel of lines over half of the width, which is what most are.
pub(super) fn lines(title: &'static str, description: &'static str, unit: Unit) -> Panel {
    Panel {
        title,
        description,
        view: View::Lines,
        unit,
        colors: Colors::Shades,
        queries: Vec::new(),
        empty: "Nothing of this within the time shown",
        width: 12,
        leads: None,
        texts: None,
        columns: &[],
    }
}

/// A panel of areas on each other over half of the width.
pub(super) fn stack(title: &'static str, description: &'static str, unit: Unit, colors: Colors) -> Panel {
    Panel { view: View::Stack, colors, ..lines(title, description, unit) }
}

/// A panel of one number.
pub(super) fn number(title: &'static str, description: &'static str, unit: Unit, colors: Colors) -> Panel {
    Panel { view: View::Number, colors, width: 6, ..lines(title, description, unit) }
}

impl Panel {
    pub(super) fn query(mut self, expr: impl Into<String>, legend: &'static str) -> Self {
        self.queries.push(Query { expr: expr.into(), legend, aside: None });
        self
    }

    /// A query that is shown against an axis of its own.
    pub(super) fn aside(mut self, expr: impl Into<String>, legend: &'static str, unit: Unit) -> Self {
        self.queries.push(Query { expr: expr.into(), legend, aside: Some(unit) });
        self
    }

    pub(super) fn colors(self, colors: Colors) -> Self {
        Self { colors, ..self }
    }

    pub(super) fn empty(self, empty: &'static str) -> Self {
        Self { empty, ..self }
    }

    pub(super) fn width(self, width: u64) -> Self {
        Self { width, ..self }
    }

    pub(super) fn view(self, view: View) -> Self {
        Self { view, ..self }
    }

    pub(super) fn leads(self, lead: Lead) -> Self {
        Self { leads: Some(lead), ..self }
    }

    pub(super) fn texts(self, texts: Texts) -> Self {
        Self { texts: Some(texts), ..self }
    }

    pub(super) fn columns(self, columns: &'static [(&'static str, u64)]) -> Self {
        Self { columns, ..self }
    }

    fn height(&self) -> u64 {
        if matches!(self.view, View::Number | View::Name) { STAT_HEIGHT } else { HEIGHT }
    }

    fn is_table(&self) -> bool {
        self.view == View::Table
    }

    /// The panel as Grafana's JSON at a place.
    fn json(&self, id: usize, x: u64, y: u64) -> Value {
        let mut panel = json!({
            "id": id,
            "type": self.plugin(),
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": {"h": self.height(), "w": self.width, "x": x, "y": y},
            "targets": self.queries.iter().enumerate().map(|(nth, query)| self.target(nth, query)).collect::<Vec<_>>(),
            "fieldConfig": {"defaults": self.defaults(), "overrides": self.overrides()},
            "options": self.options(),
        });
        if self.is_table() {
            let order: serde_json::Map<String, Value> =
                self.columns.iter().enumerate().map(|(nth, (name, _))| ((*name).to_owned(), json!(nth))).collect();
            panel["transformations"] = json!([{
                "id": "organize",
                "options": {"excludeByName": {"Time": true}, "indexByName": order, "renameByName": {VALUE: COUNT}},
            }]);
        }
        panel
    }

    const fn plugin(&self) -> &'static str {
        match self.view {
            View::Number | View::Name => "stat",
            View::Lines | View::Stack => "timeseries",
            View::Heatmap => "heatmap",
            View::Bars => "bargauge",
            View::Table => "table",
        }
    }

    fn target(&self, nth: usize, query: &Query) -> Value {
        let instant = matches!(self.view, View::Name | View::Bars | View::Table);
        let format = match self.view {
            View::Heatmap => "heatmap",
            View::Table => "table",
            _ => "time_series",
        };
        json!({
            "refId": reference(nth),
            "datasource": datasource(),
            "expr": query.expr,
            "legendFormat": query.legend,
            "format": format,
            "instant": instant,
            "range": !instant,
            "editorMode": "code",
        })
    }

    fn defaults(&self) -> Value {
        let mut defaults = json!({
            "unit": self.unit.as_str(),
            "min": 0,
            "noValue": self.empty,
            "color": self.color(),
            "thresholds": self.thresholds(),
        });
        match self.view {
            View::Lines => defaults["custom"] = over_time(0, "none"),
            View::Stack => defaults["custom"] = over_time(60, "normal"),
            View::Number | View::Table if self.unit == Unit::Count => defaults["decimals"] = json!(0),
            View::Name => drop(defaults.as_object_mut().and_then(|defaults| defaults.remove("min"))),
            _ => {}
        }
        if let Some(lead) = self.leads.as_ref().filter(|lead| lead.column.is_none()) {
            defaults["links"] = json!([link(lead)]);
        }
        defaults
    }

    fn color(&self) -> Value {
        match self.colors {
            Colors::One(color) => json!({"mode": "fixed", "fixedColor": color}),
            Colors::FailureFrom(_) => json!({"mode": "thresholds"}),
            _ => json!({"mode": "shades", "fixedColor": palette::kind(Kind::Llm)}),
        }
    }

    /// Grafana's own, where none are given, are green and red.
    fn thresholds(&self) -> Value {
        let mut steps = vec![json!({"value": null, "color": palette::outcome(Outcome::Ok)})];
        if let Colors::FailureFrom(value) = self.colors {
            steps.push(json!({"value": value, "color": FAILURE}));
        }
        json!({"mode": "absolute", "steps": steps})
    }

    fn overrides(&self) -> Vec<Value> {
        let mut overrides: Vec<Value> = match &self.colors {
            Colors::Phases => Phase::ALL.iter().map(|&phase| named(phase.as_str(), palette::color(phase))).collect(),
            Colors::Outcomes => Outcome::ALL.iter().map(|&of| named(of.as_str(), palette::outcome(of))).collect(),
            Colors::Kinds => {
                let of_kind = |kind: &Kind| colored("byRegexp", &format!("/^{kind}(\\/|$)/"), palette::kind(*kind));
                // Neither has a dependency to be called by.
                let called = |mut series: Value, name: &str| {
                    let properties = series["properties"].as_array_mut();
                    properties.into_iter().for_each(|properties| properties.push(json!({"id": "displayName", "value": name})));
                    series
                };
                let dependencies = Kind::ALL.iter().filter(|kind| **kind != Kind::Startup).map(of_kind);
                let startup = called(of_kind(&Kind::Startup), "(start-up)");
                let callers = called(colored("byRegexp", "/^\\/?$/", CALLER), OWN_TIME);
                dependencies.chain([startup, callers]).collect()
            }
            Colors::Named(colors) => colors.iter().map(|(name, color)| named(name, color)).collect(),
            Colors::One(_) | Colors::Shades | Colors::FailureFrom(_) => Vec::new(),
        };
        for (nth, query) in self.queries.iter().enumerate() {
            if let Some(unit) = query.aside {
                let properties = json!([
                    {"id": "unit", "value": unit.as_str()},
                    {"id": "custom.axisPlacement", "value": "right"},
                    {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [6, 6]}},
                ]);
                overrides.push(json!({"matcher": {"id": "byFrameRefID", "options": reference(nth)}, "properties": properties}));
            }
        }
        if let Some((lead, column)) = self.leads.as_ref().and_then(|lead| Some((lead, lead.column?))) {
            let properties = json!([{"id": "links", "value": [link(lead)]}]);
            overrides.push(json!({"matcher": {"id": "byName", "options": column}, "properties": properties}));
        }
        if let Some(Texts { column, of }) = &self.texts {
            let shown =
                of.iter().enumerate().map(|(nth, (value, text))| ((*value).to_owned(), json!({"index": nth, "text": text})));
            let options: serde_json::Map<String, Value> = shown.collect();
            let properties = json!([{"id": "mappings", "value": [{"type": "value", "options": options}]}]);
            overrides.push(json!({"matcher": {"id": "byName", "options": column}, "properties": properties}));
        }
        if self.is_table() {
            overrides.extend(self.cells());
        }
        overrides
    }

    /// The cells of a table: how wide they are, and what stands in those that have nothing to say.
    fn cells(&self) -> Vec<Value> {
        let none = |matcher: &str, options: &str, text: &str| json!({"matcher": {"id": matcher, "options": options}, "properties": [{"id": "noValue", "value": text}]});
        let mut cells = vec![none("byType", "string", "-"), none("byName", label::DEPENDENCY, OWN_TIME)];
        cells.extend(self.columns.iter().map(|&(name, width)| {
            let shown = if name == VALUE { COUNT } else { name };
            let properties = match width {
                0 => json!([{"id": "custom.cellOptions", "value": {"type": "auto", "wrapText": true}}]),
                width => json!([{"id": "custom.width", "value": width}]),
            };
            json!({"matcher": {"id": "byName", "options": shown}, "properties": properties})
        }));
        cells
    }

    fn options(&self) -> Value {
        let reduced = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
        match self.view {
            View::Number | View::Name => json!({
                "reduceOptions": reduced,
                "colorMode": if matches!(self.colors, Colors::FailureFrom(_)) { "background" } else { "value" },
                "graphMode": "none",
                "justifyMode": "auto",
                "orientation": "auto",
                "textMode": if self.view == View::Name { "name" } else { "value" },
            }),
            View::Lines | View::Stack => json!({
                "legend": {"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": ["mean", "max"]},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            View::Heatmap => json!({
                "calculate": false,
                // Light is few and dark is many for every eye; steps of lightness alone.
                "color": {"mode": "scheme", "scheme": "Viridis", "steps": 64, "reverse": false, "exponent": 0.5, "fill": CALLER},
                "yAxis": {"unit": self.unit.as_str(), "axisPlacement": "left"},
                "cellGap": 1,
                "filterValues": {"le": 1e-9},
                "legend": {"show": true},
                "showValue": "never",
                "tooltip": {"mode": "single", "yHistogram": false},
                "exemplars": {"color": CALLER},
            }),
            View::Bars => json!({
                "reduceOptions": reduced,
                "displayMode": "basic",
                "orientation": "horizontal",
                "showUnfilled": true,
                "minVizWidth": 0,
                "minVizHeight": 16,
                "valueMode": "text",
            }),
            View::Table => json!({
                "showHeader": true,
                "cellHeight": "sm",
                "sortBy": [{"displayName": "count", "desc": true}],
                "footer": {"show": false, "reducer": ["sum"], "countRows": false},
            }),
        }
    }
}

/// Panels one beside the other, in rows of 24 columns.
pub(super) fn placed(panels: &[Panel]) -> Vec<Value> {
    let (mut x, mut y, mut tallest) = (0, 0, 0);
    let mut placed = Vec::with_capacity(panels.len());
    for (nth, panel) in panels.iter().enumerate() {
        if x + panel.width > COLUMNS {
            (x, y, tallest) = (0, y + tallest, 0);
        }
        placed.push(panel.json(nth + 1, x, y));
        x += panel.width;
        tallest = panel.height().max(tallest);
    }
    placed
}

/// The data source that the variable chooses.
pub(super) fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn reference(nth: usize) -> String {
    // No panel has as many queries as there are letters.
    char::from(b'A' + u8::try_from(nth).unwrap_or(25).min(25)).to_string()
}

fn over_time(fill: u32, stacking: &str) -> Value {
    json!({
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": fill,
        "showPoints": "auto",
        "spanNulls": false,
        "stacking": {"group": "A", "mode": stacking},
    })
}

fn named(name: &str, color: &str) -> Value {
    colored("byName", name, color)
}

fn colored(matcher: &str, options: &str, color: &str) -> Value {
    let properties = json!([{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}]);
    json!({"matcher": {"id": matcher, "options": options}, "properties": properties})
}

fn link(lead: &Lead) -> Value {
    json!({"title": lead.title, "url": lead.url, "targetBlank": false})
}
