//! The configuration's claims: every key known or refused by name, line and nearest key; variables go over the file.

use super::*;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::parse(Path::new("doorward.toml"), text.to_owned(), Path::new("/var/lib/doorward"), variables)
}

fn refusal(text: &str, variables: &[(&str, &str)]) -> String {
    parse(text, variables).unwrap_err().to_string()
}

#[test]
fn the_design_s_example_is_read() {
    let config = parse(
        r#"
        [server]
        listen   = "0.0.0.0:8443"
        url      = "https://door.shop.example:8443"
        database = "sqlite:doorward.db"
        [gateway]
        name      = "main"
        endpoint  = "203.0.113.2:51820"
        listen    = ["0.0.0.0:51820", "[::]:51820"]
        interface = "doorward0"
        egress    = "tun"
        nat       = true
        metrics   = "127.0.0.1:9586"
        [network]
        v4 = "100.80.0.0/16"
        v6 = "fd64:6f6f:7277::/64"
        zone = "door.shop.example"
        routes = "service"
        [authority]
        ttl = "20s"
        [sign_in]
        window = "12h"
        "#,
        &[],
    )
    .unwrap();
    assert_eq!(config.control_plane().authority_ttl, Duration::from_secs(20));
    assert_eq!(config.control_plane().sign_in_window, Duration::from_secs(12 * 3600));
    assert_eq!(config.gateway().unwrap().endpoint, "203.0.113.2:51820");
    let control_plane = config.control_plane();
    assert_eq!(config.gateway().unwrap().zone, control_plane.zone);
    assert_eq!((control_plane.zone.as_str(), control_plane.routes), ("door.shop.example", Routes::Service));
}

