//! `kill -9` of the program in the middle of a push and of a pull.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use stagewright::store::LocalStore;
use tempfile::TempDir;

use super::{
    places::{client, session},
    server::{ACCESS_KEY, Fault, SECRET_KEY, Server, files},
};

const PIPELINE: &str = "
version: 1
name: moved
stages:
  one:
    uses: fake
    with: { do: [{ step: write, port: out, path: out.txt, text: one }, { step: metric, name: m, value: 1 }] }
    outputs: { out: results/one.txt }
  two:
    uses: fake
    inputs: { more: \"${{ stages.one.outputs.out }}\" }
    with: { do: [{ step: write, port: out, path: out.txt, text: two }] }
";

struct Project {
    folder: TempDir,
    programs: TempDir,
}

impl Project {
    fn new(server: &Server, layout: &str) -> Self {
        let programs = tempfile::tempdir().unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_stagewright"));
        fs::copy(built, programs.path().join("stagewright")).unwrap();
        let fake = built.parent().unwrap().join("examples/stage-fake");
        fs::copy(fake, programs.path().join("stagewright-stage-fake")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "[sync]\nremote = 'lab'\n[remotes.lab]\nurl = 's3://bucket/kill'\nendpoint = '{}'\nregion = 'here'\nlayout = '{layout}'\n",
            server.endpoint()
        );
        fs::write(folder.path().join("stagewright.toml"), settings).unwrap();
        fs::write(folder.path().join("pipeline.yaml"), PIPELINE).unwrap();
        Self { folder, programs }
    }

    fn start(&self, arguments: &[&str]) -> Child {
        Command::new(self.programs.path().join("stagewright"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let done = self.start(arguments).wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success(), "{arguments:?}: {text}");
        text
    }

    fn store(&self) -> LocalStore {
        LocalStore::open(&self.folder.path().join(".stagewright/store")).unwrap()
    }
}

/// Kills the command once the server has seen so many requests.
fn kill_after(server: &Server, requests: usize, mut child: Child) {
    server.forget();
    let until = Instant::now() + Duration::from_secs(20);
    while server.count("", "") < requests && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "waited in vain for request {requests}");
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn a_killed_push_and_a_killed_pull_lose_nothing() {
    for layout in ["native", "packed"] {
        lose_nothing(layout);
    }
}

fn lose_nothing(layout: &str) {
    let server = Server::start();
    let here = Project::new(&server, layout);
    here.run(&["run"]);
    let results = here.store().all_entries().unwrap();
    assert_eq!(results.len(), 2);
    server.fail(|_| Some(Fault::Slow(Duration::from_millis(20))));
    for requests in [1, 4, 8, 12] {
        kill_after(&server, requests, here.start(&["push"]));
        // Whatever result is there is there with all its bytes.
        let there = Project::new(&server, layout);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let remote = session(std::sync::Arc::new(client(&server, "kill")));
            for key in stagewright::record::all_results(&here.store()).unwrap() {
                remote.fetch_result(&there.store(), &key.0).await.unwrap();
            }
        });
    }
    here.run(&["push"]);
    assert!(files(&server.bucket()).iter().filter(|name| name.contains("actions-v1")).count() == 2);
    let there = Project::new(&server, layout);
    for requests in [1, 3, 5, 7, 9] {
        kill_after(&server, requests, there.start(&["pull"]));
        assert_eq!(there.store().verify(|_| {}).unwrap().damage, []);
    }
    server.heal();
    let text = there.run(&["pull"]);
    assert!(text.contains("one"), "{text}");
    assert_eq!(fs::read_to_string(there.folder.path().join("results/one.txt")).unwrap(), "one");
    assert_eq!(there.store().all_entries().unwrap(), results);
    let again = there.run(&["run"]);
    assert!(again.contains("2 cached"), "{again}");
}
