//! An S3 server in the test's own process, on a free port and a folder of its own, with faults on order.

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    Body, S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;

pub const ACCESS_KEY: &str = "AKEXAMPLE";
pub const SECRET_KEY: &str = "example-secret";
pub const BUCKET: &str = "bucket";

/// A request as a fault sees it.
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    /// Counts all requests of the server, from 0.
    pub number: usize,
}

impl Seen {
    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }
}

/// What is done to a request instead of answering it.
#[derive(Clone, Copy)]
pub enum Fault {
    /// An error of S3: status, code.
    Error(u16, &'static str),
    /// The connection is closed before an answer.
    Reset,
    /// Half of the body comes, then the connection is closed.
    CutBody,
    /// Half of the body comes, and the head says that it is all.
    ShortBody,
    /// A byte of the body is another one.
    FlipByte,
    /// The answer comes later.
    Slow(Duration),
    /// The request is done, and its answer lost.
    LostAnswer,
}

type Faults = Arc<Mutex<Box<dyn Fn(&Seen) -> Option<Fault> + Send>>>;

pub struct Server {
    root: TempDir,
    address: SocketAddr,
    faults: Faults,
    log: Arc<Mutex<Vec<String>>>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// Anybody may read, and only who has credentials write.
struct PublicRead;

impl S3Access for PublicRead {
    fn check<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        context: &'life1 mut S3AccessContext<'life2>,
    ) -> Pin<Box<dyn Future<Output = S3Result<()>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        Self: 'async_trait,
    {
        let reads = ["GetObject", "HeadObject", "ListObjectsV2"].contains(&context.s3_op().name());
        let allowed = reads || context.credentials().is_some();
        let answer =
            if allowed { Ok(()) } else { Err(s3s::s3_error!(AccessDenied, "only reading is for all")) };
        Box::pin(std::future::ready(answer))
    }
}

impl Server {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// One whose bucket anybody may read.
    #[allow(dead_code)]
    pub fn start_public() -> Self {
        Self::with(|builder| builder.set_access(PublicRead))
    }

    fn with(set_up: impl FnOnce(&mut S3ServiceBuilder)) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join(BUCKET)).unwrap();
        let service = {
            let mut builder = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
            builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
            set_up(&mut builder);
            builder.build()
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let faults: Faults = Arc::new(Mutex::new(Box::new(|_| None)));
        let log = Arc::new(Mutex::new(Vec::new()));
        let shared = (service, Arc::clone(&faults), Arc::clone(&log), Arc::new(AtomicUsize::new(0)));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let shared = shared.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| {
                        let (service, faults, log, count) = shared.clone();
                        answer(service, faults, log, count, request)
                    });
                    // A connection that a fault closes is no matter.
                    let _ = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Self { root, address, faults, log, runtime: Some(runtime) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bucket's folder.
    pub fn bucket(&self) -> PathBuf {
        self.root.path().join(BUCKET)
    }

    pub fn fail(&self, fault: impl Fn(&Seen) -> Option<Fault> + Send + 'static) {
        *self.faults.lock().unwrap() = Box::new(fault);
    }

    pub fn heal(&self) {
        self.fail(|_| None);
    }

    /// Requests so far that begin with this method and hold this text, and forgets them.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.starts_with(method) && line.contains(part)).count()
    }

    pub fn forget(&self) {
        self.log.lock().unwrap().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test drops it inside of a runtime of its own, where nothing may wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(
    service: S3Service,
    faults: Faults,
    log: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicUsize>,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::io::Error> {
    let seen = Seen {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        number: count.fetch_add(1, Ordering::Relaxed),
    };
    log.lock().unwrap().push(format!("{} {}?{}", seen.method, seen.path, seen.query));
    let fault = (faults.lock().unwrap())(&seen);
    let reset = || Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
    match fault {
        Some(Fault::Error(status, code)) => {
            let text = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>on order</Message></Error>"
            );
            let answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
            return Ok(answer.header("content-type", "application/xml").body(Body::from(text)).unwrap());
        }
        Some(Fault::Reset) => return reset(),
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let answer = service
        .call(request.map(Body::from))
        .await
        .map_err(|error| std::io::Error::other(format!("{error:?}")))?;
    match fault {
        Some(Fault::LostAnswer) => return reset(),
        Some(Fault::CutBody | Fault::ShortBody | Fault::FlipByte) => {}
        _ => return Ok(answer),
    }
    let (mut head, body) = answer.into_parts();
    let mut bytes =
        body.collect().await.map_err(|error| std::io::Error::other(error.to_string()))?.to_bytes().to_vec();
    match fault {
        Some(Fault::FlipByte) => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        Some(Fault::ShortBody) => {
            bytes.truncate(bytes.len() / 2);
            head.headers.insert("content-length", bytes.len().into());
        }
        // The head still promises all of it.
        _ => bytes.truncate(bytes.len() / 2),
    }
    // A stream has no length of its own, so the head's stays.
    let piece = futures_piece(bytes);
    Ok(Response::from_parts(head, Body::http_body(piece)))
}

fn futures_piece(
    bytes: Vec<u8>,
) -> impl hyper::body::Body<Data = hyper::body::Bytes, Error = std::io::Error> + Send + Sync + 'static {
    struct Piece(Option<hyper::body::Bytes>);
    impl hyper::body::Body for Piece {
        type Data = hyper::body::Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Ready(self.0.take().map(|bytes| Ok(hyper::body::Frame::data(bytes))))
        }
    }
    Piece(Some(bytes.into()))
}

/// Every file below a folder, relative, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found: Vec<String> = walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|item| item.file_type().is_file())
        .map(|item| item.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}
