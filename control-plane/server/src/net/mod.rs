//! Listeners: who may connect, over what, and in which bounds. What is said on a connection is the routers' business.

mod acme;
mod certificates;
mod files;
mod ldap;
mod mail;
mod plain;
mod provider;
mod seal;
mod serve;
mod tls;
mod unix;

pub(crate) use acme::{Acme, AcmeError, renewal_of, warning_of};
pub(crate) use certificates::{FeedAuthority, sha256};
pub(crate) use files::{create_data_dir, file_error};
pub(crate) use ldap::{Ldap, LdapError};
pub(crate) use mail::{Mail, MailError};
pub(crate) use plain::PlainAcceptor;
pub(crate) use provider::{LoggedOut, Provider, ProviderError, Vouched};
pub(crate) use seal::Seal;
pub(crate) use serve::{Peer, serve};
pub(crate) use tls::{
    Certificates, Facts, Outlook, Source, TlsAcceptor, feed_tls, open_certificates, portal_tls, read_files,
};
pub(crate) use unix::{SocketAccess, UnixAcceptor, bind_unix};
