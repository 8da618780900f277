//! Why a use case did not do what was asked, in the words of the API.

use axum::Json;
use axum::response::{IntoResponse, Response};
use doorward_domain::{Denial, DenialCode};
use doorward_store::StoreError;

use crate::api::{ErrorBody, ErrorCode, ErrorDetail};

/// A refusal with its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// What was named does not exist.
    NotFound(String),
    /// The request makes no sense.
    Invalid(String),
    /// It clashes with what is there.
    Conflict(String),
    /// A rule forbids it.
    Refused(String),
    /// It may be done after proving a second factor again.
    FreshFactorNeeded(String),
    /// No valid credential.
    Unauthenticated(String),
    /// Something that is needed does not answer.
    Unavailable(String),
    /// A defect.
    Internal(String),
}

impl Refusal {
    /// Takes the refusal apart for the answer.
    pub(crate) fn into_parts(self) -> (ErrorCode, String) {
        match self {
            Self::NotFound(sentence) => (ErrorCode::NotFound, sentence),
            Self::Invalid(sentence) => (ErrorCode::Invalid, sentence),
            Self::Conflict(sentence) => (ErrorCode::Conflict, sentence),
            Self::Refused(sentence) => (ErrorCode::Refused, sentence),
            Self::FreshFactorNeeded(sentence) => (ErrorCode::FreshFactorNeeded, sentence),
            Self::Unauthenticated(sentence) => (ErrorCode::Unauthenticated, sentence),
            Self::Unavailable(sentence) => (ErrorCode::Unavailable, sentence),
            Self::Internal(sentence) => (ErrorCode::Internal, sentence),
        }
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial.code {
            DenialCode::NotFound => Self::NotFound(denial.sentence),
            DenialCode::Invalid => Self::Invalid(denial.sentence),
            DenialCode::Conflict => Self::Conflict(denial.sentence),
            DenialCode::Refused => Self::Refused(denial.sentence),
            DenialCode::FreshFactorNeeded => Self::FreshFactorNeeded(denial.sentence),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let sentence = error.to_string();
        match error {
            StoreError::Conflict { .. } => Self::Conflict(sentence),
            StoreError::NotFound { .. } => Self::NotFound(sentence),
            StoreError::Enrolment(_) => Self::Refused(sentence),
            StoreError::PoolFull { .. }
            | StoreError::ServicePoolFull { .. }
            | StoreError::HeldBack
            | StoreError::Silent => Self::Unavailable(sentence),
            StoreError::Full(_) | StoreError::ReadOnly(_) | StoreError::Busy(_) | StoreError::Unreachable(_) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the database refused");
                Self::Unavailable(sentence)
            }
            StoreError::Url { .. }
            | StoreError::Open { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::Migrate(_)
            | StoreError::Corrupt { .. }
            | StoreError::Query(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the database failed");
                Self::Internal(sentence)
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, message) = self.clone().into_parts();
        let mut response = (code.status(), Json(ErrorBody { error: ErrorDetail { code, message } })).into_response();
        // Around pages it is rendered once more, as a page.
        response.extensions_mut().insert(self);
        response
    }
}
