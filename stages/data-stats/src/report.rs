//! The report for people, as Markdown.

use std::fmt::Write;

use stagewright_dataset::Preprocess;

use crate::stats::{Finding, Leakage, Member, Stats};

/// Findings and groups shown of each kind; `stats.json` has all.
const SHOWN: usize = 10;
/// Classes shown.
const SHOWN_CLASSES: usize = 100;

/// Renders the report.
pub fn markdown(stats: &Stats, contract: &Preprocess) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = write_report(&mut text, stats, contract);
    text
}

fn write_report(out: &mut String, stats: &Stats, contract: &Preprocess) -> std::fmt::Result {
    writeln!(out, "# Dataset report\n")?;
    summary(out, stats, contract)?;
    classes(out, stats)?;
    images(out, stats)?;
    let files = &stats.files;
    findings(out, "Files that can't be decoded", &files.corrupt)?;
    findings(out, "Files whose name says another format", &files.wrong_extension)?;
    findings(out, "Images with a rotation in their EXIF data (pixels are used as stored)", &files.rotated)?;
    if !files.ignored.is_empty() {
        writeln!(out, "## Files passed over\n")?;
        bullets(out, files.ignored.iter().map(|id| code(id)), files.ignored.len())?;
    }
    leakage(out, "Leakage: the same pixels in two splits", &stats.leakage.exact)?;
    if let Some(near) = &stats.leakage.near {
        leakage(out, "Leakage: nearly the same look in two splits", near)?;
    }
    groups(out, "Exact duplicates", &stats.duplicates.groups)?;
    if let Some(near) = &stats.near_duplicates {
        groups(out, "Near duplicates", &near.groups)?;
    }
    quality(out, stats)
}

fn summary(out: &mut String, stats: &Stats, contract: &Preprocess) -> std::fmt::Result {
    let triple = |values: [f64; 3]| values.map(|value| format!("{value:.4}")).join(", ");
    let contract_triple = |values: [f32; 3]| triple(values.map(f64::from));
    let [height, width] = contract.size;
    let split = |name: &str| stats.dataset.splits.get(name).copied().unwrap_or(0);
    let near =
        stats.near_duplicates.as_ref().map_or("not searched".to_owned(), |near| near.samples.to_string());
    let near_leaks =
        stats.leakage.near.as_ref().map_or(String::new(), |near| format!(", {} near", near.samples));
    let rows = [
        ("samples", stats.dataset.samples.to_string()),
        (
            "train / validation / test",
            format!("{} / {} / {}", split("train"), split("validation"), split("test")),
        ),
        ("excluded", stats.excluded.len().to_string()),
        ("classes", stats.classes.len().to_string()),
        ("input size (height × width)", format!("{height} × {width}")),
        ("mean measured (R, G, B)", triple(stats.pixels.mean)),
        ("standard deviation measured", triple(stats.pixels.std)),
        ("mean in the contract", contract_triple(contract.mean)),
        ("standard deviation in the contract", contract_triple(contract.std)),
        ("corrupt files", stats.files.corrupt.len().to_string()),
        (
            "exact duplicates",
            format!("{} ({} by bytes)", stats.duplicates.samples, stats.duplicates.samples_by_bytes),
        ),
        ("duplicates with different classes", stats.duplicates.label_conflicts.to_string()),
        ("near duplicates", near),
        ("leaking samples", format!("{} exact{near_leaks}", stats.leakage.exact.samples)),
        ("dataset digest", code(&stats.dataset.digest)),
    ];
    writeln!(out, "| | |\n|---|---|")?;
    for (name, value) in rows {
        writeln!(out, "| {name} | {value} |")?;
    }
    writeln!(out, "\nMean and standard deviation are over {}.\n", stats.pixels.over)
}

