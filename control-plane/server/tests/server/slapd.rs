//! A directory of its own for a test: OpenLDAP's server on loopback, with people of a shop in a temporary folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use doorward_control_plane::LdapSection;
use ldap3::{Ldap, LdapConnAsync, Mod};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::pebble::free_ports;
use crate::world::PATIENCE;

const ADMIN: &str = "cn=admin,dc=shop,dc=example";
const PASSWORD: &str = "a secret of the test's";
/// What other directories have, and OpenLDAP's own schema has not.
const SCHEMA: &str = "\
attributetype ( 1.3.6.1.4.1.55555.1 NAME 'userAccountControl' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.55555.2 NAME 'nsAccountLock' SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.55555.3 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.55555.4 NAME 'shopPerson' AUXILIARY MAY ( userAccountControl $ nsAccountLock $ userPrincipalName ) )
";

/// A running directory; it keeps its people over a restart, and ends with the test.
pub(crate) struct Slapd {
    folder: tempfile::TempDir,
    port: u16,
    port_tls: u16,
    running: Option<Child>,
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where the program is: in a folder that an ordinary user's `PATH` leaves out.
fn program() -> PathBuf {
    let places = ["/usr/sbin/slapd", "/usr/local/sbin/slapd", "/usr/local/libexec/slapd", "/usr/lib/openldap/slapd"];
    let found = places.into_iter().map(PathBuf::from).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("there is no slapd here: install it with `apt-get install slapd`"))
}

fn certificates(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, "the test's own authority");
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    for (name, pem) in [("ca.pem", ca.pem()), ("leaf.pem", leaf.pem()), ("leaf.key", key.serialize_pem())] {
        std::fs::write(folder.join(name), pem).unwrap();
    }
}

impl Slapd {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// Starts it with more lines in the database's part of its configuration.
    pub(crate) async fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port, port_tls] = free_ports::<2>();
        certificates(folder.path());
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("shop.schema"), SCHEMA).unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let schemas =
            ["core", "cosine", "inetorgperson"].map(|name| format!("include /etc/ldap/schema/{name}.schema\n"));
        let config = format!(
            "{}include {}\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload ppolicy\npidfile {}\n\
             TLSCACertificateFile {}\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
             database mdb\nmaxsize 67108864\nsuffix \"dc=shop,dc=example\"\nrootdn \"{ADMIN}\"\nrootpw \"{PASSWORD}\"\n\
             directory {}\noverlay ppolicy\n{more}\n\
             access to attrs=userPassword by anonymous auth\naccess to * by dn=\"cn=door,dc=shop,dc=example\" read by * none\n",
            schemas.concat(),
            at("shop.schema"),
            at("pid"),
            at("ca.pem"),
            at("leaf.pem"),
            at("leaf.key"),
            at("data")
        );
        std::fs::write(folder.path().join("slapd.conf"), config).unwrap();
        let mut slapd = Self { folder, port, port_tls, running: None };
        slapd.up().await;
        let mut admin = slapd.admin().await;
        for (dn, attributes) in [
            ("dc=shop,dc=example", vec![("objectClass", "dcObject"), ("objectClass", "organization"), ("o", "Shop")]),
            ("ou=people,dc=shop,dc=example", vec![("objectClass", "organizationalUnit")]),
            ("ou=left,dc=shop,dc=example", vec![("objectClass", "organizationalUnit")]),
            (
                "cn=door,dc=shop,dc=example",
                vec![
                    ("objectClass", "organizationalRole"),
                    ("objectClass", "simpleSecurityObject"),
                    ("userPassword", PASSWORD),
                ],
            ),
        ] {
            add(&mut admin, dn, &attributes).await;
        }
        slapd
    }

    /// Starts what was stopped, and waits until it answers.
    pub(crate) async fn up(&mut self) {
        let urls = format!("ldap://127.0.0.1:{} ldaps://127.0.0.1:{}", self.port, self.port_tls);
        let child = Command::new(program())
            .args(["-d", "0", "-h", &urls, "-f"])
            .arg(self.folder.path().join("slapd.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        self.running = Some(child);
        let answering = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answering).await.expect("slapd does not answer");
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What `[ldap]` says of it.
    pub(crate) fn section(&self) -> LdapSection {
        LdapSection {
            url: Some(format!("ldap://localhost:{}", self.port)),
            base: Some("ou=people,dc=shop,dc=example".to_owned()),
            bind_dn: Some("cn=door,dc=shop,dc=example".to_owned()),
            password: Some(PASSWORD.to_owned()),
            ca_file: Some(self.folder.path().join("ca.pem")),
            every: Duration::from_secs(3600),
            ..LdapSection::default()
        }
    }

    /// The same over TLS from the beginning.
    pub(crate) fn section_tls(&self) -> LdapSection {
        LdapSection { url: Some(format!("ldaps://localhost:{}", self.port_tls)), ..self.section() }
    }

    async fn admin(&self) -> Ldap {
        let (connection, mut ldap) = LdapConnAsync::new(&format!("ldap://127.0.0.1:{}", self.port)).await.unwrap();
        tokio::spawn(connection.drive());
        ldap.simple_bind(ADMIN, PASSWORD).await.unwrap().success().unwrap();
        ldap
    }

    /// Adds people, each with an address at the shop.
    pub(crate) async fn hire(&self, names: &[&str]) {
        let mut admin = self.admin().await;
        for name in names {
            let mail = format!("{name}@shop.example");
            let attributes = [
                ("objectClass", "inetOrgPerson"),
                ("objectClass", "shopPerson"),
                ("sn", "Somebody"),
                ("cn", name),
                ("mail", &mail),
            ];
            add(&mut admin, &person(name), &attributes).await;
        }
    }

    /// Deletes somebody.
    pub(crate) async fn dismiss(&self, name: &str) {
        self.admin().await.delete(&person(name)).await.unwrap().success().unwrap();
    }

    /// Moves somebody to where nobody is asked for.
    pub(crate) async fn move_away(&self, name: &str) {
        let mut admin = self.admin().await;
        let moved =
            admin.modifydn(&person(name), &format!("uid={name}"), true, Some("ou=left,dc=shop,dc=example")).await;
        moved.unwrap().success().unwrap();
    }

    /// Gives an attribute of somebody this value alone, or none.
    pub(crate) async fn set(&self, name: &str, attribute: &str, value: Option<&str>) {
        let change = Mod::Replace(attribute, value.into_iter().collect::<HashSet<&str>>());
        self.admin().await.modify(&person(name), vec![change]).await.unwrap().success().unwrap();
    }
}

fn person(name: &str) -> String {
    format!("uid={name},ou=people,dc=shop,dc=example")
}

async fn add(admin: &mut Ldap, dn: &str, attributes: &[(&str, &str)]) {
    let names: HashSet<&str> = attributes.iter().map(|(name, _)| *name).collect();
    let values = |name: &str| attributes.iter().filter(|(it, _)| *it == name).map(|(_, value)| *value).collect();
    let attributes = names.into_iter().map(|name| (name, values(name))).collect();
    admin.add(dn, attributes).await.unwrap().success().unwrap();
}
