//! No room on the gateway's disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorward_tests::shop::receipt_ms;
use doorward_tests::wait::wait_until;

use super::feed::{Apart, apart};
use super::{AtWork, EMAIL, LONG, SILENCE, SOON_MICROS, decided, stays_gone};

/// A small disk over a folder, until dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Puts what is in the folder onto a disk of 256 KiB, and fills the rest of it.
    fn over(folder: &Path) -> Self {
        let run = |program: &str, args: &[&Path]| {
            let status = Command::new(program).args(args).status().expect("running a tool of the system");
            assert!(status.success(), "{program} {args:?}");
        };
        let aside = folder.with_extension("aside");
        run("cp", &[Path::new("-a"), folder, &aside]);
        run(
            "mount",
            &["-t", "tmpfs", "-o", "size=256k,mode=0755", "tmpfs"]
                .map(Path::new)
                .iter()
                .copied()
                .chain([folder])
                .collect::<Vec<_>>(),
        );
        let disk = Self(folder.to_owned());
        run("cp", &[Path::new("-a"), &aside.join("."), folder]);
        // Whatever is left, to the last byte.
        let filled = fs::write(disk.ballast(), vec![0; 1024 * 1024]);
        assert!(filled.is_err() && fs::write(folder.join("more"), [0; 8192]).is_err(), "the disk is not full");
        disk
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what still has files open there goes on with them.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_gateway_without_room_on_its_disk_ends_a_revoked_person_in_time_and_comes_back() {
    let apart = apart();
    let disk = SmallDisk::over(&apart.remote.data);
    let Apart { mut gateway, remote, shop, .. } = apart;
    let at_work = AtWork::begin(&shop);
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    println!("a full disk at the gateway: confirmed after {} ms", receipt_ms(&outcome));
    at_work.is_over("a full disk at the gateway", decided(&outcome), SOON_MICROS);
    at_work.was_reset();

    // A start needs a few bytes of that disk: with or without them, nobody comes in.
    gateway.kill();
    let mut starved = remote.start(&shop.world.gateway, &["run", "gateway"], &[]);
    at_work.restart_client(&shop);
    at_work.stays_silent("a start without room", SILENCE);
    fs::remove_file(disk.ballast()).unwrap();
    let again = if starved.running() { starved } else { remote.start(&shop.world.gateway, &["run", "gateway"], &[]) };
    shop.doorward.ready(1);
    wait_until("the gateway to hold the newest state", LONG, || {
        let status = shop.status();
        status["gateways"][0]["revision"].as_u64() >= outcome["revision"].as_u64()
    });
    stays_gone(&shop, &at_work);
    drop(again);
}
