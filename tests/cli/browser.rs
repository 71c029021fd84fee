//! A real browser: headless Chromium, spoken to over its debugging pipes.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long an answer may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Browser {
    child: Child,
    commands: File,
    messages: Receiver<Value>,
    session: String,
    next: u64,
    said: Vec<String>,
    loaded: Vec<String>,
    _folder: TempDir,
}

/// What came of opening a page.
pub struct Seen {
    pub title: String,
    /// Addresses that were asked for.
    pub loaded: Vec<String>,
    /// Lines of the console and errors, those of the policy too.
    pub said: Vec<String>,
}

impl Browser {
    /// Starts Chromium; none, and a line that says so, where it is not installed. With STAGEWRIGHT_TEST_BROWSER set, that is a
    /// failure.
    pub fn start() -> Option<Self> {
        let program = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
            Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        });
        let Some(program) = program else {
            assert!(std::env::var_os("STAGEWRIGHT_TEST_BROWSER").is_none(), "there is no Chromium here");
            eprintln!("SKIPPED: there is no Chromium here, so no page was looked at in a browser");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let (to, from) = (folder.path().join("to"), folder.path().join("from"));
        let made = Command::new("mkfifo").args([&to, &from]).status().unwrap();
        assert!(made.success());
        // Opened for both ways, so that nobody waits for the other side to open it.
        let script = r#"exec "$@" 3<>"$TO" 4<>"$FROM""#;
        let child = Command::new("sh")
            .args(["-c", script, "sh", program, "--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run"])
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .env("TO", &to)
            .env("FROM", &from)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let open = |path: &Path| File::options().read(true).write(true).open(path).unwrap();
        let (commands, mut answers) = (open(&to), open(&from));
        let (tell, messages) = channel();
        thread::spawn(move || {
            let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 16]);
            while let Ok(length) = answers.read(&mut piece) {
                bytes.extend_from_slice(&piece[..length]);
                while let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                    let message: Vec<u8> = bytes.drain(..=end).collect();
                    let value = serde_json::from_slice(&message[..end]).unwrap_or(Value::Null);
                    if tell.send(value).is_err() {
                        return;
                    }
                }
            }
        });
        let mut browser = Self {
            child,
            commands,
            messages,
            session: String::new(),
            next: 0,
            said: Vec::new(),
            loaded: Vec::new(),
            _folder: folder,
        };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.ask("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        let wanted = json!(self.next);
        let answer = self.wait(method, |message| message["id"] == wanted);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The next message that fits. What the others tell is noted.
    fn wait(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).unwrap_or_else(|_| panic!("no answer to {what}"));
            match message["method"].as_str() {
                Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded") => {
                    self.said.push(message["params"].to_string());
                }
                Some("Network.requestWillBeSent") => {
                    let url = message["params"]["request"]["url"].as_str().unwrap();
                    // What a page carries itself is not asked of anybody.
                    if !url.starts_with("data:") {
                        self.loaded.push(url.to_owned());
                    }
                }
                _ => {}
            }
            if fits(&message) {
                return message;
            }
        }
    }

    pub fn open(&mut self, page: &Path) -> Seen {
        let page = fs::canonicalize(page).unwrap();
        self.visit(&format!("file://{}", page.display()))
    }

    /// Opens an address.
    pub fn visit(&mut self, url: &str) -> Seen {
        (self.said, self.loaded) = (Vec::new(), Vec::new());
        self.ask("Page.navigate", json!({"url": url}));
        self.wait("loading", |message| message["method"] == "Page.loadEventFired");
        // A picture or a late script would come now.
        self.evaluate("new Promise(done => setTimeout(done, 300))");
        let title = self.evaluate("document.title").as_str().unwrap_or_default().to_owned();
        Seen { title, loaded: self.loaded.clone(), said: self.said.clone() }
    }

    /// Clicks on what leads to another page, and waits for that.
    pub fn follow(&mut self, selector: &str) {
        self.evaluate(&format!("document.querySelector({selector:?}).click()"));
        self.wait("another page", |message| message["method"] == "Page.loadEventFired");
        self.settle();
    }

    /// Waits until an expression holds.
    pub fn wait_until(&mut self, expression: &str) {
        let until = Instant::now() + PATIENCE;
        while self.evaluate(&format!("!!({expression})")) != json!(true) {
            assert!(Instant::now() < until, "{expression}");
            self.settle();
        }
    }

    /// What was said and asked for since the last page was opened by its address.
    pub fn seen(&self) -> (Vec<String>, Vec<String>) {
        (self.said.clone(), self.loaded.clone())
    }

    /// What was said since the page was opened.
    pub fn said(&self) -> Vec<String> {
        self.said.clone()
    }

    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.ask(
            "Runtime.evaluate",
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        );
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// A click with the mouse into the middle of an element.
    pub fn click(&mut self, selector: &str) {
        let found = self.evaluate(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center', inline: 'center'}}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({"type": kind, "x": found[0], "y": found[1], "button": "left", "clickCount": 1});
            self.ask("Input.dispatchMouseEvent", event);
        }
        // Away, so that nothing comes to lie under it when the page scrolls.
        self.ask("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": 0, "y": 0}));
        self.settle();
    }

    pub fn press_enter(&mut self) {
        for kind in ["keyDown", "keyUp"] {
            let event = json!({"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"});
            self.ask("Input.dispatchKeyEvent", event);
        }
        self.settle();
    }

    pub fn resize(&mut self, width: u64) {
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", size);
        self.settle();
    }

    /// Gives the page time to follow.
    pub fn settle(&mut self) {
        self.evaluate("new Promise(done => setTimeout(done, 100))");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
