//! Kubernetes quantities, as far as rendering needs them.

/// The number of bytes that a memory quantity stands for, such as `4Gi` or `500M`.
#[must_use]
pub fn bytes(quantity: &str) -> Option<u64> {
    let split = quantity.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(split);
    let factor: f64 = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * factor;
    (bytes.is_finite() && bytes >= 0.0).then_some(bytes as u64)
}

/// A Java heap that fits a container's memory limit, as `-Xmx` spells it: three quarters of the limit, and at least
/// half a GiB left for what is not heap where the limit allows that. `None` for a limit that can't be read.
#[must_use]
pub fn heap_for(limit: &str) -> Option<String> {
    const MIB: u64 = 1_048_576;
    let mib = bytes(limit)? / MIB;
    let heap = (mib * 3 / 4).min(mib.saturating_sub(512)).max(mib / 2);
    (heap > 0).then(|| format!("{heap}m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heaps_fit_their_limits() {
        for (limit, heap) in
            [("4Gi", Some("3072m")), ("1Gi", Some("512m")), ("600Mi", Some("300m")), ("8G", Some("5721m")), ("x", None)]
        {
            assert_eq!(heap_for(limit).as_deref(), heap, "{limit}");
        }
    }
}
