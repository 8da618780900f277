//! A gateway on another machine trades a one-time token for a certificate.

use doorward_domain::{Action, Actor, EnrolmentRefusal, Subject, TokenHash, check_enrolment};
use doorward_model::{GatewayId, GatewayName};
use doorward_store::Outbox;
use serde_json::json;
use uuid::Uuid;

use super::gateways::ENROLMENT_PREFIX;
use super::{App, Record, Refusal, allow};

/// Longest token text that is looked up: `dwg1`, 43 characters of secret, 64 of digest, two dots, room for a mistake.
const TOKEN_BYTES_MAX: usize = 160;

/// Enrols a gateway; returns its certificate in PEM.
pub(crate) async fn enrol(app: &App, token: &str, name: &GatewayName, csr_pem: &str) -> Result<String, Refusal> {
    let (actor, subject) = (Actor::Gateway { name: name.clone() }, Subject::Gateway(name.clone()));
    allow(&actor, Action::GatewayEnrol, &subject)?;
    let token = token.trim();
    if !token.starts_with(ENROLMENT_PREFIX) || token.len() > TOKEN_BYTES_MAX {
        return Err(refused(EnrolmentRefusal::Unknown));
    }
    let hash = TokenHash::of(token.as_bytes());
    let now = app.clock.now();
    // Looked up before anything is signed, so that strangers cost a query and no more.
    let found = app.store.read().await?.enrolment_token(&hash).await?;
    check_enrolment(found.as_ref(), name, now).map_err(refused)?;
    let signed = app.feed_authority.sign_gateway(name, csr_pem);
    let (certificate_pem, sha256) = signed.map_err(|error| {
        Refusal::Invalid(format!("the certificate request cannot be used ({error}): send PKCS #10 in PEM"))
    })?;
    let mut tx = app.store.write().await?;
    let gateway = tx.gateway_enrol(GatewayId::new(Uuid::now_v7()), name, &hash, &sha256, now).await?;
    let detail = json!({ "id": gateway.id, "certificate_sha256": hex::encode(sha256) });
    app.commit(tx, Record { at: now, actor: &actor, action: Action::GatewayEnrol, subject, detail }, Outbox::None)
        .await?;
    Ok(certificate_pem)
}

fn refused(refusal: EnrolmentRefusal) -> Refusal {
    Refusal::Refused(refusal.to_string())
}
