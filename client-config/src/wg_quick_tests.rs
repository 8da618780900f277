//! The config's claims: nothing can inject a line, only the allowed keys appear, and the text says what the values said.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const INTERFACE_KEYS: [&str; 4] = ["PrivateKey", "Address", "DNS", "MTU"];
const PEER_KEYS: [&str; 5] = ["PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive"];

/// Reads a config as strictly as the strictest app: known sections once, known keys once, nothing else on a line.
fn parse_strictly(text: &str) -> Result<BTreeMap<(String, String), String>, String> {
    let mut section: Option<String> = None;
    let mut values = BTreeMap::new();
    let mut sections = Vec::new();
    for line in text.split('\n') {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "[Interface]" || line == "[Peer]" {
            if sections.contains(&line.to_owned()) {
                return Err(format!("second {line}"));
            }
            sections.push(line.to_owned());
            section = Some(line.trim_matches(['[', ']']).to_owned());
            continue;
        }
        let (key, value) = line.split_once(" = ").ok_or_else(|| format!("no value on {line:?}"))?;
        let section = section.clone().ok_or_else(|| format!("{line:?} before any section"))?;
        let known: &[&str] = if section == "Interface" { &INTERFACE_KEYS } else { &PEER_KEYS };
        if !known.contains(&key) {
            return Err(format!("key {key:?} in [{section}]"));
        }
        if values.insert((section, key.to_owned()), value.to_owned()).is_some() {
            return Err(format!("{key} twice"));
        }
    }
    Ok(values)
}

fn reached(name: &str) -> Reached {
    Reached {
        name: name.parse().unwrap(),
        addresses: vec!["100.80.255.254".parse().unwrap(), "fd64:6f6f:7277::fffe".parse().unwrap()],
        dns_name: None,
        allow: vec!["tcp/5432".parse().unwrap(), "icmp".parse().unwrap()],
    }
}

fn config(interface_key: InterfaceKey) -> ClientConfig {
    ClientConfig {
        email: "dba@agency.example".parse().unwrap(),
        device: "laptop".parse().unwrap(),
        resources: vec![reached("customer-db")],
        valid_until: Some("2026-12-24T18:00:00Z".parse().unwrap()),
        interface_key,
        public_key: PublicKey::from_bytes([7; 32]).unwrap(),
        addresses: vec!["100.80.0.2/32".parse().unwrap(), "fd64:6f6f:7277::2/128".parse().unwrap()],
        dns: Vec::new(),
        mtu: MTU_DEFAULT,
        gateway_public_key: PublicKey::from_bytes([9; 32]).unwrap(),
        preshared_key: None,
        endpoint: "203.0.113.2:51820".parse().unwrap(),
        other_ports: vec![51820],
        allowed_ips: vec!["10.0.5.20/32".parse().unwrap(), "100.80.0.0/16".parse().unwrap()],
        persistent_keepalive: PERSISTENT_KEEPALIVE_DEFAULT,
    }
}

fn value<'a>(values: &'a BTreeMap<(String, String), String>, section: &str, key: &str) -> Option<&'a str> {
    values.get(&(section.to_owned(), key.to_owned())).map(String::as_str)
}

#[test]
fn the_whole_text_is_what_the_apps_import() {
    let text = config(InterfaceKey::Here(PrivateKey::from_bytes([1; 32]))).to_wg_quick();
    let private = PrivateKey::from_bytes([1; 32]).expose_base64().to_string();
    assert_eq!(
        text.as_str(),
        format!(
            "# Doorward: dba@agency.example, device laptop\n\
             # Reaches customer-db at 100.80.255.254, fd64:6f6f:7277::fffe (tcp/5432, icmp)\n# Valid until 2026-12-24T18:00:00Z\n\
             [Interface]\nPrivateKey = {private}\nAddress = 100.80.0.2/32, fd64:6f6f:7277::2/128\nMTU = 1280\n\n\
             [Peer]\nPublicKey = {}\nAllowedIPs = 10.0.5.20/32, 100.80.0.0/16\nEndpoint = 203.0.113.2:51820\n\
             PersistentKeepalive = 25\n",
            PublicKey::from_bytes([9; 32]).unwrap()
        )
    );
}

#[test]
fn a_key_that_stayed_with_its_owner_leaves_a_line_that_says_where_to_paste_it() {
    let text = config(InterfaceKey::WithItsOwner).to_wg_quick();
    let key = PublicKey::from_bytes([7; 32]).unwrap();
    assert!(
        text.contains(&format!("# PrivateKey = (paste your private key here; it belongs to {key})\n")),
        "{}",
        *text
    );
    assert_eq!(value(&parse_strictly(&text).unwrap(), "Interface", "PrivateKey"), None);
}

#[test]
fn a_dns_line_names_the_resolver_that_was_given_and_no_other() {
    let mut config = config(InterfaceKey::WithItsOwner);
    assert!(!config.to_wg_quick().contains("DNS"));
    config.dns = vec!["100.80.0.1".parse().unwrap(), "fd64:6f6f:7277::1".parse().unwrap()];
    let values = parse_strictly(&config.to_wg_quick()).unwrap();
    assert_eq!(value(&values, "Interface", "DNS"), Some("100.80.0.1, fd64:6f6f:7277::1"));
}

