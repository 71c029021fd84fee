//! The conversation with an editor.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, Instant},
};

use lsp_server::{Connection, ErrorCode, Message, Notification, ProtocolError, Request, Response};
use lsp_types::{
    CompletionOptions, CompletionParams, DidChangeTextDocumentParams, DidCloseTextDocumentParams,
    DidOpenTextDocumentParams, DocumentFormattingParams, GotoDefinitionParams, Hover, HoverContents,
    HoverParams, HoverProviderCapability, Location, MarkupContent, MarkupKind, OneOf,
    PublishDiagnosticsParams, SaveOptions, ServerCapabilities, TextDocumentPositionParams,
    TextDocumentSyncCapability, TextDocumentSyncKind, TextDocumentSyncOptions, TextDocumentSyncSaveOptions,
    TextEdit, Uri,
};
use serde_json::{Value, json};

use super::{
    analysis::{self, Analysis, Project},
    completion::complete,
    definition::define,
    diagnostics::diagnostics,
    hover::hover,
    knowledge::Knowledge,
    outline::{Outline, keys},
    text::Text,
};
use crate::config::{Config, Environment};

/// What stage programs said of themselves is believed this long at most: they may be built anew beside the editor.
const FRESH: Duration = Duration::from_secs(300);

/// Why the server ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum LspError {
    /// The editor broke the protocol or went away.
    #[error("the conversation with the editor failed: {0}")]
    Protocol(#[from] ProtocolError),
    /// The system has no threads left.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// The editor sent what cannot be read, or reads no more.
    #[error("the editor closed the connection")]
    Closed,
}

/// Serves one editor until it says `exit`.
pub fn serve(connection: &Connection, environment: &Environment) -> Result<(), LspError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (id, _) = connection.initialize_start()?;
    let capabilities = json!({
        "capabilities": capabilities(),
        "serverInfo": { "name": "stagewright", "version": env!("CARGO_PKG_VERSION") },
    });
    connection.initialize_finish(id, capabilities)?;
    let language = Project::language();
    let mut server = Server {
        connection,
        environment,
        runtime,
        language,
        documents: HashMap::new(),
        projects: HashMap::new(),
    };
    server.run()
}

fn capabilities() -> ServerCapabilities {
    ServerCapabilities {
        text_document_sync: Some(TextDocumentSyncCapability::Options(TextDocumentSyncOptions {
            open_close: Some(true),
            change: Some(TextDocumentSyncKind::FULL),
            save: Some(TextDocumentSyncSaveOptions::SaveOptions(SaveOptions { include_text: Some(false) })),
            ..TextDocumentSyncOptions::default()
        })),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some([".", "{", " ", ":"].map(str::to_owned).to_vec()),
            ..CompletionOptions::default()
        }),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        definition_provider: Some(OneOf::Left(true)),
        document_formatting_provider: Some(OneOf::Left(true)),
        ..ServerCapabilities::default()
    }
}

struct Server<'a> {
    connection: &'a Connection,
    environment: &'a Environment,
    runtime: tokio::runtime::Runtime,
    language: Value,
    documents: HashMap<String, Document>,
    projects: HashMap<PathBuf, (Project, Instant)>,
}

/// An open file.
struct Document {
    uri: Uri,
    version: i32,
    path: Option<PathBuf>,
    text: Text,
    outline: Outline,
    analysis: Analysis,
    /// Root of its project.
    root: Option<PathBuf>,
}

