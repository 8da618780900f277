//! Whether a lockdown is on.

use doorward_domain::LockdownState;
use doorward_model::{DeviceId, GroupId, Lockdown};

use crate::db::args;
use crate::{ReadTx, StoreError, WriteTx};

impl ReadTx {
    /// Whether a lockdown is on, since when, and why.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn lockdown(&mut self) -> Result<LockdownState, StoreError> {
        let row = self
            .tx
            .row("SELECT state, except_group_id, reason, changed_by, changed_at FROM lockdown WHERE id = 1", args![])
            .await?;
        let row =
            row.ok_or_else(|| StoreError::not_found("the database has lost its lockdown row: restore it from a copy"))?;
        let state = match row.get::<String>("state")?.as_str() {
            "off" => Lockdown::Off,
            // What cannot be read locks: a missing or contradictory state is a denial.
            _ => Lockdown::On,
        };
        Ok(LockdownState {
            state,
            except: row.get::<Option<uuid::Uuid>>("except_group_id")?.map(GroupId::new),
            reason: row.parsed_opt("reason")?,
            changed_by: row.get("changed_by")?,
            changed_at: row.time_opt("changed_at")?,
        })
    }

    /// The devices that pass during the lockdown that is on: those of the members of its exempt group.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn lockdown_exempt(&mut self, lockdown: &LockdownState) -> Result<Vec<DeviceId>, StoreError> {
        match (lockdown.state, lockdown.except) {
            (Lockdown::On, Some(group)) => self.group_devices(group).await,
            (Lockdown::On, None) | (Lockdown::Off, _) => Ok(Vec::new()),
        }
    }
}

impl WriteTx {
    /// Turns a lockdown on or off.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn lockdown_set(&mut self, lockdown: &LockdownState) -> Result<(), StoreError> {
        let state = match lockdown.state {
            Lockdown::Off => "off",
            Lockdown::On => "on",
        };
        let reason = lockdown.reason.clone().map(String::from);
        let sql = "UPDATE lockdown SET state = $1, reason = $2, changed_by = $3, changed_at = $4, except_group_id = $5 \
                   WHERE id = 1";
        let except = lockdown.except.map(GroupId::uuid);
        let args = args![state, reason, lockdown.changed_by.as_str(), lockdown.changed_at, except];
        self.tx.execute(sql, args).await.map(drop)
    }
}
