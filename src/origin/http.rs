//! Data of a web server.

use std::{path::Path, time::Duration};

use aws_sdk_s3::{
    config::http::{HttpRequest, HttpResponse},
    primitives::{ByteStream, SdkBody},
};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::HttpConnector;
use tokio::{fs::File, io::AsyncWriteExt};

use super::{OriginError, Seen, error::chain};

/// Without a byte for this long, the server counts as gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// Redirections that are followed.
const REDIRECTIONS: usize = 8;

/// Asks for what is at a URL; where `to` names a path, brings it there.
pub(super) async fn get(url: &str, to: Option<&Path>, ca_bundle: Option<&Path>) -> Result<Seen, OriginError> {
    let connector = connector(url, ca_bundle)?;
    let answer = match to {
        Some(_) => ask(&connector, url, "GET").await?,
        None => match ask(&connector, url, "HEAD").await {
            // Some servers know no HEAD; then the answer to a GET is read no further than its head.
            Err(OriginError::Refused { status: 400 | 403 | 405 | 501, .. }) => {
                ask(&connector, url, "GET").await?
            }
            answer => answer?,
        },
    };
    let header = |name: &str| answer.headers().get(name).map(str::to_owned);
    let tag = header("etag").or_else(|| header("content-md5")).or_else(|| header("last-modified"));
    let size = header("content-length").and_then(|length| length.parse().ok());
    let mut seen = Seen { kind: "checksum", tag, size, files: None };
    if let Some(to) = to {
        let got = write(url, ByteStream::new(answer.into_body()), to).await?;
        if seen.size.is_some_and(|size| size != got) {
            let reason = format!("{got} bytes came of {}", seen.size.unwrap_or_default());
            return Err(OriginError::Network { url: url.to_owned(), reason });
        }
        seen.size = Some(got);
    }
    Ok(seen)
}

/// Writes a body to a file; gives its length.
pub(super) async fn write(url: &str, mut body: ByteStream, to: &Path) -> Result<u64, OriginError> {
    let network = |reason: String| OriginError::Network { url: url.to_owned(), reason };
    let mut file = File::create(to).await.map_err(OriginError::io("create", to))?;
    let mut length = 0;
    loop {
        let piece = tokio::time::timeout(PATIENCE, body.next()).await;
        let piece = piece.map_err(|_| network(format!("nothing came for {} s", PATIENCE.as_secs())))?;
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|error| network(chain(&error)))?;
        length += piece.len() as u64;
        file.write_all(&piece).await.map_err(OriginError::io("write", to))?;
    }
    file.flush().await.map_err(OriginError::io("write", to))?;
    Ok(length)
}

async fn ask(connector: &Connector, url: &str, method: &str) -> Result<HttpResponse, OriginError> {
    let mut at = url.to_owned();
    for _ in 0..=REDIRECTIONS {
        let network = |reason: String| OriginError::Network { url: url.to_owned(), reason };
        let request = http::Request::builder()
            .method(method)
            .uri(&at)
            .header("user-agent", concat!("stagewright/", env!("CARGO_PKG_VERSION")))
            .body(SdkBody::empty())
            .map_err(|error| error.to_string())
            .and_then(|request| HttpRequest::try_from(request).map_err(|error| error.to_string()));
        let wrong = |reason| OriginError::Place { text: at.clone(), reason };
        let call = tokio::time::timeout(PATIENCE, connector.call(request.map_err(wrong)?)).await;
        let call = call.map_err(|_| network(format!("no answer within {} s", PATIENCE.as_secs())))?;
        let answer = call.map_err(|error| network(chain(&error)))?;
        match answer.status().as_u16() {
            200..=299 => return Ok(answer),
            404 | 410 => return Err(OriginError::Absent { url: url.to_owned() }),
            status @ (301 | 302 | 303 | 307 | 308) => {
                let next = answer.headers().get("location").map(|location| join(&at, location));
                at = next.ok_or(OriginError::Refused { url: url.to_owned(), status })?;
                if url.starts_with("https:") && !at.starts_with("https:") {
                    return Err(network(format!("it leads to {at}, which is not encrypted")));
                }
            }
            status => return Err(OriginError::Refused { url: url.to_owned(), status }),
        }
    }
    Err(OriginError::Network {
        url: url.to_owned(),
        reason: format!("it leads on more than {REDIRECTIONS} times"),
    })
}

/// A redirection's target as seen from where it stands (RFC 3986, without `.` and `..`, which servers resolve).
fn join(base: &str, target: &str) -> String {
    let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if target.starts_with("http://") || target.starts_with("https://") {
        target.to_owned()
    } else if let Some(rest) = target.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if target.starts_with('/') {
        format!("{scheme}://{authority}{target}")
    } else {
        let path = rest.strip_prefix(authority).unwrap_or_default().split('?').next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{target}")
    }
}

fn connector(url: &str, ca_bundle: Option<&Path>) -> Result<Connector, OriginError> {
    let context = tls(url, ca_bundle)?;
    Ok(Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build())
}

pub(super) fn tls(url: &str, ca_bundle: Option<&Path>) -> Result<TlsContext, OriginError> {
    let mut trust = TrustStore::default();
    if let Some(path) = ca_bundle {
        trust.add_pem_certificate(std::fs::read(path).map_err(OriginError::io("read", path))?);
    }
    let context = TlsContext::builder().with_trust_store(trust).build();
    context.map_err(|error| OriginError::Network { url: url.to_owned(), reason: chain(&error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_lead_on_from_where_they_stand() {
        let base = "https://example.org/a/b?x=1";
        let to = |target: &str| join(base, target);
        assert_eq!(to("https://other.org/c"), "https://other.org/c");
        assert_eq!(to("//other.org/c"), "https://other.org/c");
        assert_eq!(to("/c?y=2"), "https://example.org/c?y=2");
        assert_eq!(to("c"), "https://example.org/a/c");
        assert_eq!(join("https://example.org", "c"), "https://example.org/c");
    }
}
