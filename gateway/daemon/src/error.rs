//! What can end a gateway, each as one sentence that says what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::enrol::EnrolError;

/// Why a gateway did not start, or stopped.
///
/// A gateway that returns one of these has undone what it had done to the host.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The resolver's port on a tunnel address cannot be had.
    #[error(
        "cannot listen for names on {address}: another program has that port; stop it, or set `[gateway] resolver = false`"
    )]
    Resolver {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Neither root nor CAP_NET_ADMIN.
    #[error(
        "the gateway needs CAP_NET_ADMIN to make its TUN device and NAT rules: run it as root, or with that capability"
    )]
    NotPrivileged,
    /// A folder or file under the data folder.
    #[error("cannot use {path}: make the folder writable for the gateway's user, or give another with --data")]
    DataDir {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A second gateway on one data folder.
    #[error("a gateway is running on {path} already: stop it first, or give this one its own folder with --data")]
    AlreadyRunning {
        /// The data folder.
        path: PathBuf,
    },
    /// The private key cannot be read.
    #[error("cannot read the gateway's private key {path}: it must belong to the gateway's user and have mode 0600")]
    KeyUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The private key file holds something else.
    #[error(
        "{path} holds no WireGuard private key (44 characters of base64): restore it from a backup, or remove it to make a new key, after which every device needs a new config"
    )]
    KeyFormat {
        /// The file.
        path: PathBuf,
    },
    /// Others could read the private key.
    #[error("the gateway's private key {path} can be read by others: run `chmod 600 {path}`")]
    KeyExposed {
        /// The file.
        path: PathBuf,
    },
    /// The UDP port is in use.
    #[error(
        "UDP {address} is taken by another program: stop that program, or choose another port with `[gateway] listen`"
    )]
    UdpPortTaken {
        /// The address and port.
        address: SocketAddr,
    },
    /// The UDP socket cannot be opened.
    #[error("cannot listen on UDP {address}: check that `[gateway] listen` names an address of this machine")]
    UdpBind {
        /// The address and port.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No TUN driver.
    #[error("there is no /dev/net/tun: load the driver with `modprobe tun`, or give the container that device")]
    NoTunDevice,
    /// The interface name is in use.
    #[error(
        "an interface named {name} exists already and is not this gateway's: remove it, or choose another name with `[gateway] interface`"
    )]
    InterfaceTaken {
        /// The name.
        name: String,
    },
    /// The TUN device cannot be made.
    #[error("cannot make the TUN device {name}: check that this program may use /dev/net/tun")]
    Tun {
        /// The name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// An address or link setting was refused.
    #[error("cannot {operation} {interface}: check that no other interface has the tunnel network's addresses")]
    Netlink {
        /// What was tried, as a verb and its object.
        operation: &'static str,
        /// The interface.
        interface: String,
        /// What the kernel said.
        source: Box<rtnetlink::Error>,
    },
    /// A kernel setting cannot be changed.
    #[error("cannot set {path} to {value}: set it by hand (`sysctl -w`), or let the gateway write it")]
    Sysctl {
        /// The file under /proc/sys.
        path: PathBuf,
        /// The value that was needed.
        value: String,
        /// What the system said.
        source: io::Error,
    },
    /// No `nft` program.
    #[error("the program `nft` is missing: install it with `apt install nftables`")]
    NftMissing,
    /// `nft` cannot be run, or refused the rules.
    #[error(
        "nftables refused the gateway's rules ({message}): check that the kernel has nf_tables, nft_masq and nft_ct"
    )]
    Nft {
        /// The first line that `nft` printed.
        message: String,
    },
    /// The UAPI socket cannot be opened.
    #[error("cannot open {path}, the socket that `wg show` reads: check the folder's permissions")]
    Uapi {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another WireGuard has the UAPI socket.
    #[error("another WireGuard program serves {path}: stop it, or choose another name with `[gateway] interface`")]
    UapiTaken {
        /// The socket.
        path: PathBuf,
    },
    /// The metrics port is in use or not ours.
    #[error(
        "cannot serve metrics on {address}: choose another address with `[gateway] metrics`, or turn them off with \"off\""
    )]
    Metrics {
        /// The address and port.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Capabilities cannot be dropped.
    #[error("cannot give up privileges ({message}): run the gateway as root, or with CAP_NET_ADMIN and CAP_SETPCAP")]
    Capabilities {
        /// What the system said.
        message: String,
    },
    /// A thread or the runtime cannot be started.
    #[error("cannot start the gateway's threads: the machine is out of memory or of process slots")]
    Runtime {
        /// What the system said.
        source: io::Error,
    },
    /// This gateway cannot be enrolled.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The packet thread ended by itself; nothing passes after that.
    #[error("the packet thread stopped ({message}): restart the gateway and report this with the log")]
    ShardStopped {
        /// The error or panic message.
        message: String,
    },
}
