//! Where a unit belongs: what was imported for it, or else a hash of its id. Pure, so the same on every replica.

use cursus_ids::{ContactId, ExperimentName};
use cursus_statistics::assignment::{Allocation, Weights, unit_interval};

use crate::design::Design;
use crate::layers::{self, Range};

/// Which part of the audience, with the arm's place in the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Test(usize),
    Holdout,
    Remainder,
}

/// A unit and where it belongs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) unit: ContactId,
    pub(crate) place: Place,
    pub(crate) is_imported: bool,
    /// The number of the bandit's allocation that the arm was drawn by.
    pub(crate) allocation: Option<u32>,
    /// Up to the one that decided; empty if it was imported.
    pub(crate) draws: Vec<Draw>,
}

/// A number drawn for a unit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draw {
    pub(crate) question: Question,
    pub(crate) salt: String,
    pub(crate) position: f64,
    /// Below which the answer is yes.
    pub(crate) limit: Option<f64>,
}

/// What a draw decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Holdout,
    Layer,
    Test,
    Arm,
}

/// Divides units by hashing.
#[derive(Debug, Clone)]
pub(crate) struct Divider {
    name: String,
    holdout_salt: String,
    holdout_share: f64,
    /// The salt of the layer, and what is reserved of it.
    layer: Option<(String, Vec<Range>)>,
    test_share: f64,
    allocation: Allocation,
}

impl Divider {
    /// `weights` are those of the arms: as designed, or a bandit's.
    ///
    /// The questions take different salts (the allocation makes two of its own), or their answers would be correlated;
    /// and so do experiments, or the same people would always be held out, unless that is what is wanted.
    pub(crate) fn new(
        name: &ExperimentName,
        design: &Design,
        reserved: &[Range],
        weights: Weights,
    ) -> Self {
        let workspace = &name.workspace;
        let name = name.to_string();
        let layer = (!design.layer.is_empty())
            .then(|| (format!("layer/{workspace}/{}", design.layer), reserved.to_vec()));
        Self {
            holdout_salt: match design.holdout_period.as_str() {
                "" => format!("{name}/holdout"),
                period => format!("holdout/{workspace}/{period}"),
            },
            holdout_share: design.holdout_share,
            layer,
            test_share: design.test_share,
            allocation: Allocation::new(&name, design.test_fraction(), weights),
            name,
        }
    }

    pub(crate) fn place(&self, unit: &ContactId) -> Place {
        let unit = unit.as_ref();
        if unit_interval(&self.holdout_salt, unit) < self.holdout_share {
            return Place::Holdout;
        }
        if !self.is_reserved(unit) {
            return Place::Remainder;
        }
        self.allocation.arm(unit).map_or(Place::Remainder, Place::Test)
    }

    fn is_reserved(&self, unit: &str) -> bool {
        let Some((salt, reserved)) = &self.layer else { return true };
        let bucket = layers::bucket(unit_interval(salt, unit));
        reserved.iter().any(|range| range.contains(bucket))
    }

