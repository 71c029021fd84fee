//! The params of the stage.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use stagewright_dataset::{Interpolation, Resize};
use stagewright_sdk::{Result, StageFault};

/// Largest side that `size` may name, in pixels.
const MAX_SIDE: u64 = 8192;
/// Largest Hamming distance at which two perceptual hashes of 64 bits still mean something.
const MAX_DISTANCE: u64 = 8;

/// Params of `data-stats`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Params {
    /// Size of a network's input: `auto` (the most common image size, scaled down until no side is above `max-size`), one
    /// number for a square, or `[height, width]`.
    #[serde(default)]
    #[schemars(extend("x-unit" = "px"))]
    pub size: Size,
    /// Largest side that `size: auto` gives.
    #[serde(default = "max_size")]
    #[schemars(range(min = 1, max = 8192), extend("x-unit" = "px", "x-source" = "side of ImageNet crops"))]
    pub max_size: usize,
    /// How an image of another shape gets to the size: `squash` scales both sides, `crop` scales until the size is covered
    /// and keeps the centre.
    #[serde(default)]
    pub resize: Resize,
    /// How pixels are computed when scaling: `bilinear` (antialiased when shrinking, as Pillow) or `nearest`.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// Part of each class that becomes the validation split where the dataset has none.
    #[serde(default = "validation_fraction")]
    #[schemars(range(min = 0.0, max = 0.9), extend("x-unit" = "fraction"))]
    pub validation_fraction: f64,
    /// Part of each class that becomes the test split where the dataset has none.
    #[serde(default = "test_fraction")]
    #[schemars(range(min = 0.0, max = 0.9), extend("x-unit" = "fraction"))]
    pub test_fraction: f64,
    /// Seed of the choice which samples go to which split.
    #[serde(default)]
    pub split_seed: u64,
    /// Search for near duplicates: `off`, or the largest Hamming distance of the perceptual hashes (64 bits) of two images
    /// that count as near duplicates; 0 means equal hashes.
    #[serde(default)]
    #[schemars(extend("x-source" = "cleanvision: equal pHash 8×8"))]
    pub near_duplicates: NearDuplicates,
    /// What to do about files that can't be decoded: `fail`, or `skip` (listed and excluded from every split).
    #[serde(default)]
    pub on_corrupt: OnCorrupt,
    /// What to do about images with the same pixels: `keep` all, or `skip` all but one of them (listed and excluded from
    /// every split; a copy in test is kept before one in validation, that before one in train).
    #[serde(default)]
    pub on_duplicate: OnDuplicate,
    /// Samples that may leak between splits before the gate `leakage` fails.
    #[serde(default)]
    pub max_leakage: u64,
    /// Which leaks the gate counts: `exact` (same pixels), or `near` (near duplicates too).
    #[serde(default)]
    pub leakage_of: LeakageOf,
    /// Mean per channel (red, green, blue, on the scale 0–1) to write into the contract instead of the measured one, for a
    /// network that was trained elsewhere.
    #[serde(default)]
    pub mean: Option<[f32; 3]>,
    /// Standard deviation per channel (scale 0–1) to write into the contract instead of the measured one.
    #[serde(default)]
    pub std: Option<[f32; 3]>,
}

fn max_size() -> usize {
    224
}

fn validation_fraction() -> f64 {
    0.1
}

fn test_fraction() -> f64 {
    0.2
}

impl Params {
    /// Checks ranges, also where no host has held the params against their schema.
    pub(crate) fn check(&self) -> Result<()> {
        for (name, value) in
            [("validation-fraction", self.validation_fraction), ("test-fraction", self.test_fraction)]
        {
            if !(0.0..=0.9).contains(&value) {
                return Err(StageFault::user(format!("`{name}` is {value}; it must be 0 to 0.9")));
            }
        }
        if !(1..=MAX_SIDE as usize).contains(&self.max_size) {
            let found = self.max_size;
            return Err(StageFault::user(format!(
                "`max-size` is {found}; it must be 1 to {MAX_SIDE} pixels"
            )));
        }
        if let Some(mean) = self.mean
            && let Some(value) = mean.iter().find(|value| !(0.0..=1.0).contains(*value))
        {
            return Err(StageFault::user(format!("`mean` holds {value}; each value must be 0 to 1"))
                .hint("divide values on the scale 0–255 by 255"));
        }
        if let Some(std) = self.std
            && let Some(value) = std.iter().find(|value| !(**value > 0.0 && **value <= 1.0))
        {
            return Err(StageFault::user(format!(
                "`std` holds {value}; each value must be above 0, at most 1"
            ))
            .hint("divide values on the scale 0–255 by 255"));
        }
        Ok(())
    }
}

