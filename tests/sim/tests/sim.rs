//! The simulation in CI: the corpus again, fresh schedules from a seed that is printed, and proof that it can fail.

#![allow(clippy::panic, reason = "a test fails by panicking with a sentence")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::SystemTime;

use doorward_sim::runner::{Failure, play_bytes, run};
use doorward_sim::source::Seeded;
use doorward_sim::step::{read, schedule, write};
use doorward_sim::subject::Fault;
use doorward_sim::world::{Seen, play};

fn played(seed: u64, schedules: u64, fault: Fault) -> Result<Seen, Box<Failure>> {
    run(seed, 0..schedules, fault, &AtomicU64::new(0), &AtomicBool::new(false))
}

fn count(seen: &Seen, name: &str) -> u64 {
    match name {
        "up" => seen.up_required,
        "down" => seen.down_required,
        "allowed" => seen.allowed,
        "forbidden" => seen.forbidden,
        "handshakes" => seen.handshakes,
        "waited" => seen.waited,
        "own" => seen.own,
        "translated" => seen.translated,
        "cut" => seen.cut,
        _ => panic!("`{name}` is not counted"),
    }
}

/// A corpus file may say in a line that begins with `#=` what is seen in it, so that it stays worth its place.
#[test]
fn every_schedule_of_the_corpus_keeps_the_promises() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display();
        let text = std::fs::read_to_string(&path).unwrap();
        let steps = read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let seen = play(&steps, Fault::None).unwrap_or_else(|violation| panic!("{name}: {violation:?}"));
        for pair in text.lines().filter_map(|line| line.strip_prefix("#=")).flat_map(str::split_whitespace) {
            let (what, expected) = pair.split_once('=').unwrap();
            assert_eq!(count(&seen, what), expected.parse().unwrap(), "{name}: {what}");
        }
        files += 1;
    }
    assert!(files >= 15, "{files} files in {}", folder.display());
}

#[test]
fn fresh_schedules_keep_the_promises() {
    const SCHEDULES: u64 = 10_000;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = std::env::var("DOORWARD_SIM_SEED").map_or(since.as_secs(), |seed| seed.parse().unwrap());
    eprintln!("seed {seed}: DOORWARD_SIM_SEED={seed} plays the same schedules again");
    let seen = played(seed, SCHEDULES, Fault::None).unwrap_or_else(|failure| panic!("{}", failure.text(seed)));
    // Far below what is usual; it says that something passes at all, in every way in which something can.
    let usual = [("up", 10_000), ("down", 8_000), ("allowed", 200), ("forbidden", 50_000), ("own", 5_000)];
    for (name, least) in usual.into_iter().chain([("translated", 2_000), ("cut", 1_500)]) {
        assert!(count(&seen, name) >= least, "seed {seed}: {name}: {seen:?}");
    }
}

#[test]
fn a_seed_gives_the_same_again() {
    assert_eq!(played(7, 300, Fault::None).unwrap(), played(7, 300, Fault::None).unwrap());
}

#[test]
fn a_schedule_is_read_as_it_is_written() {
    for number in 0..200 {
        let steps = schedule(&mut Seeded::new(11, number));
        assert_eq!(read(&write(&steps)).unwrap(), steps);
    }
    assert!(read("remove device=1").is_err(), "a value is missing");
    assert!(read("remove device=1 joined=0 why=2").is_err(), "a value too many");
    assert!(read("dance").is_err());
}

#[test]
fn bytes_are_a_schedule_too() {
    let bytes: Vec<u8> = (0..2_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    assert_eq!(play_bytes(&bytes).unwrap().steps, 200);
    assert_eq!(play_bytes(&[]).unwrap().steps, 0);
}

/// Each broken shell must be noticed, and what is left after shrinking must show it again.
#[test]
fn a_shell_that_breaks_a_promise_is_noticed() {
    for fault in Fault::ALL {
        let Err(failure) = played(3, 20_000, fault) else { panic!("{fault:?} went unnoticed") };
        let steps = read(&failure.text(3)).unwrap();
        assert_eq!(play(&steps, fault).unwrap_err(), failure.violation, "{fault:?}");
        assert!(steps.len() <= 30, "{fault:?}: {} steps are left", steps.len());
        assert!(play(&steps, Fault::None).is_ok(), "{fault:?}: the honest shell fails too");
        eprintln!("{fault:?}: {} steps: {}", steps.len(), failure.violation.what);
    }
}
