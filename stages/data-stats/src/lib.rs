//! `data-stats`: measures a dataset of images and writes the preprocessing contract that every later stage takes.
//!
//! Mean and standard deviation are exact: integer sums over all pixels of the train split, at the contract's size after
//! its resize, because that is what a network sees. Besides: class balance, image sizes, damaged files, duplicates,
//! near duplicates, leakage between splits (a gate), suspicious images, and one digest over the whole dataset.

mod contract;
pub mod duplicates;
mod measure;
pub mod moments;
mod params;
mod phash;
pub mod quality;
mod report;
pub mod stats;
mod summary;

use rayon::ThreadPoolBuilder;
use stagewright_dataset::{Dataset, SampleManifest};
use stagewright_sdk::{
    Context, Determinism, FaultExt, GateStatus, Manifest, ManifestExt, Port, PortExt, Resources, Result,
    Stage, StageFault, manifest,
};

pub use params::{LeakageOf, NearDuplicates, OnCorrupt, OnDuplicate, Params, Size};
pub use phash::phash;

use duplicates::equal_groups;
use measure::Pixels;
use stats::Stats;
use summary::Known;

/// Damaged files named in an error.
const NAMED: usize = 10;

/// The stage.
pub struct DataStats;

impl Stage for DataStats {
    type Params = Params;

    fn manifest() -> Manifest {
        let summary = "measures a dataset of images and writes the preprocessing contract";
        manifest::<Params>("data-stats", env!("CARGO_PKG_VERSION"), 1, summary)
            .input(
                "data",
                Port::input("dataset/images", "the images, one folder per class, CIFAR-10 binary or IDX"),
            )
            .output("stats", Port::output("stats/dataset", "stats.json", "everything measured"))
            .output("preprocess", Port::output("preprocess", "preprocess.json", "the preprocessing contract"))
            .output("report", Port::output("report/markdown", "report.md", "the findings for people"))
            .output("manifest", Port::output("file", "samples.txt", "digest, label and id of every sample"))
            .metric("samples", "samples, excluded ones among them")
            .metric("classes", "classes")
            .metric("train", "samples of the train split")
            .metric("validation", "samples of the validation split")
            .metric("test", "samples of the test split")
            .metric("excluded", "samples that the contract excludes from every split")
            .metric("corrupt", "files that can't be decoded")
            .metric("duplicates", "samples with the pixels of an earlier one")
            .metric("label-conflicts", "groups of samples with the same pixels and different classes")
            .metric("near-duplicates", "samples that look like an earlier one, exact duplicates not counted")
            .metric("leakage", "held-out samples whose pixels an earlier split has too")
            .metric("near-leakage", "held-out samples that look like one of an earlier split")
            .metric("imbalance", "samples of the largest class per sample of the smallest, train split")
            .metric("evenness", "entropy of the class shares over its maximum, train split, 0–1")
            .metric("mean.<channel>", "mean of red, green, blue over the train split, 0–1")
            .metric("std.<channel>", "standard deviation of red, green, blue over the train split, 0–1")
            .metric("flagged.<kind>", "images suspected to be dark, light, blurry and so on")
            .resources(Resources { cpus: 0, ..Resources::default() })
            .determinism(Determinism::Bitwise)
    }

    fn run(context: &mut Context, params: Params) -> Result<()> {
        params.check()?;
        let threads = context.limits().threads.max(1) as usize;
        let pool =
            ThreadPoolBuilder::new().num_threads(threads).build().or_environment("cannot start threads")?;
        pool.install(|| carry_out(context, &params))
    }
}

