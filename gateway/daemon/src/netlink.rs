//! Addresses and links, by rtnetlink.

use std::net::IpAddr;
use std::time::Duration;

use doorward_model::TunnelNetwork;
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::{Handle, LinkUnspec};

use crate::error::GatewayError;
use crate::tun::TUN_MTU;

/// How long the interface of a gateway that was just killed may take to vanish.
const INTERFACE_GONE_WITHIN: Duration = Duration::from_secs(3);

/// A connection to the kernel's routing tables; lives on the runtime it was opened on.
pub(crate) struct Netlink {
    handle: Handle,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Netlink {
    /// Opens the connection in this thread's network namespace.
    ///
    /// # Errors
    /// [`GatewayError::Runtime`].
    pub(crate) fn open() -> Result<Self, GatewayError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(|source| GatewayError::Runtime { source })?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// Waits until no interface has that name.
    ///
    /// # Errors
    /// [`GatewayError::InterfaceTaken`] when one stays.
    pub(crate) async fn wait_until_free(&self, interface: &str) -> Result<(), GatewayError> {
        let wait = async {
            while self.index(interface).await.is_some() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(INTERFACE_GONE_WITHIN, wait)
            .await
            .map_err(|_| GatewayError::InterfaceTaken { name: interface.to_owned() })
    }

    async fn index(&self, interface: &str) -> Option<u32> {
        let mut links = self.handle.link().get().match_name(interface).execute();
        links.try_next().await.ok().flatten().map(|link| link.header.index)
    }

    /// Gives the TUN device its addresses and brings it up; the routes to the tunnel network come with the prefixes.
    ///
    /// Returns whether IPv6 works: on a host without it the tunnel is for IPv4 alone.
    ///
    /// # Errors
    /// [`GatewayError::Netlink`], [`GatewayError::InterfaceTaken`] when the device is gone.
    pub(crate) async fn set_up(&self, interface: &str, network: &TunnelNetwork) -> Result<bool, GatewayError> {
        let failed = |operation| {
            move |source| GatewayError::Netlink { operation, interface: interface.to_owned(), source: Box::new(source) }
        };
        let gone = || GatewayError::InterfaceTaken { name: interface.to_owned() };
        let index = self.index(interface).await.ok_or_else(gone)?;
        let addresses = self.handle.address();
        addresses
            .add(index, IpAddr::V4(network.gateway_v4()), network.v4().prefix_len())
            .execute()
            .await
            .map_err(failed("give the tunnel's IPv4 address to"))?;
        let v6 = addresses.add(index, IpAddr::V6(network.gateway_v6()), network.v6().prefix_len()).execute().await;
        let up = LinkUnspec::new_with_index(index).mtu(u32::from(TUN_MTU)).up().build();
        self.handle.link().set(up).execute().await.map_err(failed("bring up"))?;
        match v6 {
            Ok(()) => Ok(true),
            Err(error) if ipv6_is_off(interface) => {
                tracing::warn!(%error, "this host has no IPv6: the tunnel carries IPv4 alone");
                Ok(false)
            }
            Err(error) => Err(failed("give the tunnel's IPv6 address to")(error)),
        }
    }

    /// Returns every address of this host.
    ///
    /// # Errors
    /// [`GatewayError::Netlink`].
    pub(crate) async fn own_addresses(&self) -> Result<Vec<IpAddr>, GatewayError> {
        let failed = |source| GatewayError::Netlink {
            operation: "list the addresses of",
            interface: "this host".to_owned(),
            source: Box::new(source),
        };
        let mut messages = self.handle.address().get().execute();
        let mut own = Vec::new();
        while let Some(message) = messages.try_next().await.map_err(failed)? {
            for attribute in message.attributes {
                // `Address` is the far end on a point-to-point link, which is not this host; `Local` is absent for IPv6.
                if let AddressAttribute::Local(address) | AddressAttribute::Address(address @ IpAddr::V6(_)) = attribute
                {
                    own.push(address);
                }
            }
        }
        own.sort_unstable();
        own.dedup();
        Ok(own)
    }
}

fn ipv6_is_off(interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    std::fs::read_to_string(path).map_or(true, |value| value.trim() == "1")
}
