//! Data of an S3 server.

use std::path::Path;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{Client, error::SdkError, operation::head_object::HeadObjectError};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use super::{OriginError, Seen, error::chain, http};
use crate::config::{Config, RemoteUrl};

/// Asks for an object; where `to` names a path, brings it there. The settings of a remote in the same bucket (endpoint, profile, region) are
/// used for it as well.
pub(super) async fn get(
    bucket: &str,
    key: &str,
    to: Option<&Path>,
    config: &Config,
) -> Result<Seen, OriginError> {
    let url = format!("s3://{bucket}/{key}");
    let client = client(bucket, &url, config).await?;
    let tag = |tag: Option<&str>| tag.map(|tag| tag.trim_matches('"').to_owned());
    let size = |length: Option<i64>| length.and_then(|length| u64::try_from(length).ok());
    let Some(to) = to else {
        let head = client.head_object().bucket(bucket).key(key).send().await;
        let head = head.map_err(|error| match error.as_service_error() {
            Some(HeadObjectError::NotFound(_)) => OriginError::Absent { url: url.clone() },
            _ => failed(&url, &error),
        })?;
        let (tag, size) = (tag(head.e_tag()), size(head.content_length()));
        return Ok(Seen { kind: "etag", tag, size, files: None });
    };
    let got = client.get_object().bucket(bucket).key(key).send().await.map_err(|error| {
        match error.as_service_error().is_some_and(|error| error.is_no_such_key()) {
            true => OriginError::Absent { url: url.clone() },
            false => failed(&url, &error),
        }
    })?;
    let mut seen =
        Seen { kind: "etag", tag: tag(got.e_tag()), size: size(got.content_length()), files: None };
    let length = http::write(&url, got.body, to).await?;
    if seen.size.is_some_and(|size| size != length) {
        let reason = format!("{length} bytes came of {}", seen.size.unwrap_or_default());
        return Err(OriginError::Network { url, reason });
    }
    seen.size = Some(length);
    Ok(seen)
}

fn failed<E: std::error::Error + 'static>(url: &str, error: &SdkError<E>) -> OriginError {
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(status) => OriginError::Refused { url: url.to_owned(), status },
        None => OriginError::Network { url: url.to_owned(), reason: chain(error) },
    }
}

async fn client(bucket: &str, url: &str, config: &Config) -> Result<Client, OriginError> {
    let context = http::tls(url, config.ca_bundle.as_deref())?;
    let http =
        Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    let known = config
        .remotes
        .values()
        .find(|remote| matches!(&remote.url, RemoteUrl::S3 { bucket: known, .. } if known == bucket));
    if let Some(profile) = known.and_then(|remote| remote.profile.as_ref()) {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = known.and_then(|remote| remote.region.as_ref()) {
        loader = loader.region(Region::new(region.clone()));
    }
    if config.unsigned {
        loader = loader.no_credentials();
    }
    let shared = loader.load().await;
    let mut builder = aws_sdk_s3::config::Builder::from(&shared);
    if shared.region().is_none() {
        builder = builder.region(Region::from_static("us-east-1"));
    }
    if let Some(remote) = known {
        builder = builder.force_path_style(remote.path_style);
        if let Some(endpoint) = &remote.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
    }
    Ok(Client::from_conf(builder.build()))
}
