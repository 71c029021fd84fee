//! Responses, all with the headers that keep a page private and to itself.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION},
};
use tokio::sync::mpsc::Receiver;

use super::gate::Refusal;
use crate::report;

/// A body that is there, or one that comes as things happen.
pub(super) enum ReplyBody {
    /// All of it.
    Whole(Option<Bytes>),
    /// Server-sent events; the end of the channel is the end.
    Events(Receiver<Bytes>),
}

/// A response of this server.
pub(super) type Reply = Response<ReplyBody>;

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(events) => {
                events.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// What every response says. Nothing of it is kept by a cache, shown in a frame, read by another page or told to another server.
const PRIVATE: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

fn reply(status: StatusCode, media_type: &'static str, policy: &str, body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    for (name, value) in PRIVATE {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Made of hashes and words of ours, so it is always a value.
    if let Ok(policy) = HeaderValue::from_str(&format!("{policy}; frame-ancestors 'none'")) {
        headers.insert("content-security-policy", policy);
    }
    reply
}

/// A page.
pub(super) fn page(status: StatusCode, html: String) -> Reply {
    reply(status, "text/html; charset=utf-8", &report::policy(true), ReplyBody::Whole(Some(html.into())))
}

/// Events as they come; without a source, for who only asks what it would be.
pub(super) fn events(source: Option<Receiver<Bytes>>) -> Reply {
    let body = source.map_or(ReplyBody::Whole(None), ReplyBody::Events);
    reply(StatusCode::OK, "text/event-stream", "default-src 'none'", body)
}

/// Says no to who does not know the token or wants what there is not.
pub(super) fn refusal(refusal: Refusal) -> Reply {
    let status = match refusal {
        Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::Host | Refusal::Token => StatusCode::FORBIDDEN,
    };
    let mut reply = text(status, refusal.message());
    if refusal == Refusal::Method {
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    reply
}

/// A line of text.
pub(super) fn text(status: StatusCode, text: &'static str) -> Reply {
    let body = ReplyBody::Whole(Some(Bytes::from_static(text.as_bytes())));
    reply(status, "text/plain; charset=utf-8", "default-src 'none'", body)
}

/// Leads to the first page.
pub(super) fn moved(address: &str) -> Reply {
    let mut reply = text(StatusCode::PERMANENT_REDIRECT, "");
    if let Ok(address) = HeaderValue::from_str(address) {
        reply.headers_mut().insert(LOCATION, address);
    }
    reply
}
