//! Requests for access.

use doorward_domain::{Asked, Decided, Request, RequestState};
use doorward_model::{GrantId, PrincipalId, RequestId, ResourceId, Span, Timestamp};

use crate::db::{Row, args};
use crate::{ReadTx, StoreError, WriteTx};

/// Requests of one answer at most.
const ROWS_MAX: i64 = 1_000;

macro_rules! select_requests {
    ($tail:literal) => {
        concat!(
            "SELECT r.id AS id, r.principal_id AS principal_id, r.resource_id AS resource_id, r.span_seconds AS span_seconds, ",
            "r.not_before AS not_before, r.not_after AS not_after, r.reason AS reason, r.renews_id AS renews_id, ",
            "r.requested_by AS requested_by, r.created_at AS created_at, r.expires_at AS expires_at, r.state AS state, ",
            "r.decided_by AS decided_by, r.decided_at AS decided_at, r.decision_reason AS decision_reason, ",
            "r.grant_id AS grant_id FROM requests r ",
            $tail
        )
    };
}

fn request(row: &Row) -> Result<Request, StoreError> {
    let from = row.time_opt("not_before")?;
    let span = row.count_opt("span_seconds")?.and_then(Span::from_secs);
    let asked = match (span, row.time_opt("not_after")?) {
        (Some(span), None) => Asked::For { span, from },
        (None, Some(until)) => Asked::Until { from, until },
        (Some(_), Some(_)) | (None, None) => {
            return Err(StoreError::not_found("the database holds a request for no time: restore it from a copy"));
        }
    };
    let decided = match (row.get::<Option<String>>("decided_by")?, row.time_opt("decided_at")?) {
        (Some(by), Some(at)) => Some(Decided { by, at, reason: row.parsed_opt("decision_reason")? }),
        (Some(_) | None, _) => None,
    };
    Ok(Request {
        id: RequestId::new(row.get("id")?),
        principal: PrincipalId::new(row.get("principal_id")?),
        resource: ResourceId::new(row.get("resource_id")?),
        asked,
        reason: row.parsed("reason")?,
        renews: row.get::<Option<uuid::Uuid>>("renews_id")?.map(GrantId::new),
        requested_by: row.get("requested_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        recorded: row.parsed("state")?,
        decided,
        grant: row.get::<Option<uuid::Uuid>>("grant_id")?.map(GrantId::new),
    })
}

impl ReadTx {
    /// The request with this id.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn request(&mut self, id: RequestId) -> Result<Option<Request>, StoreError> {
        let sql = select_requests!("WHERE r.id = $1");
        self.tx.row(sql, args![id.uuid()]).await?.as_ref().map(request).transpose()
    }

    /// The newest requests in whatever state, the newest first; at most 1,000.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn requests(&mut self) -> Result<Vec<Request>, StoreError> {
        let sql = select_requests!("ORDER BY r.created_at DESC, r.id DESC LIMIT $1");
        self.tx.rows(sql, args![ROWS_MAX]).await?.iter().map(request).collect()
    }

    /// Somebody's newest requests, the newest first; at most 1,000.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn requests_of(&mut self, person: PrincipalId) -> Result<Vec<Request>, StoreError> {
        let sql = select_requests!("WHERE r.principal_id = $1 ORDER BY r.created_at DESC, r.id DESC LIMIT $2");
        self.tx.rows(sql, args![person.uuid(), ROWS_MAX]).await?.iter().map(request).collect()
    }

    /// The requests that wait for an answer, the oldest first; at most 1,000.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn requests_open(&mut self, now: Timestamp) -> Result<Vec<Request>, StoreError> {
        let sql = select_requests!("WHERE r.state = 'open' AND r.expires_at > $1 ORDER BY r.created_at, r.id LIMIT $2");
        self.tx.rows(sql, args![now, ROWS_MAX]).await?.iter().map(request).collect()
    }
}

impl WriteTx {
    /// Keeps a request.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the person has an open request for that resource.
    pub async fn request_add(&mut self, request: &Request) -> Result<(), StoreError> {
        let expired = "UPDATE requests SET state = 'expired', decided_by = 'system', decided_at = expires_at \
                       WHERE principal_id = $1 AND state = 'open' AND expires_at <= $2";
        self.tx.execute(expired, args![request.principal.uuid(), request.created_at]).await?;
        let open = select_requests!("WHERE r.principal_id = $1 AND r.resource_id = $2 AND r.state = 'open'");
        if let Some(row) = self.tx.row(open, args![request.principal.uuid(), request.resource.uuid()]).await? {
            let id = RequestId::new(row.get("id")?);
            return Err(StoreError::conflict(format!(
                "request {id} for the same resource waits for an answer already: withdraw it with `doorward request withdraw {id}` to ask for something else"
            )));
        }
        let (span, from, until) = match request.asked {
            Asked::For { span, from } => (Some(span.duration().as_secs()), from, None),
            Asked::Until { from, until } => (None, from, Some(until)),
        };
        let sql = "INSERT INTO requests (id, principal_id, resource_id, span_seconds, not_before, not_after, reason, renews_id, \
                   requested_by, created_at, expires_at, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let args = args![
            request.id.uuid(),
            request.principal.uuid(),
            request.resource.uuid(),
            span,
            from,
            until,
            request.reason.as_str(),
            request.renews.map(GrantId::uuid),
            request.requested_by.as_str(),
            request.created_at,
            request.expires_at,
            request.recorded.as_str(),
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Keeps what was decided on a request.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where it was not open any more.
    pub async fn request_decide(
        &mut self,
        id: RequestId,
        state: RequestState,
        decided: &Decided,
        grant: Option<GrantId>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE requests SET state = $2, decided_by = $3, decided_at = $4, decision_reason = $5, grant_id = $6 \
                   WHERE id = $1 AND state = 'open'";
        let args = args![
            id.uuid(),
            state.as_str(),
            decided.by.as_str(),
            decided.at,
            decided.reason.clone().map(String::from),
            grant.map(GrantId::uuid),
        ];
        match self.tx.execute(sql, args).await? {
            0 => Err(StoreError::conflict(format!(
                "request {id} was decided already: see `doorward request list --all`"
            ))),
            _ => Ok(()),
        }
    }

    /// Takes back what somebody asked for and nobody answered.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn requests_withdraw(
        &mut self,
        person: PrincipalId,
        by: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let sql = "UPDATE requests SET state = 'withdrawn', decided_by = $2, decided_at = $3 \
                   WHERE principal_id = $1 AND state = 'open'";
        self.tx.execute(sql, args![person.uuid(), by, now]).await
    }
}
