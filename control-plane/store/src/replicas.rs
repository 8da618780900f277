//! Several control planes on one PostgreSQL: who runs, which gateway is connected where, and what gateways confirmed.
//!
//! All of it is an observation: no audit row, and no turn among the writers, so that a receipt never waits for a revocation.
//! Ages are by the database's clock, the only one that replicas have in common. On SQLite nothing is written.

use doorward_model::{EndedDevice, GatewayName, Revision, Timestamp};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};
use uuid::Uuid;

use crate::db::{Answer, int};
use crate::notify::{CONFIRMED, GATEWAYS};
use crate::open::Engine;
use crate::{Store, StoreError};

/// A run of a control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// This run's, another after each start.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
}

/// A gateway's open stream at one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySession {
    /// Whose.
    pub gateway: GatewayName,
    /// Which.
    pub session: Uuid,
    /// The revision that it enforces.
    pub revision: Option<Revision>,
    /// Devices with a live tunnel.
    pub devices_active: u32,
    /// Devices with a lease.
    pub devices_known: u32,
    /// When it was last heard, by its replica's clock.
    pub heard_at: Timestamp,
}

/// A gateway's open stream, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSomewhere {
    /// The stream.
    pub session: GatewaySession,
    /// Where it is.
    pub replica: Uuid,
    /// What people call that.
    pub replica_name: String,
}

/// What a gateway confirmed, as the replica that heard it hands it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// Which gateway.
    pub gateway: GatewayName,
    /// Everything up to this revision is enforced.
    pub revision: Revision,
    /// When it was heard, by its replica's clock.
    pub heard_at: Timestamp,
    /// From the message's arrival at the gateway to its enforcement, in microseconds.
    pub enforced_after_micros: u64,
    /// Devices that lost something.
    pub ended: Vec<EndedDevice>,
}

/// Confirmations that other replicas heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfirmedElsewhere {
    /// The place up to which they were read; hand it in the next time.
    pub read_to: i64,
    /// What was heard, in order.
    pub confirmed: Vec<Confirmed>,
}

/// A row for `jsonb_to_recordset`.
#[derive(Serialize)]
struct SessionJson<'a> {
    gateway: &'a str,
    session_id: Uuid,
    revision: Option<i64>,
    devices_active: u32,
    devices_known: u32,
    heard_at: i64,
}

impl<'a> From<&'a GatewaySession> for SessionJson<'a> {
    fn from(it: &'a GatewaySession) -> Self {
        Self {
            gateway: it.gateway.as_str(),
            session_id: it.session,
            revision: it.revision.map(|revision| int(revision.0)),
            devices_active: it.devices_active,
            devices_known: it.devices_known,
            heard_at: it.heard_at.as_microsecond(),
        }
    }
}

/// A row for `jsonb_to_recordset`.
#[derive(Serialize)]
struct ConfirmedJson<'a> {
    gateway: &'a str,
    revision: i64,
    heard_at: i64,
    enforced_after_micros: i64,
    ended: String,
}

macro_rules! database_now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

/// A replica that was not heard for 5 s is none; after an hour it is forgotten.
const HERE: &str = concat!(
    "INSERT INTO replicas (id, name, version, started_at, heard_at) VALUES ($1, $2, $3, $4, ",
    database_now!(),
    ") ON CONFLICT (id) DO UPDATE SET heard_at = excluded.heard_at"
);
const OPENED: &str = "INSERT INTO gateway_sessions (gateway, session_id, replica_id, revision, devices_active, \
     devices_known, heard_at) SELECT s.gateway, s.session_id, $2, s.revision, s.devices_active, s.devices_known, s.heard_at \
     FROM jsonb_to_recordset($1::jsonb) AS s(gateway text, session_id uuid, revision bigint, devices_active bigint, \
     devices_known bigint, heard_at bigint) ORDER BY s.gateway ON CONFLICT (gateway) DO UPDATE SET session_id = excluded.session_id, \
     replica_id = excluded.replica_id, revision = excluded.revision, devices_active = excluded.devices_active, \
     devices_known = excluded.devices_known, heard_at = excluded.heard_at";
