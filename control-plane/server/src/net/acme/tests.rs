//! What `[acme]` takes, and when a certificate is due.

use super::*;
use crate::ServerSection;

fn acme(names: &[&str], change: impl FnOnce(&mut ControlPlaneConfig)) -> Result<Option<Acme>, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut config = ControlPlaneConfig {
        server: ServerSection { url: Some("https://door.shop.example:8443".to_owned()), ..ServerSection::default() },
        acme: AcmeSection {
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            terms_agreed: true,
            ..AcmeSection::default()
        },
        ldap: crate::LdapSection::default(),
        opened: Vec::new(),
        mail: crate::MailSection::default(),
        oidc: crate::OidcSection::default(),
        network: doorward_model::TunnelNetwork::default(),
        zone: DnsName::zone_default(),
        routes: crate::api::Routes::default(),
        authority_ttl: Duration::from_secs(30),
        sign_in_window: Duration::ZERO,
        directory: crate::DirectoryTerms::default(),
        disuse: crate::DisuseTerms::default(),
        data_dir: folder.path().to_owned(),
    };
    change(&mut config);
    let portal = Url::parse(config.server.url.as_deref().unwrap_or("https://localhost:8443")).unwrap();
    Acme::new(&config, &portal).map_err(|error| error.to_string())
}

#[test]
fn each_setting_that_cannot_work_is_refused_with_what_to_write() {
    const DOOR: &[&str] = &["door.shop.example"];
    let refusal = |names: &[&str], change: fn(&mut ControlPlaneConfig)| acme(names, change).err().unwrap();
    assert!(acme(&[], |_| {}).unwrap().is_none());
    assert!(acme(DOOR, |_| {}).unwrap().is_some());
    assert!(refusal(DOOR, |it| it.acme.terms_agreed = false).contains("https://letsencrypt.org/repository/"));
    assert!(
        refusal(&["panel.shop.example"], |_| {}).contains("door.shop.example (`[server] url`): put that into `names`")
    );
    assert!(refusal(DOOR, |it| it.server.url = None).contains("https://door.shop.example"));
    let address = |it: &mut ControlPlaneConfig| it.server.url = Some("https://192.0.2.1".to_owned());
    assert!(refusal(DOOR, address).contains("by a name"));
    assert!(refusal(DOOR, |it| it.server.tls_certificate = Some("x".into())).contains("leave one of the two out"));
    assert!(
        refusal(DOOR, |it| it.acme.directory = "http://ca.example/dir".to_owned()).contains("begins with https://")
    );
    let private = |it: &mut ControlPlaneConfig| it.server.url = Some("https://door.shop.internal".to_owned());
    assert!(refusal(&["door.shop.internal"], private).contains("no public authority can check door.shop.internal"));
    let own = |it: &mut ControlPlaneConfig| {
        it.server.url = Some("https://door.shop.internal".to_owned());
        it.acme.directory = "https://ca.shop.internal/acme".to_owned();
    };
    assert!(acme(&["door.shop.internal"], own).unwrap().is_some(), "an authority of one's own may know such names");
}

#[test]
fn the_proof_is_in_the_handshake_where_the_portal_is_at_443() {
    let needs_http = |url: &str, listen: &str| {
        let (url, listen) = (url.to_owned(), listen.parse().unwrap());
        let change = |it: &mut ControlPlaneConfig| (it.server.url, it.server.listen) = (Some(url), listen);
        acme(&["door.shop.example"], change).unwrap().unwrap().needs_http()
    };
    assert!(needs_http("https://door.shop.example:8443", "0.0.0.0:8443"));
    assert!(!needs_http("https://door.shop.example", "0.0.0.0:8443"), "somebody forwards 443 to it");
    assert!(!needs_http("https://door.shop.example:8443", "0.0.0.0:443"));
}

#[test]
fn a_certificate_is_due_at_two_thirds_and_told_of_two_weeks_before_its_end() {
    let day = |days: i64| Timestamp::from_second(days * 86_400).unwrap();
    let facts = |days: i64, sha256: &str| Facts {
        source: Source::Acme,
        sha256: sha256.to_owned(),
        names: Vec::new(),
        not_before: day(0),
        not_after: day(days),
    };
    assert_eq!(renewal_of(&facts(90, "0000aa")), day(60));
    let earliest = renewal_of(&facts(90, "ffffaa"));
    assert_eq!(earliest, Timestamp::from_second(55 * 86_400 + 43_200).unwrap());
    let between = renewal_of(&facts(90, "8000aa"));
    assert!(earliest < between && between < day(60));
    assert_eq!(warning_of(&facts(90, "")), day(76));
    assert_eq!(warning_of(&facts(6, "")), day(5));
}
