//! Requests for access, and who may answer them: somebody else than who asks.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use doorward_model::{GrantId, Interval, PrincipalId, RequestId, ResourceId, Span, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{Denial, Grant, Principal, PrincipalKind, Reason, Resource, micros};

/// How long a request stays open at most: who needed it a week ago should say so again.
const OPEN_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// Nobody has answered yet.
    Open,
    /// There is a grant.
    Approved,
    /// Somebody said no.
    Denied,
    /// Who asked took it back.
    Withdrawn,
    /// Nobody answered in time.
    Expired,
}

impl RequestState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Open, Self::Approved, Self::Denied, Self::Withdrawn, Self::Expired];

    /// Returns the word for it, as the API and the store write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for RequestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RequestState {
    type Err = Denial;

    fn from_str(text: &str) -> Result<Self, Denial> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| Denial::invalid("a request is `open`, `approved`, `denied`, `withdrawn` or `expired`"))
    }
}

/// The time that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// So long, from the approval on, or from a time on.
    For {
        /// How long.
        span: Span,
        /// From when; `None` for the moment of the approval.
        from: Option<Timestamp>,
    },
    /// Until then, whenever it is approved.
    Until {
        /// From when; `None` for the moment of the approval.
        from: Option<Timestamp>,
        /// Until when.
        until: Timestamp,
    },
}

impl Asked {
    /// Returns the time of a grant that begins at `begin` or later.
    fn validity(self, begin: Timestamp) -> Interval {
        let (from, not_after) = match self {
            Self::For { span, from } => (from, micros(span.after(from.unwrap_or(begin)))),
            Self::Until { from, until } => (from, until),
        };
        Interval { not_before: from.unwrap_or(begin).max(begin), not_after }
    }
}

/// Less time than was asked for, where an approval says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shorter {
    /// So long, from where the access begins.
    For(Span),
    /// Until then.
    Until(Timestamp),
}

/// Who decided on a request, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Who, as the audit names them.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, where they said so.
    pub reason: Option<Reason>,
}

/// Somebody asks for access to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The id.
    pub id: RequestId,
    /// For whom.
    pub principal: PrincipalId,
    /// To what.
    pub resource: ResourceId,
    /// For how long.
    pub asked: Asked,
    /// Why.
    pub reason: Reason,
    /// The grant that it is to follow, where it asks for more time.
    pub renews: Option<GrantId>,
    /// Who asked, as the audit names them.
    pub requested_by: String,
    /// When.
    pub created_at: Timestamp,
    /// From when on it can be answered no more.
    pub expires_at: Timestamp,
    /// Where it stands in the record; see [`Request::state`].
    pub recorded: RequestState,
    /// Who decided.
    pub decided: Option<Decided>,
    /// What came of it.
    pub grant: Option<GrantId>,
}

/// What is needed to ask.
#[derive(Debug)]
pub struct NewRequest<'a> {
    /// A fresh id.
    pub id: RequestId,
    /// For whom.
    pub principal: &'a Principal,
    /// To what.
    pub resource: &'a Resource,
    /// For how long.
    pub asked: Asked,
    /// Why.
    pub reason: Reason,
    /// A grant to follow.
    pub renews: Option<GrantId>,
    /// Who asks, as the audit names them.
    pub requested_by: String,
}

