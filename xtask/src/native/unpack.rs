//! Out of the wheels and into place: beside it first, then renamed.

use std::{
    fs::{self, File},
    io::{self, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use zip::ZipArchive;

use super::pins::{Pins, Set, Wheel, stamp_path};
use crate::Outcome;

/// torch-sys asks for `-ltorch`. The wheel's file of that name also wants CUDA; this text, which linkers read as a script, does not.
const LIBTORCH: &str = "INPUT(libtorch_cpu.so)\n";

/// Unpacks what a set needs of its wheels in `downloads` and swaps it in under `home`. Gives the size in bytes.
pub fn set(pins: &Pins, set: Set, cuda: bool, downloads: &Path, home: &Path) -> Outcome<u64> {
    // On the same disk as the final place, so that renaming is one act.
    let staging = home.join("staging");
    let _ = fs::remove_dir_all(&staging);
    let mut size = 0;
    for wheel in pins.wheels(set, cuda) {
        size += members(wheel, cuda, &downloads.join(&wheel.file), &staging)?;
    }
    finish(pins, set, &staging)?;
    swap(set, &staging, home)?;
    let stamp = stamp_path(set, home);
    fs::write(&stamp, pins.stamp(set, cuda))
        .map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    let _ = fs::remove_dir_all(&staging);
    Ok(size)
}

/// Writes a wheel's wanted members below `target`.
fn members(wheel: &Wheel, cuda: bool, archive: &Path, target: &Path) -> Outcome<u64> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot unpack {}: {error}", archive.display());
    let file = File::open(archive).map_err(|error| failed(&error))?;
    let mut zip = ZipArchive::new(BufReader::with_capacity(1 << 20, file)).map_err(|error| failed(&error))?;
    let mut written = Vec::new();
    let mut size = 0;
    for index in 0..zip.len() {
        let mut member = zip.by_index(index).map_err(|error| failed(&error))?;
        let name = member.name().map_err(|error| failed(&error))?.into_owned();
        if member.is_dir() || !wheel.takes(&name, cuda) {
            continue;
        }
        if member.enclosed_name().is_none() {
            return Err(failed(&format_args!("its member {name} would land outside")));
        }
        let path = target.join(wheel.destination(&name));
        size += write(&mut member, &path)
            .map_err(|error| failed(&format_args!("{}: {error}", path.display())))?;
        written.push(name);
    }
    for wanted in wheel.members(cuda) {
        let found =
            |name: &String| if wanted.ends_with('/') { name.starts_with(wanted) } else { name == wanted };
        if !written.iter().any(found) {
            return Err(format!("{} has no {wanted}; xtask/native.toml asks for it", archive.display()));
        }
    }
    Ok(size)
}

fn write(member: &mut impl io::Read, path: &Path) -> io::Result<u64> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::create(path)?;
    let size = io::copy(member, &mut file)?;
    file.flush()?;
    let is_library = path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so"));
    if is_library {
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
    }
    Ok(size)
}

/// Adds what a set has beyond its wheels' members.
fn finish(pins: &Pins, set: Set, staging: &Path) -> Outcome {
    let failed = |path: &Path, error: io::Error| format!("cannot write {}: {error}", path.display());
    match set {
        Set::Torch => {
            // torch-sys reads the version here, and wants the one it was written for.
            let version = format!("{}\n", pins.version(set));
            for (path, text) in [("torch/lib/libtorch.so", LIBTORCH), ("torch/build-version", &version)] {
                let path = staging.join(path);
                fs::write(&path, text).map_err(|error| failed(&path, error))?;
            }
        }
        Set::Onnxruntime => {
            // A name without the version, for whoever loads it.
            let target = format!("libonnxruntime.so.{}", pins.version(set));
            let link = staging.join("onnxruntime/libonnxruntime.so");
            std::os::unix::fs::symlink(target, &link).map_err(|error| failed(&link, error))?;
        }
    }
    Ok(())
}

