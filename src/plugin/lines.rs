//! Lines of a bounded length from a program that may send anything.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// What came next.
pub(super) enum Line {
    /// A line without its newline.
    Whole(Vec<u8>),
    /// The end; what came after the last newline is not a line.
    End,
    /// More bytes without a newline than a line may have.
    TooLong,
    /// More bytes in all than a conversation may have.
    TooMuch,
}

/// Reads lines. Dropping a pending read loses nothing.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    partial: Vec<u8>,
    seen: u64,
    longest: usize,
    most: u64,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, longest: usize, most: u64) -> Self {
        Self {
            reader: BufReader::with_capacity(1 << 16, reader),
            partial: Vec::new(),
            seen: 0,
            longest,
            most,
        }
    }

    pub(super) async fn next(&mut self) -> io::Result<Line> {
        loop {
            let bytes = self.reader.fill_buf().await?;
            if bytes.is_empty() {
                return Ok(Line::End);
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(bytes.len());
            let used = end.map_or(length, |end| end + 1);
            let fits = self.partial.len() + length <= self.longest;
            if fits {
                self.partial.extend_from_slice(&bytes[..length]);
            }
            self.reader.consume(used);
            self.seen += used as u64;
            if !fits {
                return Ok(Line::TooLong);
            }
            if self.seen > self.most {
                return Ok(Line::TooMuch);
            }
            if end.is_some() {
                return Ok(Line::Whole(std::mem::take(&mut self.partial)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn read(bytes: &[u8], longest: usize, most: u64) -> Vec<String> {
        let mut lines = Lines::new(bytes, longest, most);
        let mut found = Vec::new();
        loop {
            match lines.next().await.unwrap() {
                Line::Whole(line) => found.push(String::from_utf8(line).unwrap()),
                Line::End => found.push("<end>".to_owned()),
                Line::TooLong => found.push("<too long>".to_owned()),
                Line::TooMuch => found.push("<too much>".to_owned()),
            }
            if found.last().is_some_and(|last| last.starts_with('<')) {
                return found;
            }
        }
    }

    #[tokio::test]
    async fn bounds_hold_exactly() {
        assert_eq!(read(b"ab\n\nabcd\nx", 4, 100).await, ["ab", "", "abcd", "<end>"]);
        assert_eq!(read(b"ab\nabcde\n", 4, 100).await, ["ab", "<too long>"]);
        assert_eq!(read(&vec![b'x'; 1 << 20], 1 << 18, u64::MAX).await, ["<too long>"]);
        assert_eq!(read(b"ab\nab\n", 4, 6).await, ["ab", "ab", "<end>"]);
        assert_eq!(read(b"ab\nab\n", 4, 5).await, ["ab", "<too much>"]);
    }
}
