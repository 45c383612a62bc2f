//! The page for people: what is behind it comes from `/api`, it itself is built in. Plain HTML, CSS and JavaScript modules as they stand in
//! `assets/`, without a step between; it asks nobody but the agent for anything.

pub mod events;

use crate::export::serve::Page;

/// The page itself.
const INDEX: &str = include_str!("assets/index.html");
/// Where the rest of it is.
const PATH: &str = "/page/";

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The rest of it.
const ASSETS: &[(&str, &str, &str)] = &[
    ("dom.js", JAVASCRIPT, include_str!("assets/dom.js")),
    ("feed.js", JAVASCRIPT, include_str!("assets/feed.js")),
    ("icon.svg", SVG, include_str!("assets/icon.svg")),
    ("list.js", JAVASCRIPT, include_str!("assets/list.js")),
    ("main.js", JAVASCRIPT, include_str!("assets/main.js")),
    ("run.js", JAVASCRIPT, include_str!("assets/run.js")),
    ("state.js", JAVASCRIPT, include_str!("assets/state.js")),
    ("style.css", CSS, include_str!("assets/style.css")),
    ("views.js", JAVASCRIPT, include_str!("assets/views.js")),
    ("waterfall.js", JAVASCRIPT, include_str!("assets/waterfall.js")),
    ("words.js", JAVASCRIPT, include_str!("assets/words.js")),
];

/// The page.
pub(super) fn index() -> Page {
    Page::new("text/html; charset=utf-8", INDEX)
}

/// A part of it.
pub(super) fn asset(path: &str) -> Option<Page> {
    let name = path.strip_prefix(PATH)?;
    let (_, media, text) = ASSETS.iter().find(|(known, ..)| *known == name)?;
    Some(Page::new(media, *text))
}

#[cfg(test)]
mod tests;
