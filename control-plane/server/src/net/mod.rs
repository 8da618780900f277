//! Listeners: who may connect, over what, and in which bounds. What is said on a connection is the routers' business.

mod certificates;
mod files;
mod mail;
mod plain;
mod provider;
mod seal;
mod serve;
mod tls;
mod unix;

pub(crate) use certificates::FeedAuthority;
pub(crate) use files::create_data_dir;
pub(crate) use mail::{Mail, MailError};
pub(crate) use plain::PlainAcceptor;
pub(crate) use provider::{Provider, ProviderError, Vouched};
pub(crate) use seal::Seal;
pub(crate) use serve::{Peer, serve};
pub(crate) use tls::{TlsAcceptor, api_tls, feed_tls};
pub(crate) use unix::{SocketAccess, UnixAcceptor, bind_unix};
