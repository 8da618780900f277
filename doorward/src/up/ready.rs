//! The moment when both parts work together, and what a person is told then.

use std::path::Path;
use std::time::Duration;

use doorward_control_plane::api::{Certificate, OwnerLinkMade, OwnerLinkNew, Status};
use doorward_gateway::GatewayConfig;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, ServerChoice};
use crate::config::Config;
use crate::notify::notify;
use crate::output::{self, Output};

/// How often the admin socket is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// After this long without readiness a note says what is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the announcement speaks of.
pub(super) struct Words<'a> {
    pub(super) data: &'a Path,
    pub(super) config: &'a Config,
    pub(super) gateway: &'a GatewayConfig,
    pub(super) user: &'a str,
}

/// Waits until the gateway is connected, then says so once, to people and to systemd.
pub(super) async fn announce(
    words: &Words<'_>,
    out: Output,
    shutdown: &CancellationToken,
    announced: &CancellationToken,
) {
    let Ok(client) = Client::new(words.data, ServerChoice::default()) else { return };
    let begun = Instant::now();
    let mut noted = false;
    let status = loop {
        if let Some(status) = ready(&client, words).await {
            break status;
        }
        if !noted && begun.elapsed() >= PATIENCE {
            noted = true;
            output::note("still waiting for the gateway to connect; the log above says what it does");
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_EVERY) => {}
            () = shutdown.cancelled() => return,
        }
    };
    announced.cancel();
    notify("READY=1\nSTATUS=control plane and gateway run");
    // A closed standard output does not stop a gateway.
    let setup = first_link(&client).await;
    let certificate = &status.certificate;
    let setup = setup.as_ref();
    let _ = if out.is_json() {
        out.json(&words.json(setup, certificate))
    } else {
        out.text(&words.text(setup, certificate))
    };
    shutdown.cancelled().await;
    notify("STOPPING=1");
}

async fn ready(client: &Client, words: &Words<'_>) -> Option<Status> {
    let asked = tokio::time::timeout(Duration::from_secs(2), client.get::<Status>("/api/v1/status")).await;
    asked.ok()?.ok().filter(|status| status.gateways.iter().any(|it| it.name == words.gateway.name && it.connected))
}

/// Makes the link of the first run, while no owner can sign in.
async fn first_link(client: &Client) -> Option<OwnerLinkMade> {
    let asked = client.post::<_, OwnerLinkMade>("/api/v1/owner/link", &OwnerLinkNew { first_run: true });
    match tokio::time::timeout(Duration::from_secs(5), asked).await {
        Ok(Ok(made)) => Some(made),
        // An owner can sign in already, or it is told in the log.
        Ok(Err(_)) | Err(_) => None,
    }
}

impl Words<'_> {
    fn text(&self, setup: Option<&OwnerLinkMade>, certificate: &Certificate) -> String {
        let server = self.config.control_plane().server;
        let listen = self.gateway.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let data = self.data.display();
        let flag =
            if self.data == Path::new(crate::cli::DATA_DEFAULT) { String::new() } else { format!(" --data {data}") };
        let first = setup.map(|made| {
            format!(
                "\n\nOpen this link within the hour to become the owner; it works once (another: doorward{flag} owner link):\n  {}",
                made.url
            )
        });
        format!(
            "Doorward {version} runs.
  control plane  as user {user}; the API is on https://{api}
  gateway        {name} on UDP {listen}; people's devices dial {endpoint}
  interface      {interface}, tunnel network {v4} and {v6}
  data           {data}
{certificate}{first}

What to type next, in another terminal:
  doorward{flag} resource add admin-panel --target 10.0.5.10 --allow tcp/443
  doorward{flag} person add you@shop.example --name \"Your Name\" --kind staff
  doorward{flag} grant add you@shop.example admin-panel --for 8h
  doorward{flag} device add you@shop.example laptop --out laptop.conf
  doorward{flag} status",
            version = env!("CARGO_PKG_VERSION"),
            first = first.unwrap_or_default(),
            certificate = crate::cli::certificate_words(certificate),
            user = self.user,
            api = server.listen,
            name = self.gateway.name,
            endpoint = self.gateway.endpoint,
            interface = self.gateway.interface,
            v4 = self.gateway.network.v4(),
            v6 = self.gateway.network.v6(),
        )
    }

    fn json(&self, setup: Option<&OwnerLinkMade>, certificate: &Certificate) -> serde_json::Value {
        serde_json::json!({
            "ready": true,
            "version": env!("CARGO_PKG_VERSION"),
            "data": self.data,
            "api": self.config.control_plane().server.listen,
            "gateway": self.gateway.name,
            "endpoint": self.gateway.endpoint,
            "listen": self.gateway.listen,
            "certificate": certificate,
            "setup": setup.map(|made| &made.url),
        })
    }
}
