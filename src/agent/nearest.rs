//! The nearest valid word for one that is not.

/// The word of `known` that `word` most likely stands for; `None` when nothing is near.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (closeness(&word, candidate), candidate))
        .filter(|(closeness, _)| *closeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn closeness(word: &str, candidate: &str) -> f64 {
    // A cut or grown word (`retr`, `matches`) is nearer than its edit distance says.
    let shorter = word.len().min(candidate.len());
    let is_prefix = shorter >= 2 && (candidate.starts_with(word) || word.starts_with(candidate));
    let bonus = if is_prefix { 0.3 } else { 0.0 };
    strsim::normalized_damerau_levenshtein(word, candidate) + bonus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        let known = ["llm", "retrieval", "embedding", "tool"];
        for (word, meant) in [("retreival", "retrieval"), ("LLM", "llm"), ("tols", "tool"), ("embed", "embedding")] {
            assert_eq!(nearest(word, known), Some(meant), "{word}");
        }
    }

    #[test]
    fn a_word_that_is_like_nothing_finds_nothing() {
        assert_eq!(nearest("xyzzy", ["llm", "retrieval"]), None);
    }
}
