//! Colours: those of the palette alone, and red for failures only.

use std::collections::HashSet;

use hopwatch::model::palette::{self, CALLER, FAILURE};
use hopwatch::model::{Kind, Outcome, Phase};
use serde_json::Value;

use crate::boards::{boards, panels, targets};

/// Outcomes that are somebody's failure: shades of red.
fn reds() -> HashSet<&'static str> {
    let calm = [Outcome::Ok, Outcome::Cancelled, Outcome::ClientError, Outcome::RateLimited, Outcome::Shed];
    Outcome::ALL.iter().filter(|outcome| !calm.contains(outcome)).map(|&outcome| palette::outcome(outcome)).collect()
}

fn colors(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with('#') && text.len() == 7 => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| colors(value, found)),
        Value::Object(values) => values.values().for_each(|value| colors(value, found)),
        _ => {}
    }
}

#[test]
fn red_is_for_failures_alone() {
    let reds = reds();
    assert!(reds.contains(FAILURE) && !reds.contains(CALLER));
    assert!(Phase::ALL.iter().all(|&phase| !reds.contains(palette::color(phase))));
    assert!(Kind::ALL.iter().all(|&kind| !reds.contains(palette::kind(kind))));
    let words = ["timeout", "dropped", "missed", "error_type", "startup_seconds{", "outcome", "rate_limited"];
    for board in boards() {
        for panel in panels(&board) {
            let mut shown = Vec::new();
            colors(&panel["fieldConfig"], &mut shown);
            if shown.iter().any(|color| reds.contains(color.as_str())) {
                let asks = panel["targets"].to_string();
                assert!(words.iter().any(|word| asks.contains(word)), "{} is red", panel["title"]);
            }
        }
    }
}

#[test]
fn no_colour_is_left_to_grafana() {
    for board in boards() {
        for panel in panels(&board) {
            let defaults = &panel["fieldConfig"]["defaults"];
            let mode = defaults["color"]["mode"].as_str().unwrap();
            assert!(["fixed", "shades", "thresholds"].contains(&mode), "{}: {mode}", panel["title"]);
            assert!(defaults["thresholds"]["steps"].as_array().is_some_and(|steps| !steps.is_empty()), "{}", panel["title"]);
            let text = panel["fieldConfig"].to_string();
            assert!(!["\"red\"", "\"green\"", "palette-classic"].iter().any(|named| text.contains(named)), "{}", panel["title"]);
        }
    }
}

#[test]
fn every_panel_says_what_it_means_that_it_is_empty() {
    for board in boards() {
        for panel in panels(&board) {
            let empty = panel["fieldConfig"]["defaults"]["noValue"].as_str().unwrap_or_default();
            assert!(empty.len() > 10, "{}: {empty}", panel["title"]);
        }
        assert!(targets(&board).len() >= panels(&board).len());
    }
}

#[test]
fn dashboards_lead_to_each_other_with_their_time_and_variables() {
    let uids: HashSet<String> = boards().iter().map(|board| board["uid"].as_str().unwrap().to_owned()).collect();
    assert_eq!(uids.len(), 6);
    for board in boards() {
        let link = &board["links"][0];
        assert!(link["includeVars"] == true && link["keepTime"] == true && link["tags"] == board["tags"], "{link}");
        for panel in panels(&board) {
            let text = panel["fieldConfig"].to_string();
            for url in text.split("\"url\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                if let Some(rest) = url.strip_prefix("/d/") {
                    let (uid, query) = rest.split_once('?').unwrap();
                    assert!(uids.contains(uid), "{url}");
                    for kept in [
                        "${__url_time_range}",
                        "${datasource:queryparam}",
                        "${namespace:queryparam}",
                        "${job:queryparam}",
                        "${instance:queryparam}",
                    ] {
                        assert!(query.contains(kept), "{url} loses {kept}");
                    }
                }
            }
        }
    }
}

#[test]
fn panels_lie_beside_each_other_and_never_over() {
    for board in boards() {
        let place = |panel: &Value, key: &str| panel["gridPos"][key].as_u64().unwrap();
        let mut taken = HashSet::new();
        for panel in panels(&board) {
            let (x, y, w, h) = (place(panel, "x"), place(panel, "y"), place(panel, "w"), place(panel, "h"));
            assert!(x + w <= 24, "{}", panel["title"]);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{} covers another", panel["title"]);
            }
        }
    }
}
