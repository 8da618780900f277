//! `doorward status`.

use doorward_control_plane::api::{
    Certificate, CertificateSource, DatabaseStatus, DirectoryStatus, EndingKind, Status,
};

use super::{gateway, lockdown, time};
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, Rows, one_line, or_dash};

pub(super) async fn run(client: &Client, out: Output) -> Result<(), CliError> {
    let status: Status = client.get("/api/v1/status").await?;
    out.result(&status, words)
}

fn words(status: &Status) -> String {
    let mut text = format!(
        "Doorward {}, revision {}: {} people, {} devices, {} grants\n{}\n{}\n\n{}\n",
        status.version,
        status.revision,
        status.people,
        status.devices,
        status.grants,
        lockdown::words(&status.lockdown),
        certificate(&status.certificate),
        gateway::table(&status.gateways)
    );
    if let Some(line) = database(&status.database) {
        text = format!("{line}\n\n{text}");
    }
    if let Some(it) = &status.directory {
        text.push_str(&format!("\n{}\n", directory(it)));
    }
    if let Some(mail) = &status.mail
        && mail.waiting > 0
    {
        let failing = match (&mail.error, mail.failing) {
            (Some(error), failing) => format!(", {failing} failed so far and are tried again ({error})"),
            (None, _) => String::new(),
        };
        text.push_str(&format!("\nmail: {} waiting{failing}\n", mail.waiting));
    }
    if !status.last_receipts.is_empty() {
        let mut rows = Rows::new(&["RECEIPT", "REVISION", "DECIDED", "ENFORCED AFTER"]);
        for it in &status.last_receipts {
            let after = format!("{} ms", it.enforced_after_ms);
            rows.add(vec![it.gateway.to_string(), it.revision.to_string(), time::short(it.decided_at), after]);
        }
        text.push_str(&format!("\n{}\n", rows.or_else("")));
    }
    if !status.ends_soon.is_empty() {
        let mut rows = Rows::new(&["ENDS SOON", "WHAT", "WHO", "ENDS"]);
        for it in &status.ends_soon {
            let kind = match it.kind {
                EndingKind::Grant => "grant",
                EndingKind::Person => "person",
                EndingKind::Device => "device",
            };
            let who = it.email.as_ref().map(ToString::to_string);
            let who = who.or_else(|| it.group.as_ref().map(|group| format!("group {group}")));
            rows.add(vec![kind.to_owned(), it.what.clone(), or_dash(who), time::short(it.ends_at)]);
        }
        text.push_str(&format!("\n{}\n", rows.or_else("")));
    }
    if !status.alerts.is_empty() {
        let mut rows = Rows::new(&["ALERT", "AT", "GATEWAY", "TIMES", "WHAT"]);
        for it in &status.alerts {
            rows.add(vec![
                it.kind.clone(),
                time::short(it.at),
                or_dash(it.gateway.as_ref()),
                it.count.to_string(),
                it.message.clone(),
            ]);
        }
        text.push_str(&format!("\n{}\n", rows.or_else("")));
    }
    text
}

/// Says what is wrong with the database, where something is.
fn database(it: &DatabaseStatus) -> Option<String> {
    let since = time::short_or(it.trouble_since, "a moment ago");
    let why = it.trouble.as_deref().map_or_else(String::new, |trouble| format!(": {}", one_line(trouble)));
    let waiting = match it.journalled {
        0 => String::new(),
        count => format!("\nRevocations in the journal: {count}; they are enforced, and written once it takes them"),
    };
    match (it.answers, it.trouble_since, it.journalled) {
        (true, None, 0) => None,
        (true, _, 0) => Some(format!("THE DATABASE TOOK NO CHANGE since {since}{why}")),
        (true, _, _) => Some(format!("THE DATABASE TAKES NO CHANGES since {since}{why}{waiting}")),
        (false, _, _) => Some(format!(
            "THE DATABASE DOES NOT ANSWER since {since}{why}{waiting}\nWhat follows is what the control plane knows without it"
        )),
    }
}

