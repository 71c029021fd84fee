//! The nearest known word to one that is not known.

/// The candidate that was probably meant, if any is near enough: a third of the letters may differ.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| text.to_lowercase().replace('_', "-");
    let folded = fold(word);
    let allowed = (folded.chars().count().max(3)).div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&folded, &fold(candidate)), candidate))
        .filter(|&(distance, candidate)| {
            // With every letter changed it is another word, however short.
            distance <= allowed && distance < folded.chars().count()
                // A longer form of the same word: `transform` for `transforms-of-training`.
                || (folded.len() >= 4 && fold(candidate).starts_with(&folded))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?` where a candidate is near, else the list of what there is.
pub fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(found) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean `{found}`?"));
    }
    let listed = list(candidates);
    (!listed.is_empty()).then(|| format!("there is {listed}"))
}

/// `a`, `b`, `c`; long lists are cut.
pub fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    let more = words.len().saturating_sub(SHOWN);
    let mut text = words[..words.len() - more].join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["uses", "inputs", "timeout-minutes", "with"];
        assert_eq!(nearest("use", known), Some("uses"));
        assert_eq!(nearest("timeout_minutes", known), Some("timeout-minutes"));
        assert_eq!(nearest("Input", known), Some("inputs"));
        assert_eq!(nearest("wiht", known), Some("with"));
        assert_eq!(nearest("resources", known), None);
        assert_eq!(nearest("m", ["n", "o"]), None);
    }

    #[test]
    fn a_list_is_cut() {
        let words: Vec<String> = (0..14).map(|n| n.to_string()).collect();
        let text = list(words.iter().map(String::as_str));
        assert!(text.ends_with("`11` and 2 more"), "{text}");
    }
}
