//! `multi-gpu`: every visible GPU gives the same answers.

use std::process::Command;

use crate::finding::Finding;

const CHECK: &str = "multi-gpu";

/// Looks at the GPUs of this machine.
pub fn check() -> Finding {
    match gpu_names() {
        Err(reason) => Finding::not_applicable(CHECK, format!("no GPU is visible here ({reason}), so nothing was compared")),
        Ok(names) if names.len() < 2 => {
            let which = names.first().map_or_else(String::new, |name| format!(" ({name})"));
            Finding::not_applicable(CHECK, format!("{} GPU is visible here{which}; two are needed to compare", names.len()))
        }
        Ok(names) => Finding::not_applicable(
            CHECK,
            format!("{} GPUs are visible ({}), but the candidate runs on the processor only", names.len(), names.join(", ")),
        ),
    }
}

fn gpu_names() -> Result<Vec<String>, String> {
    let done = Command::new("nvidia-smi")
        .args(["--query-gpu=name", "--format=csv,noheader"])
        .output()
        .map_err(|error| format!("nvidia-smi: {error}"))?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stdout).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&done.stdout).lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}
