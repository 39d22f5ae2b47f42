//! How long the credentials of a kubeconfig are good for: somebody has to put others in their place before.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use kube::config::AuthInfo;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;
use x509_cert::time::Time;

/// Nobody needs to know longer before the end than this.
const EARLIEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// From when to when credentials are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lifetime {
    /// Since when, where they say so.
    pub begins: Option<Timestamp>,
    /// Until when.
    pub ends: Timestamp,
}

impl Lifetime {
    /// From when on a human should know: a tenth of the whole life before its end, a week at most. What is renewed every
    /// hour is renewed before that; what is renewed by hand, once a year, is not.
    #[must_use]
    pub fn critical_from(&self) -> Timestamp {
        let whole = self.begins.map(|begins| self.ends.duration_since(begins).unsigned_abs());
        let before = whole.map_or(EARLIEST, |whole| (whole / 10).min(EARLIEST));
        // Only an end in the first week of time itself has nothing before it.
        self.ends.checked_sub(before).unwrap_or(Timestamp::MIN)
    }
}

/// What tells how long credentials are good for.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    /// Of what does not change as long as a connection lasts.
    fixed: Option<Lifetime>,
    /// The file of a token: those who connect with it read it again and again, so it is asked each time.
    token_file: Option<PathBuf>,
}

impl Expiry {
    /// Of a token or a certificate in a kubeconfig, or in a file that it names.
    pub(crate) fn of(credentials: &AuthInfo) -> Self {
        let token_file = credentials.token_file.as_ref().map(PathBuf::from);
        // As kube-rs: the file goes before.
        let token = credentials.token.as_ref().filter(|_| token_file.is_none());
        let token = token.and_then(|token| of_token(token.expose_secret()));
        let certificate = match (&credentials.client_certificate_data, &credentials.client_certificate) {
            (Some(data), _) => STANDARD.decode(data).ok(),
            (None, Some(file)) => std::fs::read(file).ok(),
            (None, None) => None,
        };
        let certificate = certificate.and_then(|pem| of_certificate(&pem));
        Self { fixed: first(token, certificate), token_file }
    }

    /// Of what ends first, where there are both a token and a certificate. None where nothing ends, or nothing says when:
    /// what can't be read is left to those who connect with it.
    pub(crate) fn now(&self) -> Option<Lifetime> {
        let text = self.token_file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        first(self.fixed, text.and_then(|text| of_token(text.trim())))
    }
}

fn first(one: Option<Lifetime>, other: Option<Lifetime>) -> Option<Lifetime> {
    one.into_iter().chain(other).min_by_key(|lifetime| lifetime.ends)
}

/// What a token says of itself, if it is a JSON web token (RFC 7519): those of ServiceAccounts are.
fn of_token(token: &str) -> Option<Lifetime> {
    #[derive(Deserialize)]
    struct Claims {
        iat: Option<i64>,
        exp: i64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { iat, exp } = serde_json::from_slice(&claims).ok()?;
    let time = |seconds| Timestamp::from_second(seconds).ok();
    Some(Lifetime { begins: iat.and_then(time), ends: time(exp)? })
}

/// Of the first certificate of a file: those after it belong to who signed it.
fn of_certificate(pem: &[u8]) -> Option<Lifetime> {
    let chain = Certificate::load_pem_chain(pem).ok()?;
    let validity = chain.first()?.tbs_certificate().validity();
    let time = |time: &Time| Timestamp::try_from(time.to_system_time()).ok();
    Some(Lifetime { begins: time(&validity.not_before), ends: time(&validity.not_after)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn token(claims: &str) -> String {
        format!("e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims))
    }

    fn certificate() -> String {
        let mut parameters = rcgen::CertificateParams::new(vec!["somebody".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2027, 1, 1);
        parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn tokens_and_certificates_say_when_they_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path.to_str().unwrap().to_owned())
        };
        let short = token(r#"{"iat":1767225600,"exp":1767229200,"sub":"system:serviceaccount:a:b"}"#);
        let hour = Lifetime { begins: Some(at("2026-01-01T00:00:00Z")), ends: at("2026-01-01T01:00:00Z") };
        let year = Lifetime { begins: Some(at("2026-01-01T00:00:00Z")), ends: at("2027-01-01T00:00:00Z") };
        let data = Some(STANDARD.encode(certificate()));
        let none = AuthInfo::default;
        let secret = |text: &str| Some(text.to_owned().into());
        for (what, credentials, wanted) in [
            ("nothing", none(), None),
            ("a token", AuthInfo { token: secret(&short), ..none() }, Some(hour)),
            ("a token's file", AuthInfo { token_file: file("t", &format!("{short}\n")), ..none() }, Some(hour)),
            ("an opaque token", AuthInfo { token: secret("sesame"), ..none() }, None),
            ("a token without an end", AuthInfo { token: secret(&token("{}")), ..none() }, None),
            ("a token of dots", AuthInfo { token: secret("..."), ..none() }, None),
            ("a certificate", AuthInfo { client_certificate_data: data.clone(), ..none() }, Some(year)),
            ("its file", AuthInfo { client_certificate: file("c", &certificate()), ..none() }, Some(year)),
            ("no certificate", AuthInfo { client_certificate: file("n", "no"), ..none() }, None),
            ("no file", AuthInfo { client_certificate: Some("/nowhere/c".to_owned()), ..none() }, None),
            ("both", AuthInfo { token: secret(&short), client_certificate_data: data, ..none() }, Some(hour)),
        ] {
            assert_eq!(Expiry::of(&credentials).now(), wanted, "{what}");
        }
    }

    #[test]
    fn a_token_that_is_renewed_in_its_file_has_another_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let file = Some(path.to_str().unwrap().to_owned());
        let expiry = Expiry::of(&AuthInfo { token_file: file, ..AuthInfo::default() });
        assert_eq!(expiry.now(), None);
        for (ends, wanted) in [(1_767_229_200, "2026-01-01T01:00:00Z"), (1_767_232_800, "2026-01-01T02:00:00Z")] {
            std::fs::write(&path, token(&format!(r#"{{"exp":{ends}}}"#))).unwrap();
            assert_eq!(expiry.now().unwrap().ends, at(wanted));
        }
    }

    #[test]
    fn the_longer_the_life_the_earlier_the_word() {
        let ends = at("2027-01-01T00:00:00Z");
        for (begins, wanted) in [
            (Some("2026-01-01T00:00:00Z"), "2026-12-25T00:00:00Z"),
            (Some("2026-12-02T00:00:00Z"), "2026-12-29T00:00:00Z"),
            (Some("2026-12-31T23:00:00Z"), "2026-12-31T23:54:00Z"),
            (None, "2026-12-25T00:00:00Z"),
        ] {
            assert_eq!(Lifetime { begins: begins.map(at), ends }.critical_from(), at(wanted), "{begins:?}");
        }
        let first = Lifetime { begins: None, ends: Timestamp::MIN };
        assert_eq!(first.critical_from(), Timestamp::MIN);
    }
}
