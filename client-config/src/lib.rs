//! What a person's device needs: the wg-quick text that every official WireGuard app imports, and the same as a QR code.
//!
//! Everything here is made of types that cannot hold a line break, so that no name can inject a line into a config
//! that `wg-quick` reads as root.
//!
//! Architecture invariant: pure. No I/O, no clock, no randomness: [`PrivateKey`] takes its bytes from the caller. No
//! `PostUp`: this crate does not know the word. `DNS` only where the caller names a resolver.

mod endpoint;
mod key;
mod qr;
mod wg_quick;

pub use endpoint::{Endpoint, EndpointError};
pub use key::PrivateKey;
pub use qr::{QrError, qr_svg, qr_terminal};
pub use wg_quick::{ClientConfig, InterfaceKey, MTU_DEFAULT, PERSISTENT_KEEPALIVE_DEFAULT, Reached, without_comments};
