//! Who calls, looked at inside the write transaction: what a person may do is what they may at that moment, and nobody gives
//! access to themselves.

use doorward_domain::{Actor, Principal, SignedIn};
use doorward_model::Timestamp;
use doorward_store::WriteTx;

use super::Refusal;

/// Refuses who would give access to themselves: as a member of a group, or through an API token of their own making.
pub(crate) async fn refuse_own_hand(tx: &mut WriteTx, actor: &Actor, person: &Principal) -> Result<(), Refusal> {
    let own = match actor {
        Actor::Person(signed_in) => signed_in.id == person.id,
        Actor::ApiToken { name } => {
            let maker = format!("person:{}", person.email);
            tx.api_tokens().await?.iter().any(|token| token.name == *name && token.created_by == maker)
        }
        Actor::LocalAdmin { .. } | Actor::Source { .. } | Actor::Gateway { .. } | Actor::System => false,
    };
    if own {
        return Err(Refusal::Refused(format!(
            "nobody gives access to themselves, nor through a group or a token of theirs: ask somebody else for {}",
            person.email
        )));
    }
    Ok(())
}

/// Returns who acts with the role they have at this moment.
pub(crate) async fn at_this_moment(tx: &mut WriteTx, actor: &Actor, now: Timestamp) -> Result<Actor, Refusal> {
    let Actor::Person(signed_in) = actor else { return Ok(actor.clone()) };
    let gone = || Refusal::Unauthenticated("your account is not there any more".to_owned());
    let person = tx.person(signed_in.id).await?.ok_or_else(gone)?;
    person.require_active("a say", now)?;
    Ok(Actor::Person(SignedIn { role: person.role, ..signed_in.clone() }))
}
