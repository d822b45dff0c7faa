//! Moments in as few bytes as hold them exactly: whole seconds in four, anything else in eight.

/// The second that is kept as zero, so that four bytes reach from 1970 to 2106.
const MIDDLE: i64 = 1 << 31;

const SECOND: i64 = 1_000_000;

/// A moment as a column keeps it.
pub(crate) trait Moment: Copy + Ord {
    /// In microseconds since 1970.
    fn micros(self) -> i64;

    /// The last one that is no later than these microseconds: later than them and later than it is the same.
    fn floor(micros: i64) -> Self;
}

impl Moment for i64 {
    fn micros(self) -> i64 {
        self
    }

    fn floor(micros: i64) -> Self {
        micros
    }
}

/// A whole second.
impl Moment for i32 {
    fn micros(self) -> i64 {
        (i64::from(self) + MIDDLE) * SECOND
    }

    fn floor(micros: i64) -> Self {
        let second = micros.div_euclid(SECOND) - MIDDLE;
        let bounded = second.clamp(Self::MIN.into(), Self::MAX.into());
        Self::try_from(bounded).expect("it was clamped")
    }
}

/// A column of moments.
#[derive(Clone, Debug)]
pub(crate) enum Times {
    Seconds(Vec<i32>),
    Micros(Vec<i64>),
}

impl Times {
    /// The same moments in as few bytes as hold them.
    pub(crate) fn compact(micros: Vec<i64>) -> Self {
        match micros.iter().map(|time| second(*time)).collect() {
            Some(seconds) => Self::Seconds(seconds),
            None => Self::Micros(micros),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Seconds(times) => times.len(),
            Self::Micros(times) => times.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> i64 {
        match self {
            Self::Seconds(times) => times[index].micros(),
            Self::Micros(times) => times[index],
        }
    }

    pub(crate) fn set(&mut self, index: usize, micros: i64) {
        match self {
            Self::Micros(times) => times[index] = micros,
            Self::Seconds(times) => {
                if let Some(second) = second(micros) {
                    times[index] = second;
                } else {
                    self.widen();
                    self.set(index, micros);
                }
            }
        }
    }

    /// Makes the column longer, with moments that mean nothing.
    pub(crate) fn resize(&mut self, length: usize) {
        match self {
            Self::Seconds(times) => times.resize(length, 0),
            Self::Micros(times) => times.resize(length, 0),
        }
    }

    pub(crate) fn push(&mut self, micros: i64) {
        match self {
            Self::Micros(times) => push(times, micros),
            Self::Seconds(times) => {
                if let Some(second) = second(micros) {
                    push(times, second);
                } else {
                    self.widen();
                    self.push(micros);
                }
            }
        }
    }

    pub(crate) fn shrink(&mut self) {
        match self {
            Self::Seconds(times) => times.shrink_to_fit(),
            Self::Micros(times) => times.shrink_to_fit(),
        }
    }

    fn widen(&mut self) {
        *self = Self::Micros((0..self.len()).map(|index| self.get(index)).collect());
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Seconds(times) => 4 * times.capacity(),
            Self::Micros(times) => 8 * times.capacity(),
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::Seconds(Vec::new())
    }
}

/// Grows a column by an eighth where `Vec` would double it: resident columns are many, and grow slowly.
pub(crate) fn push<T>(values: &mut Vec<T>, value: T) {
    if values.len() == values.capacity() {
        values.reserve_exact(values.len() / 8 + 16);
    }
    values.push(value);
}

/// The second that these microseconds are, if they are one that four bytes hold; not the first, which stands for
/// all that is before.
fn second(micros: i64) -> Option<i32> {
    let second = i32::floor(micros);
    (second > i32::MIN && second.micros() == micros).then_some(second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_column_of_either_width_holds_what_was_put_in(
            seconds in proptest::collection::vec(-10_i64..5_000_000_000, 0..20),
            others in proptest::collection::vec(any::<i64>(), 0..3),
        ) {
            let mut expected: Vec<i64> = seconds.iter().map(|second| second * SECOND).collect();
            let mut times = Times::compact(expected.clone());
            for time in others {
                times.push(time);
                expected.push(time);
            }
            prop_assert_eq!((0..times.len()).map(|index| times.get(index)).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn a_second_is_after_a_moment_iff_it_is_after_its_floor(second in 1..u32::MAX, micros: i64) {
            let time = i32::floor(i64::from(second) * SECOND);
            prop_assert_eq!(time.micros(), i64::from(second) * SECOND);
            for micros in [micros, time.micros(), time.micros() - 1, time.micros() + 1] {
                prop_assert_eq!(time.micros() > micros, time > i32::floor(micros), "{}", micros);
            }
        }
    }
}
