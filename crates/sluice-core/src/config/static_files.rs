//! Files that the core sends by itself.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;
use super::check::{number, wrong};

/// A document root below a prefix.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StaticConfig {
    /// The directory, an absolute path. Looked up again once a second, so that a symbolic link may be switched.
    pub root: PathBuf,
    /// Paths below it are the root's; begins with `/`, at most 1024 bytes. Default `/`.
    #[serde(default = "slash")]
    pub prefix: String,
    /// Files that stand for their directories, in the order of preference: at most 16 names. Default `index.html`.
    #[serde(default = "index_html")]
    pub index: Vec<String>,
    /// Whether directories without an index are listed. Default false.
    #[serde(default)]
    pub autoindex: bool,
    /// Names that begin with a dot, `/.well-known/` aside. Default deny.
    #[serde(default)]
    pub dotfiles: Dotfiles,
    /// The value of `Cache-Control`: 1 to 256 characters of printable ASCII; `None` (default) sends none.
    #[serde(default)]
    pub cache_control: Option<String>,
    /// Whether files have an `ETag`. Default true.
    #[serde(default = "yes")]
    pub etag: bool,
    /// Whether `.br`, `.zst` and `.gz` files beside a file are sent in its place to those who take them. Default false.
    #[serde(default)]
    pub precompressed: bool,
    /// Whether the application is asked where there is no file. Default true.
    #[serde(default = "yes")]
    pub fallthrough: bool,
    /// Patterns of paths and what stands in for them, `$1` for a group: the first that fits counts, once. At most 64 of at
    /// most 1024 bytes.
    #[serde(default)]
    pub rewrite: Vec<(String, String)>,
}

/// What becomes of a request for a name that begins with a dot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dotfiles {
    /// 403.
    #[default]
    Deny,
    /// As if there were no such file.
    Ignore,
    /// Files like others.
    Allow,
}

impl StaticConfig {
    pub(super) fn check(&self, path: &str) -> Result<(), ConfigError> {
        let root = self.root.as_os_str().as_encoded_bytes();
        if !self.root.is_absolute() || root.len() > 4096 || root.contains(&0) {
            let expected = "an absolute path of at most 4096 bytes";
            return Err(wrong(&format!("{path}.root"), expected, &self.root));
        }
        let segments = self.prefix.trim_end_matches('/').split('/').skip(1);
        let is_plain = segments
            .into_iter()
            .all(|segment| !matches!(segment, "" | "." | ".."));
        let is_sound = self.prefix.starts_with('/') && !self.prefix.contains(['\0', '\\', '?']);
        if !is_plain || !is_sound || self.prefix.len() > 1024 {
            let expected = "a path such as \"/assets\"";
            return Err(wrong(&format!("{path}.prefix"), expected, &self.prefix));
        }
        length(&format!("{path}.index"), self.index.len(), 0..=16)?;
        for (at, name) in self.index.iter().enumerate() {
            let is_name = !matches!(name.as_str(), "." | "..") && !name.contains(['/', '\0']);
            if !is_name || !(1..=255).contains(&name.len()) {
                let expected = "the name of a file";
                return Err(wrong(&format!("{path}.index[{at}]"), expected, name));
            }
        }
        if let Some(value) = &self.cache_control {
            let is_printable = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            if !(1..=256).contains(&value.len()) || !is_printable || value.trim() != value {
                let expected = "1 to 256 characters of printable ASCII without blanks around them";
                return Err(wrong(&format!("{path}.cacheControl"), expected, value));
            }
        }
        length(&format!("{path}.rewrite"), self.rewrite.len(), 0..=64)?;
        for (at, (pattern, target)) in self.rewrite.iter().enumerate() {
            if pattern.len().max(target.len()) > 1024 || !target.starts_with(['/', '$']) {
                let expected = "a pattern and a path, each of at most 1024 bytes";
                return Err(wrong(&format!("{path}.rewrite[{at}]"), expected, target));
            }
        }
        Ok(())
    }
}

fn length(path: &str, len: usize, range: RangeInclusive<u64>) -> Result<(), ConfigError> {
    number(path, len as u64, range)
}

fn slash() -> String {
    "/".into()
}

fn index_html() -> Vec<String> {
    vec!["index.html".into()]
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::ServerConfig;

    #[test]
    fn a_static_entry_is_checked() {
        let entry = |more: Value| {
            let mut entry = json!({ "root": "/srv" });
            let (Some(whole), Value::Object(more)) = (entry.as_object_mut(), more) else {
                panic!("both are objects");
            };
            whole.extend(more);
            let config = json!({
                "ports": [{ "name": "web", "listen": { "host": "127.0.0.1", "port": 0 } }],
                "staticFiles": [entry],
            });
            ServerConfig::parse(&config.to_string())
        };
        let config = entry(json!({})).expect("a root is enough");
        assert_eq!(config.static_files[0].index, ["index.html"]);
        for good in [
            json!({ "prefix": "/assets/" }),
            json!({ "prefix": "/a/b" }),
            json!({ "index": [], "dotfiles": "ignore" }),
            json!({ "cacheControl": "public, max-age=60" }),
            json!({ "rewrite": [["^/x", "/y"], ["(.*)", "$1"]] }),
        ] {
            assert!(entry(good.clone()).is_ok(), "{good}");
        }
        for (bad, path) in [
            (json!({ "root": "srv" }), "static[0].root"),
            (json!({ "root": "/a\0" }), "static[0].root"),
            (json!({ "prefix": "assets" }), "static[0].prefix"),
            (json!({ "prefix": "" }), "static[0].prefix"),
            (json!({ "prefix": "/a/../b" }), "static[0].prefix"),
            (json!({ "prefix": "//a" }), "static[0].prefix"),
            (json!({ "index": ["a/b"] }), "static[0].index[0]"),
            (json!({ "index": [""] }), "static[0].index[0]"),
            (
                json!({ "cacheControl": "a\r\nb: c" }),
                "static[0].cacheControl",
            ),
            (json!({ "rewrite": [["x", "y"]] }), "static[0].rewrite[0]"),
        ] {
            let error = entry(bad.clone()).expect_err("it is wrong").to_string();
            assert!(error.starts_with(path), "{bad}: {error}");
        }
        assert!(entry(json!({ "unknown": 1 })).is_err());
    }
}
