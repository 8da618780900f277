//! What a route answers when it does not do what was asked, for the description.

use utoipa::IntoResponses;

use crate::api::ErrorBody;

/// The refusals that every route may answer with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the OpenAPI derive alone")]
pub(crate) enum Refusals {
    /// The request makes no sense.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// No valid credential.
    #[response(status = 401)]
    Unauthenticated(ErrorBody),
    /// A rule forbids it.
    #[response(status = 403)]
    Refused(ErrorBody),
    /// What was named does not exist.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// It clashes with what is there.
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// A defect.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// Something that is needed does not answer.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}
