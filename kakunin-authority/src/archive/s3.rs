//! A bucket of Amazon S3, or of anything that speaks its protocol to the letter, by the official SDK.
//!
//! Credentials come from where AWS tools look for them: variables, profiles, web identity, the instance's role. The endpoint
//! comes from the target alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{
    ConfigBag, Intercept, ProvideCredentials as _, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, RuntimeComponents, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat};
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, ObjectLockEnabled, ObjectLockMode,
    ObjectLockRetention, ObjectLockRetentionMode,
};
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use base64ct::{Base64, Encoding as _};
use kakunin_core::digest::Digest;
use kakunin_core::time::UnixTime;
use tokio::runtime::{Builder, Runtime};

use super::bucket::{Bucket, BucketError, Lock, LockMode, Put, Seen};
use super::object::{Object, ObjectKey, VersionId};
use super::target::Target;

/// A bucket in S3.
#[derive(Debug)]
pub struct S3Bucket {
    bucket: String,
    place: String,
    client: Client,
    clock: ServerClock,
    runtime: Runtime,
}

impl S3Bucket {
    /// Prepares to talk to the bucket of `target`. Credentials are fetched, the bucket is not asked yet.
    ///
    /// # Errors
    /// [`BucketError`] when there are no credentials, no region or no runtime.
    pub fn connect(target: &Target) -> Result<Self, BucketError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| unreachable("start the S3 client", error.to_string()))?;
        let clock = ServerClock::default();
        let client = runtime.block_on(client(target, clock.clone()))?;
        Ok(Self { bucket: target.bucket.to_string(), place: target.place(), client, clock, runtime })
    }
}

async fn client(target: &Target, clock: ServerClock) -> Result<Client, BucketError> {
    let http = HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http.clone());
    let fallback = target.endpoint.as_ref().map(|_| "us-east-1");
    if let Some(region) = target.region.as_deref().or(fallback) {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let shared = loader.load().await;
    let region = shared.region().cloned().ok_or(BucketError::NoRegion)?;
    let no_credentials = |why: String| BucketError::NoCredentials { why };
    let provider =
        shared.credentials_provider().ok_or_else(|| no_credentials("nobody has any".to_owned()))?;
    // Asked for now, because a request without them fails in words that name no variable.
    provider.provide_credentials().await.map_err(|error| no_credentials(chain(&error)))?;
    // Built anew and not from `shared`, which would bring endpoints from variables and profiles.
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .region(region)
        .credentials_provider(provider)
        .interceptor(clock)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                // A bundle may have 16 MiB, and sixteen objects share the line.
                .operation_attempt_timeout(Duration::from_secs(120))
                .operation_timeout(Duration::from_secs(300))
                .build(),
        )
        // We bring our own SHA-256 and compare the bytes ourselves.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    config.set_sleep_impl(shared.sleep_impl());
    if let Some(endpoint) = &target.endpoint {
        config = config.endpoint_url(endpoint.as_str()).force_path_style(true);
    }
    Ok(Client::from_conf(config.build()))
}

impl Bucket for S3Bucket {
    fn name(&self) -> &str {
        &self.place
    }

    fn examine(&self, now: UnixTime) -> Result<(), BucketError> {
        let verb = "look at the bucket";
        let versioning = self.client.get_bucket_versioning().bucket(&self.bucket);
        let versioning = self.runtime.block_on(versioning.send()).map_err(|error| failed(verb, &error))?;
        self.clock.agrees(now)?;
        if versioning.status() != Some(&BucketVersioningStatus::Enabled) {
            let state = versioning.status().map_or("never turned on", BucketVersioningStatus::as_str);
            return Err(BucketError::NoVersions { bucket: self.bucket.clone(), state: state.to_owned() });
        }
        let no_lock = || BucketError::NoLock { bucket: self.bucket.clone() };
        let lock = self.client.get_object_lock_configuration().bucket(&self.bucket);
        match self.runtime.block_on(lock.send()) {
            Ok(answer) => {
                match answer.object_lock_configuration().and_then(|lock| lock.object_lock_enabled()) {
                    Some(ObjectLockEnabled::Enabled) => Ok(()),
                    _ => Err(no_lock()),
                }
            }
            Err(error) if error.code() == Some("ObjectLockConfigurationNotFoundError") => Err(no_lock()),
            Err(error) => Err(failed(verb, &error)),
        }
    }

    fn put(&self, object: &Object, until: UnixTime) -> Result<Put, BucketError> {
        let verb = "store an object";
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(object.key().as_str())
            .if_none_match("*")
            // The checksum is ours; a lock is refused unless its kind is named as well.
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(Base64::encode_string(object.sha256().as_bytes()))
            .object_lock_mode(ObjectLockMode::Compliance)
            .object_lock_retain_until_date(DateTime::from_secs(until.seconds()))
            .body(ByteStream::from(object.bytes().to_vec()));
        match self.runtime.block_on(put.send()) {
            Ok(answer) => {
                let version = answer.version_id().and_then(VersionId::new);
                let why = "it names no version".to_owned();
                version.map(Put::Stored).ok_or(BucketError::Answer { verb, why })
            }
            Err(error) if status(&error) == Some(412) => Ok(Put::Occupied),
            Err(error) => Err(failed(verb, &error)),
        }
    }

