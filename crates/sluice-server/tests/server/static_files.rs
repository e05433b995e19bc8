//! Files that the reactor sends by itself.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use sluice_server::Server;

use crate::support::{Client, Response, Served, config_with};

/// A document root, and a server that serves it.
struct Site {
    folder: tempfile::TempDir,
    served: Served,
}

impl Site {
    fn new() -> Self {
        Self::with(json!({}))
    }

    fn with(options: Value) -> Self {
        Self::with_limits(json!({}), options)
    }

    fn with_limits(limits: Value, options: Value) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let root = folder.path().join("root");
        fs::create_dir(&root).expect("a folder can be made");
        let mut entry = json!({ "root": root });
        let (Some(whole), Value::Object(options)) = (entry.as_object_mut(), options) else {
            panic!("both are objects");
        };
        whole.extend(options);
        let served = Served::start(&config_with(limits, json!({ "staticFiles": [entry] })));
        Self { folder, served }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.path().join("root").join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder"))
            .expect("a folder can be made");
        fs::write(path, content).expect("a file can be written");
    }

    /// A file of that length that takes no room.
    fn sparse(&self, name: &str, len: u64) -> File {
        let path = self.folder.path().join("root").join(name);
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path)
            .expect("a file can be made");
        file.set_len(len).expect("it can be long");
        file
    }

    fn get(&self, path: &str) -> Response {
        self.ask(path, "")
    }

    fn ask(&self, path: &str, fields: &str) -> Response {
        let mut client = self.served.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n"));
        client.response()
    }
}

fn field(response: &Response, name: &str) -> String {
    response
        .head
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}: ")))
        .unwrap_or_else(|| panic!("no {name} in {response:?}"))
        .to_owned()
}

#[test]
fn files_are_sent_without_a_worker() {
    let site = Site::new();
    site.write("hello.txt", "hello");
    site.write("index.html", "<p>home");
    site.write("docs/index.html", "<p>docs");
    let mut client = site.served.connect();
    for (path, status, body) in [
        ("/hello.txt", 200, "hello"),
        ("/hello.txt?a=b", 200, "hello"),
        ("/hello%2Etxt", 200, "hello"),
        ("/", 200, "<p>home"),
        ("/docs/", 200, "<p>docs"),
        ("/docs", 301, ""),
    ] {
        client.get(path);
        let response = client.response();
        assert_eq!((response.status, response.text()), (status, body), "{path}");
    }
    client.get("/docs?x=1");
    assert_eq!(field(&client.response(), "location"), "/docs/?x=1");
    let stats = site.served.stats();
    assert_eq!(
        (stats.counters.request_count, stats.counters.static_count),
        (0, 7)
    );
}

#[test]
fn a_large_file_comes_whole_and_the_connection_lives_on() {
    let site = Site::new();
    let content: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    site.write("large.bin", &content);
    site.write("small.bin", "small");
    let mut client = site.served.connect();
    client.get("/large.bin");
    client.get("/small.bin");
    client.get("/large.bin");
    assert!(client.response().body == content);
    assert_eq!(client.response().text(), "small");
    assert!(client.response().body == content);
    client.send("GET /large.bin HTTP/1.1\r\nhost: a\r\nrange: bytes=70000-2500000\r\n\r\n");
    let part = client.response();
    assert_eq!(part.status, 206);
    assert!(part.body == content[70_000..=2_500_000]);
    client.send(
        "GET /large.bin HTTP/1.1\r\nhost: a\r\nrange: bytes=0-99999,200000-299999,-1\r\n\r\n",
    );
    let parts = client.response();
    assert_eq!(parts.status, 206);
    for range in [0..100_000, 200_000..300_000] {
        let part = &content[range];
        assert!(parts.body.windows(part.len()).any(|window| window == part));
    }
}

