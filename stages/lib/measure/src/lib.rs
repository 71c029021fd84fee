//! Measuring models honestly.

pub mod statistics;
