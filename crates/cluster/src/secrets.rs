//! Secret values: filled in at the last moment, never printed, compared by a hash whose key dies with the process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manifest::{Manifest, SecretRef};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use secrecy::{ExposeSecret as _, SecretSlice};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

/// A secret value. Zeroed when dropped; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SecretBytes(SecretSlice<u8>);

impl SecretBytes {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves: for the wire and for files of mode 0600, nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// A password between components: 32 letters and digits, 190 bits.
    #[must_use]
    pub fn password(rng: &mut impl rand::CryptoRng) -> Self {
        Self::new((0..32).map(|_| rng.sample(Alphanumeric)).collect())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretBytes {}

/// Values by what a rendered Secret refers to.
#[derive(Debug, Clone, Default)]
pub struct SecretMap(BTreeMap<SecretRef, SecretBytes>);

impl SecretMap {
    /// Puts a value in.
    pub fn insert(&mut self, reference: SecretRef, value: SecretBytes) {
        self.0.insert(reference, value);
    }

    /// Puts a value in unless there is one.
    pub fn keep(&mut self, reference: SecretRef, value: SecretBytes) {
        self.0.entry(reference).or_insert(value);
    }

    /// The value, if there is one.
    #[must_use]
    pub fn get(&self, reference: &SecretRef) -> Option<&SecretBytes> {
        self.0.get(reference)
    }

    /// What a manifest refers to and this map lacks, by key.
    #[must_use]
    pub fn missing<'a>(&self, manifest: &'a Manifest) -> Vec<(&'a str, &'a SecretRef)> {
        let lacks = |(_, reference): &(&String, &SecretRef)| !self.0.contains_key(*reference);
        manifest.secrets.iter().filter(lacks).map(|(key, reference)| (key.as_str(), reference)).collect()
    }

    /// The body as it is sent: `data` holds the values.
    ///
    /// # Errors
    /// With the first key that has no value: a Secret is never applied in part, since that would remove the rest.
    pub fn fill(&self, manifest: &Manifest) -> Result<Json, String> {
        if manifest.secrets.is_empty() {
            return Ok(manifest.body.json());
        }
        self.with(manifest, |value| STANDARD.encode(value.expose()))
    }

    /// The body as it is compared with what was listed: `data` holds hashes.
    ///
    /// # Errors
    /// With the first key that has no value.
    pub fn fingerprint(&self, manifest: &Manifest, key: &RunKey) -> Result<Json, String> {
        self.with(manifest, |value| key.hash(value.expose()))
    }

    fn with(&self, manifest: &Manifest, show: impl Fn(&SecretBytes) -> String) -> Result<Json, String> {
        let mut body = manifest.body.json();
        let mut data = Map::new();
        for (key, reference) in &manifest.secrets {
            let value = self.0.get(reference).ok_or_else(|| key.clone())?;
            data.insert(key.clone(), Json::String(show(value)));
        }
        if let Some(body) = body.as_object_mut() {
            body.insert("data".to_owned(), Json::Object(data));
        }
        Ok(body)
    }
}

/// A Secret as it is stored.
#[derive(Debug, Clone)]
pub struct StoredSecret {
    /// Its UID.
    pub uid: String,
    /// Its `resourceVersion`.
    pub version: String,
    /// Its values.
    pub data: BTreeMap<String, SecretBytes>,
}

impl StoredSecret {
    /// Reads the body of a Secret.
    pub(crate) fn read(body: &Json) -> Option<Self> {
        let metadata = body.get("metadata")?;
        let text = |key: &str| metadata.get(key)?.as_str().map(str::to_owned);
        let mut data = BTreeMap::new();
        for (key, value) in body.get("data").and_then(Json::as_object).into_iter().flatten() {
            data.insert(key.clone(), SecretBytes::new(STANDARD.decode(value.as_str()?).ok()?));
        }
        Some(Self { uid: text("uid")?, version: text("resourceVersion")?, data })
    }
}

/// The key of this run's hashes. Without it a hash of a weak password tells nothing.
#[derive(Clone)]
pub struct RunKey(Arc<[u8; 32]>);

impl RunKey {
    /// A new one.
    #[must_use]
    pub fn new(rng: &mut impl rand::CryptoRng) -> Self {
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        Self(Arc::new(key))
    }