/// Puts a set's folders where they belong. The stamp goes first: stopped in between, the set counts as missing.
fn swap(set: Set, staging: &Path, home: &Path) -> Outcome {
    let failed = |path: &Path, error: io::Error| format!("cannot put {} in place: {error}", path.display());
    match fs::remove_file(stamp_path(set, home)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed(&stamp_path(set, home), error));
        }
        _ => {}
    }
    for folder in set.folders() {
        let place = home.join(folder);
        if place.exists() {
            let old: PathBuf = staging.join(format!("old-{folder}"));
            fs::rename(&place, &old).map_err(|error| failed(&place, error))?;
        }
        fs::rename(staging.join(folder), &place).map_err(|error| failed(&place, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// Pins of one small wheel for a set, with members to take.
    fn pins(set: &str, take: &str, more: &str) -> Pins {
        let text = format!(
            "python = \"3.11\"\nabis = []\nglibc = {{ newest = 17, oldest = 17 }}\n[[wheel]]\nset = \"{set}\"\nname = \"w\"\n\
             version = \"1.2\"\nfile = \"w.whl\"\nsize = 1\nsha256 = \"00\"\ntake = {take}\n{more}"
        );
        toml::from_str(&text).expect("a table")
    }

    fn wheel(folder: &Path, members: &[&str]) {
        let mut zip = ZipWriter::new(File::create(folder.join("w.whl")).expect("created"));
        for name in members {
            zip.start_file(*name, SimpleFileOptions::default()).expect("started");
            zip.write_all(format!("content of {name}").as_bytes()).expect("written");
        }
        zip.finish().expect("finished");
    }

    #[test]
    fn only_what_is_needed_is_unpacked_and_an_old_folder_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path();
        wheel(
            home,
            &[
                "torch/include/a/b.h",
                "torch/lib/libc10.so",
                "torch/lib/libtorch_cuda.so",
                "torch/nn.py",
                "nvidia/x/l.so.1",
            ],
        );
        let take = r#"["torch/include/", "torch/lib/libc10.so", "nvidia/x/l.so.1"]"#;
        let pins = pins("torch", take, "take-cuda = [\"torch/lib/libtorch_cuda.so\"]");
        fs::create_dir_all(home.join("torch/left-over")).expect("made");

        let size = set(&pins, Set::Torch, false, home, home).expect("unpacked");
        assert_eq!(
            fs::read_to_string(home.join("torch/include/a/b.h")).expect("read"),
            "content of torch/include/a/b.h"
        );
        assert_eq!(size, 3 * 11 + "torch/include/a/b.htorch/lib/libc10.sonvidia/x/l.so.1".len() as u64);
        for absent in ["torch/left-over", "torch/nn.py", "torch/lib/libtorch_cuda.so", "staging"] {
            assert!(!home.join(absent).exists(), "{absent}");
        }
        assert_eq!(fs::read_to_string(home.join("torch/build-version")).expect("read"), "1.2\n");
        assert_eq!(fs::read_to_string(home.join("torch/lib/libtorch.so")).expect("read"), LIBTORCH);
        let mode = fs::metadata(home.join("nvidia/x/l.so.1")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert!(
            pins.up_to_date(Set::Torch, home, false).is_some()
                && pins.up_to_date(Set::Torch, home, true).is_none()
        );

        set(&pins, Set::Torch, true, home, home).expect("unpacked");
        assert!(home.join("torch/lib/libtorch_cuda.so").exists());
        assert!(
            pins.up_to_date(Set::Torch, home, false).is_some()
                && pins.up_to_date(Set::Torch, home, true).is_some()
        );
    }

    #[test]
    fn onnx_runtime_gets_a_name_without_its_version() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path();
        wheel(home, &["onnxruntime/capi/libonnxruntime.so.1.2"]);
        let take = r#"["onnxruntime/capi/libonnxruntime.so.1.2"]"#;
        let pins = pins("onnxruntime", take, "flat-into = \"onnxruntime\"");
        set(&pins, Set::Onnxruntime, false, home, home).expect("unpacked");
        let text = fs::read_to_string(home.join("onnxruntime/libonnxruntime.so")).expect("through the link");
        assert_eq!(text, "content of onnxruntime/capi/libonnxruntime.so.1.2");
    }

    #[test]
    fn a_wheel_that_lacks_a_member_or_is_cut_short_leaves_the_old_folder_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path();
        fs::create_dir_all(home.join("torch/old")).expect("made");
        wheel(home, &["torch/lib/libc10.so"]);
        let pins = pins("torch", r#"["torch/lib/libc10.so", "torch/include/"]"#, "");
        let error = set(&pins, Set::Torch, false, home, home).expect_err("lacks a member");
        assert!(error.ends_with("w.whl has no torch/include/; xtask/native.toml asks for it"), "{error}");
        fs::write(home.join("w.whl"), "PK").expect("cut short");
        let error = set(&pins, Set::Torch, false, home, home).expect_err("no archive");
        assert!(error.starts_with("cannot unpack ") && error.contains("w.whl: "), "{error}");
        assert!(home.join("torch/old").exists());
    }
}
