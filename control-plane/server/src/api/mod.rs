//! The JSON shapes of the HTTP API.
//!
//! Architecture invariant: shapes alone, no routes and no use case, so that whoever speaks the API can import them. They
//! are shared with the command line, which is why each of them both serialises and deserialises.

mod account;
mod audit;
mod device;
mod ending;
mod error;
mod gateway;
mod grant;
mod group;
mod lockdown;
mod notice;
mod outcome;
mod person;
mod request;
mod resource;
mod scim;
pub mod shapes;
mod source;
mod status;
mod sync;
mod token;

pub use account::{
    InvitationMade, LoginDevice, LoginDeviceNew, LoginMade, LoginPoll, LoginPolled, LoginRedeem, LogoutRequest,
    OwnerLinkMade, OwnerLinkNew,
};
pub use audit::{AuditPage, AuditRow, AuditVerdict};
pub use device::{
    ClientGateway, ClientSettings, Device, DeviceAdded, DeviceNew, DevicePresharedKey, DeviceState, Reachable, Routes,
};
pub use ending::{EndingReceipt, PersonEnding};
pub use error::{ErrorBody, ErrorCode, ErrorDetail};
pub use gateway::{Gateway, GatewayRemoved, GatewayToken, GatewayTokenNew, RestoredAccepted};
pub use grant::{Grant, GrantAdded, GrantNew, GrantState};
pub use group::{Group, GroupMember, GroupNew};
pub use lockdown::{LockdownOutcome, LockdownSet, LockdownStatus};
pub use notice::{EndNotice, EndingKind};
pub use outcome::{EndOutcome, EndRequest, Ended, GatewayReceipt};
pub use person::{
    Person, PersonKind, PersonNew, PersonOffboard, PersonRole, PersonRoleSet, PersonSource, PersonSponsorSet,
    PersonState,
};
pub use request::{Request, RequestApproval, RequestApproved, RequestNew, RequestState};
pub use resource::{Resource, ResourceNew, ResourceOwnerSet, ResourceSpanSet};
pub use scim::{ScimAdopt, ScimDecided, ScimSource, ScimToken, ScimTokenMade, ScimTokenNew, ScimTokenRevoke};
pub use source::{
    Hook, HookMade, HookNew, HookRevoke, HookSecretShown, PollMissing, PollWanted, Polled, Source, SourceSort,
};
pub use status::{
    Alert, Certificate, CertificateSource, DatabaseStatus, DirectoryStatus, MailStatus, RecentReceipt, Status,
};
pub use sync::{PeopleSync, PeopleSynced, SyncChanged, SyncCompared, SyncGone, SyncLeft, SyncLine, SyncProblem};
pub use token::{ApiToken, ApiTokenMade, ApiTokenNew};
