//! The control plane from outside: real HTTP over its sockets and over TLS, on SQLite and on PostgreSQL.

#[cfg(test)]
mod access;
#[cfg(test)]
mod access_fixtures;
#[cfg(test)]
mod accounts;
#[cfg(test)]
mod acme;
#[cfg(test)]
mod addresses;
#[cfg(test)]
mod api;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod authenticator;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod burst;
#[cfg(test)]
mod console;
#[cfg(test)]
mod copied_key;
#[cfg(test)]
mod disuse;
#[cfg(test)]
mod end_notices;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod enrolment;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod hook_client;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod idp;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod journal_sources;
#[cfg(test)]
mod ldap;
#[cfg(test)]
mod ldap_hostile;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod pebble;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod portal;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod provider_groups;
#[cfg(test)]
mod provider_logout;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod reinvited;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod scim;
#[cfg(test)]
mod scim_client;
#[cfg(test)]
mod scim_providers;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod slapd;
#[cfg(test)]
mod smtp;
#[cfg(test)]
mod sync;
#[cfg(test)]
mod unconfirmed;
#[cfg(test)]
mod world;
