//! `cargo xtask native`: libtorch and ONNX Runtime out of the Python wheels, into a folder of the project.
//!
//! The order is: decide what is wanted ([`pins`]), see what is there already, check the machine ([`machine`]), fetch the wheels
//! ([`fetch`]), unpack what is needed of them beside the final place, swap it in ([`unpack`]). A set of folders counts as
//! there once its stamp is written, which is the last act; whatever stops before that is done again.

mod fetch;
mod machine;
mod pins;
mod unpack;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use pins::{Pins, Set, Wheel};

use crate::{
    Outcome, root,
    step::{bytes, say, seconds},
};

/// What to fetch, and where to.
#[derive(Debug, Default, PartialEq)]
pub struct Request {
    /// libtorch's GPU half as well.
    pub cuda: bool,
    /// Another folder than `.native`.
    pub into: Option<PathBuf>,
}

/// Makes sure that the native libraries are there.
pub fn run(request: &Request) -> Outcome {
    machine::check_compiler()?;
    let pins = Pins::load()?;
    let standard = root().join(".native");
    let home = match &request.into {
        Some(folder) => {
            std::path::absolute(folder).map_err(|error| format!("{}: {error}", folder.display()))?
        }
        None => standard.clone(),
    };
    let mut wanted = Vec::new();
    for set in Set::ALL {
        // A folder that the user chose stands in for a set, unless this very call says where to put ours.
        let theirs = if request.into.is_none() { set.chosen_by_user(&standard)? } else { None };
        if let Some(theirs) = theirs {
            say("Using", format_args!("{set} in {}", theirs.display()));
        } else if let Some(stamp) = pins.up_to_date(set, &home, request.cuda) {
            say("Fresh", format_args!("{set} {} in {}", stamp, home.display()));
        } else {
            wanted.push(set);
        }
    }
    if wanted.is_empty() { Ok(()) } else { fetch_and_unpack(&pins, &wanted, &home, request.cuda) }
}

fn fetch_and_unpack(pins: &Pins, sets: &[Set], home: &Path, cuda: bool) -> Outcome {
    let started = Instant::now();
    machine::check_platform()?;
    let pip = machine::find_pip()?;
    let folder = home.join("download");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let _lock = machine::lock(&home.join("lock"))?;
    // Another call may have finished while this one waited for the lock.
    let sets: Vec<Set> =
        sets.iter().copied().filter(|set| pins.up_to_date(*set, home, cuda).is_none()).collect();

    let wheels: Vec<&Wheel> = sets.iter().flat_map(|set| pins.wheels(*set, cuda)).collect();
    let total: u64 = wheels.iter().map(|wheel| wheel.size).sum();
    machine::check_space(home, total)?;
    for wheel in &wheels {
        fetch::wheel(&pip, pins, wheel, &folder)?;
    }
    for set in sets {
        let begun = Instant::now();
        let size = unpack::set(pins, set, cuda, &folder, home)?;
        say(
            "Unpacked",
            format_args!("{set}: {} into {} in {}", bytes(size), home.display(), seconds(begun.elapsed())),
        );
    }
    // The wheels have done their work, and take as much room as what came out of them.
    fs::remove_dir_all(&folder).map_err(|error| format!("cannot remove {}: {error}", folder.display()))?;
    say("Finished", format_args!("native libraries in {}", seconds(started.elapsed())));
    Ok(())
}
