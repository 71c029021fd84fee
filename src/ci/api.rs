//! Comments of a pull request over GitHub's REST interface: <https://docs.github.com/rest/issues/comments>.

use std::{path::Path, time::Duration};

use aws_sdk_s3::{
    config::http::HttpRequest,
    primitives::{ByteStream, SdkBody},
};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::HttpConnector;
use serde_json::{Value, json};

use super::{
    CiError,
    comment::{Comments, Found},
};

/// Time for one request with its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Attempts where the server or the way to it failed.
const ATTEMPTS: u32 = 3;
/// Before the first attempt more; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// The version of the interface that this was written for.
const VERSION: &str = "2022-11-28";

/// The comments of one pull request.
#[derive(Debug)]
pub struct GithubComments {
    connector: Connector,
    api: String,
    repository: String,
    number: u64,
    token: String,
}

impl GithubComments {
    /// The comments of pull request `number` of `repository` (`owner/name`), at the interface `api`. `ca_bundle` names certificates to
    /// trust beside the system's.
    pub fn new(
        api: &str,
        repository: &str,
        number: u64,
        token: String,
        ca_bundle: Option<&Path>,
    ) -> Result<Self, CiError> {
        let failed = |reason: String| CiError::NoAnswer { action: "reach GitHub".to_owned(), reason };
        let mut trust = TrustStore::default();
        if let Some(path) = ca_bundle {
            let certificates = std::fs::read(path)
                .map_err(|error| failed(format!("cannot read {}: {error}", path.display())))?;
            trust.add_pem_certificate(certificates);
        }
        let context = TlsContext::builder().with_trust_store(trust).build();
        let context = context.map_err(|error| failed(error.to_string()))?;
        let connector =
            Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context);
        Ok(Self {
            connector: connector.build(),
            api: api.trim_end_matches('/').to_owned(),
            repository: repository.to_owned(),
            number,
            token,
        })
    }

    /// Asks until there is an answer that another attempt would not change.
    async fn ask(
        &self,
        what: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CiError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let answer = self.ask_once(what, method, path, body).await;
            // A comment that was written although its answer got lost is found by its marker the next time; here it might be
            // written twice, so only what changes nothing twice is tried again.
            let again = method != "POST" && attempt < ATTEMPTS;
            match answer {
                Err(CiError::NoAnswer { .. } | CiError::Refused { status: 429 | 500.., .. }) if again => {}
                answer => return answer,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(CiError::NoAnswer { action: what.to_owned(), reason: "no attempt was made".to_owned() })
    }

    async fn ask_once(
        &self,
        what: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CiError> {
        let failed = |reason: String| CiError::NoAnswer { action: what.to_owned(), reason };
        let text = body.map(Value::to_string).unwrap_or_default();
        let length = text.len().to_string();
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.api));
        let bearer = format!("Bearer {}", self.token);
        for (name, value) in [
            ("accept", "application/vnd.github+json"),
            ("authorization", &bearer),
            ("content-length", &length),
            ("content-type", "application/json"),
            ("user-agent", concat!("stagewright/", env!("CARGO_PKG_VERSION"))),
            ("x-github-api-version", VERSION),
        ] {
            request = request.header(name, value);
        }
        let request = request
            .body(SdkBody::from(text))
            .map_err(|error| failed(error.to_string()))
            .and_then(|request| HttpRequest::try_from(request).map_err(|error| failed(error.to_string())))?;
        let exchange = async {
            let answer = self.connector.call(request).await.map_err(|error| failed(chain(&error)))?;
            let status = answer.status().as_u16();
            let bytes = ByteStream::new(answer.into_body()).collect().await;
            let bytes = bytes.map_err(|error| failed(chain(&error)))?.into_bytes();
            Ok::<_, CiError>((status, bytes))
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        let (status, bytes) =
            answer.map_err(|_| failed(format!("no answer within {} s", PATIENCE.as_secs())))??;
        let value: Option<Value> = serde_json::from_slice(&bytes).ok();
        if (200..300).contains(&status) {
            return value.ok_or_else(|| failed("the answer is not JSON".to_owned()));
        }
        let said = value.as_ref().and_then(|value| value["message"].as_str()).unwrap_or_default();
        Err(CiError::Refused { action: what.to_owned(), status, reason: said.to_owned() })
    }
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(&format!(": {said}"));
        }
        next = error.source();
    }
    text
}

impl Comments for GithubComments {
    async fn page(&self, page: u32, size: u32) -> Result<Vec<Found>, CiError> {
        let what = format!("read the comments of pull request {}", self.number);
        let path =
            format!("/repos/{}/issues/{}/comments?per_page={size}&page={page}", self.repository, self.number);
        let found = self.ask(&what, "GET", &path, None).await?;
        serde_json::from_value(found).map_err(|error| CiError::NoAnswer {
            action: what,
            reason: format!("it is no list of comments: {error}"),
        })
    }

    async fn create(&self, body: &str) -> Result<(), CiError> {
        let what = format!("comment on pull request {}", self.number);
        let path = format!("/repos/{}/issues/{}/comments", self.repository, self.number);
        self.ask(&what, "POST", &path, Some(&json!({ "body": body }))).await.map(|_| ())
    }

    async fn update(&self, id: u64, body: &str) -> Result<(), CiError> {
        let what = format!("change the comment on pull request {}", self.number);
        let path = format!("/repos/{}/issues/comments/{id}", self.repository);
        self.ask(&what, "PATCH", &path, Some(&json!({ "body": body }))).await.map(|_| ())
    }
}
