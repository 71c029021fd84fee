//! The server: a listener on 127.0.0.1, and what answers a request.

use std::{convert::Infallible, io, net::Ipv4Addr, sync::Arc, time::Duration};

use hyper::{
    Method, Request, StatusCode, body::Incoming, header::HeaderMap, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
};

use super::{
    UiError,
    gate::{Gate, Token},
    live,
    pages::{Answer, Pages},
    reply::{self, Reply},
    route::{Route, route},
    watch::{RunWatch, RunsWatch},
};

/// Where it listens unless another port is asked for.
pub const PORT: u16 = 8620;
/// Connections at once; more are closed at once.
const CONNECTIONS: usize = 128;
/// How long a request may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pages that are made at once.
const PAGES: usize = 4;

/// A server of a project's pages.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    /// The usual port, where it was in use and another one was taken.
    pub instead_of: Option<u16>,
}

struct Shared {
    gate: Gate,
    pages: Arc<Pages>,
    making: Semaphore,
    /// One verification at a time: each reads every byte of a run's artifacts.
    verifying: Semaphore,
}

impl Server {
    /// Listens on a port of 127.0.0.1; without one on the usual port, and if that is in use on any.
    pub async fn start(port: Option<u16>, pages: Pages) -> Result<Self, UiError> {
        let wanted = port.unwrap_or(PORT);
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let (listener, instead_of) = match bind(wanted).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port.is_none() => {
                (bind(0).await.map_err(|source| UiError::Listen { port: 0, source })?, Some(wanted))
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(UiError::InUse { port: wanted });
            }
            other => (other.map_err(|source| UiError::Listen { port: wanted, source })?, None),
        };
        let port = listener.local_addr().map_err(|source| UiError::Listen { port: wanted, source })?.port();
        let shared = Shared {
            gate: Gate::new(Token::fresh(), port),
            pages: Arc::new(pages),
            making: Semaphore::new(PAGES),
            verifying: Semaphore::new(1),
        };
        Ok(Self { listener, shared: Arc::new(shared), instead_of })
    }

    /// Address of the first page, with the token.
    pub fn address(&self) -> String {
        self.shared.gate.address()
    }

    /// Answers until `stop` is ready. What is being answered then goes on for as long as the runtime does.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        // Read by the time that a browser asks for them.
        let pages = Arc::clone(&self.shared.pages);
        spawn_blocking(move || pages.read_ahead());
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
                    let shared = Arc::clone(&self.shared);
                    tokio::spawn(async move {
                        connection(stream, shared).await;
                        drop(permit);
                    });
                }
                // No file descriptor is left, or the other side has gone; the next one may do better.
                Err(error) => {
                    tracing::debug!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(64 * 1024);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!("a connection ended: {error}");
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let path = match self.gate.admit(&request) {
            Ok(Some(path)) => path,
            Ok(None) => return reply::moved(&self.gate.address()),
            Err(refusal) => return reply::refusal(refusal),
        };
        let only_head = request.method() == Method::HEAD;
        match route(path, request.uri().query()) {
            Some(Route::RunChanges { .. } | Route::RunsChanges { .. }) if only_head => reply::events(None),
            Some(Route::RunChanges { run, from }) => {
                let from = last_seen(request.headers()).unwrap_or(from);
                self.watch(move |pages| RunWatch::new(pages, run, from))
            }
            Some(Route::RunsChanges { state }) => self.watch(move |pages| RunsWatch::new(pages, &state)),
            route => self.page(route, path.matches('/').count()).await,
        }
    }

    async fn page(&self, route: Option<Route>, depth: usize) -> Reply {
        let verifies =
            matches!(route, Some(Route::Run { verify: true, .. } | Route::Release { verify: true, .. }));
        let turns = if verifies { &self.verifying } else { &self.making };
        // The semaphores are never closed.
        let _turn = turns.acquire().await;
        let pages = Arc::clone(&self.pages);
        match spawn_blocking(move || pages.answer(route.as_ref(), depth)).await {
            Ok(Answer { status, html }) => reply::page(status, html),
            Err(error) => {
                tracing::error!("a page could not be made: {error}");
                reply::text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This page could not be made: an error of stagewright itself.\n",
                )
            }
        }
    }

    fn watch<W: live::Watch>(&self, start: impl FnOnce(&Pages) -> W + Send + 'static) -> Reply {
        let (tell, events) = mpsc::channel(4);
        let pages = Arc::clone(&self.pages);
        tokio::spawn(async move {
            let started = spawn_blocking(move || (start(&pages), pages)).await;
            if let Ok((watch, pages)) = started {
                live::tell(watch, pages, tell).await;
            }
        });
        reply::events(Some(events))
    }
}

/// Where a browser stopped to listen, when it asks again by itself.
fn last_seen(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}
