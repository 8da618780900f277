//! The journal's file: one line a decision, on the disk before anybody is told that it was taken.
//!
//! ```text
//! line = 16 hexadecimal digits of SHA-256(json) ‖ " " ‖ json ‖ "\n"
//! ```
//!
//! The file has its whole size from the start, written with zeros: a disk that is full takes lines all the same, because
//! it has the room already. Lines follow one another from the beginning; what comes after the last one is zeros. A line
//! that was cut off by a crash was never confirmed to anybody; it is passed over and overwritten.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Decision;

/// The file's size: room for about ten thousand decisions.
const FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Zeros that are written at once.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// Digits of a line's checksum.
const CHECKSUM_DIGITS: usize = 16;

/// What a file held.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Decisions, in order.
    pub(super) decisions: Vec<Decision>,
    /// Lines between others that cannot be read: the disk lost what it had confirmed.
    pub(super) damaged: usize,
}

/// The open file.
#[derive(Debug)]
pub(super) struct JournalFile {
    file: File,
    path: PathBuf,
    /// Where the next line goes.
    end: u64,
}

impl JournalFile {
    /// Opens the file, makes it first where there is none, and reads it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Found)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut journal = Self { file, path: path.to_path_buf(), end: 0 };
        journal.claim()?;
        let (found, end) = read(&journal.bytes()?);
        journal.end = end;
        journal.erase(end)?;
        Ok((journal, found))
    }

    /// Appends a decision; it is on the disk when this returns.
    pub(super) fn append(&mut self, decision: &Decision) -> io::Result<()> {
        let line = line(decision)?;
        let after = self.end.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        if after > FILE_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("the journal {} has no room left", self.path.display()),
            ));
        }
        self.file.write_all_at(line.as_bytes(), self.end)?;
        self.file.sync_data()?;
        self.end = after;
        Ok(())
    }

    /// Forgets everything: the database has it.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.erase(0)?;
        self.end = 0;
        Ok(())
    }

    /// Makes the file as long as it is to be, with blocks of its own behind all of it.
    fn claim(&self) -> io::Result<()> {
        let mut at = self.file.metadata()?.len();
        if at >= FILE_BYTES {
            return Ok(());
        }
        while at < FILE_BYTES {
            at = at.saturating_add(self.write_zeros(at)?);
        }
        self.file.sync_all()?;
        // The name has to last as well.
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    /// Writes zeros over what follows `from` and is not zero already.
    fn erase(&self, from: u64) -> io::Result<()> {
        let bytes = self.bytes()?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        let used = u64::try_from(used).unwrap_or(u64::MAX);
        if used <= from {
            return Ok(());
        }
        let mut at = from;
        while at < used {
            at = at.saturating_add(self.write_zeros(at)?);
        }
        self.file.sync_data()
    }

    /// Writes some zeros and says how many.
    fn write_zeros(&self, at: u64) -> io::Result<u64> {
        let room = usize::try_from(FILE_BYTES.saturating_sub(at)).unwrap_or(usize::MAX);
        let zeros = ZEROS.get(..room).unwrap_or(&ZEROS);
        self.file.write_all_at(zeros, at)?;
        Ok(u64::try_from(zeros.len()).unwrap_or(u64::MAX))
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.file.metadata()?.len().min(FILE_BYTES)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// Writes a decision as a line.
fn line(decision: &Decision) -> io::Result<String> {
    let json = serde_json::to_string(decision)?;
    Ok(format!("{} {json}\n", checksum(json.as_bytes())))
}

fn checksum(json: &[u8]) -> String {
    hex::encode(Sha256::digest(json)).chars().take(CHECKSUM_DIGITS).collect()
}

/// Reads lines, and says where the next one goes: after the last that is whole.
fn read(bytes: &[u8]) -> (Found, u64) {
    let (mut found, mut end, mut at, mut unread) = (Found::default(), 0, 0_usize, 0_usize);
    for chunk in bytes.split_inclusive(|byte| *byte == b'\n') {
        at = at.saturating_add(chunk.len());
        match parse(chunk) {
            Some(decision) => {
                found.decisions.push(decision);
                found.damaged = found.damaged.saturating_add(std::mem::take(&mut unread));
                end = at;
            }
            // It counts as damaged only where a whole line follows: the last one was cut off, or cleared half.
            None => unread = unread.saturating_add(1),
        }
    }
    // A crash cuts one line off, and behind it there are zeros: more than that was written by something else.
    let after = bytes.get(end..).unwrap_or_default();
    if after.iter().filter(|byte| **byte == b'\n').count() > 1 {
        found.damaged = found.damaged.saturating_add(unread);
    }
    (found, u64::try_from(end).unwrap_or(u64::MAX))
}

fn parse(line: &[u8]) -> Option<Decision> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (given, json) = line.trim_start_matches('\0').split_once(' ')?;
    (given == checksum(json.as_bytes())).then(|| serde_json::from_str(json).ok())?
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use doorward_domain::Actor;
    use doorward_model::{DecisionId, Timestamp};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::Order;
    use super::*;

    pub(in super::super) fn decision(number: u128) -> Decision {
        Decision {
            id: DecisionId::new(Uuid::from_u128(number)),
            at: Timestamp::UNIX_EPOCH,
            actor: Actor::LocalAdmin { uid: 0, name: Some("root".to_owned()) },
            reason: Some("left\u{2028}".trim().parse().unwrap()),
            order: Order::Suspend { email: format!("p{number}@shop.example").parse().unwrap() },
            person: None,
        }
    }

    /// Leaves what a server leaves that is killed while it appends.
    pub(in super::super) fn torn_line(journal: &JournalFile, bytes: usize) {
        let line = line(&decision(u128::MAX)).unwrap();
        journal.file.write_all_at(&line.as_bytes()[..bytes.min(line.len() - 1)], journal.end).unwrap();
    }

    fn ids(found: &Found) -> Vec<u128> {
        found.decisions.iter().map(|decision| decision.id.uuid().as_u128()).collect()
    }

    #[test]
    fn what_was_appended_is_there_after_a_crash_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, found) = JournalFile::open(&path).unwrap();
        assert!(found.decisions.is_empty());
        let metadata = path.metadata().unwrap();
        assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (FILE_BYTES, 0o600));
        for number in 1..=3 {
            journal.append(&decision(number)).unwrap();
        }
        let (mut journal, found) = JournalFile::open(&path).unwrap();
        assert_eq!(found.decisions, (1..=3).map(decision).collect::<Vec<_>>());
        journal.clear().unwrap();
        assert!(JournalFile::open(&path).unwrap().1.decisions.is_empty());
        assert!(std::fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_full_journal_says_so_and_keeps_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = JournalFile::open(&folder.path().join("journal")).unwrap();
        let room = FILE_BYTES - 100;
        journal.end = room;
        assert_eq!(journal.append(&decision(1)).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(journal.end, room);
    }

    #[test]
    fn a_line_that_the_disk_lost_is_counted_and_hides_no_other() {
        let mut bytes =
            [line(&decision(1)).unwrap(), line(&decision(2)).unwrap(), line(&decision(3)).unwrap()].concat();
        let second = line(&decision(1)).unwrap().len();
        bytes.replace_range(second + 30..second + 31, "#");
        let (found, end) = read(bytes.as_bytes());
        assert_eq!((ids(&found), found.damaged, end), (vec![1, 3], 1, u64::try_from(bytes.len()).unwrap()));
    }

    #[test]
    fn more_than_one_line_behind_the_last_that_nobody_can_read_is_damage_and_no_crash() {
        let whole = line(&decision(1)).unwrap();
        let torn = [&whole, "0123456789abcdef {\"id\":\n", "\0\0\0"].concat();
        assert_eq!(read(torn.as_bytes()).0.damaged, 0);
        let foreign = [&whole, "not one\nof ours\n", "\0\0\0"].concat();
        let (found, end) = read(foreign.as_bytes());
        assert_eq!((ids(&found), end), (vec![1], u64::try_from(whole.len()).unwrap()));
        assert!(found.damaged > 0);
        assert!(read(b"all of it\nis something\nelse\n").0.damaged > 0);
    }

    proptest! {
        // Each waits for the disk several times.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_torn_tail_loses_nothing_that_was_confirmed_and_is_overwritten(whole in 0_u128..6, torn in 0_usize..400) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal");
            let (mut journal, _) = JournalFile::open(&path).unwrap();
            for number in 1..=whole {
                journal.append(&decision(number)).unwrap();
            }
            // The crash comes while the next line is being written.
            torn_line(&journal, torn);
            let (mut journal, found) = JournalFile::open(&path).unwrap();
            prop_assert_eq!((ids(&found), found.damaged), ((1..=whole).collect(), 0));
            journal.append(&decision(100)).unwrap();
            let (_, found) = JournalFile::open(&path).unwrap();
            prop_assert_eq!((ids(&found), found.damaged), ((1..=whole).chain([100]).collect(), 0));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let (found, end) = read(&bytes);
            prop_assert!(found.decisions.is_empty() && end == 0);
        }
    }
}
