//! What makes an input impossible. Statistics of possible inputs never fail; degenerate ones (no variance, no events)
//! have stated answers instead.

/// Why a question cannot be answered as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("`{0}` is not a number from 0 to 1")]
    NotAFraction(f64),
    #[error("`{0}` is not an error probability: it must lie strictly between 0 and 1")]
    NotAnAlpha(f64),
    #[error("`{0}` is not a probability from 0 to 1")]
    NotAProbability(f64),
    #[error("{successes} of {trials} is not a proportion")]
    ImpossibleCount { successes: u64, trials: u64 },
    #[error("weights must be finite, not negative and not all zero")]
    BadWeights,
    #[error("{got} values were given where {expected} were expected")]
    WrongLength { got: usize, expected: usize },
    #[error("a comparison needs at least two arms, not {0}")]
    TooFewArms(usize),
    #[error("there is no arm {arm} among {arms}")]
    NoSuchArm { arm: usize, arms: usize },
    #[error("there is no look to judge")]
    NoLooks,
    #[error("look {0} comes after the final look")]
    LookAfterFinal(usize),
    #[error(
        "information must be positive and grow by a thousandth or more, not from `{from}` to `{to}`"
    )]
    InformationDidNotGrow { from: f64, to: f64 },
    #[error("a response curve needs a positive median and a positive finite spread")]
    BadResponseCurve,
    #[error("no response is expected before the deadline")]
    NothingExpected,
    #[error("a mean needs at least two finite observations")]
    TooFewObservations,
    #[error(
        "rates must lie strictly between 0 and 1 and differ, and the ratio of arms must be positive"
    )]
    BadEffect,
    #[error("`{0}` is not a positive finite number")]
    NotPositive(f64),
    #[error("a floor of `{floor}` for each of {arms} arms leaves less than nothing")]
    BadFloor { floor: f64, arms: usize },
    #[error("`{0}` is not a finite number")]
    NotFinite(f64),
}