    /// Equal for equal values in this run; says nothing else about them.
    #[must_use]
    pub fn hash(&self, value: &[u8]) -> String {
        let digest = Sha256::new().chain_update(*self.0).chain_update(value).chain_update(*self.0).finalize();
        let mut text = String::from("hash:");
        for byte in digest.iter().take(10) {
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }

    /// The `data` of a listed Secret with hashes instead of values. What is no such data is left out.
    pub(crate) fn redacted(&self, data: &RawValue) -> Box<RawValue> {
        let data: BTreeMap<String, String> = serde_json::from_str(data.get()).unwrap_or_default();
        let hashed = |value: String| match STANDARD.decode(value) {
            Ok(bytes) => self.hash(SecretBytes::new(bytes).expose()),
            Err(_) => "hash:unreadable".to_owned(),
        };
        let hashes: BTreeMap<String, String> = data.into_iter().map(|(key, value)| (key, hashed(value))).collect();
        to_raw_value(&hashes).unwrap_or_default()
    }
}

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use manifest::{Body, Kind, ObjectRef, Part};
    use serde_json::json;

    use super::*;

    fn manifest() -> Manifest {
        let object = ObjectRef {
            cluster: "hq".parse().unwrap(),
            kind: Kind::Secret,
            namespace: "n".into(),
            name: "meet-passwords".into(),
        };
        let made = SecretRef::Made("JVB_AUTH_PASSWORD".parse().unwrap());
        let body = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "meet-passwords" } });
        let secrets = BTreeMap::from([("JVB_AUTH_PASSWORD".to_owned(), made)]);
        Manifest { object, body: Body::new(&body), secrets, part: Part::Carry }
    }

    #[test]
    fn values_are_filled_in_and_compared_by_hash() {
        let (manifest, key) = (manifest(), RunKey::new(&mut rand::rng()));
        let mut map = SecretMap::default();
        assert_eq!(map.fill(&manifest), Err("JVB_AUTH_PASSWORD".to_owned()));
        assert_eq!(map.missing(&manifest).len(), 1);
        map.insert(manifest.secrets["JVB_AUTH_PASSWORD"].clone(), SecretBytes::new(b"sesame".to_vec()));

        let sent = map.fill(&manifest).unwrap();
        assert_eq!(sent["data"]["JVB_AUTH_PASSWORD"], "c2VzYW1l");
        let mut listed = sent.clone();
        listed["data"] = serde_json::from_str(key.redacted(&to_raw_value(&sent["data"]).unwrap()).get()).unwrap();
        assert_eq!(listed, map.fingerprint(&manifest, &key).unwrap());
        for odd in [json!("c2VzYW1l"), json!(null), json!({ "a": 1 }), json!(["c2VzYW1l"])] {
            assert_eq!(key.redacted(&to_raw_value(&odd).unwrap()).get(), "{}");
        }
        assert_ne!(key.hash(b"sesame"), RunKey::new(&mut rand::rng()).hash(b"sesame"));
    }

    #[test]
    fn nothing_is_shown() {
        let mut map = SecretMap::default();
        map.insert(SecretRef::User("A".parse().unwrap()), SecretBytes::new(b"sesame".to_vec()));
        let shown = format!("{map:?} {:?}", RunKey::new(&mut rand::rng()));
        assert!(!shown.contains("sesame") && !shown.contains("115"), "{shown}");
        let password = SecretBytes::password(&mut rand::rng());
        assert_eq!(password.expose().len(), 32);
        assert!(password.expose().iter().all(u8::is_ascii_alphanumeric));
        assert_ne!(password, SecretBytes::password(&mut rand::rng()));
    }
}
