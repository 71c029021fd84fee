//! From measurements to [`Stats`].

use std::collections::{BTreeMap, HashSet};

use stagewright_dataset::{Dataset, Preprocess, SampleManifest, Splits};

use crate::{
    NearDuplicates, Params,
    contract::{SPLIT_NAMES, mean_of_image_std},
    duplicates::{Group, equal_groups, leaking, near_groups},
    measure::{File, Pixels},
    moments::Moments,
    quality,
    stats::{
        Balance, Class, Duplicates, Files, Finding, Flagged, Identity, Images, LISTED, Leakage, LeakageStats,
        Member, NearDuplicateStats, PixelStats, STATS_FORMAT, SizeCount, Stats,
    },
};

/// β of the effective number of samples.
const EFFECTIVE_BETA: f64 = 0.9999;
/// Widths of the interquartile range beyond which a size is odd (cleanvision).
const SIZE_RANGES: f64 = 3.0;

/// Everything that is known once samples are measured and split.
pub struct Known<'a> {
    pub dataset: &'a Dataset,
    pub params: &'a Params,
    pub contract: &'a Preprocess,
    pub splits: &'a Splits,
    /// Place of each sample in the order of splits.
    pub places: &'a [Option<usize>],
    pub files: &'a [File],
    pub pixels: &'a [Result<Pixels, String>],
    /// Groups of equal pixels.
    pub exact: &'a [Group],
    /// Sums over the train split.
    pub moments: &'a Moments,
    pub manifest: &'a SampleManifest,
}

