//! `stagewright ui`: who is let in, what is served, and that it follows a run that goes on.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    bench::Project,
    browser::Browser,
    report::{HOSTILE, hostile},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The program with `ui`, and its address.
struct Served {
    child: Child,
    port: u16,
    token: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Served {
    fn start(project: &Project) -> Self {
        Self::start_with(project, &[])
    }

    fn start_with(project: &Project, more: &[&str]) -> Self {
        let mut command = project.here(&[&["ui", "--no-open"], more].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let rest = address.trim().strip_prefix("http://127.0.0.1:").unwrap_or_else(|| panic!("{address}"));
        let (port, token) = rest.trim_end_matches('/').split_once('/').unwrap();
        Self { child, port: port.parse().unwrap(), token: token.to_owned() }
    }

    fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{}/{path}", self.port, self.token)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request as it is, and reads the answer to its end.
    fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn ask(&self, method: &str, path: &str) -> Answer {
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
            self.port
        ))
    }

    /// A page below the token.
    fn page(&self, path: &str) -> String {
        let answer = self.ask("GET", &format!("/{}/{path}", self.token));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// Events of a page's changes.
    fn listen(&self, path: &str) -> BufReader<TcpStream> {
        let mut stream = self.connect();
        let (port, token) = (self.port, &self.token);
        let request = format!("GET /{token}/{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        BufReader::new(stream)
    }

    /// Ends it as Ctrl-C does.
    fn stop(&mut self) -> Option<i32> {
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::INT,
        )
        .unwrap();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PIPELINE: &str = r#"version: 1
name: cats
targets:
  accuracy: { on: train, metric: top1, min: "80%" }
stages:
  prepare:
    uses: fake
    inputs: { more: { path: data, type: dir } }
    with: { do: [ { step: concatenate } ] }
  train:
    uses: fake
    inputs: { data: "${{ stages.prepare.outputs.out }}" }
    with:
      do:
        - { step: metric, name: train.loss, value: 2, at: 1 }
        - { step: metric, name: train.loss, value: 1, at: 2 }
        - { step: hang-while, file: "PATH" }
        - { step: metric, name: top1, value: 90, unit: "%" }
        - { step: write, port: out, path: model.bin, text: weights }
  pack:
    uses: fake
    inputs: { data: "${{ stages.train.outputs.out }}" }
    with: { do: [ { step: hang-while, file: "PATH-2" }, { step: concatenate } ] }
"#;

/// A project whose second stage waits for as long as there is a file `hold`, and the third one for `hold-2`.
fn project() -> Project {
    let project = Project::with_keys("");
    let hold = project.path("hold");
    project.write("pipeline.yaml", &PIPELINE.replace("PATH", &hold.display().to_string()));
    project.write("data/cat/1.png", "one");
    project.run(&["key", "new", "ada"]);
    project
}

fn last_run(project: &Project) -> String {
    let log: Value = serde_json::from_str(&project.output(&["log", "--json"])).unwrap();
    log[0]["run"].as_str().unwrap().to_owned()
}

/// Commits everything and makes a release of the last run.
fn release(project: &Project, name: &str) {
    let git = |arguments: &[&str]| {
        let done = std::process::Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(arguments)
            .current_dir(project.path("."))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "-q"]);
    git(&["config", "user.name", "Ada"]);
    git(&["config", "user.email", "ada@example.org"]);
    project.write(".gitignore", ".stagewright\n");
    git(&["add", "-A"]);
    git(&["commit", "-qm", "cats"]);
    let ran = project.run(&["run"]);
    assert!(ran.starts_with("exit 0\n"), "{ran}");
    let made = project.run(&["release", "create", name, "--stage", "train"]);
    assert!(made.starts_with("exit 0\n"), "{made}");
}

#[test]
fn only_who_knows_the_token_and_only_reads_is_answered() {
    let project = project();
    let mut served = Served::start(&project);
    let (port, token) = (served.port, served.token.clone());
    assert_eq!(token.len(), 32);
    for path in ["/", "/favicon.ico", "/runs", &format!("/{}/", "0".repeat(32)), &format!("/{}x/", token)] {
        let answer = served.ask("GET", path);
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.body.contains("`stagewright ui` printed") && !answer.body.contains(&token), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = served.ask(method, &format!("/{token}/"));
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: get, head"), "{}", answer.head);
    }
    let evil = format!("GET /{token}/ HTTP/1.1\r\nHost: evil.example:{port}\r\nConnection: close\r\n\r\n");
    assert_eq!(served.send(&evil).status, 403, "a name that was made to lead here");
    assert_eq!(served.send(&format!("GET /{token}/ HTTP/1.0\r\n\r\n")).status, 403, "no host");
    assert_eq!(served.ask("GET", &format!("/{token}")).status, 308);

    let first = served.ask("GET", &format!("/{token}/"));
    assert_eq!(first.status, 200);
    assert!(first.body.contains("No run yet"), "{}", first.body);
    for header in [
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "referrer-policy: no-referrer",
        "frame-ancestors 'none'",
        "default-src 'none'",
    ] {
        assert!(first.head.contains(header), "{header} is missing in {}", first.head);
    }
    assert!(!first.head.contains("access-control") && !first.head.contains("set-cookie"), "{}", first.head);
    assert!(!first.body.contains(&token), "no page holds the address that it is served under");
    let head = served.ask("HEAD", &format!("/{token}/"));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.head.contains("content-length: "), "{}", head.head);
    assert_eq!(served.ask("HEAD", &format!("/{token}/changes")).status, 200);

    // Nothing leads out of the pages, and what is wrong is no reason to say more than that.
    for path in [
        "../etc/passwd",
        "run/../../stagewright.toml",
        "run/%2e%2e%2f%2e%2e%2fstagewright.toml",
        "release/..%2f..%2fstagewright.toml",
        "run/0192e4a0-7c1e-7f3a-9d55-1b8f1d7f6a10",
        "lineage?of=/etc/passwd",
        "lineage?of=stagewright.toml",
        "compare?run=x",
        "compare",
        "nothing",
        "%ff%fe",
    ] {
        let answer = served.ask("GET", &format!("/{token}/{path}"));
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
        assert!(!answer.body.contains("root:"), "{path}");
    }
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn ports() {
    let project = project();
    let served = Served::start(&project);
    let port = served.port.to_string();
    assert_snapshot!(
        "ui-port-in-use",
        project.run(&["ui", "--no-open", "--port", &port]).replace(&port, "<port>")
    );
    // Without a wish, another one is taken.
    let other = Served::start(&project);
    assert_ne!(other.port, served.port);
    assert_snapshot!("help-ui", project.run(&["ui", "--help"]));
}

#[test]
fn every_page_of_a_project_and_the_ways_between_them() {
    let project = project();
    assert!(project.run(&["run"]).starts_with("exit 0\n"));
    let first = last_run(&project);
    release(&project, "models/v1");
    let second = last_run(&project);
    let served = Served::start(&project);

    let list = served.page("");
    for part in [
        "2 runs",
        "cats",
        "succeeded",
        "3 reused",
        "3 ran",
        "accuracy",
        "90 %",
        &format!("href=\"run/{first}\""),
        &format!("href=\"run/{second}\""),
        "href=\"releases\"",
        "href=\"lineage\"",
    ] {
        assert!(list.contains(part), "{part} is missing");
    }
    let run = served.page(&format!("run/{second}"));
    for part in
        ["model.bin", "signed by ada", "not verified", "?verify=yes#verification", "href=\"../releases\""]
    {
        assert!(run.contains(part), "{part} is missing");
    }
    assert!(
        run.contains(&format!("href=\"../run/{first}\"")),
        "a reused result leads to the run that made it"
    );
    assert!(!run.contains("data-live"), "what has ended does not change");
    assert!(served.page(&format!("run/{second}?verify=yes")).contains("the evidence holds"));
    let compare = served.page(&format!("compare?run={second}&run={first}"));
    assert!(compare.contains("2 runs side by side") && compare.contains(&format!("href=\"run/{first}\"")));

    let releases = served.page("releases");
    assert!(releases.contains("href=\"release/models%2Fv1\"") && releases.contains("Ada"), "{releases}");
    let release = served.page("release/models%2Fv1");
    assert!(release.contains("Released ") && release.contains("Delivers "), "{release}");

    let record: Value = serde_json::from_str(&project.output(&["show", "--json"])).unwrap();
    let model = record["stages"][1]["outputs"]["out"]["artifact"]["digest"].as_str().unwrap();
    let model = model.trim_start_matches("sha256:").split(':').next().unwrap().to_owned();
    assert!(releases.contains(&format!("href=\"lineage?of={model}\"")), "{releases}");
    let start = served.page("lineage");
    assert!(start.contains("href=\"lineage?of=train\"") && start.contains("signed by ada"), "{start}");
    for of in [&model[..], &model[..10], "train"] {
        let page = served.page(&format!("lineage?of={of}"));
        for part in ["made by", "models/v1", "made it", "made from this", "prepare"] {
            assert!(page.contains(part), "{part} is missing in the lineage of {of}");
        }
    }
    // One image, by its hash alone.
    let image = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    let page = served.page(&format!("lineage?of={image}"));
    assert!(
        page.contains("data/cat/1.png") && page.contains("made of it") && page.contains("models/v1"),
        "{page}"
    );
    let unknown = served.ask("GET", &format!("/{}/lineage?of={}", served.token, "ab".repeat(32)));
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("no statement names"), "{}", unknown.body);
}

/// Reads events until one fits.
fn wait_for(events: &mut BufReader<TcpStream>, event: &str, fits: impl Fn(&str) -> bool) -> String {
    let until = Instant::now() + PATIENCE;
    let mut current = String::new();
    while Instant::now() < until {
        let mut line = String::new();
        if events.read_line(&mut line).unwrap() == 0 {
            break;
        }
        if let Some(name) = line.strip_prefix("event: ") {
            current = name.trim().to_owned();
        }
        if let Some(data) = line.strip_prefix("data:")
            && current == event
            && fits(data)
        {
            return data.trim().to_owned();
        }
    }
    panic!("no event `{event}` came that fits");
}

/// Waits until something is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_run_that_goes_on_is_followed_to_its_end() {
    let project = project();
    let served = Served::start(&project);
    let list = served.page("");
    let state = list.split("data-live=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut list_events = served.listen(&state);
    project.write("hold", "");
    project.write("hold-2", "");
    let mut run = project.start(&["run"]);
    wait_for(&mut list_events, "whole", |_| true);
    until("the run is in the list", || served.page("").contains("1 running"));
    let id = last_run(&project);
    let path = format!("run/{id}");
    until("the second stage runs", || {
        let page = served.page(&path);
        page.contains("▶ running") && page.contains("train.loss")
    });
    let page = served.page(&path);
    assert!(page.contains("1 of 3 stages ended"), "{page}");
    let live = page.split("data-live=\"../").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(live.starts_with(&format!("changes/{id}?from=")), "{live}");
    let mut events = served.listen(&live);
    // Who heard nothing of it before gets the page's state, and who has seen all of it nothing.
    let mut late = served.listen(&format!("changes/{id}"));
    wait_for(&mut late, "whole", |_| true);
    std::fs::remove_file(project.path("hold")).unwrap();
    let told = wait_for(&mut events, "pieces", |data| data.contains("\"r1\""));
    let pieces: Vec<(String, String)> = serde_json::from_str(&told).unwrap();
    let row = &pieces.iter().find(|(id, _)| id == "r1").unwrap().1;
    assert!(row.starts_with("<tr id=\"r1\"") && row.contains("● ran"), "{row}");
    assert!(
        !pieces.iter().any(|(id, _)| id == "r0" || id == "n0"),
        "what did not change is not told: {told}"
    );
    std::fs::remove_file(project.path("hold-2")).unwrap();
    wait_for(&mut events, "end", |_| true);
    assert!(run.wait().unwrap().success());
    assert!(!served.page(&path).contains("data-live"));
    wait_for(&mut list_events, "pieces", |data| data.contains("succeeded"));
}

#[test]
fn texts_of_pipelines_are_texts_on_every_page() {
    let project = hostile();
    let served = Served::start(&project);
    let id = last_run(&project);
    let hash =
        served.page("lineage").split("lineage?of=").nth(2).unwrap().split('"').next().unwrap().to_owned();
    let escaped = "%22%27%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let mut pages = ["", "releases", "lineage", &format!("run/{id}"), &format!("lineage?of={hash}")]
        .map(|path| served.page(path))
        .to_vec();
    for path in [format!("lineage?of={escaped}"), format!("release/{escaped}"), format!("run/{escaped}")] {
        pages.push(served.ask("GET", &format!("/{}/{path}", served.token)).body);
    }
    for page in pages {
        assert_eq!(page.matches("<script>").count(), 2, "{page}");
        assert_eq!(page.matches("<style>").count(), 2, "{page}");
        assert!(!page.contains("<img src=x"), "{page}");
    }
    assert!(served.page("").contains("&lt;script&gt;document.title"));
}

#[test]
fn in_a_browser_from_the_list_to_a_run_its_lineage_and_back() {
    let Some(mut browser) = Browser::start() else { return };
    let project = project();
    assert!(project.run(&["run"]).starts_with("exit 0\n"));
    let first = last_run(&project);
    let served = Served::start(&project);
    let seen = browser.visit(&served.address(""));
    assert_eq!((seen.said, seen.title.ends_with("runs")), (Vec::new(), true));
    // A run that starts shows up by itself.
    project.write("hold", "");
    project.write("data/cat/1.png", "two");
    let mut run = project.start(&["run"]);
    browser.wait_until("document.querySelectorAll('#run-rows tr').length === 2 && document.querySelector('#run-rows progress')");
    browser.wait_until("document.getElementById('pulse').textContent === 'live'");
    // What is typed and ticked stays when the page changes.
    browser.evaluate(&format!("document.querySelector('input[value=\"{first}\"]').checked = true"));
    browser.follow("#run-rows tr a");
    browser.wait_until("document.querySelector('.node.running')");
    browser.click(".node[data-s='1'] a");
    assert_eq!(browser.evaluate("document.getElementById('s1').open"), json!(true));
    std::fs::remove_file(project.path("hold")).unwrap();
    browser.wait_until("document.querySelector('h1').textContent.includes('succeeded')");
    browser.wait_until("document.getElementById('lineage')");
    assert_eq!(browser.evaluate("document.getElementById('s1').open"), json!(true), "it stays open");
    assert_eq!(browser.evaluate("document.querySelectorAll('.node.running').length"), json!(0));
    assert!(run.wait().unwrap().success());
    // On to the artifact, to what it was made from, and back.
    browser.follow("#part-artifacts tbody tr:nth-child(2) a[href*='lineage']");
    browser.wait_until("document.querySelector('h1').textContent.includes('model')");
    browser.click(".node.ran a");
    browser.wait_until("document.querySelector('#statement-blocks details[data-name=prepare]').open");
    browser.follow(".site a");
    browser.wait_until("document.title.endsWith('runs')");
    // Two runs side by side.
    browser.evaluate("for (const box of document.querySelectorAll('#run-rows input')) box.checked = true");
    browser.follow("button");
    browser.wait_until("document.body.textContent.includes('2 runs side by side')");
    for width in [1280, 390] {
        browser.resize(width);
        let wide = browser.evaluate("document.documentElement.scrollWidth");
        assert!(wide.as_u64().unwrap() <= width, "{width}: {wide}");
    }
    let (said, loaded) = browser.seen();
    assert_eq!(said, Vec::<String>::new());
    let foreign: Vec<String> =
        loaded.into_iter().filter(|url| !url.starts_with(&served.address(""))).collect();
    assert_eq!(foreign, Vec::<String>::new(), "only this server is asked");

    let project = hostile();
    let served = Served::start(&project);
    for path in ["", "lineage", "releases", &format!("run/{}", last_run(&project))] {
        let seen = browser.visit(&served.address(path));
        assert_eq!(seen.said, Vec::<String>::new(), "{path}");
        assert_ne!(seen.title, "owned", "{path}");
    }
    assert!(HOSTILE.contains("owned"));
}
