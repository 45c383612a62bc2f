//! Series by metric and labels, and the cap on them.

use super::target::Series;
use super::{OTHER, SERIES_MAX};
use crate::model::names::{Metric, label};
use crate::model::redact;
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};

/// Labels whose values are of closed sets, here or with the conventions: they may stay where series are too many.
const CLOSED: &[&str] = &[
    label::KIND,
    label::PHASE,
    label::OUTCOME,
    label::STATUS,
    label::ATTEMPT,
    label::STATE,
    label::DIRECTION,
    label::INPUT,
    label::CAUSE,
    label::METRIC,
    label::VERSION,
    label::GEN_AI_OPERATION,
    label::GEN_AI_TOKEN_TYPE,
    label::HTTP_METHOD,
];

/// Most sets of labels whose series are found without making them fit to be shown first.
const KNOWN_MAX: usize = 10_000;

/// Series by metric and labels.
#[derive(Debug)]
pub(super) struct Family<H> {
    series: Vec<Series<H>>,
    places: FxHashMap<(&'static str, Vec<String>), usize>,
    count: FxHashMap<&'static str, usize>,
    /// Labels as they were told, by their hash.
    known: FxHashMap<u64, Known>,
}

/// Labels that were told before.
#[derive(Debug)]
struct Known {
    metric: &'static str,
    labels: Box<[Box<str>]>,
    place: usize,
}

impl Known {
    fn is(&self, metric: &Metric, labels: &[&str]) -> bool {
        self.metric == metric.name && self.labels.iter().map(AsRef::as_ref).eq(labels.iter().copied())
    }
}

impl<H> Default for Family<H> {
    fn default() -> Self {
        let (places, count, known) = (FxHashMap::default(), FxHashMap::default(), FxHashMap::default());
        Self { series: Vec::new(), places, count, known }
    }
}

impl<H> Family<H> {
    /// The series of these labels, made on first use; `true` with it when it stands in for one too many.
    pub(super) fn get(
        &mut self,
        metric: &Metric,
        labels: &[&str],
        make: impl FnOnce(&[&str]) -> Series<H>,
    ) -> (&Series<H>, bool) {
        let hash = hash(metric, labels);
        if let Some(known) = self.known.get(&hash).filter(|known| known.is(metric, labels)) {
            return (&self.series[known.place], false);
        }
        let count = self.count.entry(metric.name).or_default();
        let mut key = (metric.name, labels.iter().map(|label| redact::name(label)).collect::<Vec<_>>());
        let overflows = is_capped(metric) && *count >= SERIES_MAX && !self.places.contains_key(&key);
        if overflows {
            let open = metric.labels.iter().zip(&mut key.1).filter(|(label, _)| !is_closed(metric, label));
            // What is empty is absent, and stays so.
            open.filter(|(_, value)| !value.is_empty()).for_each(|(_, value)| OTHER.clone_into(value));
        }
        let series = &mut self.series;
        let place = *self.places.entry(key).or_insert_with_key(|(_, labels)| {
            *count += 1;
            series.push(make(&labels.iter().map(String::as_str).collect::<Vec<_>>()));
            series.len() - 1
        });
        if !overflows {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            let labels = labels.iter().map(|&label| label.into()).collect();
            self.known.insert(hash, Known { metric: metric.name, labels, place });
        }
        (&self.series[place], overflows)
    }
}

fn hash(metric: &Metric, labels: &[&str]) -> u64 {
    let mut hasher = FxHasher::default();
    metric.name.hash(&mut hasher);
    labels.hash(&mut hasher);
    hasher.finish()
}

/// Dependencies are capped before their names come here, and but for runs and models nothing about them is without end.
fn is_capped(metric: &Metric) -> bool {
    let has = |name| metric.labels.contains(&name);
    !has(label::DEPENDENCY) || has(label::RUN) || has(label::GEN_AI_MODEL)
}

/// Phases are ours, but those of a start-up have the names that its program gave.
fn is_closed(metric: &Metric, label: &str) -> bool {
    CLOSED.contains(&label) && (label != label::PHASE || metric.labels.contains(&label::DEPENDENCY))
}
