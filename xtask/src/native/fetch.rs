//! Getting one wheel through pip, so that the machine's own settings (index, proxy, certificates) hold, and checking it.

use std::{
    fs::{self, File},
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use sha2::{Digest, Sha256};

use super::{
    machine::Pip,
    pins::{Pins, Wheel},
};
use crate::{
    Outcome,
    step::{bytes, say, seconds},
};

/// Makes sure that `folder` has the wheel, as pinned. One that an earlier call fetched is used; a broken one is fetched again.
pub fn wheel(pip: &Pip, pins: &Pins, wheel: &Wheel, folder: &Path) -> Outcome<PathBuf> {
    let path = folder.join(&wheel.file);
    if path.is_file() {
        if digest(&path)? == wheel.sha256 {
            say("Have", &wheel.file);
            return Ok(path);
        }
        say("Removing", format_args!("{}, which is incomplete", path.display()));
        remove_file(&path)?;
    }
    say("Fetching", format_args!("{} {} ({})", wheel.name, wheel.version, bytes(wheel.size)));
    let started = Instant::now();
    download(pip, pins, wheel, folder)?;
    if !path.is_file() {
        return Err(format!(
            "pip fetched {} {}, but not as {}: the index that pip uses here has another file; set one that mirrors the Python \
             Package Index (pip config set global.index-url …)",
            wheel.name, wheel.version, wheel.file
        ));
    }
    let found = digest(&path)?;
    if found != wheel.sha256 {
        // What is not the pinned file must not lie around.
        remove_file(&path)?;
        return Err(format!(
            "{} has SHA-256 {found}, and xtask/native.toml pins {}; it was thrown away. Run it again; if that is of no use, the \
             index that pip uses here gives another file than the one this project was tested with",
            wheel.file, wheel.sha256
        ));
    }
    say("Fetched", format_args!("{} in {}, digest as pinned", wheel.name, seconds(started.elapsed())));
    Ok(path)
}

fn download(pip: &Pip, pins: &Pins, wheel: &Wheel, folder: &Path) -> Outcome {
    // pip's own temporary files, in a place that has the room and is cleared if it was stopped half-way.
    let temporary = folder.join("tmp");
    let _ = fs::remove_dir_all(&temporary);
    fs::create_dir_all(&temporary)
        .map_err(|error| format!("cannot create {}: {error}", temporary.display()))?;
    let mut command = pip.command();
    command
        .args(["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--dest"])
        .arg(folder);
    command.args(["--implementation", "cp", "--python-version", &pins.python]);
    for abi in &pins.abis {
        command.args(["--abi", abi]);
    }
    for minor in (pins.glibc.oldest..=pins.glibc.newest).rev() {
        command.arg("--platform").arg(format!("manylinux_2_{minor}_x86_64"));
    }
    for platform in ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"] {
        command.args(["--platform", platform]);
    }
    if !io::stdout().is_terminal() {
        command.arg("--quiet");
    }
    // Three equals signs: not a build with a local version such as +cpu, which two would accept.
    command.arg(format!("{}==={}", wheel.name, wheel.version));
    command.env("TMPDIR", &temporary).stderr(Stdio::piped());
    let failed = |error| format!("{} does not start: {error}", pip.0.join(" "));
    let ended = command.spawn().and_then(std::process::Child::wait_with_output).map_err(failed)?;
    let _ = fs::remove_dir_all(&temporary);
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    // The errors alone may only say that nothing was found; the warnings before them say why.
    let mut told: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    told.dedup();
    let said = told[told.len().saturating_sub(4)..].join("\n  ");
    Err(format!(
        "pip could not fetch {} {}:\n  {said}\nCheck the network and pip's settings (`pip config list`); a call that was \
         interrupted goes on where it stopped",
        wheel.name, wheel.version
    ))
}

/// SHA-256 of a file, in hex.
fn digest(path: &Path) -> Outcome<String> {
    let failed = |error| format!("cannot read {}: {error}", path.display());
    let mut hasher = Sha256::new();
    io::copy(&mut io::BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?), &mut hasher)
        .map_err(failed)?;
    Ok(hex::encode(hasher.finalize()))
}

fn remove_file(path: &Path) -> Outcome {
    fs::remove_file(path).map_err(|error| format!("cannot remove {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pins of one wheel whose content is `hello` and a newline.
    fn pins() -> Pins {
        toml::from_str(
            r#"
            python = "3.11"
            abis = ["none"]
            glibc = { newest = 17, oldest = 17 }
            [[wheel]]
            set = "onnxruntime"
            name = "greeting"
            version = "1.0"
            file = "greeting-1.0-py3-none-any.whl"
            size = 6
            sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
            take = ["greeting"]
            "#,
        )
        .expect("a table")
    }

    /// A pip that is a line of shell; `$DEST` is where the wheel goes.
    fn pip(line: &str) -> Pip {
        let script =
            format!("while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && DEST=$2; LAST=$1; shift; done; {line}");
        Pip(["sh", "-c", &script, "pip"].map(str::to_owned).to_vec())
    }

    fn fetch(pip: &Pip, folder: &Path) -> Outcome<PathBuf> {
        let pins = pins();
        let first = pins.wheels(super::super::pins::Set::Onnxruntime, false).next().expect("a wheel");
        wheel(pip, &pins, first, folder)
    }

    const FILE: &str = "greeting-1.0-py3-none-any.whl";

    #[test]
    fn a_wheel_is_fetched_once_and_a_broken_one_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let good = pip(&format!("[ \"$LAST\" = greeting===1.0 ] && echo hello > $DEST/{FILE}"));
        let never = pip("exit 9");
        let path = fetch(&good, folder.path()).expect("fetched");
        assert_eq!(fetch(&never, folder.path()), Ok(path.clone()));
        fs::write(&path, "hel").expect("cut short");
        assert!(fetch(&never, folder.path()).is_err());
        fs::write(&path, "hel").expect("cut short");
        assert_eq!(fetch(&good, folder.path()), Ok(path.clone()));
        assert_eq!(fs::read_to_string(path).expect("there"), "hello\n");
    }

    #[test]
    fn another_file_than_the_pinned_one_is_thrown_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let error =
            fetch(&pip(&format!("echo other > $DEST/{FILE}")), folder.path()).expect_err("another file");
        assert!(error.contains("has SHA-256 ") && error.contains("pins 5891b5b5"), "{error}");
        assert!(!folder.path().join(FILE).exists());
        let error = fetch(&pip("echo hello > $DEST/greeting-1.0-cp311.whl"), folder.path())
            .expect_err("another name");
        assert!(error.contains("but not as greeting-1.0-py3-none-any.whl"), "{error}");
    }

    #[test]
    fn what_pip_says_is_passed_on_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let failing =
            pip("echo 'WARNING: retrying' >&2; echo 'ERROR: No matching distribution found' >&2; exit 1");
        let error = fetch(&failing, folder.path()).expect_err("pip failed");
        assert!(
            error.contains("could not fetch greeting 1.0:\n  WARNING: retrying\n  ERROR: No matching distribution found\nCheck"),
            "{error}"
        );
        let error = fetch(&Pip(vec!["/no/such/pip".to_owned()]), folder.path()).expect_err("no pip");
        assert!(error.contains("/no/such/pip does not start"), "{error}");
    }
}
