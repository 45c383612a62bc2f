use super::*;
use crate::export::metrics::{Metrics, Target};
use crate::model::{Kind, Outcome, Phase};

#[test]
fn histograms_have_our_buckets_and_hostile_names_do_no_harm() {
    let prometheus = Prometheus::new().unwrap();
    let mut metrics = Metrics::new(Target::Own(vec![prometheus.recorder()]));
    metrics.refresh();
    let hostile = metrics.dependency(Kind::Tool, &"do\"cs\n\\<script>".into());
    metrics.brief(hostile, Outcome::Ok, Phase::Wait, 250_000_000);
    let text = prometheus.render();
    assert!(text.contains("# TYPE hopwatch_hop_duration_seconds histogram"), "{text}");
    assert!(text.contains("le=\"600\"} 1"), "{text}");
    assert!(text.contains(r#"dependency="do\"cs"#), "{text}");
    assert!(!text.contains("quantile"), "{text}");
    assert!(text.contains("hopwatch_build_info{version="), "{text}");
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#') || line.rsplit_once(' ').is_some()), "{text}");
}
