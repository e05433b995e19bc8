//! Choosing the certificate by the name that the client asks for (RFC 6066, 3).

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificates of a port by name. An exact name goes before a wildcard, a wildcard stands for one label.
#[derive(Debug)]
pub(super) struct Names {
    default: Arc<CertifiedKey>,
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// `*.example.com` as `example.com`.
    wildcards: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl Names {
    pub(super) fn new(default: Arc<CertifiedKey>) -> Self {
        Self {
            default,
            exact: HashMap::new(),
            wildcards: HashMap::new(),
        }
    }

    /// False when no client can ask for this name.
    pub(super) fn insert(&mut self, name: &str, key: Arc<CertifiedKey>) -> bool {
        let name = name.to_ascii_lowercase();
        let (names, name) = match name.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcards, parent),
            None => (&mut self.exact, name.as_str()),
        };
        let is_name = is_host_name(name);
        if is_name {
            names.insert(name.into(), key);
        }
        is_name
    }

    fn find(&self, name: &str) -> &Arc<CertifiedKey> {
        let name = name.to_ascii_lowercase();
        self.exact
            .get(name.as_str())
            .or_else(|| {
                let (_, parent) = name.split_once('.')?;
                self.wildcards.get(parent)
            })
            .unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = hello
            .server_name()
            .map_or(&self.default, |name| self.find(name));
        Some(Arc::clone(key))
    }
}

/// Labels of 1 to 63 letters, digits, `-` and `_`, up to 253 characters; what `server_name` may hold.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::identity::tests::self_signed;

    #[test]
    fn an_exact_name_goes_before_a_wildcard_and_a_wildcard_stands_for_one_label() {
        let [default, exact, wild] = ["d.test", "a.x.test", "*.x.test"].map(self_signed);
        let mut names = Names::new(Arc::clone(&default));
        assert!(names.insert("a.X.test", Arc::clone(&exact)));
        assert!(names.insert("*.x.test", Arc::clone(&wild)));
        for (name, expected) in [
            ("a.x.test", &exact),
            ("A.x.TEST", &exact),
            ("b.x.test", &wild),
            ("b.a.x.test", &default),
            ("x.test", &default),
            (".x.test", &wild),
            ("other.test", &default),
            ("", &default),
        ] {
            assert!(Arc::ptr_eq(names.find(name), expected), "{name}");
        }
    }

    #[test]
    fn what_no_client_can_ask_for_is_no_name() {
        let key = self_signed("d.test");
        for name in [
            "",
            "*",
            "*.",
            "a..b",
            "a.*.b",
            "*a.b",
            "ä.test",
            "a b",
            ".a",
            "a.",
            &"a".repeat(64),
        ] {
            assert!(
                !Names::new(Arc::clone(&key)).insert(name, Arc::clone(&key)),
                "{name}"
            );
        }
    }
}