impl Server<'_> {
    fn run(&mut self) -> Result<(), LspError> {
        while let Ok(message) = self.connection.receiver.recv() {
            // A burst of changes is looked at once, when it is over.
            let mut changed = BTreeSet::new();
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Request(request) => {
                        // An answer is about the text as it is by then.
                        self.refresh(&std::mem::take(&mut changed))?;
                        if self.connection.handle_shutdown(&request)? {
                            return Ok(());
                        }
                        let response = self.answer(&request);
                        self.send(Message::Response(response))?;
                    }
                    Message::Notification(notification) => changed.extend(self.note(notification)?),
                    // We ask the editor nothing.
                    Message::Response(_) => {}
                }
                next = self.connection.receiver.try_recv().ok();
            }
            self.refresh(&changed)?;
        }
        Err(LspError::Closed)
    }

    fn send(&self, message: Message) -> Result<(), LspError> {
        self.connection.sender.send(message).map_err(|_| LspError::Closed)
    }

    /// Takes note of what the editor says; gives the files to look at again.
    fn note(&mut self, notification: Notification) -> Result<Vec<String>, LspError> {
        let Notification { method, params } = notification;
        match method.as_str() {
            "textDocument/didOpen" => {
                let Ok(params) = serde_json::from_value::<DidOpenTextDocumentParams>(params) else {
                    return Ok(Vec::new());
                };
                let item = params.text_document;
                let key = item.uri.as_str().to_owned();
                self.documents.insert(key.clone(), Document::new(item.uri, item.version, item.text));
                return Ok(vec![key]);
            }
            "textDocument/didChange" => {
                let Ok(params) = serde_json::from_value::<DidChangeTextDocumentParams>(params) else {
                    return Ok(Vec::new());
                };
                let key = params.text_document.uri.as_str().to_owned();
                // With full texts the last one is what there is.
                if let (Some(document), Some(change)) =
                    (self.documents.get_mut(&key), params.content_changes.into_iter().next_back())
                {
                    document.version = params.text_document.version;
                    document.outline = Outline::new(&change.text);
                    document.text = Text::new(change.text);
                    return Ok(self.also_reading(key));
                }
            }
            "textDocument/didClose" => {
                let Ok(params) = serde_json::from_value::<DidCloseTextDocumentParams>(params) else {
                    return Ok(Vec::new());
                };
                let uri = params.text_document.uri;
                if self.documents.remove(uri.as_str()).is_some() {
                    self.publish(&uri, None, Vec::new())?;
                }
            }
            // Something in the project may have changed: a program built anew, a data folder that is there now.
            "textDocument/didSave"
            | "workspace/didChangeWatchedFiles"
            | "workspace/didChangeConfiguration" => {
                self.projects.clear();
                return Ok(self.documents.keys().cloned().collect());
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    /// The file and the open ones that read it.
    fn also_reading(&self, changed: String) -> Vec<String> {
        let path = self.documents.get(&changed).and_then(|document| document.path.clone());
        let reads = |document: &Document| {
            let files = document.analysis.sources().files().iter().skip(1);
            let root = document.root.as_ref();
            files.filter_map(|file| Some(root?.join(file.name()))).any(|file| Some(&file) == path.as_ref())
        };
        let others =
            self.documents.iter().filter(|(_, document)| reads(document)).map(|(key, _)| key.clone());
        std::iter::once(changed.clone()).chain(others).collect()
    }

    fn refresh(&mut self, changed: &BTreeSet<String>) -> Result<(), LspError> {
        for key in changed {
            self.analyze(key);
            let Some(document) = self.documents.get(key) else { continue };
            let found = diagnostics(
                &document.analysis.findings,
                document.analysis.sources(),
                document.root.as_deref(),
                &document.uri,
            );
            self.publish(&document.uri.clone(), Some(document.version), found)?;
        }
        Ok(())
    }

    fn publish(
        &self,
        uri: &Uri,
        version: Option<i32>,
        found: Vec<lsp_types::Diagnostic>,
    ) -> Result<(), LspError> {
        let params = PublishDiagnosticsParams { uri: uri.clone(), diagnostics: found, version };
        let notification = Notification::new("textDocument/publishDiagnostics".to_owned(), params);
        self.send(Message::Notification(notification))
    }

    fn analyze(&mut self, key: &str) {
        let Some(document) = self.documents.get(key) else { return };
        let path = document.path.clone();
        let folder = path.as_deref().and_then(Path::parent);
        let config = folder.and_then(|folder| Config::discover(folder, self.environment).ok());
        let root = config.as_ref().map(|config| config.root.clone());
        if let Some(config) = config {
            let stale = self.projects.get(&config.root).is_none_or(|(_, asked)| asked.elapsed() > FRESH);
            if stale {
                let project = self.runtime.block_on(Project::open(config.clone()));
                self.projects.insert(config.root, (project, Instant::now()));
            }
        }
        let Some(document) = self.documents.get(key) else { return };
        let text = document.text.as_str();
        let project = root.as_ref().and_then(|root| self.projects.get(root)).map(|(project, _)| project);
        let analysis = if !document.is_pipeline() {
            // Params and data are YAML as well, and none of our business.
            Analysis::default()
        } else {
            let relative = project
                .zip(path.as_deref())
                .and_then(|(project, path)| Some((project, analysis::relative(&project.config.root, path)?)));
            match relative {
                Some((project, file)) => project.analyze(&file, text, &|path| self.open_text(path)),
                None => analysis::form(document.uri.as_str(), text),
            }
        };
        if let Some(document) = self.documents.get_mut(key) {
            document.analysis = analysis;
            document.root = root;
        }
    }

    /// Text of a file that is open.
    fn open_text(&self, path: &Path) -> Option<String> {
        let found = self.documents.values().find(|document| document.path.as_deref() == Some(path))?;
        Some(found.text.as_str().to_owned())
    }

    fn read(&self, path: &Path) -> Option<String> {
        /// Longer files are not for reading.
        const LONGEST: u64 = 4 << 20;
        let short = || std::fs::metadata(path).is_ok_and(|meta| meta.len() <= LONGEST);
        self.open_text(path).or_else(|| if short() { std::fs::read_to_string(path).ok() } else { None })
    }

    fn answer(&self, request: &Request) -> Response {
        let Request { id, method, params } = request;
        let position = |params: TextDocumentPositionParams| {
            let document = self.documents.get(params.text_document.uri.as_str())?;
            // A file of DVC is checked, but its words are not those of this language.
            (!document.is_foreign()).then(|| (document, document.text.offset(params.position)))
        };
        let result = match method.as_str() {
            "textDocument/completion" => {
                parsed::<CompletionParams>(params).map(|params| {
                    let found = position(params.text_document_position);
                    json!(found.map_or_else(Vec::new, |(document, offset)| complete(
                        &self.knowledge(document),
                        offset
                    )))
                })
            }
            "textDocument/hover" => parsed::<HoverParams>(params).map(|params| {
                let found = position(params.text_document_position_params).and_then(|(document, offset)| {
                    let (value, range) = hover(&self.knowledge(document), offset)?;
                    let contents = HoverContents::Markup(MarkupContent { kind: MarkupKind::Markdown, value });
                    Some(Hover { contents, range: Some(document.text.range(&range)) })
                });
                json!(found)
            }),
            "textDocument/definition" => parsed::<GotoDefinitionParams>(params).map(|params| {
                let found = position(params.text_document_position_params)
                    .and_then(|(document, offset)| self.definition(document, offset));
                json!(found)
            }),
            "textDocument/formatting" => parsed::<DocumentFormattingParams>(params).map(|params| {
                let document = self.documents.get(params.text_document.uri.as_str());
                json!(
                    document
                        .filter(|document| document.is_pipeline() && !document.is_foreign())
                        .map_or_else(Vec::new, Document::formatted)
                )
            }),
            _ => Err(Response::new_err(
                id.clone(),
                ErrorCode::MethodNotFound as i32,
                format!("this server does not know {method}"),
            )),
        };
        match result {
            Ok(result) => Response::new_ok(id.clone(), result),
            Err(mut response) => {
                response.id = id.clone();
                response
            }
        }
    }

    fn definition(&self, document: &Document, offset: usize) -> Option<Location> {
        let known = self.knowledge(document);
        let target = define(&known, document.root.as_deref(), &|path| self.read(path), offset)?;
        Some(match target.file {
            None => Location::new(document.uri.clone(), document.text.range(&target.range)),
            Some(path) => {
                let text = Text::new(self.read(&path).unwrap_or_default());
                Location::new(uri(&path)?, text.range(&target.range))
            }
        })
    }

    fn knowledge<'k>(&'k self, document: &'k Document) -> Knowledge<'k> {
        let project =
            document.root.as_ref().and_then(|root| self.projects.get(root)).map(|(project, _)| project);
        Knowledge {
            text: &document.text,
            outline: &document.outline,
            analysis: &document.analysis,
            programs: project.map_or(&NO_PROGRAMS, |project| &project.programs),
            host: project.map_or(&NO_FACTS, |project| &project.host),
            language: &self.language,
        }
    }
}

static NO_PROGRAMS: std::collections::BTreeMap<String, crate::catalog::Program> =
    std::collections::BTreeMap::new();
static NO_FACTS: std::collections::BTreeMap<String, Value> = std::collections::BTreeMap::new();

impl Document {
    fn new(uri: Uri, version: i32, text: String) -> Self {
        let path = path(&uri);
        let outline = Outline::new(&text);
        Self { uri, version, path, text: Text::new(text), outline, analysis: Analysis::default(), root: None }
    }

    /// Whether another front end reads it.
    fn is_foreign(&self) -> bool {
        self.path.as_deref().is_some_and(crate::dvc::is_pipeline)
    }

    /// The edit that gives it its canonical form; none where it has errors or that form already.
    fn formatted(&self) -> Vec<TextEdit> {
        let text = self.text.as_str();
        match crate::spec::format(text) {
            Ok(formatted) if formatted != text => {
                vec![TextEdit::new(self.text.range(&(0..text.len())), formatted)]
            }
            _ => Vec::new(),
        }
    }

    /// Whether it is a pipeline: by its name or folder, or because it declares stages.
    fn is_pipeline(&self) -> bool {
        let path = self.path.as_deref();
        let stem = path.and_then(Path::file_stem).and_then(|stem| stem.to_str());
        let folder = path.and_then(Path::parent).and_then(Path::file_name).and_then(|name| name.to_str());
        stem == Some("pipeline")
            || folder == Some("pipelines")
            || self.outline.key(&keys(["stages"])).is_some()
    }
}

fn parsed<T: serde::de::DeserializeOwned>(params: &Value) -> Result<T, Response> {
    serde_json::from_value(params.clone())
        .map_err(|error| Response::new_err(0.into(), ErrorCode::InvalidParams as i32, error.to_string()))
}

/// Path of a `file:` URI.
fn path(uri: &Uri) -> Option<PathBuf> {
    let rest = uri.as_str().strip_prefix("file://")?;
    // An authority, which is empty or `localhost` for a local file.
    let path = &rest[rest.find('/')?..];
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    use std::os::unix::ffi::OsStringExt;
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// `file:` URI of an absolute path (RFC 3986: all but unreserved characters and `/` percent-encoded).
pub(super) fn uri(path: &Path) -> Option<Uri> {
    let mut text = "file://".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    Uri::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_become_uris_and_come_back() {
        for name in ["/a/b.yaml", "/größe a/100%/🦀.yaml", "/a#b?c"] {
            assert_eq!(path(&uri(Path::new(name)).unwrap()).unwrap(), Path::new(name));
        }
        assert_eq!(path(&Uri::from_str("file://localhost/a%20b").unwrap()), Some(PathBuf::from("/a b")));
        assert_eq!(path(&Uri::from_str("untitled:Untitled-1").unwrap()), None);
    }
}