#[test]
fn the_example_file_is_read_and_new_installations_route_service_addresses() {
    let config = parse(include_str!("../../deploy/example/doorward.toml"), &[]).unwrap();
    assert_eq!(
        (config.control_plane().zone, config.control_plane().routes),
        (DnsName::zone_default(), Routes::Service)
    );
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let config = parse("", &[]).unwrap();
    assert_eq!(config.control_plane().authority_ttl, Duration::from_secs(30));
    assert_eq!(config.control_plane().sign_in_window, Duration::ZERO);
    assert_eq!(config.control_plane().network, TunnelNetwork::default());
    assert_eq!(config.control_plane().directory, DirectoryTerms::default());
    assert_eq!(config.control_plane().disuse, DisuseTerms::default());
    assert_eq!(
        (config.control_plane().zone, config.control_plane().routes),
        (DnsName::zone_default(), Routes::Targets)
    );
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_key() {
    let sentence = refusal("[gateway]\nname = \"main\"\nendpont = \"203.0.113.2:51820\"\n", &[]);
    assert_eq!(sentence, "doorward.toml line 3: unknown key `endpont`: did you mean `endpoint`?");
    let sentence = refusal("[gatway]\n", &[]);
    assert!(sentence.contains("line 1: unknown key `gatway`: did you mean `gateway`?"), "{sentence}");
    let sentence = refusal("[authority]\ncolour = 1\n", &[]);
    assert!(sentence.contains("line 2: unknown key `colour`: known here are ttl"), "{sentence}");
}

#[test]
fn wrong_values_are_named_with_their_line() {
    for (text, line, word) in [
        ("[server]\nlisten = \"here\"\n", 2, "socket address"),
        ("[authority]\nttl = \"8 h\"\n", 2, "no time limit"),
        ("[authority]\n\nttl = 30\n", 3, "no unit"),
        ("[network]\nv4 = \"100.80.0.0/33\"\n", 2, ""),
        ("[network]\nzone = \"internal\"\n", 2, "no DNS name"),
        ("[network]\nroutes = \"all\"\n", 2, "service"),
        ("[gateway]\nname = \"a b\"\n", 2, "letters, digits"),
        ("[gateway\n", 1, ""),
    ] {
        let sentence = refusal(text, &[]);
        assert!(sentence.contains(&format!("line {line}: ")) && sentence.contains(word), "{text}: {sentence}");
    }
}

#[test]
fn bounds_and_host_bits_are_refused_with_what_to_write() {
    assert!(refusal("[authority]\nttl = \"1s\"\n", &[]).contains("give 2s to 10m"));
    assert!(refusal("[authority]\nttl = \"11m\"\n", &[]).contains("give 2s to 10m"));
    assert!(refusal("[network]\nv4 = \"100.80.0.5/16\"\n", &[]).contains("write 100.80.0.0/16"));
    assert!(refusal("[ldap]\nevery = \"5s\"\n", &[]).contains("give 30s to 1h"));
    assert!(refusal("[directory]\nbrake_share = 0\n", &[]).contains("give 1 to 100"));
    let directory = parse("[directory]\ncooling = \"1h\"\nbrake_share = 30\n", &[]).unwrap().control_plane().directory;
    assert_eq!((directory.cooling, directory.brake_share), (Duration::from_secs(3600), 30));
    let small = "[network]\nv4 = \"100.80.0.0/28\"\nroutes = \"service\"\n";
    assert!(refusal(small, &[]).contains("/27 or larger"));
    assert!(parse(&small.replace("/28", "/27"), &[]).is_ok());
}

#[test]
fn variables_go_over_the_file_with_the_type_the_key_wants() {
    let config = parse(
        "[authority]\nttl = \"20s\"\n[gateway]\nname = \"main\"\n",
        &[
            ("DOORWARD_AUTHORITY_TTL", "5s"),
            ("DOORWARD_SIGN_IN_WINDOW", "0"),
            ("DOORWARD_GATEWAY_NAME", "42"),
            ("DOORWARD_GATEWAY_NAT", "false"),
            ("DOORWARD_GATEWAY_LISTEN", "127.0.0.1:5000, [::1]:5000"),
            ("DOORWARD_GATEWAY_ENDPOINT", "203.0.113.9:5000"),
            ("DOORWARD_GATEWAY_TOKEN", "dwg1.secret"),
            ("DOORWARD_DATA", "/elsewhere"),
            ("HOME", "/root"),
        ],
    )
    .unwrap();
    let gateway = config.gateway().unwrap();
    assert_eq!(config.control_plane().authority_ttl, Duration::from_secs(5));
    assert_eq!((gateway.name.as_str(), gateway.nat, gateway.listen.len()), ("42", false, 2));
    assert_eq!(gateway.endpoint, "203.0.113.9:5000");
}

#[test]
fn a_wrong_variable_is_named() {
    let sentence = refusal("", &[("DOORWARD_GATEWAY_ENDPONT", "x")]);
    assert!(
        sentence.contains("DOORWARD_GATEWAY_ENDPONT") && sentence.contains("did you mean `endpoint`"),
        "{sentence}"
    );
    let sentence = refusal("", &[("DOORWARD_SERVER_LISTEN", "x")]);
    assert!(sentence.contains("DOORWARD_SERVER_LISTEN") && sentence.contains("socket address"), "{sentence}");
}

#[test]
fn a_file_that_is_no_config_is_not_read_whole() {
    let large = vec![b'#'; usize::try_from(CONFIG_BYTES_MAX).unwrap() + 1];
    assert!(matches!(read(Path::new("x"), large.as_slice()), Err(ConfigError::TooLarge { .. })));
}

/// The keys that a section takes, as it says itself when it is given another.
fn keys_of(section: &str) -> Vec<String> {
    let refusal = toml::from_str::<DoorwardToml>(&format!("[{section}]\nno_such_key = 1\n")).unwrap_err();
    let expected = refusal.message().split("expected").nth(1).unwrap().split('`').skip(1).step_by(2);
    expected.map(ToOwned::to_owned).collect()
}

#[test]
fn every_key_is_in_the_reference_and_in_the_example_and_nothing_else_is() {
    let reference = include_str!("../../docs/configuration.md");
    let example = include_str!("../../deploy/example/doorward.toml");
    let sections = keys_of_the_file();
    assert_eq!(sections.len(), 11, "{sections:?}");
    for section in sections {
        let part = |text: &'static str, begin: &str, end: &str| {
            let after = text.split_once(begin).unwrap_or_else(|| panic!("no [{section}]")).1;
            after.split(end).next().unwrap_or_default()
        };
        let documented: Vec<&str> = part(reference, &format!("\n## [{section}]\n"), "\n## ")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        let shown: Vec<&str> = part(example, &format!("\n[{section}]"), "\n[")
            .lines()
            .filter_map(|line| line.trim_start_matches('#').split_once(" = ").map(|(key, _)| key))
            .filter(|key| !key.contains(' '))
            .collect();
        let mut known = keys_of(&section);
        known.sort();
        for mut listed in [documented, shown] {
            listed.sort_unstable();
            assert_eq!(listed, known, "[{section}]");
        }
    }
}

fn keys_of_the_file() -> Vec<String> {
    let refusal = toml::from_str::<DoorwardToml>("[no_such_section]\n").unwrap_err();
    refusal.message().split("expected").nth(1).unwrap().split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}
