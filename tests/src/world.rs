//! The drawn topology (see the crate's head), laid out of namespaces and cables.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tempfile::TempDir;

use crate::names;
use crate::netns::{Namespace, cable};
use crate::wait::wait_until;

/// The admin panel's addresses.
pub const PANEL: [&str; 2] = ["10.0.5.10", "fd00:5::10"];
/// The customer database's addresses.
pub const DATABASE: [&str; 2] = ["10.0.5.20", "fd00:5::20"];
/// What people's devices dial, over IPv4.
pub const ENDPOINT_V4: &str = "203.0.113.2:51820";
/// What people's devices dial, over IPv6.
pub const ENDPOINT_V6: &str = "[2001:db8:203::2]:51820";
/// The gateway's address on the protected side.
pub const GATEWAY_INSIDE: &str = "10.0.5.1";
/// The café's public address: what the gateway sees of a laptop.
pub const CAFE_PUBLIC: &str = "198.51.100.7";
/// Where a control plane on another machine lives.
pub const OFFICE: &str = "192.0.2.9";

/// Puts an address text and a port together.
#[must_use]
pub fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().expect("an address"), port)
}

/// One scenario's networks and its folder for files.
#[derive(Debug)]
pub struct World {
    /// The scenario's laptops, behind the café's router.
    pub laptops: Vec<Namespace>,
    /// The café's router, which translates IPv4 addresses.
    pub cafe: Namespace,
    /// The router in between.
    pub internet: Namespace,
    /// Another machine of the shop: a control plane on its own.
    pub office: Namespace,
    /// The machine that Doorward guards the shop from.
    pub gateway: Namespace,
    /// The protected side: panel and database.
    pub inside: Namespace,
    /// A folder that every user may enter.
    pub folder: TempDir,
}

impl World {
    /// Builds the world with so many laptops (numbered from 0 in [`World::laptops`], from 1 in their addresses).
    #[must_use]
    pub fn new(laptops: u8) -> Self {
        let prefix = names::fresh();
        let space = |role: &str| Namespace::new(format!("{prefix}-{role}"));
        let world = Self {
            laptops: (1..=laptops).map(|number| space(&format!("laptop{number}"))).collect(),
            cafe: space("cafe"),
            internet: space("internet"),
            office: space("office"),
            gateway: space("gateway"),
            inside: space("inside"),
            folder: names::folder(&prefix),
        };
        world.lay_cables();
        world.address_routers();
        world.address_ends();
        world.open_routers();
        world.settle();
        world
    }

    /// Waits for the addresses that the kernel gives by itself, so that before and after can be compared.
    fn settle(&self) {
        wait_until("link-local addresses", Duration::from_secs(10), || {
            let listed = self.gateway.stdout("ip", &["-6", "-o", "addr", "show", "scope", "link"]);
            listed.lines().filter(|line| !line.contains("tentative")).count() == 2
        });
    }

    fn lay_cables(&self) {
        for (index, laptop) in self.laptops.iter().enumerate() {
            cable(laptop, "wifi0", &self.cafe, &format!("table{}", index + 1));
        }
        cable(&self.cafe, "uplink0", &self.internet, "cafe0");
        cable(&self.internet, "gateway0", &self.gateway, "wan0");
        cable(&self.internet, "office0", &self.office, "wan0");
        cable(&self.gateway, "inside0", &self.inside, "lan0");
    }

    fn address_routers(&self) {
        let mut cafe = String::from(
            "addr add 198.51.100.7/24 dev uplink0\naddr add 2001:db8:100::7/64 dev uplink0 nodad\n\
             link set uplink0 up\nroute add default via 198.51.100.1\nroute add default via 2001:db8:100::1\n",
        );
        let mut internet = String::from(
            "addr add 198.51.100.1/24 dev cafe0\naddr add 2001:db8:100::1/64 dev cafe0 nodad\nlink set cafe0 up\n\
             addr add 203.0.113.1/24 dev gateway0\naddr add 2001:db8:203::1/64 dev gateway0 nodad\n\
             link set gateway0 up\naddr add 192.0.2.1/24 dev office0\nlink set office0 up\n",
        );
        for number in 1..=self.laptops.len() {
            cafe += &format!(
                "addr add 172.16.{number}.1/24 dev table{number}\n\
                 addr add 2001:db8:16:{number}::1/64 dev table{number} nodad\nlink set table{number} up\n"
            );
            internet += &format!("route add 2001:db8:16:{number}::/64 via 2001:db8:100::7\n");
        }
        self.cafe.batch(&cafe);
        self.internet.batch(&internet);
    }

    fn address_ends(&self) {
        for (index, laptop) in self.laptops.iter().enumerate() {
            let number = index + 1;
            laptop.batch(&format!(
                "addr add 172.16.{number}.2/24 dev wifi0\naddr add 2001:db8:16:{number}::2/64 dev wifi0 nodad\n\
                 link set wifi0 up\nroute add default via 172.16.{number}.1\n\
                 route add default via 2001:db8:16:{number}::1\n"
            ));
        }
        self.office.batch("addr add 192.0.2.9/24 dev wan0\nlink set wan0 up\nroute add default via 192.0.2.1\n");
        self.gateway.batch(
            "addr add 203.0.113.2/24 dev wan0\naddr add 2001:db8:203::2/64 dev wan0 nodad\nlink set wan0 up\n\
             addr add 10.0.5.1/24 dev inside0\naddr add fd00:5::1/64 dev inside0 nodad\nlink set inside0 up\n\
             route add default via 203.0.113.1\nroute add default via 2001:db8:203::1\n",
        );
        self.inside.batch(
            "addr add 10.0.5.10/24 dev lan0\naddr add 10.0.5.20/24 dev lan0\naddr add fd00:5::10/64 dev lan0 nodad\n\
             addr add fd00:5::20/64 dev lan0 nodad\nlink set lan0 up\nroute add default via 10.0.5.1\n\
             route add default via fd00:5::1\n",
        );
    }

    /// Makes café and internet forward, and nothing else: the gateway's own forwarding is Doorward's business.
    fn open_routers(&self) {
        for router in [&self.cafe, &self.internet] {
            router.sysctl("net/ipv4/ip_forward", "1");
            router.sysctl("net/ipv6/conf/all/forwarding", "1");
        }
        self.cafe.nft(
            "table ip cafe { chain out { type nat hook postrouting priority srcnat; oifname \"uplink0\" masquerade\n}\n}\n",
        );
    }
}
