//! A certificate authority of its own for a test: Pebble, the one that Let's Encrypt makes for ACME clients to be tested with,
//! on loopback. It refuses a tenth of all nonces, so that a client has to cope with that.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::world::PATIENCE;

/// A running authority; it forgets everything when it ends, its accounts and its root too.
pub(crate) struct Pebble {
    places: Places,
    running: Vec<Child>,
}

/// Where an authority listens, and where it looks for its answers.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) folder: PathBuf,
    pub(crate) directory: u16,
    management: u16,
    names: u16,
    names_management: u16,
    pub(crate) http: u16,
    pub(crate) tls: u16,
    /// Seconds that its certificates live.
    pub(crate) life: u64,
}

impl Places {
    /// Finds free ports and makes the certificate of the authority's own HTTPS.
    pub(crate) fn new(folder: &std::path::Path, life: u64) -> Self {
        let ports = free_ports::<6>();
        let places = Self {
            folder: folder.to_owned(),
            directory: ports[0],
            management: ports[1],
            names: ports[2],
            names_management: ports[3],
            http: ports[4],
            tls: ports[5],
            life,
        };
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "the test's own authority");
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        std::fs::write(places.ca(), ca.pem()).unwrap();
        std::fs::write(folder.join("pebble.pem"), leaf.pem()).unwrap();
        std::fs::write(folder.join("pebble.key"), key.serialize_pem()).unwrap();
        places
    }

    /// What to trust at the directory.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("directory-ca.pem")
    }

    pub(crate) fn directory_url(&self) -> String {
        format!("https://localhost:{}/dir", self.directory)
    }
}

impl Pebble {
    /// Starts it, and waits until it answers.
    pub(crate) async fn start(places: &Places) -> Self {
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", places.directory),
            "managementListenAddress": format!("127.0.0.1:{}", places.management),
            "certificate": places.folder.join("pebble.pem"),
            "privateKey": places.folder.join("pebble.key"),
            "httpPort": places.http,
            "tlsPort": places.tls,
            "certificateValidityPeriod": places.life,
            "domainBlocklist": ["refused.shop.example"],
        } });
        let config_path = places.folder.join("pebble.json");
        std::fs::write(&config_path, config.to_string()).unwrap();
        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        names.arg("-dns01").arg(format!("127.0.0.1:{}", places.names));
        names.arg("-management").arg(format!("127.0.0.1:{}", places.names_management));
        let mut authority = Command::new("pebble");
        authority.arg("-config").arg(&config_path).arg("-dnsserver").arg(format!("127.0.0.1:{}", places.names));
        authority.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "10").env("PEBBLE_AUTHZREUSE", "0");
        let running = [names, authority].map(|mut command| {
            let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("no pebble here: apt-get install pebble, or run tests/run.sh, which does so")
        });
        let pebble = Self { places: places.clone(), running: running.into() };
        pebble.root().await;
        pebble
    }

    /// Waits for the root that the names of certificates lead to, in PEM.
    pub(crate) async fn root(&self) -> Vec<u8> {
        let ca = reqwest::Certificate::from_pem(&std::fs::read(self.places.ca()).unwrap()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
        let url = format!("https://localhost:{}/roots/0", self.places.management);
        let asking = async {
            loop {
                if let Ok(answer) = client.get(&url).send().await {
                    break answer.bytes().await.unwrap().to_vec();
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("pebble does not answer")
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.running {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// Ports that were free a moment ago.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = std::array::from_fn::<_, N, _>(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
