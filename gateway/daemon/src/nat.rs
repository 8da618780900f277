//! NAT and guards, as one nftables table that is the gateway's own.
//!
//! What passes is decided in the core, which lets nobody reach this host itself but where a resource names one of its
//! addresses. These rules translate addresses, clamp the MSS, and hold a second line: nothing comes out of the tunnel with
//! another address than a device's, nothing but the resolver, the portal and the page for quarantine is reached on the gateway's own tunnel addresses, nothing
//! enters with an address of the tunnel network, and with NAT nothing but replies does.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use doorward_model::TunnelNetwork;

use crate::error::GatewayError;

/// Returns the table's name. Characters that nftables takes stay, others become `_` and their code, so that no two
/// interfaces share a table.
fn table_name(interface: &str) -> String {
    let mut name = String::from("doorward_");
    for byte in interface.bytes() {
        if byte.is_ascii_alphanumeric() {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("_{byte:02x}"));
        }
    }
    name
}

/// What devices reach on the gateway's own tunnel addresses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Inward {
    /// The resolver, on port 53.
    pub(crate) resolver: bool,
    /// TCP ports of the portal and of the page for quarantine.
    pub(crate) pages: [Option<u16>; 2],
}

/// Writes the table as an nftables script that replaces the one before, in one transaction.
fn script(interface: &str, network: &TunnelNetwork, nat: bool, inward: Inward) -> String {
    let table = table_name(interface);
    let (v4, v6) = (network.v4(), network.v6());
    let masquerade = if nat {
        format!(
            "  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {v4} oifname != \"{interface}\" masquerade
    ip6 saddr {v6} oifname != \"{interface}\" masquerade
  }}
"
        )
    } else {
        String::new()
    };
    let (gateway_v4, gateway_v6) = (network.gateway_v4(), network.gateway_v6());
    let pages: Vec<String> = inward.pages.iter().flatten().map(u16::to_string).collect();
    let pages = if pages.is_empty() {
        String::new()
    } else {
        let ports = pages.join(", ");
        format!(
            "    iifname \"{interface}\" ip daddr {gateway_v4} tcp dport {{ {ports} }} accept
    iifname \"{interface}\" ip6 daddr {gateway_v6} tcp dport {{ {ports} }} accept
"
        )
    };
    let names = if inward.resolver {
        format!(
            "    iifname \"{interface}\" ip daddr {gateway_v4} meta l4proto {{ tcp, udp }} th dport 53 accept
    iifname \"{interface}\" ip6 daddr {gateway_v6} meta l4proto {{ tcp, udp }} th dport 53 accept
    iifname != \"{interface}\" ip daddr {gateway_v4} meta l4proto {{ tcp, udp }} th dport 53 drop
    iifname != \"{interface}\" ip6 daddr {gateway_v6} meta l4proto {{ tcp, udp }} th dport 53 drop
"
        )
    } else {
        String::new()
    };
    let only_replies = if nat {
        format!(
            "    oifname \"{interface}\" ct state established,related accept
    oifname \"{interface}\" drop
"
        )
    } else {
        String::new()
    };
    format!(
        "add table inet {table}
delete table inet {table}
table inet {table} {{
{masquerade}  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname \"{interface}\" tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
    oifname \"{interface}\" tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
    oifname \"{interface}\" ip saddr {v4} drop
    oifname \"{interface}\" ip6 saddr {v6} drop
{only_replies}  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname \"{interface}\" ip saddr != {v4} drop
    iifname \"{interface}\" ip6 saddr != {v6} drop
{names}{pages}    iifname \"{interface}\" ip daddr {gateway_v4} drop
    iifname \"{interface}\" ip6 daddr {gateway_v6} drop
  }}
}}
"
    )
}

/// The table while it is loaded; dropping this removes it.
pub(crate) struct NatTable {
    interface: String,
}

impl NatTable {
    /// Loads the table, in place of an earlier one of the same name.
    ///
    /// # Errors
    /// [`GatewayError::NftMissing`], [`GatewayError::Nft`].
    pub(crate) fn load(
        interface: &str,
        network: &TunnelNetwork,
        nat: bool,
        inward: Inward,
    ) -> Result<Self, GatewayError> {
        run(&script(interface, network, nat, inward))?;
        Ok(Self { interface: interface.to_owned() })
    }
}

