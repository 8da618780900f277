//! Decisions to take something away: which ones were written.

use doorward_model::{DecisionId, Timestamp};

use crate::db::args;
use crate::{ReadTx, StoreError, WriteTx};

/// How long it is known that a decision was written: far longer than one could wait to be.
const KEPT: std::time::Duration = std::time::Duration::from_secs(366 * 24 * 3600);

impl ReadTx {
    /// Says whether this decision was written.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn decision_is_written(&mut self, id: DecisionId) -> Result<bool, StoreError> {
        Ok(self.tx.row("SELECT id FROM decisions WHERE id = $1", args![id.uuid()]).await?.is_some())
    }
}

impl WriteTx {
    /// Notes that this decision is written with this change; `false` where it was written before, and the change must not
    /// be kept then.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn decision_add(
        &mut self,
        id: DecisionId,
        decided_at: Timestamp,
        written_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO decisions (id, decided_at, written_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
        Ok(self.tx.execute(sql, args![id.uuid(), decided_at, written_at]).await? == 1)
    }

    pub(crate) async fn decisions_prune(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let before = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        self.tx.execute("DELETE FROM decisions WHERE written_at < $1", args![before]).await.map(drop)
    }
}
