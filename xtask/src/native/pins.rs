//! Which wheels, which of their members, and whether a folder has them already. The table is `xtask/native.toml`.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::Outcome;

/// `native.toml`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Python version that the wheels' tags are for.
    pub python: String,
    /// Binary interfaces that the wheels' tags name.
    pub abis: Vec<String>,
    /// Versions of glibc (2.x) that the wheels' platform tags name.
    pub glibc: GlibcRange,
    #[serde(rename = "wheel")]
    wheels: Vec<Wheel>,
}

/// Minor versions of glibc 2.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlibcRange {
    /// The newest that any wheel needs.
    pub newest: u32,
    /// The oldest that any wheel is named after.
    pub oldest: u32,
}

/// One wheel and what is taken out of it.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wheel {
    set: Set,
    /// Package name.
    pub name: String,
    /// Package version.
    pub version: String,
    /// File name.
    pub file: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    #[serde(default)]
    cuda: bool,
    take: Vec<String>,
    #[serde(default)]
    take_cuda: Vec<String>,
    flat_into: Option<String>,
}

/// Folders that belong together and are swapped in as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Set {
    /// libtorch and NVIDIA's libraries that it needs.
    Torch,
    /// ONNX Runtime.
    Onnxruntime,
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Torch => "libtorch",
            Self::Onnxruntime => "ONNX Runtime",
        })
    }
}

impl Set {
    /// Every set.
    pub const ALL: [Self; 2] = [Self::Torch, Self::Onnxruntime];

    /// Folders of the set, under `.native`. The first one carries the stamp.
    pub fn folders(self) -> &'static [&'static str] {
        match self {
            Self::Torch => &["torch", "nvidia"],
            Self::Onnxruntime => &["onnxruntime"],
        }
    }

    /// A library of the user's own, checked to be one, if a variable names it.
    pub fn chosen_by_user(self, standard: &Path) -> Outcome<Option<PathBuf>> {
        match self {
            Self::Torch if std::env::var_os("LIBTORCH_USE_PYTORCH").is_some() => {
                Ok(Some(PathBuf::from("the installed PyTorch (LIBTORCH_USE_PYTORCH)")))
            }
            // Cargo sets LIBTORCH to our own folder where the user has not set it.
            Self::Torch => {
                own_libtorch(std::env::var_os("LIBTORCH").map(PathBuf::from), &standard.join("torch"))
            }
            Self::Onnxruntime => own_onnxruntime(std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from)),
        }
    }
}

fn own_libtorch(chosen: Option<PathBuf>, standard: &Path) -> Outcome<Option<PathBuf>> {
    let Some(chosen) = chosen.filter(|chosen| chosen != standard) else { return Ok(None) };
    for needed in ["include/ATen/ATen.h", "lib/libtorch_cpu.so"] {
        if !chosen.join(needed).is_file() {
            let chosen = chosen.display();
            return Err(format!(
                "LIBTORCH is {chosen}, which has no {needed}; correct it, or unset it to have libtorch fetched"
            ));
        }
    }
    Ok(Some(chosen))
}

fn own_onnxruntime(chosen: Option<PathBuf>) -> Outcome<Option<PathBuf>> {
    match chosen {
        Some(chosen) if !chosen.is_file() => Err(format!(
            "ORT_DYLIB_PATH is {}, which is not a file; correct it, or unset it to have ONNX Runtime fetched",
            chosen.display()
        )),
        chosen => Ok(chosen),
    }
}

impl Pins {
    /// The table as it is in this version of the program.
    pub fn load() -> Outcome<Self> {
        toml::from_str(include_str!("../../native.toml"))
            .map_err(|error| format!("xtask/native.toml: {error}"))
    }

    /// The wheels of a set.
    pub fn wheels(&self, set: Set, cuda: bool) -> impl Iterator<Item = &Wheel> {
        self.wheels.iter().filter(move |wheel| wheel.set == set && (cuda || !wheel.cuda))
    }

    /// Version of the set's namesake, its first wheel.
    pub fn version(&self, set: Set) -> &str {
        self.wheels(set, false).next().map_or("", |wheel| &wheel.version)
    }

    /// Version of a set that is there as pinned, or more: a folder with the GPU half serves without a GPU too.
    pub fn up_to_date(&self, set: Set, home: &Path, cuda: bool) -> Option<String> {
        let found = fs::read_to_string(stamp_path(set, home)).ok()?;
        let kinds = if cuda { &[true][..] } else { &[true, false][..] };
        let kind = *kinds.iter().find(|kind| self.stamp(set, **kind) == found)?;
        let complete = self
            .wheels(set, kind)
            .all(|wheel| wheel.members(kind).all(|member| home.join(wheel.destination(member)).exists()));
        complete.then(|| {
            format!("{}{}", self.version(set), if kind && set == Set::Torch { " with CUDA" } else { "" })
        })
    }