#[test]
fn the_comment_says_what_is_reached_where_and_what_to_try_where_a_port_is_blocked() {
    let mut config = config(InterfaceKey::WithItsOwner);
    config.resources.push(Reached {
        addresses: Vec::new(),
        dns_name: Some("panel.doorward.internal".parse().unwrap()),
        ..reached("panel")
    });
    config.other_ports = vec![443, 51820, 53];
    let text = config.to_wg_quick();
    for line in [
        "# Reaches customer-db at 100.80.255.254, fd64:6f6f:7277::fffe (tcp/5432, icmp)",
        "# Reaches panel at panel.doorward.internal (tcp/5432, icmp)",
        "# If this network blocks UDP port 51820, change it in Endpoint to one of 443, 53.",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {}", *text);
    }
    config.resources.clear();
    config.other_ports = vec![443];
    let text = config.to_wg_quick();
    assert!(text.contains("# Reaches nothing yet\n") && text.contains("change it in Endpoint to 443.\n"), "{}", *text);
}

#[test]
fn a_config_without_its_comments_says_the_same() {
    let whole = config(InterfaceKey::Here(PrivateKey::from_bytes([1; 32]))).to_wg_quick();
    let bare = without_comments(&whole);
    assert!(!bare.contains('#') && bare.starts_with("[Interface]\n"), "{}", *bare);
    assert_eq!(parse_strictly(&bare), parse_strictly(&whole));
}

#[test]
fn overlapping_prefixes_are_written_once() {
    let mut config = config(InterfaceKey::WithItsOwner);
    config.allowed_ips = ["10.0.5.0/25", "10.0.5.128/25", "10.0.5.10/32"].map(|p| p.parse().unwrap()).to_vec();
    let values = parse_strictly(&config.to_wg_quick()).unwrap();
    assert_eq!(value(&values, "Peer", "AllowedIPs"), Some("10.0.5.0/24"));
}

fn networks() -> impl Strategy<Value = Vec<IpNet>> {
    let v4 = (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(a, len)| IpNet::new(a.into(), len).unwrap().trunc());
    let v6 = (any::<[u8; 16]>(), 0_u8..=128).prop_map(|(a, len)| IpNet::new(a.into(), len).unwrap().trunc());
    proptest::collection::vec(prop_oneof![v4, v6], 1..20)
}

proptest! {
    /// Any text at all, where the parsers let it through, stays on its line.
    #[test]
    fn no_name_can_inject_a_line(email in "\\PC{0,20}@?[a-z\n.]{0,20}", device in "(?s).{0,40}", resource in "(?s).{0,40}", endpoint in "(?s).{0,30}(:[0-9]{1,5})?") {
        let mut config = config(InterfaceKey::Here(PrivateKey::from_bytes([1; 32])));
        config.other_ports = vec![443, 53];
        let lines_before = config.to_wg_quick().lines().count();
        if let Ok(email) = email.parse() { config.email = email; }
        if let Ok(device) = device.parse() { config.device = device; }
        if let Ok(name) = resource.parse() { config.resources = vec![Reached { name, ..reached("panel") }]; }
        if let Ok(name) = resource.parse() { config.resources[0].dns_name = Some(name); }
        if let Ok(endpoint) = endpoint.parse() { config.endpoint = endpoint; }
        let text = config.to_wg_quick();
        prop_assert_eq!(text.lines().count(), lines_before);
        prop_assert!(!text.contains('\r'));
        prop_assert!(parse_strictly(&text).is_ok(), "{:?}", parse_strictly(&text));
    }

    #[test]
    fn the_text_parses_back_to_the_same_values(
        seed in any::<[u8; 32]>(), psk in any::<Option<[u8; 32]>>(), mtu in 1280_u16..9000, keepalive in 0_u16..120,
        allowed in networks(), port in 1_u16.., host in prop_oneof!["[a-z][a-z0-9]{0,10}(\\.[a-z]{2,5}){0,2}", any::<[u8; 4]>().prop_map(|a| std::net::Ipv4Addr::from(a).to_string())],
    ) {
        let mut config = config(InterfaceKey::Here(PrivateKey::from_bytes(seed)));
        config.preshared_key = psk.map(PresharedKey::from_bytes);
        (config.mtu, config.persistent_keepalive) = (mtu, keepalive);
        config.allowed_ips = allowed.clone();
        config.endpoint = format!("{host}:{port}").parse().unwrap();
        let text = config.to_wg_quick();
        let values = parse_strictly(&text).map_err(TestCaseError::fail)?;
        let private: PrivateKey = value(&values, "Interface", "PrivateKey").unwrap().parse().unwrap();
        prop_assert_eq!(private.public_key(), PrivateKey::from_bytes(seed).public_key());
        prop_assert_eq!(value(&values, "Interface", "MTU").unwrap().parse::<u16>(), Ok(mtu));
        prop_assert_eq!(value(&values, "Peer", "Endpoint").unwrap(), format!("{host}:{port}"));
        prop_assert_eq!(value(&values, "Peer", "PublicKey").unwrap().parse(), Ok(config.gateway_public_key));
        let read_psk = value(&values, "Peer", "PresharedKey").map(|text| text.parse::<PresharedKey>().unwrap());
        prop_assert_eq!(read_psk, config.preshared_key);
        prop_assert_eq!(value(&values, "Peer", "PersistentKeepalive").map_or(0, |text| text.parse::<u16>().unwrap()), keepalive);
        let read: Vec<IpNet> = value(&values, "Peer", "AllowedIPs").unwrap().split(", ").map(|p| p.parse().unwrap()).collect();
        prop_assert!(allowed.iter().all(|net| read.iter().any(|r| r.contains(net))), "something granted is missing");
        prop_assert!(read.iter().all(|r| IpNet::aggregate(&allowed).contains(r)), "something more was written");
    }
}