fn carry_out(context: &mut Context, params: &Params) -> Result<()> {
    let dataset = Dataset::open(context.input("data")?)?;
    context.log(format!("{} samples of {} classes", dataset.len(), dataset.classes.len()));
    let files = measure::files(context, &dataset)?;
    let Some(size) = contract::input_size(params, &files) else {
        return Err(StageFault::user("no file of the dataset is a JPEG or PNG image")
            .hint("check that the folder is the one you mean"));
    };
    let mut contract = contract::draft(&dataset, params, size);
    let pixels = measure::pixels(context, &dataset, &contract)?;
    let corrupt = corrupt(&dataset, params, &pixels)?;
    contract::exclude(&mut contract, &dataset, &corrupt);

    let decoded =
        pixels.iter().enumerate().filter_map(|(index, pixels)| Some((index, pixels.as_ref().ok()?)));
    let exact = equal_groups(decoded.map(|(index, pixels)| (index, (pixels.size, pixels.digest))));
    if params.on_duplicate == OnDuplicate::Skip {
        let places = contract::places(&dataset, &dataset.splits(&contract.splits));
        contract::exclude(&mut contract, &dataset, &contract::redundant(&exact, &places));
    }
    let splits = dataset.splits(&contract.splits);
    if splits.train.is_empty() {
        return Err(StageFault::user(
            "the train split is empty, so there is nothing to take mean and deviation of",
        )
        .hint("give the dataset a train/ folder, or lower `test-fraction` and `validation-fraction`"));
    }
    let moments = contract::train_moments(&splits, &pixels);
    contract::normalize(&mut contract, params, &moments)?;

    let digests: Vec<[u8; 32]> = files.iter().map(|file| file.digest).collect();
    let manifest = SampleManifest::new(&dataset, &digests);
    let places = contract::places(&dataset, &splits);
    let known = Known {
        dataset: &dataset,
        params,
        contract: &contract,
        splits: &splits,
        places: &places,
        files: &files,
        pixels: &pixels,
        exact: &exact,
        moments: &moments,
        manifest: &manifest,
    };
    let stats = known.stats();
    warn(context, params, &stats, &contract::untrained(&dataset, &splits));
    report_metrics(context, &stats);
    gate(context, params, &stats);
    context.write_json("stats", &stats)?;
    context.write_json("preprocess", &contract)?;
    context.write("report", report::markdown(&stats, &contract).as_bytes())?;
    context.write("manifest", manifest.to_text().as_bytes())
}

/// Indices of damaged samples, or the error that lists them.
fn corrupt(dataset: &Dataset, params: &Params, pixels: &[Result<Pixels, String>]) -> Result<Vec<usize>> {
    let broken: Vec<(usize, &String)> = pixels
        .iter()
        .enumerate()
        .filter_map(|(index, pixels)| Some((index, pixels.as_ref().err()?)))
        .collect();
    if broken.is_empty() {
        return Ok(Vec::new());
    }
    let all = broken.len() == dataset.len();
    if params.on_corrupt == OnCorrupt::Skip && !all {
        return Ok(broken.into_iter().map(|(index, _)| index).collect());
    }
    let mut message = format!("{} of {} images can't be decoded:", broken.len(), dataset.len());
    for (index, reason) in broken.iter().take(NAMED) {
        message.push_str(&format!("\n  {}: {reason}", dataset.samples[*index].id));
    }
    if broken.len() > NAMED {
        message.push_str(&format!("\n  and {} more", broken.len() - NAMED));
    }
    let hint = if all {
        "check that the dataset is complete"
    } else {
        "mend or remove the files, or set `on-corrupt: skip` to leave them out of every split"
    };
    Err(StageFault::user(message).hint(hint))
}

