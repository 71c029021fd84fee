//! The SDK's client: credentials by its chain, one TLS stack, timeouts that end what hangs.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{
    Client,
    config::{
        ConfigBag, Intercept, RequestChecksumCalculation, ResponseChecksumValidation, RuntimeComponents,
        SharedHttpClient, interceptors::BeforeDeserializationInterceptorContextRef, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::BoxError,
    primitives::{DateTime, DateTimeFormat},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};

use super::Access;
use crate::{config::RemoteSettings, remote::RemoteError};

/// Time to reach the server.
const CONNECT: Duration = Duration::from_secs(10);
/// Time to the first byte of an answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Time for one attempt with all its bytes.
const ATTEMPT: Duration = Duration::from_secs(600);

/// No answer has told the server's time yet.
pub(super) const UNKNOWN: i64 = i64::MIN;

/// How far the server's clock is ahead, in seconds, as of its last answer.
#[derive(Debug)]
pub(super) struct Clock(pub(super) AtomicI64);

#[derive(Debug)]
struct ReadDate(Arc<Clock>);

impl Intercept for ReadDate {
    fn name(&self) -> &'static str {
        "ReadDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|now| i64::try_from(now.as_secs()).ok());
        if let (Some(date), Some(now)) = (date, now) {
            self.0.0.store(date.secs() - now, Ordering::Relaxed);
        }
        Ok(())
    }
}

pub(super) async fn connect(
    settings: &RemoteSettings,
    access: Access,
    ca_bundle: Option<&Path>,
    clock: Arc<Clock>,
    place: String,
) -> Result<Client, RemoteError> {
    let http = http_client(ca_bundle, &place)?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    loader = match access {
        Access::Chain => loader,
        Access::Given(credentials) => loader.credentials_provider(credentials),
        Access::Unsigned => loader.no_credentials(),
    };
    let shared = loader.load().await;
    let region = shared.region().cloned();
    // Servers with an endpoint of their own rarely care, but a signature has to name one.
    let region = region.or_else(|| settings.endpoint.as_ref().map(|_| Region::from_static("us-east-1")));
    if region.is_none() {
        return Err(RemoteError::SetUp {
            place,
            reason: "no region is set, neither for the remote nor in the profile or AWS_REGION".to_owned(),
        });
    }
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(ANSWER)
        .operation_attempt_timeout(ATTEMPT)
        .build();
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        .region(region)
        .force_path_style(settings.path_style)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        // Each request that carries bytes names their SHA-256; the SDK need not add another checksum. What comes is compared
        // with a digest.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .interceptor(ReadDate(clock));
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

fn http_client(ca_bundle: Option<&Path>, place: &str) -> Result<SharedHttpClient, RemoteError> {
    let mut trust = TrustStore::default();
    if let Some(path) = ca_bundle {
        trust.add_pem_certificate(std::fs::read(path).map_err(RemoteError::io("read", path))?);
    }
    let context = TlsContext::builder().with_trust_store(trust).build();
    let context = context.map_err(|error| RemoteError::SetUp {
        place: place.to_owned(),
        reason: super::error::chain(&error),
    })?;
    Ok(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build_https())
}
