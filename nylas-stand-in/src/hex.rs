//! Hexadecimal.

/// The bytes in lower-case hexadecimal, at most `digits` digits.
pub fn hex(bytes: &[u8], digits: usize) -> String {
    bytes
        .iter()
        .flat_map(|byte| format!("{byte:02x}").chars().collect::<Vec<_>>())
        .take(digits)
        .collect()
}
