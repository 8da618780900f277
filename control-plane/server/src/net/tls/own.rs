//! The certificate that Doorward makes for itself, where the owner has no other.

use std::path::Path;

use super::held::{Held, Source};
use crate::ControlPlaneError;
use crate::net::certificates::self_signed;
use crate::net::files::{create_private_dir, read_optional, write_private};

/// Reads the own certificate, or makes one: where there is none, and where a name is missing in it. Whoever compared its
/// fingerprint does so again then, so that a name too many is left in it.
pub(crate) fn own(folder: &Path, names: Vec<String>) -> Result<Held, ControlPlaneError> {
    create_private_dir(folder)?;
    let (certificate_path, key_path) = (folder.join("cert.pem"), folder.join("key.pem"));
    let read = |path: &Path| read_optional(path);
    if let (Some(certificate), Some(key)) = (read(&certificate_path)?, read(&key_path)?) {
        // A start that was cut off between the two files leaves a pair that is none.
        match Held::from_pem(certificate.as_bytes(), key.as_bytes(), Source::Own) {
            Ok(held) if held.facts.cover(names.iter().map(String::as_str)) => return Ok(held),
            Ok(held) => tracing::warn!(
                before.sha256 = held.facts.sha256,
                "the own certificate is made anew, because this server has names that it lacks: compare its fingerprint again"
            ),
            Err(error) => tracing::warn!(%error, "the own certificate is made anew, because it cannot be used"),
        }
    }
    let (certificate, key) = self_signed(names)?;
    write_private(&key_path, &key)?;
    write_private(&certificate_path, &certificate)?;
    Held::from_pem(certificate.as_bytes(), key.as_bytes(), Source::Own)
}

/// Names and addresses for the own certificate: the portal's host, this machine, loopback, and the addresses where the
/// portal answers inside the tunnel.
pub(crate) fn own_names(portal: &str, tunnel: [std::net::IpAddr; 2]) -> Vec<String> {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fits = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.:".contains(c));
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let more = [portal.trim_matches(['[', ']']).to_owned(), hostname].into_iter();
    for name in more.chain(tunnel.iter().map(ToString::to_string)).filter(fits) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNNEL: [std::net::IpAddr; 2] = [
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(100, 80, 0, 1)),
        std::net::IpAddr::V6(std::net::Ipv6Addr::new(0xfd64, 0x6f6f, 0x7277, 0, 0, 0, 0, 1)),
    ];

    #[test]
    fn the_own_certificate_has_the_portal_and_the_tunnel_in_it_and_stays_while_they_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls");
        let made = own(&path, own_names("door.shop.example", TUNNEL)).unwrap();
        assert!(made.facts.cover(["door.shop.example", "100.80.0.1", "fd64:6f6f:7277::1", "localhost"].into_iter()));
        let again = own(&path, own_names("door.shop.example", TUNNEL)).unwrap();
        assert_eq!(made.facts, again.facts);
        // A portal at a bare address, of either family.
        assert!(own_names("[2001:db8::1]", TUNNEL).contains(&"2001:db8::1".to_owned()));
    }

    #[test]
    fn another_portal_and_a_torn_pair_make_it_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls");
        let first = own(&path, own_names("192.0.2.1", TUNNEL)).unwrap();
        let second = own(&path, own_names("door.shop.example", TUNNEL)).unwrap();
        assert_ne!(first.facts.sha256, second.facts.sha256);
        assert!(
            second.facts.cover(["door.shop.example"].into_iter()) && !second.facts.cover(["192.0.2.1"].into_iter())
        );
        let (_, key) = self_signed(vec!["localhost".to_owned()]).unwrap();
        write_private(&path.join("key.pem"), &key).unwrap();
        let third = own(&path, own_names("door.shop.example", TUNNEL)).unwrap();
        assert_ne!(third.facts.sha256, second.facts.sha256);
    }
}