    /// What the stamp of a set says: a digest of everything that decides what is in its folders.
    pub fn stamp(&self, set: Set, cuda: bool) -> String {
        let mut hasher = Sha256::new();
        for wheel in self.wheels(set, cuda) {
            hasher.update(&wheel.sha256);
            for member in wheel.members(cuda) {
                hasher.update([0]);
                hasher.update(wheel.destination(member));
            }
            hasher.update([1]);
        }
        format!("layout 1, pins {}\n", hex::encode(hasher.finalize()))
    }
}

/// Where a set's stamp lies.
pub fn stamp_path(set: Set, home: &Path) -> PathBuf {
    home.join(set.folders()[0]).join("stamp")
}

impl Wheel {
    /// Members to unpack; one that ends in `/` stands for everything below it.
    pub fn members(&self, cuda: bool) -> impl Iterator<Item = &str> {
        let more = if cuda { self.take_cuda.as_slice() } else { &[] };
        self.take.iter().chain(more).map(String::as_str)
    }

    /// Is this member of the wheel to be unpacked?
    pub fn takes(&self, member: &str, cuda: bool) -> bool {
        self.members(cuda)
            .any(|taken| if taken.ends_with('/') { member.starts_with(taken) } else { member == taken })
    }

    /// Path under `.native` for a member.
    pub fn destination(&self, member: &str) -> String {
        match (&self.flat_into, member.rsplit_once('/')) {
            (Some(folder), Some((_, name))) => format!("{folder}/{name}"),
            _ => member.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let pins = Pins::load().expect("the table");
        for set in Set::ALL {
            for wheel in pins.wheels(set, true) {
                let start = format!("{}-{}-", wheel.name.replace('-', "_"), wheel.version);
                assert!(
                    wheel.file.starts_with(&start) && wheel.file.ends_with("x86_64.whl"),
                    "{}",
                    wheel.file
                );
                assert_eq!(hex::decode(&wheel.sha256).map(|hash| hash.len()), Ok(32), "{}", wheel.file);
                for member in wheel.members(true) {
                    let destination = wheel.destination(member);
                    let inside =
                        set.folders().iter().any(|folder| destination.starts_with(&format!("{folder}/")));
                    assert!(
                        inside && !destination.contains(".."),
                        "{destination} is in no folder of the set"
                    );
                }
            }
        }
        assert!(pins.wheels(Set::Torch, true).count() > pins.wheels(Set::Torch, false).count());
        let torch = pins.wheels(Set::Torch, false).next().expect("torch");
        assert!(torch.takes("torch/include/ATen/ATen.h", false));
        assert!(
            !torch.takes("torch/lib/libtorch_cuda.so", false)
                && torch.takes("torch/lib/libtorch_cuda.so", true)
        );
        assert!(!torch.takes("torch/nn/modules/conv.py", true));
    }

    #[test]
    fn a_set_is_up_to_date_only_with_its_stamp_and_its_files() {
        let pins = Pins::load().expect("the table");
        let home = tempfile::tempdir().expect("a folder");
        let set = Set::Onnxruntime;
        let library = home.path().join("onnxruntime/libonnxruntime.so.1.32.0");
        fs::create_dir_all(library.parent().expect("a parent")).expect("made");
        fs::write(&library, "").expect("written");
        assert_eq!(pins.up_to_date(set, home.path(), false), None);
        fs::write(stamp_path(set, home.path()), pins.stamp(set, false)).expect("written");
        assert_eq!(pins.up_to_date(set, home.path(), false), Some("1.32.0".to_owned()));
        fs::remove_file(&library).expect("removed");
        assert_eq!(pins.up_to_date(set, home.path(), false), None);
        fs::write(&library, "").expect("written");
        fs::write(stamp_path(set, home.path()), "layout 0").expect("written");
        assert_eq!(pins.up_to_date(set, home.path(), false), None);
        assert_ne!(pins.stamp(Set::Torch, false), pins.stamp(Set::Torch, true));
    }

    #[test]
    fn a_library_of_the_users_own_is_taken_if_it_is_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let standard = folder.path().join(".native/torch");
        assert_eq!(own_libtorch(None, &standard), Ok(None));
        assert_eq!(own_libtorch(Some(standard.clone()), &standard), Ok(None));
        let theirs = folder.path().join("theirs");
        let error = own_libtorch(Some(theirs.clone()), &standard).expect_err("nothing there");
        assert!(error.contains("theirs, which has no include/ATen/ATen.h"), "{error}");
        for file in ["include/ATen/ATen.h", "lib/libtorch_cpu.so"] {
            let file = theirs.join(file);
            fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            fs::write(file, "").expect("written");
        }
        assert_eq!(own_libtorch(Some(theirs.clone()), &standard), Ok(Some(theirs.clone())));
        let library = theirs.join("lib/libtorch_cpu.so");
        assert_eq!(own_onnxruntime(Some(library.clone())), Ok(Some(library)));
        assert!(own_onnxruntime(Some(theirs)).expect_err("a folder").contains("which is not a file"));
    }
}
