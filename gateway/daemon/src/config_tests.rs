use super::*;

fn config(section: GatewaySection) -> Result<GatewayConfig, ConfigError> {
    GatewayConfig::new(section, TunnelNetwork::default(), Duration::from_secs(30), PathBuf::from("/tmp/doorward"))
}

fn with(change: impl FnOnce(&mut GatewaySection)) -> GatewaySection {
    let mut section = GatewaySection { endpoint: Some("203.0.113.2:51820".to_owned()), ..GatewaySection::default() };
    change(&mut section);
    section
}

#[test]
fn an_empty_section_is_the_documented_default() {
    let section: GatewaySection = toml::from_str("").unwrap();
    assert_eq!(section, GatewaySection::default());
    assert_eq!(section.name.as_str(), "main");
    assert_eq!(section.metrics, Some("127.0.0.1:9586".parse().unwrap()));
    assert!(section.resolver && section.upstreams.is_empty());
    let config = config(with(|_| ())).unwrap();
    assert_eq!(config.zone.as_str(), "doorward.internal");
    assert_eq!(config.feed, FeedAddress::Unix(PathBuf::from("/tmp/doorward/feed.sock")));
}

#[test]
fn unknown_keys_and_wrong_values_are_errors_that_say_what_to_write() {
    for (text, wanted) in [
        ("lisen = []", "lisen"),
        ("listen = [\"51820\"]", "ADDRESS:PORT"),
        ("listen = [\":+443\"]", ":51820 for both"),
        ("listen = [\":70000\"]", "ADDRESS:PORT"),
        ("metrics = \"9586\"", "ADDRESS:PORT"),
        ("name = \"a b\"", "gateway name"),
    ] {
        let error = toml::from_str::<GatewaySection>(text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    }
    assert_eq!(toml::from_str::<GatewaySection>("metrics = \"off\"").unwrap().metrics, None);
}

#[test]
fn a_port_alone_listens_at_all_addresses_of_both_families() {
    let section: GatewaySection = toml::from_str("listen = [\":51820\", \":443\", \"192.0.2.1:53\"]").unwrap();
    let listen: Vec<String> = section.listen.iter().map(SocketAddr::to_string).collect();
    assert_eq!(listen, ["0.0.0.0:51820", "[::]:51820", "0.0.0.0:443", "[::]:443", "192.0.2.1:53"]);
}

#[test]
fn upstreams_are_addresses_outside_and_asked_by_the_resolver() {
    let upstreams = |list: &str| toml::from_str::<GatewaySection>(&format!("upstreams = {list}"));
    let section = upstreams("[\"9.9.9.9\", \"[2620:fe::9]:5353\"]").unwrap();
    assert_eq!(section.upstreams, ["9.9.9.9:53".parse().unwrap(), "[2620:fe::9]:5353".parse().unwrap()]);
    assert!(upstreams("[\"dns.quad9.net\"]").unwrap_err().to_string().contains("9.9.9.9"));
    for wrong in ["100.80.0.1:53", "[fd64:6f6f:7277::1]:53", "0.0.0.0:53", "224.0.0.251:53", "9.9.9.9:0"] {
        let section = with(|section| section.upstreams = vec![wrong.parse().unwrap()]);
        assert!(matches!(config(section), Err(ConfigError::Upstreams)), "{wrong}");
    }
    let many = with(|section| section.upstreams = vec!["9.9.9.9:53".parse().unwrap(); 5]);
    assert!(matches!(config(many), Err(ConfigError::Upstreams)));
    let unused = with(|section| (section.resolver, section.upstreams) = (false, vec!["9.9.9.9:53".parse().unwrap()]));
    assert!(matches!(config(unused), Err(ConfigError::UpstreamsUnused)));
}

#[test]
fn interface_names_are_those_that_wg_quick_takes() {
    for name in ["doorward0", "a", "wg_1=+.-", "123456789012345"] {
        assert_eq!(InterfaceName::parse(name).unwrap().as_str(), name);
    }
    for name in ["", "1234567890123456", "a b", "a/b", "a\n", "..", ".", "-x", "é"] {
        assert!(matches!(InterfaceName::parse(name), Err(ConfigError::Interface { .. })), "{name:?}");
    }
}

#[test]
fn endpoints_are_host_and_port() {
    for text in ["203.0.113.2:51820", "[2001:db8::2]:51820", "door.shop.example:443"] {
        let config = config(with(|section| section.endpoint = Some(text.to_owned()))).unwrap();
        assert_eq!(config.endpoint, text);
    }
    for text in [
        "",
        "door",
        ":51820",
        "door:0",
        "door:70000",
        "door:+1",
        "0.0.0.0:51820",
        "300.1.1.1:1",
        "a b:1",
        "a\n:1",
        "::1:51820",
    ] {
        let wrong = config(with(|section| section.endpoint = Some(text.to_owned())));
        assert!(matches!(wrong, Err(ConfigError::Endpoint { .. })), "{text:?}");
    }
}

#[test]
fn what_does_not_exist_is_named() {
    let error = config(with(|section| section.egress = "proxy".to_owned())).unwrap_err();
    assert!(error.to_string().contains("\"tun\""), "{error}");
    assert!(matches!(config(with(|section| section.listen.clear())), Err(ConfigError::Listen)));
    assert!(matches!(
        config(with(|section| section.listen = vec!["0.0.0.0:0".parse().unwrap()])),
        Err(ConfigError::ListenPort { .. })
    ));
    assert!(matches!(
        config(with(|section| section.listen = vec!["0.0.0.0:1".parse().unwrap(); 2])),
        Err(ConfigError::ListenTwice { .. })
    ));
    for url in ["door.shop.example:8444", "http://door:8444", "https://door", "https://door:8444/feed"] {
        let wrong = config(with(|section| section.control_plane = Some(url.to_owned())));
        assert!(matches!(wrong, Err(ConfigError::ControlPlane { .. })), "{url}");
    }
    let far = config(with(|section| section.control_plane = Some("https://[2001:db8::1]:8444/".to_owned()))).unwrap();
    assert_eq!(far.feed, FeedAddress::Https(vec![("2001:db8::1".to_owned(), 8444)]));
    let two = ["https://a.shop.example:8444".to_owned(), "https://192.0.2.9:8444".to_owned()];
    let several = config(with(|section| section.control_planes = two.to_vec())).unwrap();
    let named = vec![("a.shop.example".to_owned(), 8444), ("192.0.2.9".to_owned(), 8444)];
    assert_eq!(several.feed, FeedAddress::Https(named));
    let both = config(with(|section| {
        section.control_plane = Some(two[0].clone());
        section.control_planes = two.to_vec();
    }));
    assert!(matches!(both, Err(ConfigError::ControlPlaneTwice)));
    let many = config(with(|section| section.control_planes = vec![two[0].clone(); 9]));
    assert!(matches!(many, Err(ConfigError::ControlPlanes)));
}