#[test]
fn conditions_and_head() {
    let site = Site::new();
    site.write("a.txt", "hello");
    let whole = site.get("/a.txt");
    let etag = field(&whole, "etag");
    assert!(field(&whole, "last-modified").ends_with(" gmt"));
    let fresh = site.ask("/a.txt", &format!("if-none-match: {etag}\r\n"));
    assert_eq!(fresh.status, 304);
    assert_eq!(field(&fresh, "etag"), etag);
    let fresh = site.ask(
        "/a.txt",
        "if-modified-since: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
    );
    assert_eq!(fresh.status, 304);
    assert_eq!(site.ask("/a.txt", "if-match: \"other\"\r\n").status, 412);
    let ranged = format!("range: bytes=1-2\r\nif-range: {etag}\r\n");
    assert_eq!(site.ask("/a.txt", &ranged).text(), "el");
    let stale = "range: bytes=1-2\r\nif-range: \"other\"\r\n";
    assert_eq!(site.ask("/a.txt", stale).text(), "hello");
    let beyond = site.ask("/a.txt", "range: bytes=9-\r\n");
    assert_eq!(beyond.status, 416);
    assert_eq!(field(&beyond, "content-range"), "bytes */5");

    let mut client = site.served.connect();
    client.send("HEAD /a.txt HTTP/1.1\r\nhost: a\r\n\r\nGET /a.txt HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(field(&client.head(), "content-length"), "5");
    assert_eq!(client.response().text(), "hello");
}

#[test]
fn what_changes_has_another_etag() {
    let site = Site::new();
    site.write("a.txt", "one");
    let first = field(&site.get("/a.txt"), "etag");
    site.write("new.txt", "two");
    let root = site.folder.path().join("root");
    fs::rename(root.join("new.txt"), root.join("a.txt")).expect("it was just written");
    let second = site.get("/a.txt");
    assert_eq!(second.text(), "two");
    assert_ne!(field(&second, "etag"), first);
}

#[test]
fn answers_stay_in_the_order_of_the_requests() {
    let site = Site::new();
    site.write("a.txt", "file a");
    site.write("large.bin", vec![7; 200_000]);
    let mut worker = site.served.worker(0);
    let mut client = site.served.connect();
    for path in [
        "/a.txt",
        "/one",
        "/a.txt",
        "/two",
        "/large.bin",
        "/three",
        "/a.txt",
    ] {
        client.get(path);
    }
    assert_eq!(client.response().text(), "file a");
    let one = worker.request("the first");
    assert_eq!(one.path(), "/one");
    worker.answer(&one, "one");
    assert_eq!(client.response().text(), "one");
    assert_eq!(client.response().text(), "file a");
    let two = worker.request("the second");
    worker.answer(&two, "two");
    assert_eq!(client.response().text(), "two");
    assert_eq!(client.response().body.len(), 200_000);
    let three = worker.request("the third");
    worker.answer(&three, "three");
    assert_eq!(client.response().text(), "three");
    assert_eq!(client.response().text(), "file a");
}

#[test]
fn what_is_no_file_is_for_the_application() {
    let site = Site::new();
    site.write("a.txt", "file");
    fs::create_dir(site.folder.path().join("root/empty")).expect("a folder can be made");
    fs::write(site.folder.path().join("secret"), "secret").expect("a file can be written");
    symlink("../secret", site.folder.path().join("root/link")).expect("a link can be made");
    let mut worker = site.served.worker(0);
    for path in [
        "/none",
        "/a.txt/",
        "/a.txt/x",
        "/empty",
        "/empty/",
        "/",
        "/link",
        "/%zz",
        "//a.txt",
        "/a//a.txt",
        "/../secret",
        "/..%2fsecret",
        "/%2e%2e/secret",
        "/%252e%252e/secret",
        "/..%5csecret",
        "/..\\secret",
        "/a.txt%00",
        "/./a.txt",
    ] {
        let mut client = site.served.connect();
        client.get(path);
        let asked = worker.request(path);
        assert_eq!(asked.path(), path);
        worker.answer(&asked, "app");
        assert_eq!(client.response().text(), "app", "{path}");
    }
    let mut client = site.served.connect();
    client.post("/a.txt", b"body");
    let asked = worker.request("a POST");
    assert_eq!(asked.body, b"body");
    worker.answer(&asked, "posted");
    assert_eq!(client.response().text(), "posted");
}

#[test]
fn without_fallthrough_the_core_refuses() {
    let site = Site::with(json!({ "fallthrough": false, "prefix": "/files" }));
    site.write("a.txt", "file");
    let mut worker = site.served.worker(0);
    for (path, status) in [
        ("/files/a.txt", 200),
        ("/files/none", 404),
        ("/files", 404),
        ("/files/../a.txt", 400),
        ("/files/%zz", 400),
        ("/files/.env", 403),
        ("/files/%2e%2e/a.txt", 400),
    ] {
        assert_eq!(site.get(path).status, status, "{path}");
    }
    let mut client = site.served.connect();
    client.post("/files/a.txt", b"body");
    let refused = client.response();
    assert_eq!((refused.status, refused.closes()), (405, true));
    assert_eq!(field(&refused, "allow"), "get, head");
    let mut client = site.served.connect();
    client.get("/filesx");
    let asked = worker.request("what is beside the prefix");
    worker.answer(&asked, "app");
    assert_eq!(client.response().text(), "app");
}

#[test]
fn dotfiles_are_denied_ignored_or_allowed() {
    for (dotfiles, status) in [("deny", 403), ("ignore", 404), ("allow", 200)] {
        let site = Site::with(json!({ "dotfiles": dotfiles, "fallthrough": false }));
        site.write(".env", "secret");
        site.write(".git/config", "secret");
        site.write(".well-known/acme", "public");
        for path in ["/.env", "/.git/config", "/%2eenv"] {
            assert_eq!(site.get(path).status, status, "{dotfiles} {path}");
        }
        assert_eq!(site.get("/.well-known/acme").text(), "public");
    }
}

#[test]
fn a_compressed_file_goes_to_those_who_take_it() {
    let site = Site::with(json!({ "precompressed": true }));
    site.write("a.js", "plain");
    site.write("a.js.br", "brotli");
    site.write("a.js.gz", "gzip");
    let mut tags = Vec::new();
    for (accept, body, coding) in [
        ("gzip, br", "brotli", Some("br")),
        ("gzip", "gzip", Some("gzip")),
        ("zstd", "plain", None),
        ("br;q=0", "plain", None),
    ] {
        let response = site.ask("/a.js", &format!("accept-encoding: {accept}\r\n"));
        assert_eq!(response.text(), body, "{accept}");
        assert_eq!(field(&response, "vary"), "accept-encoding");
        assert_eq!(
            field(&response, "content-type"),
            "text/javascript;charset=utf-8"
        );
        assert_eq!(
            response.head.contains("content-encoding: "),
            coding.is_some(),
            "{accept}"
        );
        if let Some(coding) = coding {
            assert_eq!(field(&response, "content-encoding"), coding);
            tags.push(field(&response, "etag"));
        }
    }
    assert_ne!(tags[0], tags[1]);
}

#[test]
fn directories_are_listed_on_request() {
    let site = Site::with(json!({ "autoindex": true }));
    site.write("sub/<b>.txt", "x");
    site.write("sub/.hidden", "x");
    let page = site.get("/sub/");
    assert_eq!(field(&page, "content-type"), "text/html;charset=utf-8");
    assert!(page.text().contains("&lt;b&gt;.txt") && !page.text().contains("hidden"));
    assert_eq!(site.get("/sub").status, 301);
}

#[test]
fn paths_are_rewritten() {
    let site = Site::with(json!({
        "rewrite": [["^/v\\d+/(.*)$", "/$1"], ["^/app/", "/index.html"], ["^/out$", "/../secret"]],
        "fallthrough": false,
        "cacheControl": "public, max-age=60",
    }));
    site.write("a.txt", "file");
    site.write("index.html", "page");
    fs::write(site.folder.path().join("secret"), "secret").expect("a file can be written");
    for (path, body) in [
        ("/v1/a.txt", "file"),
        ("/v22/a.txt", "file"),
        ("/app/x/y?z", "page"),
    ] {
        let response = site.get(path);
        assert_eq!(response.text(), body, "{path}");
        assert_eq!(field(&response, "cache-control"), "public, max-age=60");
    }
    assert_eq!(site.get("/v1/none").status, 404);
    assert_eq!(site.get("/out").status, 404);
}

#[test]
fn roots_are_asked_in_order() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for (root, name) in [("one", "a"), ("two", "a"), ("two", "b")] {
        fs::create_dir_all(folder.path().join(root)).expect("a folder can be made");
        fs::write(folder.path().join(root).join(name), root).expect("a file can be written");
    }
    let roots = ["one", "two"].map(|root| json!({ "root": folder.path().join(root) }));
    let served = Served::start(&config_with(json!({}), json!({ "staticFiles": roots })));
    for (path, body) in [("/a", "one"), ("/b", "two")] {
        let mut client = served.connect();
        client.get(path);
        assert_eq!(client.response().text(), body);
    }
}

