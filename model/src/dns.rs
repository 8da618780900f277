//! DNS names, as far as a target or a zone needs them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ResourceName;

/// Longest name taken, in characters (RFC 1035 section 2.3.4, less the root).
const NAME_LEN_MAX: usize = 253;
/// Longest label (RFC 1035 section 2.3.4).
const LABEL_LEN_MAX: usize = 63;

/// The zone in which resources have their names unless the owner chooses another; `internal` is never delegated to
/// anybody (ICANN Board resolution 2024.07.29.06).
const ZONE_DEFAULT: &str = "doorward.internal";

/// Why a text is no DNS name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no DNS name: expected labels of letters, digits and `-`, joined by dots, such as db.shop.example")]
pub struct DnsNameError {
    /// The text, shortened and without control characters.
    pub text: String,
}

/// A fully qualified host name of two labels or more, in lower case, without the last dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

impl DnsName {
    /// Returns the name as text, in lower case, without the last dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Puts a resource's name in front of this zone: `admin-panel.doorward.internal`.
    ///
    /// `None` where the resource's name is no label, or the whole is too long.
    #[must_use]
    pub fn host(&self, resource: &ResourceName) -> Option<Self> {
        format!("{resource}.{}", self.0).parse().ok()
    }

    /// Returns the zone in which resources have their names unless the owner chooses another.
    #[must_use]
    pub fn zone_default() -> Self {
        Self(ZONE_DEFAULT.to_owned())
    }

    /// Says whether the name is the zone itself or lies in it.
    #[must_use]
    pub fn is_within(&self, zone: &Self) -> bool {
        self.0.strip_suffix(&zone.0).is_some_and(|front| front.is_empty() || front.ends_with('.'))
    }
}

impl FromStr for DnsName {
    type Err = DnsNameError;

    fn from_str(text: &str) -> Result<Self, DnsNameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            (1..=LABEL_LEN_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // A last label of digits alone would be read as an address (RFC 1123 section 2.1).
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let right = name.len() <= NAME_LEN_MAX
            && name.contains('.')
            && name.split('.').all(is_label)
            && !name.rsplit('.').next().is_some_and(is_number);
        if right {
            Ok(Self(name.to_ascii_lowercase()))
        } else {
            Err(DnsNameError { text: crate::steering::repeated(text) })
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DnsName {
    type Error = DnsNameError;

    fn try_from(text: String) -> Result<Self, DnsNameError> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names_and_nothing_else() {
        assert_eq!("DB.shop.example.".parse::<DnsName>().unwrap().as_str(), "db.shop.example");
        for wrong in
            ["", "db", "10.0.5", "10.0.5.999", "a..b", "-a.b", "a-.b", "a b.c", "a\nb.c", "a/b.c", "ä.example", "."]
        {
            assert!(wrong.parse::<DnsName>().is_err(), "{wrong}");
        }
        assert!(format!("{}.example", "a".repeat(64)).parse::<DnsName>().is_err());
        assert!(vec!["a"; 128].join(".").parse::<DnsName>().is_err());
    }

    #[test]
    fn a_resource_has_a_name_in_the_zone() {
        let zone: DnsName = "doorward.internal".parse().unwrap();
        assert_eq!(zone, DnsName::zone_default());
        let name = zone.host(&"admin-panel".parse().unwrap()).unwrap();
        assert_eq!(name.as_str(), "admin-panel.doorward.internal");
        assert!(name.is_within(&zone) && zone.is_within(&zone));
        for outside in ["internal.example", "xdoorward.internal", "db.shop.example"] {
            assert!(!outside.parse::<DnsName>().unwrap().is_within(&zone), "{outside}");
        }
    }
}
