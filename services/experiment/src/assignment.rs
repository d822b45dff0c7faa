//! Where a unit belongs: what was imported for it, or else a hash of its id. Pure, so the same on every replica.

use cursus_ids::{ContactId, ExperimentName};
use cursus_statistics::assignment::{Allocation, unit_interval};

use crate::design::Design;

/// Which part of the audience, with the arm's place in the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Test(usize),
    Holdout,
    Remainder,
}

/// A unit and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) unit: ContactId,
    pub(crate) place: Place,
    pub(crate) is_imported: bool,
}

/// Divides units by hashing.
#[derive(Debug, Clone)]
pub(crate) struct Divider {
    holdout_salt: String,
    holdout_share: f64,
    allocation: Allocation,
}

impl Divider {
    /// The questions take different salts (the allocation makes two of its own), or their answers would be correlated;
    /// and so do experiments, or the same people would always be held out.
    pub(crate) fn new(
        name: &ExperimentName,
        design: &Design,
    ) -> Result<Self, cursus_statistics::Error> {
        let name = name.to_string();
        Ok(Self {
            holdout_salt: format!("{name}/holdout"),
            holdout_share: design.holdout_share,
            allocation: Allocation::new(&name, design.test_fraction(), design.weights()?),
        })
    }

    pub(crate) fn place(&self, unit: &ContactId) -> Place {
        let unit = unit.as_ref();
        if unit_interval(&self.holdout_salt, unit) < self.holdout_share {
            return Place::Holdout;
        }
        self.allocation.arm(unit).map_or(Place::Remainder, Place::Test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design;

    fn places(name: &str, design: &Design) -> Vec<Place> {
        let divider = Divider::new(&name.parse().unwrap(), design).unwrap();
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
    fn the_same_unit_always_gets_the_same_place_and_another_experiment_divides_anew() {
        let design = design::tests::design();
        let spring = places("workspaces/acme/experiments/spring", &design);
        assert_eq!(spring, places("workspaces/acme/experiments/spring", &design));
        assert_ne!(spring, places("workspaces/acme/experiments/summer", &design));
    }
}
