//! Exact mean and standard deviation of pixels.

/// Sums over pixels per channel. Integers: exact, and the same in whatever order images are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moments {
    /// Pixels summed.
    pub pixels: u64,
    /// Σx per channel, x of 0–255.
    pub sum: [u64; 3],
    /// Σx² per channel.
    pub squares: [u64; 3],
}

impl Moments {
    /// Of RGB pixels.
    pub fn of(pixels: &[u8]) -> Self {
        let mut moments = Self { pixels: (pixels.len() / 3) as u64, ..Self::default() };
        // Blocks small enough that 32 bits hold their sums, which is faster than 64 bits throughout.
        for block in pixels.chunks(3 * 16_384) {
            let (mut sum, mut squares) = ([0u32; 3], [0u32; 3]);
            for pixel in block.chunks_exact(3) {
                for channel in 0..3 {
                    let value = u32::from(pixel[channel]);
                    sum[channel] += value;
                    squares[channel] += value * value;
                }
            }
            for channel in 0..3 {
                moments.sum[channel] += u64::from(sum[channel]);
                moments.squares[channel] += u64::from(squares[channel]);
            }
        }
        moments
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.pixels += other.pixels;
        for channel in 0..3 {
            self.sum[channel] += other.sum[channel];
            self.squares[channel] += other.squares[channel];
        }
    }

    /// Mean per channel on the scale 0–1. NaN without pixels.
    pub fn mean(&self) -> [f64; 3] {
        self.sum.map(|sum| sum as f64 / self.pixels as f64 / 255.0)
    }

    /// Standard deviation of the population (divided by n, not n − 1) per channel on the scale 0–1. NaN without pixels.
    pub fn std(&self) -> [f64; 3] {
        let count = u128::from(self.pixels);
        [0, 1, 2].map(|channel| {
            // n·Σx² − (Σx)² in integers: no cancellation.
            let (sum, squares) = (u128::from(self.sum[channel]), u128::from(self.squares[channel]));
            let scaled = count * squares - sum * sum;
            (scaled as f64).sqrt() / self.pixels as f64 / 255.0
        })
    }
}