impl Request {
    /// Decides whether this may be asked for, and makes the record.
    ///
    /// A request stays open until what it asks for would be over, and a week at most: eight hours that somebody needed on
    /// Monday are not given on Thursday.
    ///
    /// # Errors
    /// A denial where the person is not active, the resource was removed, the time is empty, over, longer than one
    /// request may ask for, or past a contractor's own end.
    pub fn ask(new: NewRequest<'_>, now: Timestamp) -> Result<Self, Denial> {
        let NewRequest { id, principal, resource, asked, reason, renews, requested_by } = new;
        principal.require_active("access", now)?;
        if resource.removed_at.is_some() {
            return Err(Denial::not_found(format!(
                "resource {} was removed: see `doorward resource list`",
                resource.name
            )));
        }
        let wanted = asked.validity(now);
        if wanted.not_before >= wanted.not_after {
            return Err(Denial::invalid(format!(
                "the access would end at {}, before it begins: give a later end",
                wanted.not_after
            )));
        }
        if span_of(&wanted) > resource.span_max() {
            let most = Span::from_secs(resource.span_max().as_secs()).map_or_else(String::new, |span| span.to_string());
            return Err(Denial::refused(format!(
                "one request for {} asks for {most} at most: ask for less, and for more time before it ends",
                resource.name
            )));
        }
        if let Some(end) = own_end(principal).filter(|end| *end < wanted.not_after) {
            return Err(Denial::refused(format!(
                "{} ends at {end}, and so does all access: ask until then at most",
                principal.email
            )));
        }
        let latest = SignedDuration::try_from(OPEN_MAX).ok().and_then(|span| now.checked_add(span).ok());
        let expires_at = wanted.not_after.min(latest.unwrap_or(now));
        Ok(Self {
            id,
            principal: principal.id,
            resource: resource.id,
            asked,
            reason,
            renews,
            requested_by,
            created_at: now,
            expires_at: micros(expires_at),
            recorded: RequestState::Open,
            decided: None,
            grant: None,
        })
    }

    /// Says where it stands at that moment.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> RequestState {
        match self.recorded {
            RequestState::Open if self.expires_at <= now => RequestState::Expired,
            RequestState::Open
            | RequestState::Approved
            | RequestState::Denied
            | RequestState::Withdrawn
            | RequestState::Expired => self.recorded,
        }
    }

    /// Refuses to decide twice, or too late.
    ///
    /// # Errors
    /// A denial that says who decided, and when; or since when it is too late.
    pub fn require_open(&self, now: Timestamp) -> Result<(), Denial> {
        match (self.state(now), &self.decided) {
            (RequestState::Open, _) => Ok(()),
            (RequestState::Expired, _) => Err(Denial::refused(format!(
                "this request could be answered until {} and has expired: ask again if the access is still needed",
                self.expires_at
            ))),
            (state, Some(Decided { by, at, .. })) => {
                Err(Denial::conflict(format!("this request was {state} by {by} at {at}: nothing is left to decide")))
            }
            (state, None) => Err(Denial::conflict(format!("this request was {state}: nothing is left to decide"))),
        }
    }

    /// Decides for which time it is approved.
    ///
    /// What asks for more time after a grant begins where that one ends. A contractor's access ends with them.
    ///
    /// # Errors
    /// A denial where it is not open, the end that was asked for is over, or `shorter` is longer than what was asked for.
    pub fn approve(
        &self,
        requester: &Principal,
        renewed: Option<&Grant>,
        shorter: Option<Shorter>,
        now: Timestamp,
    ) -> Result<Interval, Denial> {
        self.require_open(now)?;
        let earlier_end = renewed
            .filter(|grant| grant.resource == self.resource && grant.revoked_at.is_none())
            .map_or(now, |grant| grant.validity.not_after.max(now));
        let begin = match self.asked {
            Asked::For { from: None, .. } => earlier_end,
            Asked::For { from: Some(_), .. } | Asked::Until { .. } => now,
        };
        let asked = self.asked.validity(begin);
        let mut validity = asked;
        if let Some(shorter) = shorter {
            validity.not_after = micros(match shorter {
                Shorter::For(span) => span.after(asked.not_before),
                Shorter::Until(at) => at,
            });
            if validity.not_after > asked.not_after {
                return Err(Denial::refused(
                    "an approval can shorten what was asked for and not lengthen it: give a shorter time, or none",
                ));
            }
            if validity.not_after <= asked.not_before {
                return Err(Denial::invalid(format!(
                    "the access begins at {} and would have ended before: give a later end, or none",
                    asked.not_before
                )));
            }
        }
        if let Some(end) = own_end(requester) {
            validity.not_after = validity.not_after.min(end);
        }
        if validity.not_after <= now || validity.not_after <= validity.not_before {
            return Err(Denial::refused(format!(
                "the access that was asked for would have ended at {}: ask again for a later end",
                validity.not_after
            )));
        }
        Ok(validity)
    }
}

fn own_end(principal: &Principal) -> Option<Timestamp> {
    match principal.kind {
        PrincipalKind::Contractor => principal.not_after,
        PrincipalKind::Staff => None,
    }
}

