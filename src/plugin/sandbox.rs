//! What a program may touch beside its own: by Landlock, where the kernel has it.
//!
//! Reading is not restricted: programs need their libraries, interpreters and drivers, and those lie anywhere. Writing is,
//! to the folders of the run and a few devices; TCP is, unless the run may use the network. A process gives up these rights
//! for itself and for all that it starts, and can't get them back.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, path_beneath_rules,
};
use tokio::{
    process::{Child, Command},
    sync::oneshot,
};

/// Devices that hold nothing, memory that processes share, and GPUs other than NVIDIA's, whose devices are many.
const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/shm",
    "/dev/dri",
    "/dev/kfd",
    "/dev/dxg",
];

/// Beginning of the names of NVIDIA's devices.
const NVIDIA: &str = "nvidia";

/// What a program may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Files and folders it may write, with all below. One that is not there gives no right to make it.
    pub writable: Vec<PathBuf>,
    /// It may use the network.
    pub network: bool,
}

/// How much of a [`Sandbox`] a program can be held to on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxSupport {
    /// Version of Landlock; 0 where there is none.
    pub landlock: u32,
}

impl SandboxSupport {
    /// Asks the kernel, once a process.
    pub fn detect() -> Self {
        static FOUND: OnceLock<SandboxSupport> = OnceLock::new();
        *FOUND.get_or_init(|| {
            // The answer comes with a restriction, which a thread of its own takes upon itself and to its end.
            let ask = thread::spawn(|| restrict(&Sandbox { writable: vec!["/".into()], network: true }));
            let landlock = match ask.join() {
                Ok(Ok(RestrictionStatus {
                    landlock: LandlockStatus::Available { effective_abi, .. },
                    ..
                })) => effective_abi as u32,
                _ => 0,
            };
            Self { landlock }
        })
    }

    /// A program can be kept from writing elsewhere.
    pub fn writes(self) -> bool {
        self.landlock >= 1
    }

    /// A program can be kept from the network: TCP from version 4 on (Linux 6.7), UDP as well from 10 on.
    pub fn network(self) -> bool {
        self.landlock >= 4
    }
}

impl Sandbox {
    /// Starts a program in here.
    pub(super) async fn start(&self, mut command: Command) -> io::Result<Child> {
        let (sandbox, runtime) = (self.clone(), tokio::runtime::Handle::current());
        let (send, receive) = oneshot::channel();
        // A restriction holds for a thread and what it starts. No other thread may get it, so this one ends here.
        thread::Builder::new().name("sandbox".to_owned()).spawn(move || {
            let _runtime = runtime.enter();
            let started = restrict(&sandbox)
                .map_err(|error| io::Error::other(format!("the sandbox can't be set up ({error})")))
                .and_then(|_| super::group::spawn(&mut command));
            // Nobody waits for it any more: the child is dropped, and killed with it.
            drop(send.send(started));
        })?;
        receive.await.unwrap_or_else(|_| Err(io::Error::other("the thread that starts it is gone")))
    }
}

/// Restricts the calling thread, as far as the kernel can.
fn restrict(sandbox: &Sandbox) -> Result<RestrictionStatus, RulesetError> {
    // Without the right to control devices, which came with version 5: a GPU is driven by nothing else.
    let writing = AccessFs::from_write(ABI::V4);
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(writing)?;
    if !sandbox.network {
        rules = rules.handle_access(AccessNet::from_all(ABI::V10))?;
    }
    let places = sandbox.writable.iter().cloned().chain(devices());
    rules.create()?.add_rules(path_beneath_rules(places, writing))?.restrict_self()
}

fn devices() -> impl Iterator<Item = PathBuf> {
    let listed = fs::read_dir("/dev").into_iter().flatten().flatten().map(|item| item.path());
    let nvidia = listed.filter(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(NVIDIA))
    });
    // Compiled kernels: without them each process compiles its own.
    let kernels = std::env::var_os("CUDA_CACHE_PATH").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".nv/ComputeCache"))
    });
    DEVICES.iter().map(PathBuf::from).chain(nvidia).chain(kernels)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What a shell can do in a sandbox, a word a try.
    fn tries(sandbox: Sandbox, script: String) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut command = Command::new("bash");
            command.args(["-c", &script]).stdout(std::process::Stdio::piped()).kill_on_drop(true);
            command.stderr(std::process::Stdio::null());
            let child = sandbox.start(command).await.unwrap();
            String::from_utf8(child.wait_with_output().await.unwrap().stdout).unwrap()
        })
    }

    #[test]
    fn writes_go_where_they_may_and_nowhere_else() {
        if !SandboxSupport::detect().writes() {
            eprintln!("skipped: this kernel has no Landlock");
            return;
        }
        let base = tempfile::tempdir().unwrap();
        let (mine, other) = (base.path().join("mine"), base.path().join("other"));
        fs::create_dir(&mine).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "precious").unwrap();
        let attempt = |word: &str, command: &str| format!("({command}) && echo {word}\n");
        let script = [
            attempt("write", "echo x > mine/x"),
            attempt("folder", "mkdir -p mine/a/b && mv mine/x mine/a/b/x && ln -s x mine/a/b/link"),
            attempt("remove", "rm mine/a/b/x"),
            attempt("read", "grep -q precious other/kept"),
            attempt("null", "echo x > /dev/null"),
            attempt("new-elsewhere", "echo x > other/new"),
            attempt("over-elsewhere", "echo x > other/kept"),
            attempt("append-elsewhere", "echo x >> other/kept"),
            attempt("truncate-elsewhere", "truncate -s 0 other/kept"),
            attempt("remove-elsewhere", "rm -f other/kept"),
            attempt("move-elsewhere", "echo y > mine/y && mv mine/y other/y"),
            attempt("link-elsewhere", "ln other/kept mine/kept && echo x > mine/kept"),
            attempt("by-link", "ln -s ../other/kept mine/link; echo x > mine/link"),
        ]
        .concat();
        let sandbox = Sandbox { writable: vec![mine, base.path().join("absent")], network: false };
        let done = tries(sandbox, format!("cd '{}'\n{script}", base.path().display()));
        assert_eq!(
            done.split_whitespace().collect::<Vec<_>>(),
            ["write", "folder", "remove", "read", "null"]
        );
        assert_eq!(fs::read_to_string(other.join("kept")).unwrap(), "precious");
        // This process is as free as before.
        fs::write(other.join("new"), "").unwrap();
    }

    #[test]
    fn the_network_is_closed_unless_asked_for() {
        if !SandboxSupport::detect().network() {
            eprintln!("skipped: this kernel's Landlock does not cover the network");
            return;
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connect = || format!("(exec 3<>/dev/tcp/127.0.0.1/{port}) && echo connected");
        assert_eq!(tries(Sandbox { writable: Vec::new(), network: false }, connect()), "");
        assert_eq!(tries(Sandbox { writable: Vec::new(), network: true }, connect()), "connected\n");
    }
}
