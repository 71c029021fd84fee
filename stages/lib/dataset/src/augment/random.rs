//! Random draws of the transforms.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Keeps the streams of augmentation apart from any other use of the same seed.
const DOMAIN: u64 = u64::from_le_bytes(*b"augment1");

/// A stream of random draws.
///
/// ChaCha with 8 rounds, whose output is fixed by its specification, and arithmetic that is written out here: the same
/// key gives the same draws on every machine and with every version of any library.
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream of one image in one epoch. Streams of different keys are independent.
    pub fn new(seed: u64, epoch: u64, sample: u64) -> Self {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([seed, epoch, sample, DOMAIN]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The stream behind one number that was drawn from another stream.
    pub(super) fn from_word(word: u64) -> Self {
        Self::new(word, u64::MAX, u64::MAX)
    }

    /// 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A random byte.
    pub fn byte(&mut self) -> u8 {
        (self.0.next_u32() >> 24) as u8
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 * f64::EPSILON / 2.0
    }

    /// Uniform between two bounds: `low + (high − low) · unit`.
    pub fn uniform(&mut self, [low, high]: [f64; 2]) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number from `low` to `high`, both included; `low` if `high` is below it. The bias is below 2⁻³².
    pub fn integer(&mut self, low: usize, high: usize) -> usize {
        let count = high.saturating_sub(low) as u128 + 1;
        low + ((u128::from(self.word()) * count) >> 64) as usize
    }

    /// True with probability `p`. Nothing is drawn for `p` ≤ 0 or `p` ≥ 1.
    pub fn chance(&mut self, p: f64) -> bool {
        if p <= 0.0 {
            return false;
        }
        p >= 1.0 || self.unit() < p
    }
}