const REFRESH: &str = "UPDATE gateway_sessions AS g SET revision = s.revision, devices_active = s.devices_active, \
     devices_known = s.devices_known, heard_at = s.heard_at FROM jsonb_to_recordset($1::jsonb) AS s(gateway text, \
     session_id uuid, revision bigint, devices_active bigint, devices_known bigint, heard_at bigint) \
     WHERE g.session_id = s.session_id AND (g.revision, g.devices_active, g.devices_known, g.heard_at) \
     IS DISTINCT FROM (s.revision, s.devices_active, s.devices_known, s.heard_at)";
const CLOSED: &str = "DELETE FROM gateway_sessions WHERE replica_id = $1 AND session_id <> ALL ($2)";
const EVERYWHERE: &str = concat!(
    "SELECT s.gateway, s.session_id, s.replica_id, s.revision, s.devices_active, s.devices_known, s.heard_at, ",
    "r.name AS replica_name FROM gateway_sessions s JOIN replicas r ON r.id = s.replica_id WHERE r.heard_at > ",
    database_now!(),
    " - 5000000"
);
const FORGET: &str = concat!("DELETE FROM replicas WHERE heard_at < ", database_now!(), " - 3600000000");
const FORGET_CONFIRMED: &str = concat!("DELETE FROM confirmations WHERE heard_at < ", database_now!(), " - 3600000000");
const SAY: &str = "SELECT pg_notify('doorward', $1)::text";
/// The lock puts the rows' numbers into the order of their commits, so that a reader that has seen one number misses none
/// below it. "relay" in ASCII.
const RELAY: &str = "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(491327873401)), kept AS (INSERT INTO confirmations \
     (replica_id, gateway, revision, heard_at, enforced_after_micros, ended) SELECT $2, c.gateway, c.revision, c.heard_at, \
     c.enforced_after_micros, c.ended FROM turn, jsonb_to_recordset($1::jsonb) AS c(gateway text, revision bigint, \
     heard_at bigint, enforced_after_micros bigint, ended text)) SELECT pg_notify('doorward', $3)::text FROM turn";
const READ: &str = "SELECT id, gateway, revision, heard_at, enforced_after_micros, ended FROM confirmations \
     WHERE id > $1 AND replica_id <> $2 ORDER BY id";

impl Store {
    /// Says that this replica runs and which streams are open here (`opened` are those that are said for the first time),
    /// and returns the open streams of all replicas.
    ///
    /// Where a gateway's stream is another than the one that is open here, it went elsewhere: the later hello counts.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn presence(
        &self,
        me: &Replica,
        opened: &[GatewaySession],
        open: &[GatewaySession],
    ) -> Result<Vec<SessionSomewhere>, StoreError> {
        match &self.engine {
            Engine::Sqlite { .. } => Ok(Vec::new()),
            Engine::Postgres { aside, .. } => presence(aside, me, opened, open).await,
        }
    }

    /// Hands on what was heard here.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn confirmations_relay(&self, me: &Replica, confirmed: &[Confirmed]) -> Result<(), StoreError> {
        let Engine::Postgres { aside, .. } = &self.engine else { return Ok(()) };
        let mut rows = Vec::with_capacity(confirmed.len());
        for it in confirmed {
            rows.push(ConfirmedJson {
                gateway: it.gateway.as_str(),
                revision: int(it.revision.0),
                heard_at: it.heard_at.as_microsecond(),
                enforced_after_micros: int(it.enforced_after_micros),
                ended: json(&it.ended)?,
            });
        }
        let relayed = sqlx::query(RELAY).bind(json(&rows)?).bind(me.id).bind(CONFIRMED);
        let relayed: Answer<'_, ()> = Box::pin(async move { Ok(relayed.execute(aside).await.map(drop)?) });
        relayed.await
    }

    /// What other replicas heard since that place.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn confirmations_elsewhere(&self, me: &Replica, since: i64) -> Result<ConfirmedElsewhere, StoreError> {
        let Engine::Postgres { aside, .. } = &self.engine else { return Ok(ConfirmedElsewhere::default()) };
        let found: Answer<'_, Vec<PgRow>> =
            Box::pin(async move { Ok(sqlx::query(READ).bind(since).bind(me.id).fetch_all(aside).await?) });
        let mut elsewhere = ConfirmedElsewhere { read_to: since, confirmed: Vec::new() };
        for row in found.await? {
            elsewhere.read_to = row.try_get("id")?;
            elsewhere.confirmed.push(confirmed(&row)?);
        }
        Ok(elsewhere)
    }

    /// The place of the latest confirmation: where a replica begins to read.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn confirmations_end(&self) -> Result<i64, StoreError> {
        let Engine::Postgres { aside, .. } = &self.engine else { return Ok(0) };
        let sql = "SELECT COALESCE(MAX(id), 0) FROM confirmations";
        Ok(sqlx::query_scalar(sql).fetch_one(aside).await?)
    }

    /// Deletes what no replica needs any longer.
    pub(crate) async fn replicas_prune(&self) -> Result<(), StoreError> {
        let Engine::Postgres { aside, .. } = &self.engine else { return Ok(()) };
        sqlx::query(FORGET).execute(aside).await?;
        sqlx::query(FORGET_CONFIRMED).execute(aside).await?;
        Ok(())
    }
}

