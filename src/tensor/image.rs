//! Images as the corruptions see them.

/// An image of 8-bit samples, rows then columns then channels (1 grey or 3 RGB).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// `height * width * channels` samples.
    pub data: Vec<u8>,
}

impl Pixels {
    /// An image from samples in row, column, channel order; `None` if the count does not fit.
    pub fn new(height: usize, width: usize, channels: usize, data: Vec<u8>) -> Option<Self> {
        let count = height.checked_mul(width)?.checked_mul(channels)?;
        (count == data.len() && matches!(channels, 1 | 3)).then_some(Self { height, width, channels, data })
    }
}
