//! How far stages are kept apart, in words.

use stagewright::record::Isolation;

/// What stages are held to.
pub fn held(isolation: &Isolation) -> String {
    let held = match (isolation.writes, isolation.network) {
        (true, true) => "stages write to their own folders only and have no network",
        (true, false) => "stages write to their own folders only; the network is open to them",
        (false, true) => "stages have no network; they can write anywhere",
        (false, false) => "stages can write anywhere and use the network",
    };
    let why = isolation.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    format!("{held}{why}")
}

/// The same of a run, with the stages that were given the network.
pub fn lines(isolation: &Isolation) -> String {
    let mut text = format!("isolation: {}\n", held(isolation));
    if isolation.network && !isolation.networked.is_empty() {
        let names: Vec<&str> = isolation.networked.iter().map(|stage| stage.0.as_str()).collect();
        text.push_str(&format!("network given, as they ask for it, to {}\n", names.join(", ")));
    }
    text
}
