//! The `Warning` header: `299 - "text"`, several of them separated by commas.

/// The texts in one header value.
pub(crate) fn read(value: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut text: Option<String> = None;
    let mut escaped = false;
    for letter in value.chars() {
        match (&mut text, letter) {
            (Some(inside), _) if escaped => {
                inside.push(letter);
                escaped = false;
            }
            (Some(_), '\\') => escaped = true,
            (Some(_), '"') => texts.extend(text.take()),
            (Some(inside), _) => inside.push(letter),
            (None, '"') => text = Some(String::new()),
            (None, _) => {}
        }
    }
    // A quoted date may follow each text.
    texts.retain(|text| !text.is_empty());
    texts
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn texts_are_unquoted() {
        assert_eq!(read(r#"299 - "would violate \"restricted\"""#), [r#"would violate "restricted""#]);
        assert_eq!(read(r#"299 - "a", 299 - "b""#), ["a", "b"]);
        assert!(read("nonsense").is_empty());
    }
}
