//! Lockdown: nobody passes, until it is lifted.

use doorward_model::{GroupId, Lockdown, Timestamp};

use crate::Reason;

/// Whether a lockdown is on, and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockdownState {
    /// On or off.
    pub state: Lockdown,
    /// Whose members pass all the same.
    pub except: Option<GroupId>,
    /// Why, where it was said.
    pub reason: Option<Reason>,
    /// Who changed it last, as the audit names them; empty when nobody ever did.
    pub changed_by: String,
    /// When it changed last; `None` when it never did.
    pub changed_at: Option<Timestamp>,
}

impl LockdownState {
    /// Turns a lockdown on or off; doing it twice is doing it once, so that neither is ever refused.
    #[must_use]
    pub fn set(
        state: Lockdown,
        except: Option<GroupId>,
        reason: Option<Reason>,
        changed_by: String,
        now: Timestamp,
    ) -> Self {
        let except = match state {
            Lockdown::On => except,
            Lockdown::Off => None,
        };
        Self { state, except, reason, changed_by, changed_at: Some(now) }
    }
}
