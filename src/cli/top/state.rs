//! What is looked at, and what keys do to it.

use super::data::{Data, Detail};
use super::feed::{News, Told};
use super::panels::{Item, Panel};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::time::Instant;

/// All that a screen is made of.
#[derive(Debug)]
pub(super) struct Top {
    /// Whom it asks.
    pub(super) address: String,
    pub(super) color: bool,
    pub(super) data: Option<Data>,
    /// Why the agent told nothing the last time.
    pub(super) trouble: Option<String>,
    pub(super) view: View,
    pub(super) panel: Panel,
    /// Of each panel: what it is sorted by, and whether the other way round.
    pub(super) sorts: [(usize, bool); 4],
    /// Of each panel: the item that keys act on, and where it stood.
    chosen: [(Option<String>, usize); 4],
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    pub(super) help: bool,
    pub(super) paused: bool,
    /// The run whose waterfall is looked at, once it is there.
    pub(super) detail: Option<Detail>,
    /// The row of the waterfall that keys act on.
    pub(super) row: usize,
}

/// What fills the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    #[default]
    Panels,
    /// The waterfall of the run of this id.
    Run(String),
}

/// What a key asks for beyond the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    /// The hops of another run, or of none.
    Detail(Option<String>),
    /// To stop, as job control does.
    Suspend,
    /// To draw all of it anew.
    Redraw,
    Quit,
}

/// How far a page is.
const PAGE: usize = 10;

impl Top {
    pub(super) fn new(address: String, color: bool) -> Self {
        Self {
            address,
            color,
            data: None,
            trouble: None,
            view: View::default(),
            panel: Panel::default(),
            sorts: Default::default(),
            chosen: Default::default(),
            filter: String::new(),
            typing: false,
            help: false,
            paused: false,
            detail: None,
            row: 0,
        }
    }

    /// Takes what the agent told.
    pub(super) fn take(&mut self, news: News, at: Instant) {
        match news {
            News::Away(reason) => self.trouble = Some(reason),
            News::Told(_) if self.paused => {}
            News::Told(told) => {
                let Told { report, open, detail } = *told;
                self.data = Some(Data::new(report, open, at, self.data.take()));
                self.trouble = None;
                // What was kept a moment ago is shown as long as it is looked at.
                let is_wanted = |detail: &Detail| matches!(&self.view, View::Run(id) if *id == detail.run.id);
                if let Some(detail) = detail.filter(is_wanted) {
                    self.detail = Some(detail);
                }
            }
        }
    }

    /// What a panel lists now.
    pub(super) fn items(&self, panel: Panel, at: Instant) -> Vec<Item<'_>> {
        let Some(data) = &self.data else { return Vec::new() };
        // While the agent is away, or nothing new is wanted, time stands still.
        let older = if self.trouble.is_some() || self.paused { 0.0 } else { at.saturating_duration_since(data.at).as_secs_f64() };
        panel.items(data, &self.filter.to_lowercase(), self.sorts[panel as usize], older * 1_000.0)
    }

    /// The place of the item that keys act on.
    pub(super) fn chosen(&self, panel: Panel, items: &[Item<'_>]) -> Option<usize> {
        let (key, place) = &self.chosen[panel as usize];
        let found = key.as_ref().and_then(|key| items.iter().position(|item| item.key() == *key));
        found.or_else(|| (!items.is_empty()).then(|| (*place).min(items.len() - 1)))
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: KeyEvent, at: Instant) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Wish::Quit,
                KeyCode::Char('z') => Wish::Suspend,
                KeyCode::Char('l') => Wish::Redraw,
                _ => Wish::Nothing,
            };
        }
        if self.typing {
            self.type_filter(key.code);
            return Wish::Nothing;
        }
        if self.help {
            self.help = false;
            return Wish::Nothing;
        }
        match key.code {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            _ => {
                return match &self.view {
                    View::Run(_) => self.key_of_run(key.code),
                    View::Panels => self.key_of_panels(key.code, at),
                };
            }
        }
        Wish::Nothing
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char(character) => self.filter.push(character),
            KeyCode::Backspace => _ = self.filter.pop(),
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            _ => {}
        }
    }

    fn key_of_run(&mut self, code: KeyCode) -> Wish {
        let last = self.detail.as_ref().map_or(0, |detail| detail.waterfall.rows.len().saturating_sub(1));
        match moved(code, self.row.min(last), last) {
            Some(row) => self.row = row,
            None if matches!(code, KeyCode::Esc | KeyCode::Backspace | KeyCode::Left | KeyCode::Enter) => {
                self.view = View::Panels;
                self.detail = None;
                return Wish::Detail(None);
            }
            None => {}
        }
        Wish::Nothing
    }

    fn key_of_panels(&mut self, code: KeyCode, at: Instant) -> Wish {
        let here = self.panel as usize;
        let count = Panel::ALL.len();
        let go = |panel: usize| Panel::ALL[panel % count];
        match code {
            KeyCode::Tab | KeyCode::Right => self.panel = go(here + 1),
            KeyCode::BackTab | KeyCode::Left => self.panel = go(here + count - 1),
            KeyCode::Char(digit @ '1'..='4') => self.panel = go(digit as usize - '1' as usize),
            KeyCode::Char('s') => self.sorts[here] = ((self.sorts[here].0 + 1) % self.panel.sorts().len(), false),
            KeyCode::Char('r') => self.sorts[here].1 = !self.sorts[here].1,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Enter => return self.enter(at),
            code => {
                let items = self.items(self.panel, at);
                if let Some(place) = self.chosen(self.panel, &items).and_then(|place| moved(code, place, items.len() - 1)) {
                    self.chosen[here] = (Some(items[place].key().into_owned()), place);
                }
            }
        }
        Wish::Nothing
    }

    /// Looks into what is chosen: a run's waterfall, the runs of a dependency or finding, the run of an open call.
    fn enter(&mut self, at: Instant) -> Wish {
        let items = self.items(self.panel, at);
        let Some(&item) = self.chosen(self.panel, &items).map(|place| &items[place]) else { return Wish::Nothing };
        let filter = match item {
            Item::Run(run) => {
                let id = run.id.clone();
                return self.look_into(id);
            }
            Item::Open(hop, _) => hop.run.clone().unwrap_or_default(),
            Item::Dependency(..) | Item::Finding(_) => item.name(),
        };
        self.filter = filter;
        self.panel = Panel::Runs;
        Wish::Nothing
    }

    /// Shows the waterfall of a run.
    pub(super) fn look_into(&mut self, id: String) -> Wish {
        self.view = View::Run(id.clone());
        self.detail = None;
        self.row = 0;
        Wish::Detail(Some(id))
    }
}

/// Where a key leads from a place; `None` = it is none that moves.
fn moved(code: KeyCode, place: usize, last: usize) -> Option<usize> {
    let place = match code {
        KeyCode::Up | KeyCode::Char('k') => place.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => place + 1,
        KeyCode::PageUp => place.saturating_sub(PAGE),
        KeyCode::PageDown => place + PAGE,
        KeyCode::Home | KeyCode::Char('g') => 0,
        KeyCode::End | KeyCode::Char('G') => last,
        _ => return None,
    };
    Some(place.min(last))
}

#[cfg(test)]
pub(super) mod tests;
