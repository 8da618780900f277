//! The one place of the gateway that reads clocks.

use doorward_gateway_core::{BootTime, Now};
use doorward_model::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Returns the boot clock (CLOCK_BOOTTIME): it goes on while the machine sleeps, and nobody can set it.
pub(crate) fn boot_now() -> BootTime {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000;
    BootTime::from_micros(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

/// Returns both clocks, for one batch of packets or one command.
pub(crate) fn now() -> Now {
    Now { boot: boot_now(), wall: Timestamp::now() }
}
