//! The arithmetic of linear quantization: r = scale · (q − zero).
//!
//! As ONNX Runtime's quantization tool: the range is widened to hold 0; scale and zero point are computed in f64, then the
//! scale is stored as f32; halves round to even.

/// The integers a quantized value can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// 0 to 255.
    Unsigned,
    /// −127 to 127, zero point 0.
    Symmetric,
    /// −128 to 127.
    Signed,
}

impl Grid {
    fn ends(self) -> [f64; 2] {
        match self {
            Self::Unsigned => [0.0, 255.0],
            Self::Symmetric => [-127.0, 127.0],
            Self::Signed => [-128.0, 127.0],
        }
    }

    /// What the integers are cut to; ONNX's operators know only the whole type.
    fn saturation(self) -> [f32; 2] {
        match self {
            Self::Unsigned => [0.0, 255.0],
            Self::Symmetric | Self::Signed => [-128.0, 127.0],
        }
    }
}

/// Scale and zero point of one tensor or channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantizer {
    /// Width of one step, positive.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero: i32,
    grid: Grid,
}

/// Smallest and largest value that must be representable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest.
    pub min: f32,
    /// Largest.
    pub max: f32,
}

impl Quantizer {
    /// The quantizer of a range, which is widened to hold 0 and, on the symmetric grid, to be symmetric. A range so narrow
    /// that its scale is no normal f32 gets scale 1.
    pub fn of(range: Range, grid: Grid) -> Self {
        let (mut min, mut max) = (f64::from(range.min.min(0.0)), f64::from(range.max.max(0.0)));
        if grid == Grid::Symmetric {
            max = max.max(-min);
            min = -max;
        }
        let [low, high] = grid.ends();
        let scale = (max - min) / (high - low);
        if scale < f64::from(f32::MIN_POSITIVE) {
            return Self { scale: 1.0, zero: 0, grid };
        }
        let zero = if grid == Grid::Symmetric { 0.0 } else { (low - min / scale).round_ties_even() };
        Self { scale: scale as f32, zero: zero as i32, grid }
    }

    /// The quantizer of weights: symmetric around their largest magnitude.
    pub fn of_weights<'a>(values: impl IntoIterator<Item = &'a f32>) -> Self {
        let largest = values.into_iter().fold(0f32, |largest, value| largest.max(value.abs()));
        Self::of(Range { min: -largest, max: largest }, Grid::Symmetric)
    }

    /// The same with another scale.
    #[must_use]
    pub fn with_scale(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// The integer that stands for a value, cut to the grid's type.
    pub fn quantize(&self, value: f32) -> i32 {
        let [low, high] = self.grid.saturation();
        // NaN becomes 0 in the cast, as no other integer would be more right.
        ((value / self.scale).round_ties_even() + self.zero as f32).clamp(low, high) as i32
    }

    /// The value that an integer stands for.
    pub fn dequantize(&self, integer: i32) -> f32 {
        (integer - self.zero) as f32 * self.scale
    }

    /// A value after the way there and back.
    pub fn rounded(&self, value: f32) -> f32 {
        self.dequantize(self.quantize(value))
    }
}

/// Quantized bias: steps of input scale × weight scale, so that it adds to the integer sums as it is. Clipped to i32.
pub fn bias(value: f32, input: f32, weight: f32) -> i32 {
    // `as` saturates.
    (f64::from(value) / f64::from(input * weight)).round_ties_even() as i32
}

/// Scale for weights whose bias would not fit into 32 bits otherwise: raised so far that it does.
pub fn room_for_bias(weight: f32, input: f32, bias: f32) -> f32 {
    let smallest = 1.0001 * 2.0 * f64::from(bias.abs()) / (f64::from(i32::MAX) - f64::from(i32::MIN + 1));
    let product = f64::from(input) * f64::from(weight);
    if product > 0.0 && product < smallest {
        (f64::from(weight) * (smallest / product)) as f32
    } else {
        weight
    }
}

/// Power of a signal and of what quantization adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Noise {
    signal: f64,
    noise: f64,
}

impl Noise {
    /// Adds one value and what it became.
    pub fn add(&mut self, value: f32, became: f32) {
        let (value, became) = (f64::from(value), f64::from(became));
        self.signal += value * value;
        self.noise += (value - became) * (value - became);
    }

    /// Adds what another has seen.
    pub fn merge(&mut self, other: Self) {
        self.signal += other.signal;
        self.noise += other.noise;
    }

    /// Signal to quantization noise, 20·log10(‖x‖ / ‖x − x̂‖) dB; infinite where nothing was lost.
    pub fn sqnr(&self) -> f64 {
        if self.noise == 0.0 { f64::INFINITY } else { 10.0 * (self.signal / self.noise).log10() }
    }
}
