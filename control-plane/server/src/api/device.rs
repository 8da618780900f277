//! Devices.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use doorward_model::{
    Allow, DeviceId, DeviceName, DnsName, Email, GatewayName, PresharedKey, PublicKey, ResourceName, TimeLimit,
    Timestamp,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shapes;

/// `POST /api/v1/devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceNew {
    /// Whose device it is. Absent: one's own, with a token of `doorward login`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Email>)]
    pub email: Option<Email>,
    /// The device's name, unique for the person.
    #[schema(value_type = shapes::DeviceName)]
    pub name: DeviceName,
    /// Its WireGuard public key; the private key stays on the device.
    #[schema(value_type = shapes::PublicKey)]
    pub public_key: PublicKey,
    /// A key that both ends share besides (`wg genpsk`), in base64. It is never given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::PresharedKey>)]
    pub preshared_key: Option<PresharedKey>,
    /// How long the device is good: a span such as `90d`, or RFC 3339. Absent: until revoked.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::TimeLimit>)]
    pub valid_for: Option<TimeLimit>,
    /// What its config routes. Absent: what `[network] routes` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Routes>,
    /// The UDP port that its config dials; the gateway must listen on it. Absent: the one of the gateway's endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65535, example = 443)]
    pub port: Option<u16>,
}

/// What a config sends into the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Routes {
    /// Doorward's own network, and the prefixes that are granted when the config is made.
    #[default]
    Targets,
    /// Doorward's own network alone: the config stays right when grants change, works where the network at hand uses the
    /// same addresses as the targets, and does not tell what the inside looks like.
    Service,
}

impl FromStr for Routes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "targets" => Ok(Self::Targets),
            "service" => Ok(Self::Service),
            _ => Err("expected `service` (Doorward's network alone) or `targets` (the granted prefixes too)"),
        }
    }
}

/// `PUT /api/v1/devices/{id}/preshared-key`: it counts from the next handshake on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DevicePresharedKey {
    /// The key that both ends share from then on, in base64; `null` for none.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(value_type = Option<shapes::PresharedKey>, required)]
    pub preshared_key: Option<PresharedKey>,
}

/// Whether a device may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// Its key is good.
    Active,
    /// Its own time ran out.
    Expired,
    /// It was revoked; its key never comes back.
    Revoked,
}

/// One WireGuard key of one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// The device's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: DeviceId,
    /// Whose it is.
    #[schema(value_type = String)]
    pub email: Email,
    /// Its name.
    #[schema(value_type = String)]
    pub name: DeviceName,
    /// Its public key.
    #[schema(value_type = String)]
    pub public_key: PublicKey,
    /// Whether it shares a key with the gateways besides.
    #[serde(default)]
    pub has_preshared_key: bool,
    /// Its address inside the tunnel, a /32.
    #[schema(value_type = String)]
    pub address_v4: Ipv4Addr,
    /// Its address inside the tunnel, a /128.
    #[schema(value_type = String)]
    pub address_v6: Ipv6Addr,
    /// Whether it may connect.
    pub state: DeviceState,
    /// When its own validity ends; `null` means until revoked.
    pub until: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// The answer to a new device: the device and all that its config needs but the private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceAdded {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// What goes into its config.
    pub client: ClientSettings,
    /// What the person's live and scheduled grants lead to, by name.
    pub resources: Vec<Reachable>,
    /// What the admin should know: no gateway known yet, no grant yet.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A resource as the person sees it who may use it: where to reach it, and nothing of what stands behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reachable {
    /// Its name.
    #[schema(value_type = String)]
    pub name: ResourceName,
    /// Its own address inside Doorward's network, IPv4; `null` where the network is too small to have any.
    #[schema(value_type = Option<String>)]
    pub service_v4: Option<Ipv4Addr>,
    /// Its own address inside Doorward's network, IPv6.
    #[schema(value_type = Option<String>)]
    pub service_v6: Option<Ipv6Addr>,
    /// Its name in `[network] zone`, for whoever has a resolver, a zone or a hosts file that answers.
    #[schema(value_type = Option<String>)]
    pub dns_name: Option<DnsName>,
    /// What is allowed there.
    #[schema(value_type = Vec<String>)]
    pub allow: Vec<Allow>,
}

impl Reachable {
    /// Its own addresses, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.service_v4.map(IpAddr::from).into_iter().chain(self.service_v6.map(IpAddr::from)).collect()
    }
}

/// What a device's config is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClientSettings {
    /// The device's own addresses inside the tunnel, a /32 and a /128.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpNet>,
    /// Gateways to dial; the first is the one a plain config names. Empty until a gateway said hello once.
    pub gateways: Vec<ClientGateway>,
    /// Doorward's own network, IPv4.
    #[schema(value_type = String)]
    pub network_v4: Ipv4Net,
    /// Doorward's own network, IPv6.
    #[schema(value_type = String)]
    pub network_v6: Ipv6Net,
    /// What the config routes beside Doorward's own network.
    pub routes: Routes,
    /// Prefixes among the targets of the person's live and scheduled grants, sorted, each once; none where `routes` is
    /// `service`.
    #[schema(value_type = Vec<String>)]
    pub allowed_ips: Vec<IpNet>,
    /// Whether something should answer for the resources' names: the gateway's resolver, or a zone of the owner's own.
    #[serde(default)]
    pub names_answer: bool,
    /// The tunnel's MTU in bytes.
    pub mtu: u16,
    /// Seconds between keepalives.
    pub persistent_keepalive: u16,
}

/// A gateway as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClientGateway {
    /// The gateway's name.
    #[schema(value_type = String)]
    pub name: GatewayName,
    /// Its WireGuard public key.
    #[schema(value_type = String)]
    pub public_key: PublicKey,
    /// What to dial, `host:port`.
    pub endpoint: String,
    /// Whether its resolver, at the gateway's tunnel addresses, answers for every name: only then may a config name it.
    #[serde(default)]
    pub resolver: bool,
    /// The UDP ports it listens on, for networks that block the endpoint's.
    #[serde(default)]
    pub ports: Vec<u16>,
}
