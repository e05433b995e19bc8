//! One entry of `static`: a document root below a prefix.

use regex_lite::Regex;
use sluice_core::config::{ConfigError, Dotfiles, StaticConfig};

use super::answer::{self, Body, Content, FileAnswer};
use super::coding;
use super::conditions::Conditions;
use super::listing;
use super::path::{FilePath, PathFault, has_dotfile, raw_path};
use super::root::{Node, OpenFault, Root};

/// What a site says to a request.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing; somebody else may know.
    Nothing,
    /// An answer, whose header lines have been written.
    Answer(FileAnswer),
    /// A refusal, by status and name.
    Refusal(u16, &'static str),
}

/// What is asked of the sites of a port.
pub(crate) struct Question<'a> {
    /// The request target as it came.
    pub(crate) target: &'a [u8],
    /// GET or HEAD; others are for the application, or for nobody.
    pub(crate) is_read: bool,
    pub(crate) is_head: bool,
    pub(crate) conditions: &'a Conditions<'a>,
    /// Milliseconds, of the reactor's clock.
    pub(crate) now: u64,
    pub(crate) unix_seconds: u64,
}

/// See the module. One for each reactor.
#[derive(Debug)]
pub(crate) struct Site {
    config: StaticConfig,
    /// Without a slash at its end; empty for all paths.
    prefix: Vec<u8>,
    root: Root,
    rewrite: Vec<(Regex, String)>,
}

/// Asks one site after the other. Header lines of the answer go to `out`, which is empty.
pub(crate) fn find(sites: &mut [Site], question: &Question<'_>, out: &mut Vec<u8>) -> Found {
    let path = FilePath::of_target(question.target);
    for site in sites {
        match site.find(&path, question, out) {
            Found::Nothing => out.clear(),
            found => return found,
        }
    }
    Found::Nothing
}

/// Checks what only the system and the pattern's own grammar can say.
///
/// # Errors
///
/// The path of the first value that cannot be used.
pub(crate) fn check(configs: &[StaticConfig]) -> Result<(), ConfigError> {
    let wrong = |path: String, expected: String, got: &dyn std::fmt::Debug| ConfigError::Value {
        path,
        expected,
        got: format!("{got:?}"),
    };
    for (index, config) in configs.iter().enumerate() {
        if !config.root.is_dir() {
            let path = format!("static[{index}].root");
            return Err(wrong(path, "a directory that exists".into(), &config.root));
        }
        for (pattern, _) in &config.rewrite {
            if let Err(error) = Regex::new(pattern) {
                let path = format!("static[{index}].rewrite");
                let expected = format!("an object of regular expressions ({error})");
                return Err(wrong(path, expected, pattern));
            }
        }
    }
    Ok(())
}

impl Site {
    /// `config` has been checked, here too.
    pub(crate) fn new(config: &StaticConfig) -> Self {
        let rewrite = config
            .rewrite
            .iter()
            .filter_map(|(pattern, target)| Some((Regex::new(pattern).ok()?, target.clone())));
        Self {
            prefix: config.prefix.trim_end_matches('/').as_bytes().to_vec(),
            root: Root::new(&config.root),
            rewrite: rewrite.collect(),
            config: config.clone(),
        }
    }

    fn find(
        &mut self,
        path: &Result<FilePath, PathFault>,
        question: &Question<'_>,
        out: &mut Vec<u8>,
    ) -> Found {
        let path = match path {
            Ok(path) => path,
            Err(fault) => return self.faulty(*fault, question),
        };
        let rewritten = match self.rewritten(path) {
            Some(Ok(rewritten)) => Some(rewritten),
            Some(Err(_)) => return self.missing(),
            None => None,
        };
        let is_rewritten = rewritten.is_some();
        let path = rewritten.as_ref().unwrap_or(path);
        let Some(name) = path.below(&self.prefix) else {
            return Found::Nothing;
        };
        if !question.is_read {
            return if self.config.fallthrough {
                Found::Nothing
            } else {
                out.extend_from_slice(b"allow: GET, HEAD\r\n");
                Found::Refusal(405, "method-not-allowed")
            };
        }
        if self.config.dotfiles != Dotfiles::Allow && has_dotfile(name) {
            return match self.config.dotfiles {
                Dotfiles::Deny => Found::Refusal(403, "dotfile"),
                _ => self.missing(),
            };
        }
        let found = if path.ends_with_slash() {
            self.directory(name, path, question, out)
        } else {
            match self.root.open(name, question.now) {
                Ok(Node::File(file)) => Ok(Found::Answer(self.send(file, name, question, out))),
                Ok(Node::Directory(_)) if is_rewritten => Err(OpenFault::Missing),
                Ok(Node::Directory(_)) => self.redirect(name, question, out),
                Err(fault) => Err(fault),
            }
        };
        match found {
            Ok(found) => found,
            Err(OpenFault::Missing) => self.missing(),
            Err(OpenFault::Forbidden) if self.config.fallthrough => Found::Nothing,
            Err(OpenFault::Forbidden) => Found::Refusal(403, "forbidden"),
            Err(OpenFault::Unavailable) => Found::Refusal(503, "file-unavailable"),
        }
    }

