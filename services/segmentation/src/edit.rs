//! What somebody says about something that may be there or not: nothing, that there is none, or what it is.

/// One thing said about an optional value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Edit<T> {
    #[default]
    Keep,
    Remove,
    Set(T),
}

impl<T> Edit<T> {
    /// Changes the value.
    pub(crate) fn apply(self, value: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Remove => *value = None,
            Self::Set(new) => *value = Some(new),
        }
    }

    /// What is said, if it is a value.
    pub(crate) fn value(&self) -> Option<&T> {
        match self {
            Self::Keep | Self::Remove => None,
            Self::Set(value) => Some(value),
        }
    }

    /// What remains of this after something was said later, which wins.
    pub(crate) fn then(self, later: Self) -> Self {
        match later {
            Self::Keep => self,
            Self::Remove | Self::Set(_) => later,
        }
    }
}

impl<T> From<Option<T>> for Edit<T> {
    fn from(said: Option<T>) -> Self {
        said.map_or(Self::Keep, Self::Set)
    }
}
