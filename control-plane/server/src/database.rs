//! What is done to a database while no control plane runs on it.

use std::path::Path;
use std::pin::Pin;

pub use doorward_store::{Copied, CopyError, Progress};
use doorward_store::{Store, StoreError};

/// See [`doorward_store::copy`].
///
/// # Errors
/// [`CopyError`].
#[must_use]
pub fn copy<'a>(
    from: &'a str,
    data_dir: &'a Path,
    to: &'a str,
    dry: bool,
    progress: Progress<'a>,
) -> Pin<Box<dyn Future<Output = Result<Copied, CopyError>> + Send + 'a>> {
    doorward_store::copy(from, data_dir, to, dry, progress)
}

/// Makes the next control plane that starts on a database the one whose keys count.
///
/// # Errors
/// Any [`StoreError`] of writing.
#[must_use]
pub fn forget_keys<'a>(
    database: &'a str,
    data_dir: &'a Path,
) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>> {
    Box::pin(async move {
        let store = Store::open(database, data_dir).await?;
        store.site_keys_forget().await?;
        store.close().await;
        Ok(())
    })
}
