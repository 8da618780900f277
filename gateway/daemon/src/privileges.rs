//! What the gateway may do: CAP_NET_ADMIN, and after opening everything, nothing else.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use caps::{CapSet, Capability, CapsHashSet};

use crate::error::GatewayError;

/// Checks for CAP_NET_ADMIN.
///
/// # Errors
/// [`GatewayError::NotPrivileged`].
pub(crate) fn check() -> Result<(), GatewayError> {
    match caps::has_cap(None, CapSet::Effective, Capability::CAP_NET_ADMIN) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(GatewayError::NotPrivileged),
    }
}

/// Joins the group that owns the data folder, so that `feed.sock` opens without CAP_DAC_OVERRIDE when the control
/// plane runs as another user of that group.
///
/// Concerns this thread and those that it starts.
pub(crate) fn join_group_of(data_dir: &Path) {
    let joined = std::fs::metadata(data_dir).and_then(|folder| {
        let mut groups = rustix::process::getgroups()?;
        let group = rustix::process::Gid::from_raw(folder.gid());
        if !groups.contains(&group) {
            groups.push(group);
            rustix::thread::set_thread_groups(&groups)?;
        }
        Ok(())
    });
    if let Err(error) = joined {
        tracing::debug!(%error, "cannot join the group of the data folder");
    }
}

/// Keeps CAP_NET_ADMIN (routes, NAT rules, connection tracking) for this thread and those that it starts, and drops
/// everything else, from the bounding set as well.
///
/// # Errors
/// [`GatewayError::Capabilities`].
pub(crate) fn drop_all_but_net_admin() -> Result<(), GatewayError> {
    let failed = |error: caps::errors::CapsError| GatewayError::Capabilities { message: error.to_string() };
    let kept = CapsHashSet::from([Capability::CAP_NET_ADMIN]);
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(failed)? {
        for capability in caps::read(None, CapSet::Bounding).map_err(failed)? {
            if capability != Capability::CAP_NET_ADMIN {
                caps::drop(None, CapSet::Bounding, capability).map_err(failed)?;
            }
        }
    }
    // Inheritable and ambient let `nft` and `conntrack` work when the gateway runs as another user than root.
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)?;
    caps::set(None, CapSet::Inheritable, &kept).map_err(failed)?;
    caps::set(None, CapSet::Ambient, &kept).map_err(failed)
}
