//! A project in a temporary folder, and the program run in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

pub struct Project {
    folder: TempDir,
}

/// The stage program of the tests, under the name that the catalog looks for.
fn stages() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let own = std::env::current_exe().unwrap();
            let built = own.parent().unwrap().parent().unwrap().join("examples/stage-fake");
            assert!(built.is_file(), "build the tests' stage program first: cargo build --example stage-fake");
            std::os::unix::fs::symlink(built, folder.path().join("stagewright-stage-fake")).unwrap();
            folder
        })
        .path()
}

impl Project {
    /// A project with this pipeline.
    pub fn new(pipeline: &str) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        project.write("stagewright.toml", "");
        project.write("pipeline.yaml", pipeline);
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Exit code, stdout and stderr, with what differs from run to run taken out.
    pub fn run(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, stages())
    }

    /// As [`Project::run`], with stage programs from another folder.
    pub fn run_with(&self, arguments: &[&str], stages: &Path) -> String {
        let done = Command::new(env!("CARGO_BIN_EXE_stagewright"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("STAGEWRIGHT_STAGE_PATH", stages)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| self.plain(&String::from_utf8_lossy(bytes));
        let mut shown = format!("exit {}\n", done.status.code().unwrap_or(-1));
        for (name, bytes) in [("stdout", &done.stdout), ("stderr", &done.stderr)] {
            if !bytes.is_empty() {
                shown.push_str(&format!("--- {name}\n{}", text(bytes)));
            }
        }
        shown
    }

    fn plain(&self, text: &str) -> String {
        let folder = fs::canonicalize(self.folder.path()).unwrap();
        let text = text.replace(&*folder.to_string_lossy(), "<project>");
        let text = text.replace(&*self.folder.path().to_string_lossy(), "<project>");
        let text = text.replace(&*stages().to_string_lossy(), "<stages>");
        redact(&text)
    }
}

/// Replaces run ids, digests, times and dates.
fn redact(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let words: Vec<String> = line.split(' ').map(redact_word).collect();
        let line = words.join(" ");
        lines.push(["ms", "s"].iter().fold(line, |line, unit| line.replace(&format!("<n> {unit}"), "<time>")));
    }
    lines.join("\n") + "\n"
}

fn redact_word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    let with = |name: &str| word.replace(bare, name);
    if bare.len() == 36 && bare.matches('-').count() == 4 {
        with("<run>")
    } else if bare.starts_with("sha256:") {
        with("<digest>")
    } else if bare.len() == 64 && is_hex(bare) {
        with("<key>")
    } else if bare.len() >= 19 && bare.contains('T') && bare.as_bytes()[4] == b'-' {
        with("<date>")
    } else {
        word.to_owned()
    }
}