/// Says how late a departure in the directory may be known here.
fn directory(it: &DirectoryStatus) -> String {
    let (name, url) = (&it.name, one_line(&it.url));
    let read = match (it.asked_at, it.age_seconds, it.delay_seconds) {
        (Some(at), Some(age), Some(delay)) => format!(
            "read {} ({age} s ago), {} addresses, {} of people here; a departure there counts within {delay} s",
            time::short(at),
            it.addresses,
            it.known
        ),
        _ => "not read so far".to_owned(),
    };
    let mut text = format!("Directory {name} ({url}): {read}");
    if let Some(trouble) = &it.trouble {
        let next = time::short_or(it.next_at, "soon");
        text.push_str(&format!(
            "\n  NOT READ SINCE, {} in a row (next try {next}): {}\n  Nobody is suspended for it, and who left there is not known here",
            it.failures,
            one_line(trouble)
        ));
    }
    text
}

/// Says whose certificate the portal has, until when, and how to know it.
pub(crate) fn certificate(it: &Certificate) -> String {
    let digest = fingerprint(&it.sha256);
    let names = it.names.join(", ");
    let until = time::short(it.ends_at);
    let mut text = match it.source {
        CertificateSource::Own => format!("Certificate: Doorward's own, SHA-256 {digest}"),
        CertificateSource::Files => format!("Certificate: from files, for {names} until {until}, SHA-256 {digest}"),
        CertificateSource::Acme => {
            format!("Certificate: of a public authority, for {names} until {until}, SHA-256 {digest}")
        }
    };
    if let Some(trouble) = &it.trouble {
        let again = it.next_at.map(|at| format!(" (next try {})", time::short(at))).unwrap_or_default();
        text.push_str(&format!("\n  The next certificate has not come{again}: {}", one_line(trouble)));
    }
    text
}

/// Writes a digest as browsers show it.
fn fingerprint(hexadecimal: &str) -> String {
    let pairs = hexadecimal.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase());
    pairs.collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directorys_delay_is_shown_and_what_is_wrong() {
        let at = doorward_model::Timestamp::from_second(1_800_000_000).unwrap();
        let mut it = DirectoryStatus {
            name: "ldap".parse().unwrap(),
            url: "ldaps://dc1.shop.example".to_owned(),
            every_seconds: 300,
            delay_seconds: Some(301),
            asked_at: Some(at),
            age_seconds: Some(40),
            took_ms: Some(700),
            addresses: 1_500,
            known: 37,
            strangers: 1_463,
            failures: 0,
            trouble: None,
            next_at: Some(at),
        };
        let words = directory(&it);
        assert!(words.contains("(40 s ago), 1500 addresses, 37 of people here"), "{words}");
        assert!(words.ends_with("counts within 301 s"), "{words}");
        it.trouble = Some("dc1.shop.example:636 cannot be reached\n\u{1b}[2J".to_owned());
        it.failures = 4;
        let words = directory(&it);
        assert!(words.contains("NOT READ SINCE, 4 in a row (next try 2027-01-15T08:00:00Z)"), "{words}");
        assert!(!words.contains('\u{1b}'), "{words}");
        let never = DirectoryStatus { asked_at: None, ..it };
        assert!(directory(&never).contains("not read so far"));
    }

    #[test]
    fn the_certificate_is_shown_with_what_to_compare_and_what_is_wrong() {
        let mut it = Certificate {
            source: CertificateSource::Own,
            sha256: "00ffa1".to_owned(),
            names: vec!["door.shop.example".to_owned(), "100.80.0.1".to_owned()],
            ends_at: doorward_model::Timestamp::from_second(1_800_000_000).unwrap(),
            next_at: None,
            trouble: None,
        };
        assert_eq!(certificate(&it), "Certificate: Doorward's own, SHA-256 00:FF:A1");
        it.source = CertificateSource::Acme;
        it.next_at = Some(it.ends_at);
        let words = certificate(&it);
        assert!(words.contains("for door.shop.example, 100.80.0.1 until 2027-01-15T08:00:00Z"), "{words}");
        it.trouble = Some("the authority said \u{1b}[2J\nno".to_owned());
        let words = certificate(&it);
        assert!(words.ends_with("(next try 2027-01-15T08:00:00Z): the authority said [2J no"), "{words}");
    }
}
