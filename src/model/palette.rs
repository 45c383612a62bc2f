//! The colours of phases, kinds and outcomes, the same on every picture: page, terminal, SVG, dashboards.
//!
//! Okabe and Ito's palette, which people with any colour vision tell apart, and neighbours of it; vermilion and kin are for failures alone.

use super::{Kind, Outcome, Phase};

/// Colour of what failed.
pub const FAILURE: &str = "#D55E00";

/// Colour of the caller itself, beside those of [`kind`].
pub const CALLER: &str = "#636363";

/// Colour of a phase.
#[must_use]
pub const fn color(phase: Phase) -> &'static str {
    match phase {
        Phase::Gate => "#999999",
        Phase::Pool => "#E69F00",
        Phase::Dns => "#F0E442",
        Phase::Connect => "#56B4E9",
        Phase::Proxy => "#8C6BB1",
        Phase::Tls => "#0072B2",
        Phase::Send => "#66C2A5",
        Phase::Wait => "#CC79A7",
        Phase::FirstToken => "#009E73",
        Phase::Stream => "#A6D854",
        Phase::Backoff => "#BDBDBD",
        Phase::Stall => "#7F3B08",
        Phase::Own => "#636363",
    }
}

/// Colour of a kind of dependency.
#[must_use]
pub const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Llm => "#0072B2",
        Kind::Retrieval => "#E69F00",
        Kind::Embedding => "#CC79A7",
        Kind::Tool => "#009E73",
        Kind::Agent => "#56B4E9",
        Kind::Startup => "#F0E442",
        Kind::Http => "#999999",
    }
}

/// Colour of an outcome: what is no failure of anybody is none of [`FAILURE`]'s shades.
#[must_use]
pub const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "#0072B2",
        Outcome::Cancelled => "#999999",
        Outcome::ClientError => "#E69F00",
        Outcome::RateLimited => "#F0E442",
        Outcome::Shed => "#CC79A7",
        Outcome::Timeout => FAILURE,
        Outcome::ServerError => "#8F3D00",
        Outcome::Connect => "#E8853A",
        Outcome::Dns => "#F4A261",
        Outcome::Tls => "#B84A00",
        Outcome::Reset => "#FF7F2A",
        Outcome::Body => "#C76B2B",
        Outcome::Error => "#6B2E00",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_phases_kinds_or_outcomes_look_the_same() {
        let differ = |colors: Vec<&str>| {
            let many = colors.len();
            assert!(colors.iter().all(|color| color.len() == 7 && color.starts_with('#')), "{colors:?}");
            assert_eq!(colors.into_iter().collect::<HashSet<_>>().len(), many);
        };
        differ(Phase::ALL.iter().map(|&phase| color(phase)).collect());
        differ(Kind::ALL.iter().map(|&of| kind(of)).chain([CALLER]).collect());
        differ(Outcome::ALL.iter().map(|&of| outcome(of)).collect());
    }

    #[test]
    fn no_phase_or_kind_has_the_colour_of_failure() {
        assert!(Phase::ALL.iter().all(|&phase| color(phase) != FAILURE));
        assert!(Kind::ALL.iter().all(|&of| kind(of) != FAILURE));
    }
}
