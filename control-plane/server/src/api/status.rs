//! The state of the whole in one answer.

use doorward_model::{DeviceId, Email, GatewayName, SourceName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{EndNotice, Gateway, LockdownStatus};

/// `GET /api/v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The server's time.
    pub now: Timestamp,
    /// The current revision.
    pub revision: u64,
    /// Whether the database answers, and what waits to be written to it.
    pub database: DatabaseStatus,
    /// The certificate of the portal and the API.
    pub certificate: Certificate,
    /// Every gateway that is known.
    pub gateways: Vec<Gateway>,
    /// People who are active.
    pub people: u64,
    /// Devices that are not revoked.
    pub devices: u64,
    /// Grants that hold or begin later.
    pub grants: u64,
    /// Whether anybody passes.
    pub lockdown: LockdownStatus,
    /// The newest receipts, newest first, 10 at most.
    pub last_receipts: Vec<RecentReceipt>,
    /// The newest alerts that somebody should look at, newest first, 10 at most; `audit tail` has the rest.
    pub alerts: Vec<Alert>,
    /// What ends soon, the earliest first, 20 at most; `/api/v1/notices` has the rest.
    pub ends_soon: Vec<EndNotice>,
    /// How mails about ends go; `null` where none are sent.
    pub mail: Option<MailStatus>,
    /// How asking the directory for its people goes; `null` where none is asked.
    pub directory: Option<DirectoryStatus>,
}

/// A directory that is asked for its people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DirectoryStatus {
    /// The source.
    #[schema(value_type = String)]
    pub name: SourceName,
    /// Where it is.
    pub url: String,
    /// How often it is asked, in seconds.
    pub every_seconds: u64,
    /// How long a departure there may take to count here, in seconds, while rounds are read to their end; `null` before the
    /// first one.
    pub delay_seconds: Option<u64>,
    /// When the last round began that was read to its end: who left later is not known yet.
    pub asked_at: Option<Timestamp>,
    /// How long ago that was, in seconds.
    pub age_seconds: Option<u64>,
    /// How long that round took, in milliseconds, with what followed from it.
    pub took_ms: Option<u64>,
    /// Addresses that it has.
    pub addresses: u64,
    /// People here whom it has or had.
    pub known: u64,
    /// Addresses of it that are nobody's here.
    pub strangers: u64,
    /// Rounds that failed since.
    pub failures: u64,
    /// Why the last one failed.
    pub trouble: Option<String>,
    /// When it is asked next.
    pub next_at: Option<Timestamp>,
}

/// The database. While it does not answer, what else the status says is what this server knows by itself: the gateways that
/// are connected, and the people, devices and grants that they were told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseStatus {
    /// Whether it answers.
    pub answers: bool,
    /// Since when it does not answer, or takes nothing.
    pub trouble_since: Option<Timestamp>,
    /// What it said.
    pub trouble: Option<String>,
    /// Revocations that are on the control plane's own disk and wait to be written.
    pub journalled: u64,
}

/// Mails about ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MailStatus {
    /// Mails that still have to be sent.
    pub waiting: u64,
    /// Those among them that failed at least once; they are tried again.
    pub failing: u64,
    /// Why the last of those failed.
    pub error: Option<String>,
}

/// The certificate of the portal and the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// Where it comes from.
    pub source: CertificateSource,
    /// SHA-256 of it, hexadecimal.
    pub sha256: String,
    /// The names and addresses in it.
    pub names: Vec<String>,
    /// Its end.
    pub ends_at: Timestamp,
    /// When the next one is asked for, where that happens by itself.
    pub next_at: Option<Timestamp>,
    /// What stands in the way of the next one.
    pub trouble: Option<String>,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateSource {
    /// Doorward made it.
    Own,
    /// Files of the owner's.
    Files,
    /// A certificate authority, by ACME.
    Acme,
}

/// A receipt in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecentReceipt {
    /// The gateway.
    #[schema(value_type = String)]
    pub gateway: GatewayName,
    /// The revision that it enforced.
    pub revision: u64,
    /// When that revision was decided.
    pub decided_at: Timestamp,
    /// When the confirmation came.
    pub enforced_at: Timestamp,
    /// Milliseconds between the two.
    pub enforced_after_ms: u64,
}

/// Something a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// When.
    pub at: Timestamp,
    /// What kind, such as `revoked_key_knocked` or `receipt_missing`.
    pub kind: String,
    /// Which gateway told it, or missed it.
    #[schema(value_type = Option<String>)]
    pub gateway: Option<GatewayName>,
    /// The device, where one is known.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub device: Option<DeviceId>,
    /// Whose, where it is known.
    #[schema(value_type = Option<String>)]
    pub email: Option<Email>,
    /// From where, on the outside, `address:port`.
    pub source: Option<String>,
    /// One sentence with the names in it.
    pub message: String,
    /// How often.
    pub count: u64,
}