    fn look(&self, key: &ObjectKey, version: &VersionId) -> Result<Option<Seen>, BucketError> {
        let verb = "look at an object";
        let head = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key.as_str())
            .version_id(version.as_str())
            .checksum_mode(ChecksumMode::Enabled);
        let answer = match self.runtime.block_on(head.send()) {
            Ok(answer) => answer,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed(verb, &error)),
        };
        let mode = match answer.object_lock_mode() {
            Some(ObjectLockMode::Compliance) => Some(LockMode::Compliance),
            Some(ObjectLockMode::Governance) => Some(LockMode::Governance),
            _ => None,
        };
        let until = answer.object_lock_retain_until_date().map(|date| UnixTime::from_seconds(date.secs()));
        let lock = mode.zip(until).map(|(mode, until)| Lock { mode, until });
        let size = answer.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        let stored = answer.last_modified().map(|date| UnixTime::from_seconds(date.secs()));
        Ok(Some(Seen { lock, sha256: answer.checksum_sha256().and_then(sha256), size, stored }))
    }

    fn read(&self, key: &ObjectKey, version: &VersionId, limit: u64) -> Result<Option<Vec<u8>>, BucketError> {
        let verb = "read an object";
        let get =
            self.client.get_object().bucket(&self.bucket).key(key.as_str()).version_id(version.as_str());
        self.runtime.block_on(async {
            let mut body = match get.send().await {
                Ok(answer) => answer.body,
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => return Err(failed(verb, &error)),
            };
            let mut bytes = Vec::new();
            while let Some(chunk) = body.next().await {
                bytes.extend_from_slice(&chunk.map_err(|error| unreachable(verb, error.to_string()))?);
                if bytes.len() as u64 > limit {
                    let why = format!("more than {limit} bytes of `{key}`");
                    return Err(BucketError::Answer { verb, why });
                }
            }
            Ok(Some(bytes))
        })
    }

    fn versions(&self, key: &ObjectKey) -> Result<Vec<VersionId>, BucketError> {
        let verb = "list the versions of an object";
        let (mut found, mut marker) = (Vec::new(), (None, None));
        for _ in 0..MAX_PAGES {
            let list = self
                .client
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(key.as_str())
                .set_key_marker(marker.0.take())
                .set_version_id_marker(marker.1.take());
            let answer = self.runtime.block_on(list.send()).map_err(|error| failed(verb, &error))?;
            let ours = answer.versions().iter().filter(|version| version.key() == Some(key.as_str()));
            found.extend(ours.filter_map(|version| version.version_id().and_then(VersionId::new)));
            // Keys come in order, so the exact one comes first of those that it begins.
            let more = answer.is_truncated() == Some(true) && answer.next_key_marker() == Some(key.as_str());
            if !more {
                return Ok(found);
            }
            marker = (answer.next_key_marker, answer.next_version_id_marker);
        }
        let why = format!("`{key}` has more than {} versions", found.len());
        Err(BucketError::Answer { verb, why })
    }

    fn lengthen(&self, key: &ObjectKey, version: &VersionId, until: UnixTime) -> Result<(), BucketError> {
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::Compliance)
            .retain_until_date(DateTime::from_secs(until.seconds()))
            .build();
        let put = self
            .client
            .put_object_retention()
            .bucket(&self.bucket)
            .key(key.as_str())
            .version_id(version.as_str())
            .retention(retention);
        let sent = self.runtime.block_on(put.send());
        sent.map(|_| ()).map_err(|error| failed("lock an object", &error))
    }
}

/// What time the server said it was, in its latest answer.
#[derive(Clone, Debug, Default)]
struct ServerClock(Arc<AtomicI64>);

impl ServerClock {
    /// A server that says nothing is not contradicted.
    fn agrees(&self, now: UnixTime) -> Result<(), BucketError> {
        let said = self.0.load(Ordering::Relaxed);
        match said != 0 && (said - now.seconds()).abs() > MAX_SKEW {
            true => Err(BucketError::Clock { theirs: UnixTime::from_seconds(said), ours: now }),
            false => Ok(()),
        }
    }
}

impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "ServerClock"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let said = context.response().headers().get("date");
        let said = said.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(said) = said {
            self.0.store(said.secs(), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Turns the SDK's error into what it means for the archive.
fn failed<E>(verb: &'static str, error: &SdkError<E>) -> BucketError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let SdkError::ServiceError(service) = error else {
        return unreachable(verb, chain(error));
    };
    let status = service.raw().status().as_u16();
    if service.raw().status().is_success() {
        return BucketError::Answer { verb, why: chain(error) };
    }
    let code = service.err().code().map_or_else(|| format!("HTTP {status}"), str::to_owned);
    let why = service.err().message().unwrap_or("no reason is given").to_owned();
    match (status, code.as_str()) {
        (429 | 500.., _)
        | (_, "SlowDown" | "RequestTimeout" | "ConditionalRequestConflict" | "OperationAborted") => {
            unreachable(verb, format!("{why} [{code}]"))
        }
        (301 | 307 | 401 | 403, _)
        | (_, "NoSuchBucket" | "ExpiredToken" | "InvalidToken" | "AuthorizationHeaderMalformed") => {
            BucketError::Barred { verb, code, why }
        }
        _ => BucketError::Refused { verb, code, why },
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// No such version: 404, or 405 for a delete marker.
fn is_absent<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(status(error), Some(404 | 405)) && error.code() != Some("NoSuchBucket")
}

fn unreachable(verb: &'static str, why: String) -> BucketError {
    BucketError::Unreachable { verb, why }
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

fn sha256(text: &str) -> Option<Digest> {
    let mut out = [0; 32];
    let length = Base64::decode(text, &mut out).ok()?.len();
    (length == out.len()).then(|| Digest::from_bytes(out))
}

/// Of 1,000 versions each. A key that somebody wrote ten thousand times is nobody's accident.
const MAX_PAGES: usize = 10;

/// Seconds. S3 itself turns a request away that is a quarter of an hour off, and the SDK then signs with S3's clock.
const MAX_SKEW: i64 = 15 * 60;