fn span_of(interval: &Interval) -> Duration {
    Duration::try_from(interval.not_after.duration_since(interval.not_before)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lease::fixtures::{grant, person, resource, t};
    use crate::{DenialCode, PrincipalState};

    const HOUR: i64 = 3600;

    fn span(seconds: u64) -> Span {
        Span::from_secs(seconds).unwrap()
    }

    fn ask(principal: &Principal, resource: &Resource, asked: Asked, now: i64) -> Result<Request, Denial> {
        let id = RequestId::new(uuid::Uuid::from_u128(1));
        let reason = "the orders table".parse().unwrap();
        let requested_by = "person:person1@shop.example".to_owned();
        Request::ask(NewRequest { id, principal, resource, asked, reason, renews: None, requested_by }, t(now))
    }

    fn eight_hours() -> Asked {
        Asked::For { span: span(8 * 3600), from: None }
    }

    #[test]
    fn a_span_counts_from_the_approval_and_the_request_stays_open_as_long() {
        let request = ask(&person(1), &resource(1), eight_hours(), 0).unwrap();
        let validity = request.approve(&person(1), None, None, t(HOUR)).unwrap();
        assert_eq!(validity, Interval { not_before: t(HOUR), not_after: t(9 * HOUR) });
        let late = request.approve(&person(1), None, None, t(8 * HOUR)).unwrap_err();
        assert!(late.code == DenialCode::Refused && late.sentence.contains("expired"), "{late}");
        let month = ask(&person(1), &resource(1), Asked::For { span: span(30 * 24 * 3600), from: None }, 0).unwrap();
        assert_eq!(month.expires_at, t(7 * 24 * HOUR));
    }

    #[test]
    fn an_end_stays_where_it_was_asked_for() {
        let until = Asked::Until { from: None, until: t(8 * HOUR) };
        let request = ask(&person(1), &resource(1), until, 0).unwrap();
        assert_eq!(request.approve(&person(1), None, None, t(5 * HOUR)).unwrap().not_after, t(8 * HOUR));
        assert!(request.approve(&person(1), None, None, t(8 * HOUR)).is_err());
        let later = Asked::For { span: span(3600), from: Some(t(10 * HOUR)) };
        let request = ask(&person(1), &resource(1), later, 0).unwrap();
        let validity = |now| request.approve(&person(1), None, None, t(now)).map(|it| (it.not_before, it.not_after));
        assert_eq!(validity(HOUR), Ok((t(10 * HOUR), t(11 * HOUR))));
        assert_eq!(validity(10 * HOUR + 600), Ok((t(10 * HOUR + 600), t(11 * HOUR))));
        assert!(validity(11 * HOUR).is_err());
    }

    #[test]
    fn an_approval_may_shorten_and_never_lengthen() {
        let request = ask(&person(1), &resource(1), eight_hours(), 0).unwrap();
        let shorter = request.approve(&person(1), None, Some(Shorter::For(span(3600))), t(0)).unwrap();
        assert_eq!(shorter.not_after, t(HOUR));
        let longer = request.approve(&person(1), None, Some(Shorter::For(span(9 * 3600))), t(0)).unwrap_err();
        assert!(longer.sentence.contains("not lengthen"), "{longer}");
    }

    #[test]
    fn a_renewal_begins_where_the_earlier_grant_ends() {
        let request = ask(&person(1), &resource(1), eight_hours(), 0).unwrap();
        let earlier = grant(1, 1, 1, 0, 2 * HOUR);
        let validity = request.approve(&person(1), Some(&earlier), None, t(HOUR)).unwrap();
        assert_eq!(validity, Interval { not_before: t(2 * HOUR), not_after: t(10 * HOUR) });
        let over = request.approve(&person(1), Some(&earlier), None, t(3 * HOUR)).unwrap();
        assert_eq!(over.not_before, t(3 * HOUR));
        let revoked = Grant { revoked_at: Some(t(1)), ..earlier };
        assert_eq!(request.approve(&person(1), Some(&revoked), None, t(HOUR)).unwrap().not_before, t(HOUR));
    }

    #[test]
    fn a_contractors_access_ends_with_them() {
        let contractor = Principal { kind: PrincipalKind::Contractor, not_after: Some(t(6 * HOUR)), ..person(1) };
        let refused = ask(&contractor, &resource(1), eight_hours(), 0).unwrap_err();
        assert!(refused.code == DenialCode::Refused && refused.sentence.contains("until then"), "{refused}");
        let four = Asked::For { span: span(4 * 3600), from: None };
        let request = ask(&contractor, &resource(1), four, 0).unwrap();
        assert_eq!(request.approve(&contractor, None, None, t(3 * HOUR)).unwrap().not_after, t(6 * HOUR));
    }

    #[test]
    fn what_is_too_long_or_over_or_removed_is_not_asked_for() {
        let week = Resource { request_span_max: Some(span(7 * 24 * 3600)), ..resource(1) };
        let eight_days = Asked::For { span: span(8 * 24 * 3600), from: None };
        assert!(ask(&person(1), &week, eight_days, 0).unwrap_err().sentence.contains("7d at most"));
        assert!(ask(&person(1), &resource(1), eight_days, 0).is_ok());
        let over = Asked::Until { from: None, until: t(5) };
        assert_eq!(ask(&person(1), &resource(1), over, 5).unwrap_err().code, DenialCode::Invalid);
        let removed = Resource { removed_at: Some(t(1)), ..resource(1) };
        assert_eq!(ask(&person(1), &removed, eight_hours(), 2).unwrap_err().code, DenialCode::NotFound);
        let departed = Principal { state: PrincipalState::Departed, ..person(1) };
        assert_eq!(ask(&departed, &resource(1), eight_hours(), 0).unwrap_err().code, DenialCode::Refused);
    }

    #[test]
    fn an_approval_may_end_earlier_but_not_later_and_not_before_it_begins() {
        let request = ask(&person(1), &resource(1), eight_hours(), 0).unwrap();
        let until = |end| request.approve(&person(1), None, Some(Shorter::Until(t(end))), t(HOUR));
        assert_eq!(until(3 * HOUR).unwrap(), Interval { not_before: t(HOUR), not_after: t(3 * HOUR) });
        assert_eq!(until(10 * HOUR).unwrap_err().code, DenialCode::Refused);
        assert_eq!(until(HOUR).unwrap_err().code, DenialCode::Invalid);
    }

    #[test]
    fn who_comes_second_is_told_who_came_first() {
        let request = ask(&person(1), &resource(1), eight_hours(), 0).unwrap();
        let decided = Decided { by: "person:ben@shop.example".to_owned(), at: t(7), reason: None };
        let denied = Request { recorded: RequestState::Denied, decided: Some(decided), ..request };
        let second = denied.approve(&person(1), None, None, t(8)).unwrap_err();
        assert_eq!(second.code, DenialCode::Conflict);
        assert!(second.sentence.contains("denied by person:ben@shop.example"), "{second}");
    }

    proptest! {
        #[test]
        fn an_approval_gives_no_more_than_was_asked_for(
            seconds in 1u64..40, from in proptest::option::of(0i64..40), until in proptest::option::of(1i64..40),
            shorter in proptest::option::of(1u64..40), end in proptest::option::of(1i64..60), now in 0i64..80,
        ) {
            let asked = match until {
                Some(until) => Asked::Until { from: from.map(t), until: t(until) },
                None => Asked::For { span: span(seconds), from: from.map(t) },
            };
            let contractor = Principal { kind: PrincipalKind::Contractor, not_after: end.map(t), ..person(1) };
            if let Ok(request) = ask(&contractor, &resource(1), asked, 0)
                && let Ok(validity) = request.approve(&contractor, None, shorter.map(span).map(Shorter::For), t(now))
            {
                prop_assert!(t(now) <= validity.not_before && validity.not_before < validity.not_after);
                prop_assert!(from.is_none_or(|from| t(from) <= validity.not_before));
                prop_assert!(until.is_none_or(|until| validity.not_after <= t(until)));
                prop_assert!(end.is_none_or(|end| validity.not_after <= t(end)));
                let most = shorter.unwrap_or(u64::MAX).min(if until.is_none() { seconds } else { u64::MAX });
                prop_assert!(span_of(&validity) <= Duration::from_secs(most));
                prop_assert!(t(now) < request.expires_at);
            }
        }
    }
}
