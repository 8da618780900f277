//! What an entry says of somebody: their addresses, and whether they are disabled.

use doorward_model::{Email, Timestamp};
use ldap3::SearchEntry;

/// The bit of `userAccountControl` that says that an account is disabled (MS-ADTS, section 2.2.16).
const ACCOUNT_DISABLED: i64 = 2;
/// What `accountExpires` counts from, 1601, to 1970, in seconds (FILETIME, MS-DTYP, section 2.3.3).
const FILETIME_EPOCH: i64 = 11_644_473_600;
/// FILETIME counts in steps of 100 ns.
const FILETIME_STEPS: i64 = 10_000_000;
/// The value of `pwdAccountLockedTime` with which an administrator locks for good (draft-behera-ldap-password-policy, 5.3.3);
/// any other one is a lock after wrong passwords, which passes.
const LOCKED_FOR_GOOD: &str = "000001010000Z";
/// `shadowExpire` counts days (shadow(5)).
const DAY_SECONDS: i64 = 24 * 3600;

/// Attributes that may say that somebody is disabled.
const STATES: [&str; 6] =
    ["userAccountControl", "accountExpires", "nsAccountLock", "loginDisabled", "pwdAccountLockedTime", "shadowExpire"];

/// Names what a search asks for.
pub(super) fn attributes(email: &[String]) -> Vec<String> {
    email.iter().cloned().chain(STATES.map(ToOwned::to_owned)).collect()
}

/// An entry, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Every value of the address attributes that is an address.
    pub(super) emails: Vec<Email>,
    /// Whether somebody may come.
    pub(super) enabled: bool,
}

impl Entry {
    pub(super) fn read(entry: SearchEntry, email: &[String], now: Timestamp) -> Self {
        let values = |name: &str| -> Vec<&str> {
            let has = |found: &str| found.split(';').next().is_some_and(|base| base.eq_ignore_ascii_case(name));
            entry
                .attrs
                .iter()
                .filter(|(found, _)| has(found))
                .flat_map(|(_, values)| values)
                .map(String::as_str)
                .collect()
        };
        let number = |name: &str| values(name).first().and_then(|value| value.trim().parse::<i64>().ok());
        let is_true = |name: &str| values(name).iter().any(|value| value.trim().eq_ignore_ascii_case("true"));
        let now = now.as_second();
        let disabled = number("userAccountControl").is_some_and(|flags| flags & ACCOUNT_DISABLED != 0)
            || number("accountExpires").is_some_and(|steps| has_expired(steps, now))
            || is_true("nsAccountLock")
            || is_true("loginDisabled")
            || values("pwdAccountLockedTime").iter().any(|value| value.trim() == LOCKED_FOR_GOOD)
            || number("shadowExpire").is_some_and(|day| day >= 0 && day.saturating_mul(DAY_SECONDS) <= now);
        let emails = email.iter().flat_map(|name| values(name)).filter_map(|value| value.trim().parse().ok()).collect();
        Self { emails, enabled: !disabled }
    }
}

/// Says whether a FILETIME lies in the past; 0 and the largest value mean never.
fn has_expired(steps: i64, now: i64) -> bool {
    steps > 0 && steps != i64::MAX && (steps / FILETIME_STEPS).saturating_sub(FILETIME_EPOCH) <= now
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn entry(attributes: &[(&str, &[&str])]) -> Entry {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let attrs = attributes.iter().map(|(name, all)| ((*name).to_owned(), values(all))).collect();
        let entry = SearchEntry { dn: "uid=a".to_owned(), attrs, bin_attrs: HashMap::new() };
        // 2023-11-14T22:13:20Z, the 19,675th day.
        Entry::read(
            entry,
            &["mail".to_owned(), "userPrincipalName".to_owned()],
            Timestamp::from_second(1_700_000_000).unwrap(),
        )
    }

    #[test]
    fn every_value_of_every_address_attribute_counts_whatever_its_case_and_options() {
        let read = entry(&[
            ("Mail;lang-de", &["Anna@Shop.example", "no address"]),
            ("userprincipalname", &["anna@corp.example"]),
            ("other", &["x@shop.example"]),
        ]);
        let mut emails: Vec<&str> = read.emails.iter().map(Email::as_str).collect();
        emails.sort_unstable();
        assert_eq!((emails, read.enabled), (vec!["anna@corp.example", "anna@shop.example"], true));
    }

    #[test]
    fn each_directorys_way_of_disabling_is_read_and_nothing_else_is() {
        for (name, disabled, enabled) in [
            ("userAccountControl", vec!["514", "66050"], vec!["512", "66048", "x"]),
            ("accountExpires", vec!["133444736000000000"], vec!["0", "9223372036854775807", "133444737000000000"]),
            ("nsAccountLock", vec!["TRUE", "true"], vec!["FALSE", ""]),
            ("loginDisabled", vec!["TRUE"], vec!["FALSE"]),
            ("pwdAccountLockedTime", vec!["000001010000Z"], vec!["20231114221320Z"]),
            ("shadowExpire", vec!["0", "19675"], vec!["-1", "19676"]),
        ] {
            for (values, is_enabled) in [(disabled, false), (enabled, true)] {
                for value in values {
                    assert_eq!(entry(&[(name, &[value])]).enabled, is_enabled, "{name}: {value}");
                }
            }
        }
        assert!(entry(&[]).enabled);
    }
}