    /// A target that names no file: the application may see more in it.
    fn faulty(&self, fault: PathFault, question: &Question<'_>) -> Found {
        let is_below = raw_path(question.target)
            .strip_prefix(self.prefix.as_slice())
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')));
        if self.config.fallthrough || !is_below {
            return Found::Nothing;
        }
        match fault {
            PathFault::Malformed | PathFault::Unsafe => Found::Refusal(400, "path"),
            PathFault::None => Found::Refusal(404, "not-found"),
        }
    }

    fn missing(&self) -> Found {
        if self.config.fallthrough {
            Found::Nothing
        } else {
            Found::Refusal(404, "not-found")
        }
    }

    /// The path that the first rule that fits makes of it.
    fn rewritten(&self, path: &FilePath) -> Option<Result<FilePath, PathFault>> {
        if self.rewrite.is_empty() {
            return None;
        }
        let text = std::str::from_utf8(&path.bytes).ok()?;
        let (captures, target) = self
            .rewrite
            .iter()
            .find_map(|(pattern, target)| Some((pattern.captures(text)?, target)))?;
        let mut rewritten = String::new();
        captures.expand(target, &mut rewritten);
        Some(FilePath::of_decoded(rewritten.into_bytes()))
    }

    /// The index of a directory, or its page. `name` is empty or ends with a slash.
    fn directory(
        &mut self,
        name: &[u8],
        path: &FilePath,
        question: &Question<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Found, OpenFault> {
        for at in 0..self.config.index.len() {
            let index = [name, self.config.index[at].as_bytes()].concat();
            match self.root.open(&index, question.now) {
                Ok(Node::File(file)) => {
                    return Ok(Found::Answer(self.send(file, &index, question, out)));
                }
                Ok(Node::Directory(_)) | Err(OpenFault::Missing) => {}
                Err(fault) => return Err(fault),
            }
        }
        if !self.config.autoindex {
            return Err(OpenFault::Missing);
        }
        let Node::Directory(dir) = self.root.open(name, question.now)? else {
            return Err(OpenFault::Missing);
        };
        let with_dotfiles = self.config.dotfiles == Dotfiles::Allow;
        let page = listing::page(&dir, &path.bytes, with_dotfiles)?;
        out.extend_from_slice(b"content-type: text/html;charset=UTF-8\r\n");
        Ok(Found::Answer(FileAnswer {
            status: 200,
            length: Some(page.len() as u64),
            body: if question.is_head {
                Body::Empty
            } else {
                Body::Bytes(page)
            },
        }))
    }

    /// To the directory with a slash, so that relative links on its page are right. Only if there is a page: else the
    /// application may have something of that name.
    fn redirect(
        &mut self,
        name: &[u8],
        question: &Question<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Found, OpenFault> {
        let mut has_page = self.config.autoindex;
        for at in 0..self.config.index.len() {
            if has_page {
                break;
            }
            let slash: &[u8] = if name.is_empty() { b"" } else { b"/" };
            let index = [name, slash, self.config.index[at].as_bytes()].concat();
            has_page = matches!(self.root.open(&index, question.now), Ok(Node::File(_)));
        }
        if !has_page {
            return Err(OpenFault::Missing);
        }
        let raw = raw_path(question.target);
        let query = question
            .target
            .iter()
            .position(|&byte| byte == b'?')
            .map_or(&[][..], |at| &question.target[at..]);
        out.extend_from_slice(b"location: ");
        out.extend_from_slice(raw);
        out.push(b'/');
        out.extend_from_slice(query);
        out.extend_from_slice(b"\r\n");
        Ok(Found::Answer(FileAnswer {
            status: 301,
            length: Some(0),
            body: Body::Empty,
        }))
    }

    /// A file, or what lies compressed beside it.
    fn send(
        &mut self,
        file: super::OpenFile,
        name: &[u8],
        question: &Question<'_>,
        out: &mut Vec<u8>,
    ) -> FileAnswer {
        let mut file = file;
        let mut chosen = None;
        if self.config.precompressed {
            for coding in coding::accepted(question.conditions.accept_encoding.as_deref()) {
                let beside = [name, coding.extension().as_bytes()].concat();
                if let Ok(Node::File(compressed)) = self.root.open(&beside, question.now) {
                    file = compressed;
                    chosen = Some(coding);
                    break;
                }
            }
        }
        let content = Content {
            name,
            coding: chosen,
            varies: self.config.precompressed,
            cache_control: self.config.cache_control.as_deref(),
            without_etag: !self.config.etag,
        };
        let request = (question.conditions, question.is_head);
        answer::of_file(file, &content, request, question.unix_seconds, out)
    }
}
