//! The name that was probably meant.

/// The nearest of the known names, if one is near enough to be a slip of the hand.
pub(crate) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Names are short; a long one is not a slip and would only cost time.
    let name: Vec<char> = name.chars().take(64).collect();
    let tolerated = (name.len() / 3).max(1);
    known
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements between the two, ignoring case.
fn distance(name: &[char], candidate: &str) -> usize {
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (i, theirs) in candidate.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, ours) in name.iter().enumerate() {
            let differs = usize::from(!ours.eq_ignore_ascii_case(&theirs));
            let cost = (diagonal + differs).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["first_name", "last_name", "plan"];
        let check =
            |name, expected| assert_eq!(closest(name, known.into_iter()), expected, "{name}");
        check("firstname", Some("first_name"));
        check("First_Name", Some("first_name"));
        check("lst_name", Some("last_name"));
        check("plam", Some("plan"));
        check("country", None);
        check("", None);
    }
}
