//! A project in a temporary folder, and the program run in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use tempfile::TempDir;

pub struct Project {
    folder: TempDir,
    /// Folder of private keys; without one the program finds none.
    keys: Option<TempDir>,
}

/// A folder with the program and the tests' stage program under the name that the catalog looks for, and no other: beside the
/// built program there may be any.
pub fn programs() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            // Links where it can be: a copy of the unoptimized program for each test fills small disks.
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let link = |from: &Path, to: PathBuf| {
                fs::hard_link(from, &to).or_else(|_| fs::copy(from, &to).map(|_| ())).unwrap();
            };
            let built = Path::new(env!("CARGO_BIN_EXE_stagewright"));
            let fake = built.parent().unwrap().join("examples/stage-fake");
            assert!(fake.is_file(), "build the tests' stage program first: cargo build --example stage-fake");
            link(built, folder.path().join("stagewright"));
            link(&fake, folder.path().join("stagewright-stage-fake"));
            folder
        })
        .path()
}

impl Project {
    /// A project with this pipeline.
    pub fn new(pipeline: &str) -> Self {
        Self::with(pipeline, None)
    }

    /// A project whose user has a folder for private keys, still empty.
    pub fn with_keys(pipeline: &str) -> Self {
        Self::with(pipeline, Some(tempfile::tempdir().unwrap()))
    }

    /// An empty folder that is to become a project.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), keys: None }
    }

    fn with(pipeline: &str, keys: Option<TempDir>) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap(), keys };
        project.write("stagewright.toml", "");
        project.write("pipeline.yaml", pipeline);
        project
    }

    /// Folder of the user's private keys.
    pub fn keys(&self) -> &Path {
        self.keys.as_ref().unwrap().path()
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
        self.show(self.command(programs(), arguments))
    }

    /// What the program prints on stdout, to the byte.
    pub fn output(&self, arguments: &[&str]) -> String {
        let done = self.command(programs(), arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// As [`Project::run`], with variables.
    pub fn run_env(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let mut command = self.command(programs(), arguments);
        command.envs(variables.iter().copied());
        self.show(command)
    }

    /// As [`Project::run`], with the program alone and stage programs from another folder.
    pub fn run_with(&self, arguments: &[&str], stages: &Path) -> String {
        let alone = tempfile::tempdir().unwrap();
        fs::copy(programs().join("stagewright"), alone.path().join("stagewright")).unwrap();
        let mut command = self.command(alone.path(), arguments);
        command.env("STAGEWRIGHT_STAGE_PATH", stages);
        self.show(command)
    }

    /// The program in the background, silent.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(programs(), arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The program, to be started in the project.
    pub fn here(&self, arguments: &[&str]) -> Command {
        self.command(programs(), arguments)
    }

    fn command(&self, programs: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs.join("stagewright"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("PATH", "/usr/bin:/bin");
        if let Some(keys) = &self.keys {
            command.env("STAGEWRIGHT_KEYS", keys.path());
        }
        command
    }

    fn show(&self, mut command: Command) -> String {
        let done = command.output().unwrap();
        let mut shown = format!("exit {}\n", done.status.code().unwrap_or(-1));
        for (name, bytes) in [("stdout", &done.stdout), ("stderr", &done.stderr)] {
            if !bytes.is_empty() {
                shown.push_str(&format!("--- {name}\n{}", self.plain(&String::from_utf8_lossy(bytes))));
            }
        }
        shown
    }

    fn plain(&self, text: &str) -> String {
        let folder = fs::canonicalize(self.folder.path()).unwrap();
        let text = text.replace(&*folder.to_string_lossy(), "<project>");
        let text = text.replace(&*self.folder.path().to_string_lossy(), "<project>");
        let text = match &self.keys {
            Some(keys) => text.replace(&*keys.path().to_string_lossy(), "<keys>"),
            None => text,
        };
        redact(&text.replace(&*programs().to_string_lossy(), "<programs>"))
    }
}

/// Replaces run ids, digests, times and dates; runs of spaces become two, because columns are as wide as the times in them.
fn redact(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        // What this machine can hold stages to.
        let line = if line.starts_with("isolation: stages") { "isolation: <isolation>" } else { line };
        let part = |word: &str| word.split(',').map(redact_word).collect::<Vec<_>>().join(",");
        let mut words: Vec<String> = line.split(' ').map(part).collect();
        for at in 1..words.len() {
            let is_unit = ["ms", "s", "ms,", "s:", "ms:"].contains(&words[at].as_str());
            if is_unit && words[at - 1].parse::<f64>().is_ok() {
                words[at - 1] = "<time>".to_owned();
                words[at].retain(|c| !c.is_ascii_alphabetic());
            }
        }
        let line = words.join(" ").replace("<time> :", "<time>:");
        let indent = line.len() - line.trim_start().len();
        let mut body = line.trim().to_owned();
        while body.contains("   ") {
            body = body.replace("   ", "  ");
        }
        lines.push(format!("{}{body}", &line[..indent]));
    }
    lines.join("\n") + "\n"
}

fn redact_word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    let with = |name: &str| word.replace(bare, name);
    if bare.len() == 36 && bare.matches('-').count() == 4 {
        with("<run>")
    } else if bare.len() == 12 && is_hex(bare) {
        with("<id>")
    } else if bare.starts_with("sha256:") {
        with("<digest>")
    } else if bare.len() == 64 && is_hex(bare) {
        with("<key>")
    } else if bare.len() == 8 && is_hex(bare) {
        with("<id>")
    } else if bare.len() == 12 && is_hex(bare) {
        with("<short>")
    } else if bare.len() >= 19 && bare.contains('T') && bare.as_bytes()[4] == b'-' {
        with("<date>")
    } else {
        word.to_owned()
    }
}
