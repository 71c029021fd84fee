//! From what the SDK and the server say to who can mend it.

use std::error::Error;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::remote::{Key, RemoteError};

/// Codes of answers after which another attempt may go better.
const TRANSIENT: &[&str] = &[
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "IncompleteBody",
    "OperationAborted",
    // The bytes changed on the way.
    "BadDigest",
    "InvalidDigest",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
];

/// Codes by which the server asks for fewer requests.
const THROTTLED: &[&str] =
    &["SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"];

/// Codes for credentials that are wrong or no longer good.
const CREDENTIALS: &[&str] = &[
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "NotSignedUp",
    "UnauthorizedAccess",
];

/// An error with all that caused it, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text.replace('\n', " ")
}

/// The object was there already.
pub(super) fn is_precondition<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    // 409: another conditional write of the same object is going on.
    status == Some(412)
        || error.as_service_error().and_then(|error| error.code()) == Some("PreconditionFailed")
}

/// Sorts an error. `key` is given where its absence is an answer.
pub(super) fn classify<E>(
    error: SdkError<E, HttpResponse>,
    place: String,
    action: String,
    key: Option<&Key>,
) -> RemoteError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    let service = error.as_service_error();
    let code = service.and_then(|error| error.code()).unwrap_or_default().to_owned();
    let said = service.and_then(|error| error.message()).unwrap_or_default().trim().to_owned();
    let Some(status) = status else {
        return unanswered(&error, place, action);
    };
    let reason = match (code.is_empty(), said.is_empty()) {
        (false, false) => format!("{code}: {said}"),
        (false, true) => code.clone(),
        _ => format!("the server answered with status {status}"),
    };
    let throttled = THROTTLED.contains(&code.as_str()) || status == 429;
    match (status, code.as_str()) {
        (_, "NoSuchBucket") => RemoteError::NoBucket { place },
        (404, _) | (_, "NoSuchKey" | "NoSuchUpload" | "NotFound") => match key {
            Some(key) => RemoteError::NotFound { place, key: key.clone() },
            None => RemoteError::Refused { place, action, reason },
        },
        (416, _) => match key {
            Some(key) => {
                RemoteError::Format { place, key: key.clone(), what: "an object of the size wanted", reason }
            }
            None => RemoteError::Refused { place, action, reason },
        },
        (_, "RequestTimeTooSkewed" | "RequestExpired") => RemoteError::Clock { place, reason },
        (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
        | (301, _) => RemoteError::Region { place, reason },
        (_, code) if CREDENTIALS.contains(&code) => RemoteError::Credentials { place, reason },
        (401, _) => RemoteError::Credentials { place, reason },
        (403, _) => RemoteError::Denied { place, action, reason },
        // 409: another write of the same object is going on.
        (408 | 409 | 429 | 500 | 502..=504, _) => RemoteError::Transient { place, action, reason, throttled },
        (_, code) if throttled || TRANSIENT.contains(&code) => {
            RemoteError::Transient { place, action, reason, throttled }
        }
        // An answer that is fine but for its body.
        (200..=299, _) => RemoteError::Transient { place, action, reason: chain(&error), throttled },
        _ => RemoteError::Refused { place, action, reason },
    }
}

/// No answer came, or the request was never sent.
fn unanswered<E>(error: &SdkError<E, HttpResponse>, place: String, action: String) -> RemoteError
where
    E: Error + 'static,
{
    let reason = chain(error);
    let lower = reason.to_lowercase();
    if lower.contains("no providers in chain") {
        return RemoteError::Credentials { place, reason: "none were found".to_owned() };
    }
    if lower.contains("credential") || lower.contains("identity") || lower.contains("token") {
        return RemoteError::Credentials { place, reason };
    }
    match error {
        SdkError::ConstructionFailure(_) => RemoteError::Refused { place, action, reason },
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            RemoteError::Refused { place, action, reason }
        }
        _ => RemoteError::Transient { place, action, reason, throttled: false },
    }
}
