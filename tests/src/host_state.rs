//! What a machine's network looks like, so that before and after can be compared.

use crate::netns::Namespace;

/// Kernel parameters that a gateway might touch.
const PARAMETERS: [&str; 6] = [
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv6.conf.default.forwarding",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv4.conf.all.src_valid_mark",
];

/// Addresses, links, routes, firewall rules and kernel parameters of a namespace, as text, one part a line.
#[must_use]
pub fn host_state(namespace: &Namespace) -> Vec<String> {
    let text = |program: &str, args: &[&str]| namespace.stdout(program, args);
    let mut state = vec![
        format!("nft {}", text("nft", &["list", "ruleset"])),
        format!("addr {}", text("ip", &["-o", "addr", "show"]).replace(" tentative", "")),
        format!("link {}", text("ip", &["-o", "link", "show"])),
        format!("route4 {}", text("ip", &["route", "show", "table", "all"])),
        format!("route6 {}", text("ip", &["-6", "route", "show", "table", "all"])),
        format!("rule {}", text("ip", &["rule", "show"])),
    ];
    for parameter in PARAMETERS {
        state.push(format!("{parameter} {}", text("sysctl", &["-n", parameter]).trim()));
    }
    state
}

/// Asserts that nothing differs, naming what does.
#[track_caller]
pub fn assert_same(before: &[String], after: &[String]) {
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before, after, "the host differs from what it was");
    }
}