/// Says what a person should know before training.
fn warn(context: &mut Context, params: &Params, stats: &Stats, untrained: &[&str]) {
    let files = &stats.files;
    if !files.corrupt.is_empty() {
        context
            .warn(format!("{} images can't be decoded and are left out of every split", files.corrupt.len()));
    }
    if !files.wrong_extension.is_empty() {
        let first = &files.wrong_extension[0];
        let count = files.wrong_extension.len();
        context.warn(format!(
            "{count} files have a name of another format, for example {}: {}",
            first.id, first.reason
        ));
    }
    if !files.rotated.is_empty() {
        let count = files.rotated.len();
        let first = &files.rotated[0].id;
        context.warn(format!(
            "{count} images are marked as rotated (EXIF), for example {first}; pixels are used as stored"
        ));
    }
    if !untrained.is_empty() {
        let names = untrained.join("`, `");
        context.warn(format!("no sample of the train split shows `{names}`"));
    }
    if stats.classes.len() == 1 {
        context.warn("the dataset has a single class, so there is nothing to tell apart");
    }
    if stats.duplicates.label_conflicts > 0 {
        let count = stats.duplicates.label_conflicts;
        context.warn(format!("{count} groups of images with the same pixels have different classes"));
    }
    if let Some(std) = params.std
        && contract::looks_like_image_std(std, stats.pixels.std, stats.pixels.mean_of_image_std)
    {
        let measured = stats.pixels.std.map(|value| format!("{value:.4}")).join(", ");
        context.warn(format!(
            "`std` is the mean of the images' own standard deviations, a different statistic; over all pixels it is [{measured}]"
        ));
    }
}

fn report_metrics(context: &mut Context, stats: &Stats) {
    let mut count = |name: &str, value: usize| context.metric(name, value as f64, None);
    count("samples", stats.dataset.samples);
    count("classes", stats.classes.len());
    for (split, samples) in &stats.dataset.splits {
        count(split, *samples);
    }
    count("excluded", stats.excluded.len());
    count("corrupt", stats.files.corrupt.len());
    count("duplicates", stats.duplicates.samples);
    count("label-conflicts", stats.duplicates.label_conflicts);
    count("leakage", stats.leakage.exact.samples);
    if let Some(near) = &stats.near_duplicates {
        count("near-duplicates", near.samples);
    }
    if let Some(near) = &stats.leakage.near {
        count("near-leakage", near.samples);
    }
    for (kind, flagged) in &stats.quality {
        count(&format!("flagged.{kind}"), flagged.samples);
    }
    if let Some(balance) = stats.balance.get("train") {
        if let Some(imbalance) = balance.imbalance {
            context.metric("imbalance", imbalance, None);
        }
        context.metric("evenness", balance.evenness, None);
    }
    for (channel, name) in ["red", "green", "blue"].into_iter().enumerate() {
        context.metric(&format!("mean.{name}"), stats.pixels.mean[channel], None);
        context.metric(&format!("std.{name}"), stats.pixels.std[channel], None);
    }
}

/// The gate `leakage`.
fn gate(context: &mut Context, params: &Params, stats: &Stats) {
    let counted = match (params.leakage_of, &stats.leakage.near) {
        (LeakageOf::Exact, _) => Some(("the same pixels as", &stats.leakage.exact)),
        (LeakageOf::Near, near) => near.as_ref().map(|near| ("nearly the look of", near)),
    };
    let held_out = stats
        .dataset
        .splits
        .iter()
        .filter(|(name, _)| **name != "train")
        .map(|(_, count)| count)
        .sum::<usize>();
    let Some((relation, leakage)) = counted else {
        let reason = "`leakage-of: near` needs `near-duplicates` switched on";
        return context.gate("leakage", GateStatus::NotApplicable, reason);
    };
    if held_out == 0 {
        return context.gate("leakage", GateStatus::NotApplicable, "every sample is in the train split");
    }
    let found = leakage.samples as u64;
    let mut reason = format!(
        "{found} of {held_out} held-out samples have {relation} one of an earlier split; allowed: {}",
        params.max_leakage
    );
    if found <= params.max_leakage {
        return context.gate("leakage", GateStatus::Passed, reason);
    }
    if let Some([first, second, ..]) = leakage.groups.first().map(Vec::as_slice) {
        reason.push_str(&format!("; for example {} and {}", first.id, second.id));
    }
    reason.push_str("; `on-duplicate: skip` leaves exact copies out");
    context.gate("leakage", GateStatus::Failed, reason);
}