impl Known<'_> {
    /// All of it.
    pub fn stats(&self) -> Stats {
        let near = match self.params.near_duplicates {
            NearDuplicates::Off => None,
            NearDuplicates::Distance(distance) => Some((distance, near_groups(&self.hashes(), distance))),
        };
        Stats {
            format: STATS_FORMAT,
            dataset: self.identity(),
            classes: self.classes(),
            balance: self.balance(),
            pixels: self.pixel_stats(),
            images: self.images(),
            files: self.file_findings(),
            duplicates: self.duplicates(),
            near_duplicates: near.as_ref().map(|(distance, groups)| self.near_duplicates(*distance, groups)),
            leakage: LeakageStats {
                exact: self.leakage(self.exact),
                near: near.as_ref().map(|(_, groups)| self.leakage(groups)),
            },
            quality: self.quality(),
            excluded: self.contract.splits.exclude.clone(),
        }
    }

    fn split_lists(&self) -> [(&'static str, &[usize]); 3] {
        let lists = [&self.splits.train, &self.splits.validation, &self.splits.test];
        [0, 1, 2].map(|place| (SPLIT_NAMES[place], lists[place].as_slice()))
    }

    fn identity(&self) -> Identity {
        Identity {
            digest: self.manifest.root(),
            digest_algorithm: "RFC 6962 Merkle tree with SHA-256 over the lines `<sha-256 of the bytes> <label> <id>`",
            samples: self.dataset.len(),
            bytes: self.files.iter().map(|file| file.bytes).sum(),
            splits: self.split_lists().into_iter().map(|(name, list)| (name, list.len())).collect(),
        }
    }

    fn classes(&self) -> Vec<Class> {
        let counts = self.split_lists().map(|(name, list)| (name, self.dataset.class_counts(list)));
        let class = |(label, name): (usize, &String)| Class {
            name: name.clone(),
            samples: counts.iter().map(|(split, counts)| (*split, counts[label])).collect(),
            effective_samples: (1.0 - EFFECTIVE_BETA.powf(counts[0].1[label] as f64))
                / (1.0 - EFFECTIVE_BETA),
        };
        self.dataset.classes.iter().enumerate().map(class).collect()
    }

    fn balance(&self) -> BTreeMap<&'static str, Balance> {
        let balance = |(name, list): (&'static str, &[usize])| {
            Balance::of(&self.dataset.class_counts(list)).map(|balance| (name, balance))
        };
        self.split_lists().into_iter().filter_map(balance).collect()
    }

    fn pixel_stats(&self) -> PixelStats {
        PixelStats {
            over: "all pixels of the train split at the contract's size, after its resize; population (divided by n)",
            size: self.contract.size,
            images: self.splits.train.len(),
            pixels: self.moments.pixels,
            sum: self.moments.sum,
            sum_of_squares: self.moments.squares,
            mean: self.moments.mean(),
            std: self.moments.std(),
            mean_of_image_std: mean_of_image_std(self.splits, self.pixels),
        }
    }

    fn images(&self) -> Images {
        let mut sizes: BTreeMap<[usize; 2], usize> = BTreeMap::new();
        let (mut formats, mut modes, mut bits) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (mut smallest, mut largest) = ([usize::MAX; 2], [0; 2]);
        for (file, pixels) in self.files.iter().zip(self.pixels) {
            let (Ok(header), Ok(pixels)) = (&file.header, pixels) else { continue };
            *sizes.entry(pixels.size).or_default() += 1;
            *formats.entry(header.format.to_string()).or_default() += 1;
            *modes.entry(header.mode.to_string()).or_default() += 1;
            *bits.entry(header.bits).or_default() += 1;
            for side in 0..2 {
                smallest[side] = smallest[side].min(pixels.size[side]);
                largest[side] = largest[side].max(pixels.size[side]);
            }
        }
        let mut common: Vec<SizeCount> =
            sizes.iter().map(|(&size, &images)| SizeCount { size, images }).collect();
        common.sort_by_key(|entry| (std::cmp::Reverse(entry.images), entry.size));
        common.truncate(20);
        Images { different_sizes: sizes.len(), common_sizes: common, smallest, largest, formats, modes, bits }
    }

    fn file_findings(&self) -> Files {
        let finding =
            |index: usize, reason: String| Finding { id: self.dataset.samples[index].id.clone(), reason };
        let mut files = Files {
            corrupt: Vec::new(),
            wrong_extension: Vec::new(),
            rotated: Vec::new(),
            ignored: self.dataset.ignored.clone(),
        };
        for (index, file) in self.files.iter().enumerate() {
            if let Err(reason) = &self.pixels[index] {
                files.corrupt.push(finding(index, reason.clone()));
            }
            let Ok(header) = &file.header else { continue };
            let path = self.dataset.samples[index].file();
            let extension = path.and_then(|path| path.extension()).and_then(|extension| extension.to_str());
            if let Some(extension) = extension.filter(|extension| !header.format.fits_extension(extension)) {
                files
                    .wrong_extension
                    .push(finding(index, format!("{} in a .{extension} file", header.format)));
            }
            if let Some(orientation) = header.orientation.filter(|orientation| *orientation != 1) {
                files.rotated.push(finding(index, format!("EXIF orientation {orientation}")));
            }
        }
        files
    }

    fn hashes(&self) -> Vec<(usize, u64)> {
        let hash =
            |(index, pixels): (usize, &Result<Pixels, String>)| Some((index, pixels.as_ref().ok()?.phash));
        self.pixels.iter().enumerate().filter_map(hash).collect()
    }

    fn members(&self, group: &Group) -> Vec<Member> {
        let member = |&index: &usize| Member {
            id: self.dataset.samples[index].id.clone(),
            class: self.dataset.classes[self.dataset.samples[index].label].clone(),
            split: self.places[index].map(|place| SPLIT_NAMES[place]),
        };
        group.iter().map(member).collect()
    }

    fn duplicates(&self) -> Duplicates {
        let surplus = |groups: &[Group]| groups.iter().map(|group| group.len() - 1).sum();
        let decoded = self.files.iter().enumerate().filter(|(index, _)| self.pixels[*index].is_ok());
        let by_bytes = equal_groups(decoded.map(|(index, file)| (index, file.digest)));
        let label = |&index: &usize| self.dataset.samples[index].label;
        let conflicting = |group: &&Group| group.iter().map(label).collect::<HashSet<_>>().len() > 1;
        Duplicates {
            samples: surplus(self.exact),
            samples_by_bytes: surplus(&by_bytes),
            label_conflicts: self.exact.iter().filter(conflicting).count(),
            groups: self.exact.iter().map(|group| self.members(group)).collect(),
        }
    }

    fn near_duplicates(&self, distance: u32, groups: &[Group]) -> NearDuplicateStats {
        let different = |group: &Group| {
            let key =
                |&index: &usize| self.pixels[index].as_ref().ok().map(|pixels| (pixels.size, pixels.digest));
            group.iter().filter_map(key).collect::<HashSet<_>>().len()
        };
        let mixed: Vec<&Group> = groups.iter().filter(|group| different(group) > 1).collect();
        NearDuplicateStats {
            distance,
            samples: mixed.iter().map(|group| different(group) - 1).sum(),
            groups: mixed.into_iter().map(|group| self.members(group)).collect(),
        }
    }

    fn leakage(&self, groups: &[Group]) -> Leakage {
        let place = |index: usize| self.places[index];
        let leaks =
            groups.iter().map(|group| (group, leaking(group, place))).filter(|(_, leaks)| !leaks.is_empty());
        let (mut samples, mut crossing) = (0, Vec::new());
        for (group, leaking) in leaks {
            samples += leaking.len();
            crossing.push(self.members(group));
        }
        let held_out = self.splits.validation.len() + self.splits.test.len();
        let fraction = if held_out == 0 { 0.0 } else { samples as f64 / held_out as f64 };
        Leakage { samples, fraction, groups: crossing }
    }

    fn quality(&self) -> BTreeMap<&'static str, Flagged> {
        let range = size_range(self.pixels);
        let odd_size = move |pixels: &Pixels| !(range.0..=range.1).contains(&side(pixels));
        type Rule<'a> = (&'static str, String, Box<dyn Fn(&Pixels) -> bool + 'a>);
        let rules: [Rule<'_>; 7] = [
            (
                "dark",
                format!("99th percentile of brightness below {}", quality::DARK_BELOW),
                Box::new(|pixels| pixels.quality.is_dark()),
            ),
            (
                "light",
                format!("1 − 5th percentile of brightness below {}", quality::LIGHT_BELOW),
                Box::new(|pixels| pixels.quality.is_light()),
            ),
            (
                "odd-aspect",
                format!("short side / long side below {}", quality::ASPECT_BELOW),
                Box::new(|pixels| pixels.quality.is_odd_aspect()),
            ),
            (
                "odd-size",
                format!(
                    "√(width · height) outside {:.1} to {:.1} (quartiles ∓ 3 interquartile ranges)",
                    range.0, range.1
                ),
                Box::new(odd_size),
            ),
            (
                "low-information",
                format!("entropy / 10 bits below {}", quality::INFORMATION_BELOW),
                Box::new(|pixels| pixels.quality.is_low_information()),
            ),
            (
                "blurry",
                format!("edge and histogram score below {} (tuned on photographs)", quality::BLUR_BELOW),
                Box::new(|pixels| pixels.quality.is_blurry()),
            ),
            ("grayscale", "R = G = B everywhere".to_owned(), Box::new(|pixels| pixels.quality.grey)),
        ];
        let flagged = |(name, rule, test): Rule<'_>| {
            let all = self.pixels.iter().enumerate();
            let hits = all.filter(|(_, pixels)| pixels.as_ref().is_ok_and(&test)).map(|(index, _)| index);
            let hits: Vec<usize> = hits.collect();
            let ids = hits.iter().take(LISTED).map(|&index| self.dataset.samples[index].id.clone()).collect();
            (name, Flagged { samples: hits.len(), rule, ids })
        };
        rules.into_iter().map(flagged).collect()
    }
}

/// √(width · height).
fn side(pixels: &Pixels) -> f64 {
    ((pixels.size[0] * pixels.size[1]) as f64).sqrt()
}

/// Sizes that are not odd: quartiles widened by three interquartile ranges.
fn size_range(pixels: &[Result<Pixels, String>]) -> (f64, f64) {
    let mut sides: Vec<f64> = pixels.iter().flatten().map(side).collect();
    sides.sort_by(f64::total_cmp);
    let Some(last) = sides.len().checked_sub(1) else { return (0.0, f64::INFINITY) };
    let quartile = |fraction: f64| {
        let position = last as f64 * fraction;
        let below = position.floor() as usize;
        let above = (below + 1).min(last);
        sides[below] + (sides[above] - sides[below]) * (position - below as f64)
    };
    let (low, high) = (quartile(0.25), quartile(0.75));
    ((low - SIZE_RANGES * (high - low)).max(0.0), high + SIZE_RANGES * (high - low))
}