    /// What was drawn for a unit on the way to its place.
    pub(crate) fn draws(&self, unit: &ContactId) -> Vec<Draw> {
        let unit = unit.as_ref();
        let mut draws = Vec::new();
        let mut draw = |question, salt: String, limit: Option<f64>| {
            let position = unit_interval(&salt, unit);
            draws.push(Draw { question, salt, position, limit });
            limit.is_some_and(|limit| position < limit)
        };
        if draw(Question::Holdout, self.holdout_salt.clone(), Some(self.holdout_share)) {
            return draws;
        }
        if let Some((salt, _)) = &self.layer {
            draw(Question::Layer, salt.clone(), None);
            if !self.is_reserved(unit) {
                return draws;
            }
        }
        if draw(Question::Test, format!("{}/traffic", self.name), Some(self.test_share)) {
            draw(Question::Arm, format!("{}/variant", self.name), None);
        }
        draws
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design;

    fn places(name: &str, design: &Design) -> Vec<Place> {
        reserved(name, design, &[])
    }

    fn reserved(name: &str, design: &Design, ranges: &[Range]) -> Vec<Place> {
        let weights = design.weights().unwrap();
        let divider = Divider::new(&name.parse().unwrap(), design, ranges, weights);
        (0..20_000).map(|unit| divider.place(&format!("c{unit}").parse().unwrap())).collect()
    }

    #[test]
    fn shares_are_as_designed_and_independent() {
        let mut design = design::tests::design();
        design.test_share = 0.5;
        design.arms[1].weight = 3.0;
        let places = places("workspaces/acme/experiments/spring", &design);
        let share = |place| {
            let count = u32::try_from(places.iter().filter(|it| **it == place).count()).unwrap();
            f64::from(count) / 20_000.0
        };
        let expected = [
            (Place::Holdout, 0.2),
            (Place::Remainder, 0.4),
            (Place::Test(0), 0.1),
            (Place::Test(1), 0.3),
        ];
        for (place, expected) in expected {
            // Five standard errors.
            assert!((share(place) - expected).abs() < 0.018, "{place:?}: {}", share(place));
        }
    }

    #[test]
    fn no_unit_is_in_the_tests_of_two_experiments_of_a_layer() {
        let mut design = design::tests::design();
        design.layer = "subjects".to_owned();
        let of = |name, ranges: &[Range]| reserved(name, &design, ranges);
        let spring = of("workspaces/acme/experiments/spring", &[Range(0, 4_999)]);
        let summer =
            of("workspaces/acme/experiments/summer", &[Range(5_000, 6_999), Range(8_000, 9_999)]);
        let is_tested = |place: &Place| matches!(place, Place::Test(_));
        assert!(!spring.iter().zip(&summer).any(|(one, two)| is_tested(one) && is_tested(two)));
        let share = |places: &[Place]| {
            let count = u32::try_from(places.iter().filter(|it| is_tested(it)).count()).unwrap();
            f64::from(count) / 20_000.0
        };
        // Half and two fifths of the four fifths that are not held out.
        assert!((share(&spring) - 0.4).abs() < 0.018, "{}", share(&spring));
        assert!((share(&summer) - 0.32).abs() < 0.018, "{}", share(&summer));
    }

    #[test]
    fn experiments_of_a_period_hold_out_the_same_and_more_hold_out_more() {
        let mut design = design::tests::design();
        design.holdout_period = "2026-q4".to_owned();
        let spring = places("workspaces/acme/experiments/spring", &design);
        design.holdout_share = 0.3;
        let summer = places("workspaces/acme/experiments/summer", &design);
        let elsewhere = places("workspaces/other/experiments/summer", &design);
        let out = |places: &[Place]| places.iter().filter(|it| **it == Place::Holdout).count();
        let both =
            spring.iter().zip(&summer).filter(|it| *it == (&Place::Holdout, &Place::Holdout));
        assert_eq!(both.count(), out(&spring));
        assert!(out(&summer) > out(&spring));
        assert_ne!(summer, elsewhere);
    }

    #[test]
    fn the_draws_lead_to_the_place() {
        let mut design = design::tests::design();
        design.layer = "subjects".to_owned();
        design.test_share = 0.5;
        let name = "workspaces/acme/experiments/spring".parse().unwrap();
        let weights = design.weights().unwrap();
        let divider = Divider::new(&name, &design, &[Range(0, 4_999)], weights);
        for unit in 0..200 {
            let unit: ContactId = format!("c{unit}").parse().unwrap();
            let draws = divider.draws(&unit);
            let last = draws.last().unwrap();
            let is_below = last.limit.is_some_and(|limit| last.position < limit);
            let expected = match last.question {
                Question::Holdout => Place::Holdout,
                Question::Layer | Question::Test => Place::Remainder,
                Question::Arm => Place::Test(usize::from(last.position >= 0.5)),
            };
            assert_eq!(divider.place(&unit), expected, "{draws:?}");
            assert_eq!(is_below, expected == Place::Holdout);
        }
    }

    #[test]
    fn the_same_unit_always_gets_the_same_place_and_another_experiment_divides_anew() {
        let design = design::tests::design();
        let spring = places("workspaces/acme/experiments/spring", &design);
        assert_eq!(spring, places("workspaces/acme/experiments/spring", &design));
        assert_ne!(spring, places("workspaces/acme/experiments/summer", &design));
    }
}
