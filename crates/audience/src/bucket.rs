//! Parts of a hundred into which a salt divides contacts: the same on every machine and for ever.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The number attribute in which the [`bucket_key`] of each contact is.
pub const BUCKET_KEY: &str = "$key";

/// What buckets know of a contact: 53 bits of a hash of its id, which is what a number holds exactly.
pub fn bucket_key(contact_id: &str) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "11 bits are shifted out")]
    let key = (xxh3_64(contact_id.as_bytes()) >> 11) as f64;
    key
}

/// Whether a contact is in some of the hundred parts of a salt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BucketTest {
    seed: u64,
    from: u8,
    to: u8,
}

impl BucketTest {
    pub(crate) fn new(salt: &str, from: u8, to: u8) -> Self {
        Self { seed: xxh3_64(salt.as_bytes()), from, to }
    }

    /// Which of the hundred parts a contact is in.
    pub(crate) fn part(self, key: f64) -> u8 {
        let hash = xxh3_64_with_seed(&key.to_le_bytes(), self.seed);
        u8::try_from(hash % 100).expect("it is below 100")
    }

    pub(crate) fn accepts(self, key: f64) -> bool {
        (self.from..self.to).contains(&self.part(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTACTS: u32 = 100_000;

    fn parts(salt: &str) -> Vec<usize> {
        let test = BucketTest::new(salt, 0, 1);
        (0..CONTACTS).map(|id| usize::from(test.part(bucket_key(&format!("c{id}"))))).collect()
    }

    /// Pearson's statistic of how far counts are from all being equal.
    fn unevenness(counts: &[u32]) -> f64 {
        let expected =
            f64::from(counts.iter().sum::<u32>()) / f64::from(u32::try_from(counts.len()).unwrap());
        counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn a_contact_stays_in_its_part_for_ever() {
        // Written down once: holdouts of the past must stay what they were.
        let part = |salt, id| BucketTest::new(salt, 0, 1).part(bucket_key(id));
        assert_eq!(
            ["ada", "grace", "edsger", ""].map(|id| part("holdout-2026", id)),
            [80, 55, 86, 36]
        );
        assert_eq!(["ada", "grace", "edsger", ""].map(|id| part("", id)), [33, 33, 88, 63]);
    }

    #[test]
    fn parts_are_equally_large() {
        // With 99 degrees of freedom, 160 is exceeded by chance once in ten thousand times.
        for salt in ["", "a", "b", "holdout-2025", "holdout-2026"] {
            let mut counts = [0; 100];
            for part in parts(salt) {
                counts[part] += 1;
            }
            assert!(unevenness(&counts) < 160.0, "{salt}: {}", unevenness(&counts));
        }
    }

    #[test]
    fn the_part_under_one_salt_says_nothing_about_another() {
        // With 9,999 degrees of freedom, 10,540 is exceeded by chance once in ten thousand times.
        let salts = ["", "a", "b", "holdout-2025", "holdout-2026"];
        for (index, left) in salts.iter().enumerate() {
            for right in &salts[..index] {
                let mut counts = vec![0; 10_000];
                for (left, right) in parts(left).into_iter().zip(parts(right)) {
                    counts[left * 100 + right] += 1;
                }
                let unevenness = unevenness(&counts);
                assert!(unevenness < 10_540.0, "{left} and {right}: {unevenness}");
            }
        }
    }
}