/// Size of a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Size {
    /// The most common size of the images.
    #[default]
    Auto,
    /// Height and width in pixels.
    Fixed([usize; 2]),
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Fixed(size) => size.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Size;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "`auto`, a number of pixels, or [height, width], each 1 to {MAX_SIDE}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                match text {
                    "auto" => Ok(Size::Auto),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, side: u64) -> Result<Size, E> {
                let side = checked_side(side, &self)?;
                Ok(Size::Fixed([side, side]))
            }

            fn visit_i64<E: de::Error>(self, side: i64) -> Result<Size, E> {
                match u64::try_from(side) {
                    Ok(side) => self.visit_u64(side),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(side), &self)),
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut sides: A) -> Result<Size, A::Error> {
                let mut next = |at| sides.next_element()?.ok_or_else(|| de::Error::invalid_length(at, &self));
                let (height, width) = (next(0)?, next(1)?);
                if sides.next_element::<u64>()?.is_some() {
                    return Err(de::Error::invalid_length(3, &self));
                }
                Ok(Size::Fixed([checked_side(height, &self)?, checked_side(width, &self)?]))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn checked_side<E: de::Error>(side: u64, expected: &dyn de::Expected) -> Result<usize, E> {
    if (1..=MAX_SIDE).contains(&side) {
        Ok(side as usize)
    } else {
        Err(E::invalid_value(de::Unexpected::Unsigned(side), expected))
    }
}

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let side = || json_schema!({ "type": "integer", "minimum": 1, "maximum": MAX_SIDE });
        json_schema!({
            "oneOf": [
                { "const": "auto" },
                side(),
                { "type": "array", "items": side(), "minItems": 2, "maxItems": 2 },
            ]
        })
    }
}

/// Whether and how near duplicates are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NearDuplicates {
    /// Not at all.
    Off,
    /// Perceptual hashes that differ in at most so many of 64 bits.
    Distance(u32),
}

impl Default for NearDuplicates {
    fn default() -> Self {
        Self::Distance(0)
    }
}

impl Serialize for NearDuplicates {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::Distance(bits) => serializer.serialize_u32(*bits),
        }
    }
}

impl<'de> Deserialize<'de> for NearDuplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = NearDuplicates;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "`off` or a Hamming distance of 0 to {MAX_DISTANCE} bits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<NearDuplicates, E> {
                match text {
                    "off" => Ok(NearDuplicates::Off),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, bits: u64) -> Result<NearDuplicates, E> {
                match u32::try_from(bits) {
                    Ok(small) if bits <= MAX_DISTANCE => Ok(NearDuplicates::Distance(small)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(bits), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, bits: i64) -> Result<NearDuplicates, E> {
                match u64::try_from(bits) {
                    Ok(bits) => self.visit_u64(bits),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(bits), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for NearDuplicates {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NearDuplicates".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [{ "const": "off" }, { "type": "integer", "minimum": 0, "maximum": MAX_DISTANCE }]
        })
    }
}

/// What to do about files that can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnCorrupt {
    /// The stage fails and lists them.
    #[default]
    Fail,
    /// They are listed and excluded from every split.
    Skip,
}

/// What to do about images with the same pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnDuplicate {
    /// They stay where they are.
    #[default]
    Keep,
    /// All but one are excluded from every split.
    Skip,
}

/// Which leaks the gate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LeakageOf {
    /// Images with the same pixels in two splits.
    #[default]
    Exact,
    /// Near duplicates in two splits as well.
    Near,
}
