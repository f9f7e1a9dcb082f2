//! Bytes as text.

/// Lower-case hexadecimal, at most so many digits.
pub fn hex(bytes: &[u8], digits: usize) -> String {
    bytes
        .iter()
        .flat_map(|byte| format!("{byte:02x}").chars().collect::<Vec<_>>())
        .take(digits)
        .collect()
}
