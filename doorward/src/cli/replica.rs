//! `doorward replica`: the keys that all control planes of one database share.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use doorward_control_plane::database::forget_keys;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::database::refuse_running;
use crate::config::Config;
use crate::error::CliError;
use crate::output::Output;
use crate::private_file::PrivateFile;

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward replica export --out replica.json        # where the first control plane runs
  doorward replica import replica.json              # where the second one is to run, before its first start
  doorward replica adopt                            # all others are lost: this one's keys count from now on";

/// What to do with the keys.
#[derive(Debug, Subcommand)]
pub(super) enum ReplicaCommand {
    /// Writes the keys of this control plane into a file, for another one on the same database
    #[command(after_help = EXAMPLES)]
    Export {
        /// The file, which must not exist: whoever reads it can be this control plane
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Puts the keys of another control plane into this data folder, before its first start
    #[command(after_help = EXAMPLES)]
    Import {
        /// The file that `export` wrote; remove it afterwards
        file: PathBuf,
    },
    /// Makes this control plane's keys the ones that count, where no other is left that has the old ones
    #[command(after_help = EXAMPLES)]
    Adopt,
}

/// The files, by their place in the data folder: what is sealed in the database, who signs gateways' certificates, and the
/// own certificate, so that its fingerprint is the same everywhere.
const FILES: [(&str, bool); 5] = [
    ("keys/seal.key", true),
    ("feed-ca/ca.pem", true),
    ("feed-ca/ca.key", true),
    ("tls/cert.pem", false),
    ("tls/key.pem", false),
];
/// Largest export read, in bytes: five small files.
const EXPORT_BYTES_MAX: u64 = 256 * 1024;

/// The export.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    /// What it is, for whoever finds it.
    doorward_replica: u32,
    files: Vec<Kept>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    place: String,
    text: String,
}

impl Drop for Export {
    fn drop(&mut self) {
        self.files.iter_mut().for_each(|kept| kept.text.zeroize());
    }
}

pub(super) fn run(command: ReplicaCommand, config: &Config, out: Output) -> Result<(), CliError> {
    let data = config.data_dir();
    match command {
        ReplicaCommand::Export { out: file } => export(data, &file, out),
        ReplicaCommand::Import { file } => import(data, &file, out),
        ReplicaCommand::Adopt => adopt(config, out),
    }
}

fn failed(operation: &'static str, path: &Path, hint: &'static str) -> impl FnOnce(io::Error) -> CliError {
    let path = path.to_owned();
    move |source| CliError::File { operation, path, hint, source }
}

fn export(data: &Path, file: &Path, out: Output) -> Result<(), CliError> {
    let mut export = Export { doorward_replica: 1, files: Vec::new() };
    for (place, needed) in FILES {
        let path = data.join(place);
        match std::fs::read_to_string(&path) {
            Ok(text) => export.files.push(Kept { place: place.to_owned(), text }),
            Err(error) if !needed && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(failed("read", &path, "start this control plane once, and run this as root")(error));
            }
        }
    }
    let text = serde_json::to_string_pretty(&export)
        .map(Zeroizing::new)
        .map_err(|error| CliError::Failed(format!("the keys could not be written: {error}")))?;
    PrivateFile::reserve(file, false)?.place(&text)?;
    out.result(&serde_json::json!({ "file": file, "files": export.files.len() }), |_| {
        format!(
            "{} holds this control plane's keys. Bring it to the other machine, run `doorward replica import` there, and remove it.",
            file.display()
        )
    })
}

fn import(data: &Path, file: &Path, out: Output) -> Result<(), CliError> {
    refuse_running(data)?;
    let wrong =
        |why: String| CliError::Usage(format!("{} is no file of `doorward replica export` ({why})", file.display()));
    let size = std::fs::metadata(file).map_err(failed("read", file, "give the file that `export` wrote"))?.len();
    if size > EXPORT_BYTES_MAX {
        return Err(wrong(format!("{size} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(failed("read", file, "give the file that `export` wrote"))?;
    let text = Zeroizing::new(text);
    let export: Export = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if let Some((missing, _)) =
        FILES.iter().find(|(place, needed)| *needed && !export.files.iter().any(|kept| kept.place == *place))
    {
        return Err(wrong(format!("{missing} is missing")));
    }
    // All of it is looked at before any of it is written.
    let mut fresh = Vec::new();
    for kept in &export.files {
        let Some((place, needed)) = FILES.iter().find(|(place, _)| *place == kept.place) else {
            return Err(wrong(format!("{} is none of its files", kept.place)));
        };
        let path = data.join(place);
        match std::fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(there) if *there == kept.text => {}
            // The own certificate is nobody's secret in the database: the other's takes its place.
            Ok(_) if *needed => {
                return Err(CliError::Failed(format!(
                    "{} is another key: this control plane ran by itself before; move {} away if nothing of it is needed",
                    path.display(),
                    data.display()
                )));
            }
            Ok(_) => fresh.push((path, kept)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh.push((path, kept)),
            Err(error) => return Err(failed("read", &path, "run this as root")(error)),
        }
    }
    for (path, kept) in &fresh {
        write(data, path, &kept.text)?;
    }
    out.result(&serde_json::json!({ "written": fresh.len() }), |_| {
        format!("The keys are in {}. Remove {}, and start Doorward.", data.display(), file.display())
    })
}

/// Writes a private file for whoever has the data folder.
fn write(data: &Path, path: &Path, text: &str) -> Result<(), CliError> {
    const HINT: &str = "check that the data folder is yours and has room";
    let folder = path.parent().unwrap_or(data);
    DirBuilder::new().recursive(true).mode(0o750).create(data).map_err(failed("make", data, HINT))?;
    let owner = std::fs::metadata(data).map_err(failed("read", data, HINT))?;
    let own = |path: &Path| -> io::Result<()> {
        // As root, for the user that the folder is; `doorward up` hands over what is root's.
        if rustix::process::geteuid().is_root() { chown(path, Some(owner.uid()), Some(owner.gid())) } else { Ok(()) }
    };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.and_then(|()| own(folder)).map_err(failed("make", folder, HINT))?,
    }
    let written = (|| {
        let beside = path.with_extension("partial");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        own(&beside)?;
        std::fs::rename(&beside, path)
    })();
    written.map_err(failed("write", path, HINT))
}

fn adopt(config: &Config, out: Output) -> Result<(), CliError> {
    refuse_running(config.data_dir())?;
    if !config.database().starts_with("postgres") {
        return Err(CliError::Usage("`[server] database` is SQLite, which has one control plane".to_owned()));
    }
    let forgotten = super::runtime()?.block_on(forget_keys(config.database(), config.data_dir()));
    forgotten.map_err(|error| CliError::Failed(super::chain(&error)))?;
    out.result(&serde_json::json!({ "adopted": true }), |_| {
        "The keys of the next control plane that starts on this database count. What others sealed is lost: people set up their codes again, and gateways are enrolled again unless feed-ca was kept.".to_owned()
    })
}
