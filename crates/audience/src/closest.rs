//! The known name that a misspelt one was probably meant to be.

// Longer names are not worth the quadratic cost of comparing them.
const LONGEST: usize = 64;

/// The known name with the fewest edits from `name`, if that is a third of its letters or fewer.
pub(crate) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = name.chars().take(LONGEST + 1).collect();
    if letters.len() > LONGEST {
        return None;
    }
    let most = (letters.len() / 3).max(1);
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (candidate, candidate.chars().collect::<Vec<char>>()))
        .filter(|(_, candidate)| candidate.len().abs_diff(letters.len()) <= most)
        .map(|(candidate, theirs)| (distance(&letters, &theirs), candidate))
        .filter(|(edits, _)| *edits <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1; right.len() + 1];
        for (j, b) in right.iter().enumerate() {
            row[j + 1] = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<&str>) {
        let known = ["city", "country", "last_seen_at", "plan", "plans", "größe"];
        assert_eq!(closest(name, known), expected, "{name}");
    }

    #[test]
    fn a_slip_of_the_finger_finds_the_name_that_was_meant() {
        check("contry", Some("country"));
        check("countyr", Some("country"));
        check("Country", Some("country"));
        check("last_seen", Some("last_seen_at"));
        check("seen", None);
        check("last_seen_a", Some("last_seen_at"));
        check("grösse", Some("größe"));
        check("plam", Some("plan"));
        check("planz", Some("plan"));
    }

    #[test]
    fn a_name_like_no_other_finds_none() {
        check("", None);
        check("revenue", None);
        check(&"country".repeat(1000), None);
    }

    #[test]
    fn a_swap_counts_as_one_edit() {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&letters("ab"), &letters("ba")), 1);
        assert_eq!(distance(&letters("kitten"), &letters("sitting")), 3);
        assert_eq!(distance(&letters(""), &letters("abc")), 3);
        assert_eq!(distance(&letters("abc"), &letters("abc")), 0);
    }
}
