//! Many numbers become one.

use crate::node::Reduction;
use crate::rule::Operator;

/// What is known of the numbers so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    count: u32,
    sum: f64,
    least: f64,
    greatest: f64,
}

impl Tally {
    pub(crate) fn add(&mut self, amount: f64) {
        let is_first = self.count == 0;
        self.count = self.count.saturating_add(1);
        self.sum += amount;
        self.least = if is_first { amount } else { self.least.min(amount) };
        self.greatest = if is_first { amount } else { self.greatest.max(amount) };
    }

    /// The number they become; of none, there is none but a sum.
    pub(crate) fn value(&self, reduction: Reduction) -> Option<f64> {
        let value = match reduction {
            Reduction::Sum => return Some(self.sum),
            Reduction::Min => self.least,
            Reduction::Max => self.greatest,
            Reduction::Average => self.sum / f64::from(self.count),
        };
        (self.count > 0).then_some(value)
    }

    pub(crate) fn compares(&self, reduction: Reduction, operator: Operator, value: f64) -> bool {
        self.value(reduction).is_some_and(|found| operator.holds(&found, &value))
    }
}
