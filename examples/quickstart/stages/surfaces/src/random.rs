//! Random numbers that are the same for ever: SplitMix64 (Steele, Lea and Flood, 2014), which every language can
//! follow in a few lines.

/// A generator.
pub struct Random(u64);

impl Random {
    /// A generator for one thing of many: same seed and name, same numbers.
    pub fn new(seed: u64, name: &str) -> Self {
        let start = Self(seed).next();
        // FNV-1a spreads the name, the generator's own step the rest.
        let hash = name.bytes().fold(start ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash)
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1), in steps of 2⁻²⁴.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in [low, high).
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..count; `count` is small and not 0.
    pub fn below(&mut self, count: u32) -> u32 {
        (self.next() % u64::from(count)) as u32
    }

    /// True with a probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Mean 0, standard deviation 1, bell-shaped within ±3.5: the sum of four uniform numbers.
    pub fn bell(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| self.unit()).sum();
        (sum - 2.0) * 3f32.sqrt()
    }

    /// A direction, all equally likely: a unit vector.
    pub fn direction(&mut self) -> (f32, f32) {
        loop {
            let (x, y) = (self.between(-1.0, 1.0), self.between(-1.0, 1.0));
            let square = x * x + y * y;
            if (0.01..=1.0).contains(&square) {
                let length = square.sqrt();
                return (x / length, y / length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_numbers_are_splitmix64s() {
        // The first three for state 0, from the algorithm's publication.
        let mut random = Random(0);
        let found = [random.next(), random.next(), random.next()];
        assert_eq!(found, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut random = Random::new(1, "moments");
        let numbers: Vec<f64> = (0..200_000).map(|_| f64::from(random.bell())).collect();
        let mean = numbers.iter().sum::<f64>() / 200_000.0;
        let variance = numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 200_000.0;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.01, "{mean} {variance}");
        assert!((0..1000).all(|_| (2.0..3.0).contains(&random.between(2.0, 3.0)) && random.below(3) < 3));
        let (x, y) = random.direction();
        assert!((x * x + y * y - 1.0).abs() < 1e-5);
    }

    #[test]
    fn seed_and_name_both_matter() {
        let first = |seed, name| Random::new(seed, name).next();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
    }
}
