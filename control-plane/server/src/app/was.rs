//! What somebody saw before they changed it: of two who change the same thing, the second is told and overwrites nothing.

use super::Refusal;

/// What stood there when the change was thought up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Was<T> {
    /// Nobody looked: a program says what shall be, whatever is there.
    Anything,
    /// A form showed this.
    Seen(T),
}

impl<T: PartialEq> Was<T> {
    /// Refuses where something else stands there by then.
    pub(crate) fn require(&self, is: &T, what: &str, written: impl FnOnce(&T) -> String) -> Result<(), Refusal> {
        match self {
            Self::Seen(seen) if seen != is => Err(Refusal::Conflict(format!(
                "somebody else changed {what} a moment ago, to {}: nothing of yours was done; look at it again, and send \
                 your change once more if it is still needed",
                written(is)
            ))),
            Self::Seen(_) | Self::Anything => Ok(()),
        }
    }
}

/// Writes what may be missing.
pub(crate) fn or_none<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_second_is_told_what_stands_there() {
        let told = Was::Seen(Some(1)).require(&Some(2), "the number", |is| or_none(is.as_ref())).unwrap_err();
        assert!(matches!(&told, Refusal::Conflict(text) if text.contains("the number a moment ago, to 2")), "{told:?}");
        assert!(Was::Seen(Some(2)).require(&Some(2), "the number", |is| or_none(is.as_ref())).is_ok());
        assert!(Was::Anything.require(&None::<u8>, "the number", |is| or_none(is.as_ref())).is_ok());
    }
}