#[test]
fn an_old_client_gets_a_file_and_the_end() {
    let site = Site::new();
    site.write("a.txt", "hello");
    let mut client = site.served.connect();
    client.send("GET /a.txt HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert!(response.closes() && response.text() == "hello");
    assert!(client.rest().is_empty());
    let mut client = site.served.connect();
    client.send("GET /a.txt HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nxx");
    let response = client.response();
    assert!(response.closes() && response.text() == "hello");
    assert!(client.rest().is_empty());
}

#[test]
fn a_client_that_has_said_all_still_gets_all() {
    let site = Site::new();
    site.write("large.bin", vec![7; 700_000]);
    let mut client = site.served.connect();
    for _ in 0..5 {
        client.get("/large.bin");
    }
    client.half_close();
    for _ in 0..5 {
        assert_eq!(client.response().body.len(), 700_000);
    }
    assert!(client.rest().is_empty());
}

#[test]
fn a_stop_sends_what_was_begun() {
    let site = Site::new();
    site.write("large.bin", vec![7; 8_000_000]);
    let mut client = site.served.connect();
    client.get("/large.bin");
    assert_eq!(client.head().status, 200);
    site.served.server.stop(0, 1001);
    assert_eq!(client.exactly(8_000_000), vec![7; 8_000_000]);
    assert!(client.rest().is_empty());
}

/// Reads some of an answer that does not end soon.
fn begin(client: &mut Client, path: &str) {
    client.get(path);
    assert_eq!(client.head().status, 200);
    client.exactly(100_000);
}

#[test]
fn a_file_that_becomes_shorter_breaks_the_connection() {
    let site = Site::new();
    let file = site.sparse("huge.bin", 1 << 30);
    let mut client = site.served.connect();
    begin(&mut client, "/huge.bin");
    file.set_len(1 << 20).expect("it can be cut");
    let more = client.rest_before_reset();
    assert!(more.len() < 1 << 30);
    site.served
        .until("the end of it", |stats| stats.connections == 0);
}

#[test]
fn a_huge_file_takes_no_memory_and_holds_up_nobody() {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    site.write("a.txt", "small");
    let mut slow = site.served.connect();
    begin(&mut slow, "/huge.bin");
    let mut worker = site.served.worker(0);
    for _ in 0..20 {
        assert_eq!(site.get("/a.txt").text(), "small");
        let mut client = site.served.connect();
        client.get("/app");
        let asked = worker.request("a request");
        worker.answer(&asked, "app");
        assert_eq!(client.response().text(), "app");
    }
    assert!(site.served.stats().buffered_bytes < 64 * 1024);
    // What the client has sent behind it waits.
    for _ in 0..1000 {
        slow.get("/huge.bin");
    }
    assert!(site.served.stats().buffered_bytes < 256 * 1024);
    let mut some = [0; 1000];
    slow.stream.read_exact(&mut some).expect("it goes on");
    slow.reset();
    site.served
        .until("nobody is left", |stats| stats.connections == 0);
}

#[test]
fn a_reader_that_stalls_is_cut_off() {
    let site = Site::with_limits(json!({ "sendTimeout": 100 }), json!({}));
    site.sparse("huge.bin", 1 << 30);
    let mut client = site.served.connect();
    begin(&mut client, "/huge.bin");
    let stats = site
        .served
        .until("it is cut off", |stats| stats.rejected.send_timeout == 1);
    assert_eq!(stats.counters.static_count, 1);
}

#[test]
fn wrong_roots_and_patterns_are_refused_at_the_start() {
    let start = |entry: Value| {
        let config = config_with(json!({}), json!({ "staticFiles": [entry] }));
        Server::start(&config.to_string())
            .err()
            .expect("it is wrong")
            .to_string()
    };
    let error = start(json!({ "root": "/nowhere/at/all" }));
    assert!(
        error.starts_with("static[0].root must be a directory that exists"),
        "{error}"
    );
    let error = start(json!({ "root": "/", "rewrite": [["(", "/x"]] }));
    assert!(error.starts_with("static[0].rewrite must be"), "{error}");
}

#[test]
fn a_port_for_web_sockets_has_no_files() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    fs::write(folder.path().join("a.txt"), "file").expect("a file can be written");
    let served = Served::start(&json!({
        "ports": [{ "name": "main", "protocol": "websocket", "listen": { "host": "127.0.0.1", "port": 0 } }],
        "staticFiles": [{ "root": folder.path() }],
        "stuckAfter": 0,
    }));
    let mut worker = served.worker(0);
    let mut client = served.connect();
    client.get("/a.txt");
    let asked = worker.request("what is no file here");
    worker.answer(&asked, "app");
    assert_eq!(client.response().text(), "app");
}