impl Drop for NatTable {
    fn drop(&mut self) {
        if let Err(error) = remove_table(&self.interface) {
            tracing::warn!(%error, "cannot remove the nftables table");
        }
    }
}

/// Removes the table of an interface, if it is there.
///
/// # Errors
/// [`GatewayError::NftMissing`], [`GatewayError::Nft`].
pub(crate) fn remove_table(interface: &str) -> Result<(), GatewayError> {
    let table = table_name(interface);
    // Adding first makes deleting succeed on kernels and versions of `nft` without `destroy`.
    run(&format!("add table inet {table}\ndelete table inet {table}\n"))
}

fn run(script: &str) -> Result<(), GatewayError> {
    let failed = |error: io::Error| GatewayError::Nft { message: error.to_string() };
    let mut child = spawn_nft()?;
    // The script is shorter than a pipe's buffer, so this cannot block on a child that does not read.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return written.map_err(failed);
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let line = message.lines().next().unwrap_or("no message").chars().filter(|c| !c.is_control()).take(200).collect();
    Err(GatewayError::Nft { message: line })
}

fn spawn_nft() -> Result<std::process::Child, GatewayError> {
    // An ordinary user's PATH, which `su` keeps, lacks the folders where Debian puts it.
    for program in ["nft", "/usr/sbin/nft", "/sbin/nft"] {
        let child = Command::new(program)
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        match child {
            Ok(child) => return Ok(child),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(GatewayError::Nft { message: error.to_string() }),
        }
    }
    Err(GatewayError::NftMissing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_interfaces_share_a_table() {
        let names: std::collections::HashSet<String> =
            ["wg-0", "wg.0", "wg_0", "wg0", "wg=0", "wg+0"].into_iter().map(table_name).collect();
        assert_eq!(names.len(), 6);
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')));
    }

    #[test]
    fn routed_mode_translates_nothing_and_still_guards_the_host() {
        let routed = script("doorward0", &TunnelNetwork::default(), false, Inward::default());
        assert!(!routed.contains("masquerade") && !routed.contains("established"));
        assert!(routed.contains("iifname \"doorward0\" ip saddr != 100.80.0.0/16 drop") && routed.contains("rt mtu"));
        let translated = script("doorward0", &TunnelNetwork::default(), true, Inward::default());
        assert!(translated.contains("ip saddr 100.80.0.0/16 oifname != \"doorward0\" masquerade"));
        assert!(translated.contains("ip6 saddr fd64:6f6f:7277::/64 oifname != \"doorward0\" masquerade"));
        assert!(translated.contains("oifname \"doorward0\" drop"));
    }

    #[test]
    fn only_the_resolver_is_let_through_to_the_gateways_own_address_and_only_where_there_is_one() {
        for resolver in [true, false] {
            let text = script("doorward0", &TunnelNetwork::default(), true, Inward { resolver, pages: [None, None] });
            assert_eq!(text.contains("th dport 53 accept"), resolver);
            let closed = text.find("iifname \"doorward0\" ip daddr 100.80.0.1 drop").unwrap();
            assert!(text.find("accept\n    iifname \"doorward0\" ip6").is_none_or(|open| open < closed));
            assert!(text.contains("iifname \"doorward0\" ip6 daddr fd64:6f6f:7277::1 drop"));
        }
    }

    #[test]
    fn the_portal_and_the_page_are_let_through_where_they_are() {
        let inward = Inward { resolver: false, pages: [Some(8443), Some(80)] };
        let text = script("doorward0", &TunnelNetwork::default(), true, inward);
        let open = text.find("iifname \"doorward0\" ip daddr 100.80.0.1 tcp dport { 8443, 80 } accept").unwrap();
        assert!(open < text.find("iifname \"doorward0\" ip daddr 100.80.0.1 drop").unwrap());
        assert!(
            !script("doorward0", &TunnelNetwork::default(), true, Inward::default()).contains("accept\n    iifname")
        );
    }
}