fn classes(out: &mut String, stats: &Stats) -> std::fmt::Result {
    writeln!(out, "## Classes\n\n| class | train | validation | test |\n|---|---:|---:|---:|")?;
    for class in stats.classes.iter().take(SHOWN_CLASSES) {
        let count = |split: &str| class.samples.get(split).copied().unwrap_or(0);
        let name = code(&class.name);
        writeln!(out, "| {name} | {} | {} | {} |", count("train"), count("validation"), count("test"))?;
    }
    more(out, stats.classes.len(), SHOWN_CLASSES)?;
    for (split, balance) in &stats.balance {
        let imbalance = balance
            .imbalance
            .map_or("without limit (a class has none)".to_owned(), |ratio| format!("{ratio:.2}"));
        let (entropy, evenness) = (balance.entropy, balance.evenness);
        writeln!(
            out,
            "\n{split}: entropy {entropy:.3} bits (evenness {evenness:.3}), largest class / smallest {imbalance}"
        )?;
    }
    writeln!(out)
}

fn images(out: &mut String, stats: &Stats) -> std::fmt::Result {
    let images = &stats.images;
    writeln!(out, "## Images\n\n| size (height × width) | images |\n|---|---:|")?;
    for entry in images.common_sizes.iter().take(SHOWN) {
        writeln!(out, "| {} × {} | {} |", entry.size[0], entry.size[1], entry.images)?;
    }
    more(out, images.different_sizes, SHOWN)?;
    let list = |entries: Vec<String>| entries.join(", ");
    let formats = list(images.formats.iter().map(|(name, count)| format!("{name} {count}")).collect());
    let modes = list(images.modes.iter().map(|(name, count)| format!("{name} {count}")).collect());
    let bits = list(images.bits.iter().map(|(bits, count)| format!("{bits} bit {count}")).collect());
    writeln!(out, "\nFormats: {formats}. Colour modes: {modes}. Depth: {bits}.\n")
}

fn findings(out: &mut String, title: &str, findings: &[Finding]) -> std::fmt::Result {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "## {title}\n")?;
    let line = |finding: &Finding| format!("{}: {}", code(&finding.id), finding.reason);
    bullets(out, findings.iter().map(line), findings.len())
}

fn leakage(out: &mut String, title: &str, leakage: &Leakage) -> std::fmt::Result {
    if leakage.samples == 0 {
        return Ok(());
    }
    let percent = 100.0 * leakage.fraction;
    writeln!(out, "## {title}\n\n{} held-out samples ({percent:.2} %):\n", leakage.samples)?;
    bullets(out, leakage.groups.iter().map(|group| line(group)), leakage.groups.len())
}

fn groups(out: &mut String, title: &str, groups: &[Vec<Member>]) -> std::fmt::Result {
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(out, "## {title}\n")?;
    bullets(out, groups.iter().map(|group| line(group)), groups.len())
}

fn line(group: &[Member]) -> String {
    let member = |member: &Member| format!("{} ({})", code(&member.id), member.split.unwrap_or("excluded"));
    let mut shown: Vec<String> = group.iter().take(SHOWN).map(member).collect();
    if group.len() > SHOWN {
        shown.push(format!("and {} more", group.len() - SHOWN));
    }
    shown.join(" = ")
}

fn quality(out: &mut String, stats: &Stats) -> std::fmt::Result {
    writeln!(out, "## Suspicious images\n\n| kind | images | rule | for example |\n|---|---:|---|---|")?;
    for (kind, flagged) in &stats.quality {
        let example = flagged.ids.first().map_or(String::new(), |id| code(id));
        writeln!(out, "| {kind} | {} | {} | {example} |", flagged.samples, flagged.rule)?;
    }
    writeln!(out, "\nLists of all findings are in `stats.json`.")
}

fn bullets(out: &mut String, lines: impl Iterator<Item = String>, count: usize) -> std::fmt::Result {
    for line in lines.take(SHOWN) {
        writeln!(out, "- {line}")?;
    }
    more(out, count, SHOWN)?;
    writeln!(out)
}

fn more(out: &mut String, count: usize, shown: usize) -> std::fmt::Result {
    if count > shown { writeln!(out, "\nand {} more", count - shown) } else { Ok(()) }
}

/// A name as code, safe inside a table.
fn code(name: &str) -> String {
    format!("`{}`", name.replace('|', "\\|").replace(['`', '\n'], "'"))
}
