//! The batch size: a number, or measured.

use std::{borrow::Cow, fmt, fs};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use stagewright_sdk::{FaultExt, Result, StageFault};
use stagewright_torch::{Batch, Device, Network, Optimizer, Options, Precision, Trainer};

/// Images per step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// So many.
    Fixed(u32),
    /// As many as fit the memory budget.
    Auto,
}

impl Serialize for BatchSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(count) => serializer.serialize_u32(*count),
            Self::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl<'de> Deserialize<'de> for BatchSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = BatchSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a batch size from 1 to 65536, or `auto`")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<BatchSize, E> {
                match u32::try_from(value) {
                    Ok(count @ 1..=65_536) => Ok(BatchSize::Fixed(count)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(value), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<BatchSize, E> {
                match u64::try_from(value) {
                    Ok(value) => self.visit_u64(value),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(value), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<BatchSize, E> {
                match value {
                    "auto" => Ok(BatchSize::Auto),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for BatchSize {
    fn schema_name() -> Cow<'static, str> {
        "BatchSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "type": "integer", "minimum": 1, "maximum": 65_536 }, { "const": "auto" }] })
    }
}

/// What a training step takes, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepMemory {
    /// Bytes whatever the batch: gradients, moments, copies of the weights.
    pub fixed: u64,
    /// Bytes per image of the batch.
    pub per_image: u64,
}

impl StepMemory {
    /// Measures a network: activations on a forward pass of two images, in the number types that training would use.
    pub fn measure(network: Network, options: &Options) -> Result<Self> {
        let values = network.parameter_count();
        let shape = network.architecture().input;
        let image = shape.channels * shape.height * shape.width;
        let images = vec![0.5; 2 * image];
        let trainer =
            Trainer::new(network, options.clone()).or_internal("cannot set a network up for measuring")?;
        let batch = Batch { images: &images, labels: &[0, 0] };
        let activations =
            trainer.activations(batch).or_internal("cannot measure the memory of activations")?;
        // Gradient and moments; a copy in the lower precision; the best weights so far and, while saving, all of it once more.
        let moments = Optimizer::bytes_per_value(options.rule);
        let cast = if options.precision == Precision::Bf16 { 2 } else { 0 };
        let average = if options.ema_decay.is_some() { 4 } else { 0 };
        let fixed = values * (4 + moments + cast + average + 4 + (8 + moments + average));
        // Backward holds the gradients of a layer's output and input beside the activations; the batch itself is in memory
        // as it was prepared and as libtorch has it.
        let per_image = activations.kept + 3 * activations.largest + 3 * 4 * image as u64;
        Ok(Self { fixed, per_image })
    }

    /// The largest power of two of images, up to `most`, that fits into `budget` bytes.
    pub fn largest_batch(&self, budget: u64, most: u32) -> Result<u32> {
        let room = budget.saturating_sub(self.fixed) / self.per_image.max(1);
        match u32::try_from(room).unwrap_or(u32::MAX).min(most) {
            0 | 1 => {
                let (fixed, per_image) = (mebibytes(self.fixed), mebibytes(self.per_image));
                let message = format!(
                    "`batch-size: auto`: {} are left for training, but a step takes {fixed} and {per_image} per image, \
                     for at least 2 images",
                    mebibytes(budget)
                );
                Err(StageFault::user(message)
                    .hint("raise `memory-budget` or the stage's memory, or take a smaller network"))
            }
            fitting => Ok(1 << fitting.ilog2()),
        }
    }
}

/// Bytes still free for training: the budget (`wanted`, else the limit, else three quarters of what the machine has free)
/// less what this process holds already.
pub fn budget(wanted: u64, limit: u64, device: Device) -> Result<u64> {
    if device != Device::Cpu {
        return match wanted {
            0 => Err(StageFault::user("`batch-size: auto` on a GPU needs `memory-budget`: libtorch does not say how much memory is free")
                .hint("set `memory-budget` to the GPU memory that training may take, or give a number as `batch-size`")),
            wanted => Ok(wanted),
        };
    }
    let total = match (wanted, limit) {
        (0, 0) => return Ok(proc_kibibytes("/proc/meminfo", "MemAvailable:")?.saturating_mul(1024) / 4 * 3),
        (0, limit) => limit,
        (wanted, 0) => wanted,
        (wanted, limit) => wanted.min(limit),
    };
    Ok(total.saturating_sub(proc_kibibytes("/proc/self/status", "VmRSS:")?.saturating_mul(1024)))
}

/// Largest resident size of this process so far, in bytes.
pub fn peak_memory() -> Result<u64> {
    Ok(proc_kibibytes("/proc/self/status", "VmHWM:")? * 1024)
}

fn proc_kibibytes(file: &str, field: &str) -> Result<u64> {
    let text = fs::read_to_string(file).or_environment(format_args!("cannot read {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok());
    number.ok_or_else(|| StageFault::environment(format!("{file} has no line `{field}` with a number of kB")))
}

/// `12.3 MiB`.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_are_read_and_bad_ones_explained() {
        let read = |text: &str| serde_json::from_str::<BatchSize>(text).map_err(|error| error.to_string());
        assert_eq!(read("64"), Ok(BatchSize::Fixed(64)));
        assert_eq!(read("\"auto\""), Ok(BatchSize::Auto));
        for bad in ["0", "-1", "65537", "\"big\"", "1.5"] {
            let error = read(bad).unwrap_err();
            assert!(error.contains("expected a batch size from 1 to 65536, or `auto`"), "{bad}: {error}");
        }
    }

    #[test]
    fn the_largest_power_of_two_that_fits_is_taken() {
        let memory = StepMemory { fixed: 1000, per_image: 100 };
        assert_eq!(memory.largest_batch(1000 + 100 * 64, 128).unwrap(), 64);
        assert_eq!(memory.largest_batch(1000 + 100 * 64 - 1, 128).unwrap(), 32);
        assert_eq!(memory.largest_batch(u64::MAX, 128).unwrap(), 128);
        assert_eq!(memory.largest_batch(u64::MAX, 100).unwrap(), 64);
        let error = memory.largest_batch(1100, 128).unwrap_err();
        assert!(error.to_string().contains("for at least 2 images"), "{error}");
    }
}
