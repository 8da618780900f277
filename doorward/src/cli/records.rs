//! `doorward resource records`: what answers for the resources' names where no resolver of ours does.

use std::net::IpAddr;

use clap::{Args, ValueEnum};
use doorward_control_plane::api::Resource;
use doorward_model::DnsName;
use serde::Serialize;

use super::resource::addresses;
use crate::client::Client;
use crate::error::CliError;
use crate::output::{self, Output};

/// Seconds that a resolver may keep a record: short enough that a removed resource is forgotten within minutes.
const RECORD_TTL_SECONDS: u32 = 300;

/// How the records are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines of a zone file, A and AAAA (RFC 1035 section 5)
    #[default]
    Zone,
    /// Lines of /etc/hosts
    Hosts,
}

/// How to print the records.
#[derive(Debug, Args)]
pub(super) struct RecordsArgs {
    /// For a zone file, or for /etc/hosts
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// One record.
#[derive(Debug, Serialize)]
struct Record {
    name: DnsName,
    #[serde(rename = "type")]
    kind: &'static str,
    address: IpAddr,
}

pub(super) async fn run(args: &RecordsArgs, client: &Client, out: Output) -> Result<(), CliError> {
    let resources: Vec<Resource> = client.get("/api/v1/resources").await?;
    let mut records = Vec::new();
    for resource in &resources {
        let addresses = addresses(resource);
        let Some(name) = resource.dns_name.as_ref().filter(|_| !addresses.is_empty()) else {
            let name = &resource.name;
            output::warn(&format!(
                "{name} is left out: it has no service address (a network that is too small, or prefixes for targets), or its name is no DNS label"
            ));
            continue;
        };
        records.extend(addresses.into_iter().map(|address| Record {
            name: name.clone(),
            kind: if address.is_ipv4() { "A" } else { "AAAA" },
            address,
        }));
    }
    if out.is_json() {
        return out.json(&records);
    }
    if records.is_empty() {
        output::warn("there is no record to print: add a resource with `doorward resource add`");
        return Ok(());
    }
    out.text(&text(&records, args.format))
}

/// Writes the records; every part is of a type that cannot hold a space or a line break.
fn text(records: &[Record], format: Format) -> String {
    let line = |Record { name, kind, address }: &Record| match format {
        Format::Zone => format!("{name}. {RECORD_TTL_SECONDS} IN {kind} {address}"),
        Format::Hosts => format!("{address} {name}"),
    };
    records.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_and_a_hosts_file_get_their_own_lines() {
        let record = |kind, address: &str| Record {
            name: "panel.doorward.internal".parse().unwrap(),
            kind,
            address: address.parse().unwrap(),
        };
        let records = [record("A", "100.80.255.254"), record("AAAA", "fd64:6f6f:7277::fffe")];
        assert_eq!(
            text(&records, Format::Zone),
            "panel.doorward.internal. 300 IN A 100.80.255.254\n\
             panel.doorward.internal. 300 IN AAAA fd64:6f6f:7277::fffe"
        );
        assert_eq!(
            text(&records, Format::Hosts),
            "100.80.255.254 panel.doorward.internal\nfd64:6f6f:7277::fffe panel.doorward.internal"
        );
    }
}