fn presence<'a>(
    pool: &'a PgPool,
    me: &'a Replica,
    opened: &'a [GatewaySession],
    open: &'a [GatewaySession],
) -> Answer<'a, Vec<SessionSomewhere>> {
    Box::pin(async move {
        let ids: Vec<Uuid> = open.iter().map(|session| session.session).collect();
        let mut tx = pool.begin().await?;
        let here = sqlx::query(HERE).bind(me.id).bind(&me.name).bind(&me.version);
        here.bind(me.started_at.as_microsecond()).execute(&mut *tx).await?;
        let gone = sqlx::query(CLOSED).bind(me.id).bind(ids).execute(&mut *tx).await?.rows_affected();
        if !opened.is_empty() {
            sqlx::query(OPENED).bind(sessions(opened)?).bind(me.id).execute(&mut *tx).await?;
        }
        if !open.is_empty() {
            sqlx::query(REFRESH).bind(sessions(open)?).execute(&mut *tx).await?;
        }
        if gone > 0 || !opened.is_empty() {
            sqlx::query(SAY).bind(GATEWAYS).execute(&mut *tx).await?;
        }
        let everywhere = sqlx::query(EVERYWHERE).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        everywhere.iter().map(somewhere).collect()
    })
}

fn sessions(sessions: &[GatewaySession]) -> Result<String, StoreError> {
    json(&sessions.iter().map(SessionJson::from).collect::<Vec<_>>())
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::corrupt("replicas", source))
}

fn somewhere(row: &PgRow) -> Result<SessionSomewhere, StoreError> {
    Ok(SessionSomewhere {
        session: GatewaySession {
            gateway: name(row)?,
            session: row.try_get("session_id")?,
            revision: row
                .try_get::<Option<i64>, _>("revision")?
                .map(|it| count("revision", it))
                .transpose()?
                .map(Revision),
            devices_active: count("devices_active", row.try_get("devices_active")?)?,
            devices_known: count("devices_known", row.try_get("devices_known")?)?,
            heard_at: time(row)?,
        },
        replica: row.try_get("replica_id")?,
        replica_name: row.try_get("replica_name")?,
    })
}

fn confirmed(row: &PgRow) -> Result<Confirmed, StoreError> {
    let ended: String = row.try_get("ended")?;
    Ok(Confirmed {
        gateway: name(row)?,
        revision: Revision(count("revision", row.try_get("revision")?)?),
        heard_at: time(row)?,
        enforced_after_micros: count("enforced_after_micros", row.try_get("enforced_after_micros")?)?,
        ended: serde_json::from_str(&ended).map_err(|source| StoreError::corrupt("ended", source))?,
    })
}

fn name(row: &PgRow) -> Result<GatewayName, StoreError> {
    row.try_get::<String, _>("gateway")?.parse().map_err(|source| StoreError::corrupt("gateway", source))
}

fn time(row: &PgRow) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(row.try_get("heard_at")?).map_err(|source| StoreError::corrupt("heard_at", source))
}

fn count<T: TryFrom<i64>>(column: &'static str, value: i64) -> Result<T, StoreError>
where
    T::Error: std::error::Error + Send + Sync + 'static,
{
    T::try_from(value).map_err(|source| StoreError::corrupt(column, source))
}
