//! Which names and lines look like secrets.

/// Parts of a name that say that its value is a secret.
const MARKS: [&str; 11] = [
    "PASSWORD",
    "PASSWD",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "BINDPW",
    "PRIVATE_KEY",
    "API_KEY",
    "ACCESS_KEY",
    "SENTRY_DSN",
    "PASSPHRASE",
];

/// Names that contain a mark but hold no secret.
const HARMLESS: [&str; 6] = [
    "TOKEN_AUTH_URL",
    "ROOM_PASSWORD_DIGITS",
    "JWT_TOKEN_AUTH_MODULE",
    "PROSODY_LIMIT_MESSAGES_CHECK_TOKEN",
    "AUTOSCALER_SIDECAR_KEY_FILE",
    "DIALOUT_AUTH_URL",
];

/// Whether the value of a variable of that name is to be kept out of pod templates and ConfigMaps.
#[must_use]
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    !HARMLESS.contains(&name.as_str()) && MARKS.iter().any(|mark| name.contains(mark))
}

/// Whether showing this line of a file could show a secret: a secret-looking name with a value that is no reference.
pub(crate) fn line_may_hold_one(line: &str) -> bool {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| looks_secret(word)).any(|word| {
        let Some(at) = line.find(word) else { return true };
        let after = line[at + word.len()..].trim_start_matches(['"', '\'', ' ']);
        match after.strip_prefix([':', '=']) {
            Some(value) => !value.trim_start().starts_with('{') && !value.trim_start().starts_with('['),
            None => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_secrets() {
        for name in ["JWT_APP_SECRET", "JVB_AUTH_PASSWORD", "TURN_CREDENTIALS", "LDAP_BINDPW", "MATRIX_UVS_AUTH_TOKEN"]
        {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["TOKEN_AUTH_URL", "JWT_APP_ID", "ENABLE_AUTH", "ROOM_PASSWORD_DIGITS"] {
            assert!(!looks_secret(name), "{name}");
        }
    }

    #[test]
    fn lines_with_a_secret_are_not_shown() {
        assert!(line_may_hold_one("  JWT_APP_SECRET: hunter2"));
        assert!(line_may_hold_one("env: { JWT_APP_SECRET: hunter2, A: 1 }"));
        assert!(line_may_hold_one("export JVB_AUTH_PASSWORD=x"));
        assert!(!line_may_hold_one("  JWT_APP_SECRET: { env: MEET_JWT_SECRET }"));
        assert!(!line_may_hold_one("# passwords are made"));
    }
}