/// A worker that answers with files.
mod of_a_worker {
    use std::path::{Path, PathBuf};

    use sluice_server::{AnswerMeta, FileToSend};

    use super::*;
    use crate::support::{Asked, WorkerDouble};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("there is room for a folder"))
        }

        fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, content).expect("a file can be written");
            path
        }
    }

    fn send(worker: &mut WorkerDouble, asked: &Asked, path: &Path, block: &str, remove: bool) {
        let meta = AnswerMeta {
            status: 200,
            template: 0,
            flags: 0,
        };
        let file = FileToSend {
            path,
            media_name: b"a.txt",
            remove,
        };
        let sent = worker
            .worker
            .respond_file(asked.name, meta, block.as_bytes(), &file)
            .expect("the file is there");
        assert!(sent, "the lane exists");
        worker.worker.flush();
    }

    #[test]
    fn ranges_and_conditions_are_those_of_the_request() {
        let folder = Folder::new();
        let path = folder.write("x", "0123456789");
        let served = Served::new();
        let mut worker = served.worker(0);
        let mut client = served.connect();
        for (method, fields, status, body) in [
            ("GET", "", 200, "0123456789"),
            ("GET", "range: bytes=2-4\r\n", 206, "234"),
            ("GET", "if-none-match: *\r\n", 304, ""),
            ("GET", "range: bytes=50-\r\n", 416, ""),
            (
                "POST",
                "range: bytes=2-4\r\nif-none-match: *\r\n",
                200,
                "0123456789",
            ),
        ] {
            client.send(format!("{method} / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"));
            let asked = worker.request("a request");
            send(&mut worker, &asked, &path, "x-a: b\r\n", false);
            let response = client.response();
            assert_eq!(
                (response.status, response.text()),
                (status, body),
                "{method} {fields}"
            );
            assert!(response.head.contains("x-a: b\n"), "{response:?}");
        }
        client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
        let asked = worker.request("HEAD");
        send(&mut worker, &asked, &path, "content-type: a/b\r\n", false);
        let head = client.head();
        assert_eq!(field(&head, "content-length"), "10");
        assert_eq!(field(&head, "content-type"), "a/b");
        let counters = served.stats().counters;
        assert_eq!((counters.request_count, counters.static_count), (6, 0));
    }

    #[test]
    fn a_pipeline_keeps_its_order() {
        let folder = Folder::new();
        let small = folder.write("small", "small");
        let large = folder.write("large", vec![b'x'; 500_000]);
        let served = Served::new();
        let mut worker = served.worker(0);
        let mut client = served.connect();
        for path in ["/large", "/small", "/text"] {
            client.get(path);
        }
        let [first, second, third] = [(); 3].map(|()| worker.request("a request"));
        worker.answer(&third, "text");
        send(&mut worker, &second, &small, "", false);
        send(&mut worker, &first, &large, "", false);
        assert_eq!(client.response().body.len(), 500_000);
        assert_eq!(client.response().text(), "small");
        assert_eq!(client.response().text(), "text");
    }

    #[test]
    fn a_file_is_removed_when_it_is_sent() {
        let folder = Folder::new();
        let served = Served::new();
        let mut worker = served.worker(0);
        let mut client = served.connect();
        for size in [10, 500_000] {
            let path = folder.write("x", vec![b'x'; size]);
            client.get("/");
            let asked = worker.request("a request");
            send(&mut worker, &asked, &path, "", true);
            assert_eq!(client.response().body.len(), size);
            served.until("it is gone", |_| !path.exists());
        }
    }

    #[test]
    fn a_file_is_removed_when_its_client_leaves() {
        let folder = Folder::new();
        let served = Served::new();
        let mut worker = served.worker(0);

        // In the middle of it.
        let path = folder.write("x", "");
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(1 << 30))
            .expect("it can be long");
        let mut client = served.connect();
        client.get("/");
        let asked = worker.request("a request");
        send(&mut worker, &asked, &path, "", true);
        client.exactly(100_000);
        assert!(path.exists());
        client.reset();
        served.until("it is gone", |_| !path.exists());

        // Before it is answered.
        let path = folder.write("y", "y");
        let mut client = served.connect();
        client.get("/");
        let asked = worker.request("a request");
        client.reset();
        served.until("nobody is left", |stats| stats.connections == 0);
        send(&mut worker, &asked, &path, "", true);
        served.until("it is gone", |_| !path.exists());
    }

    #[test]
    fn a_file_that_cannot_be_opened_leaves_the_request_unanswered() {
        let served = Served::new();
        let mut worker = served.worker(0);
        let mut client = served.connect();
        client.get("/");
        let asked = worker.request("a request");
        let meta = AnswerMeta {
            status: 200,
            template: 0,
            flags: 0,
        };
        let file = FileToSend {
            path: Path::new("/nowhere/at/all"),
            media_name: b"",
            remove: true,
        };
        let error = worker
            .worker
            .respond_file(asked.name, meta, b"", &file)
            .expect_err("it is not there");
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        worker.answer(&asked, "something else");
        assert_eq!(client.response().text(), "something else");
    }

    #[test]
    fn bad_header_lines_cannot_split_the_answer() {
        let folder = Folder::new();
        let path = folder.write("x", "secret");
        let served = Served::new();
        let mut worker = served.worker(0);
        let mut client = served.connect();
        client.get("/");
        let asked = worker.request("a request");
        send(
            &mut worker,
            &asked,
            &path,
            "x: a\r\n\r\nHTTP/1.1 200 OK\r\n",
            false,
        );
        let response = client.response();
        assert_eq!((response.status, response.closes()), (500, true));
    }
}
