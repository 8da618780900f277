//! The control plane from outside: real HTTP over its sockets and over TLS, on SQLite and on PostgreSQL.

#[cfg(test)]
mod access;
#[cfg(test)]
mod addresses;
#[cfg(test)]
mod api;
#[cfg(test)]
mod enrolment;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod world;
