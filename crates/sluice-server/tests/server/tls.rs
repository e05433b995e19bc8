//! TLS ports, with rustls as the client.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};
use serde_json::{Value, json};
use sluice_server::{Notice, Server};
use sluice_shared::record::event_flag;

use crate::support::{Event, LIMIT, Served};

/// An authority of the test's own.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, as PEM.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().expect("there is randomness");
        let mut params = CertificateParams::new([]).expect("no name is a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("the key is its own").pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    pub(super) fn sign(&self, name: &str) -> Pair {
        let key = KeyPair::generate().expect("there is randomness");
        let params = CertificateParams::new([name.to_owned()]).expect("it is a name");
        let cert = params
            .signed_by(&key, &self.issuer)
            .expect("it is an authority")
            .pem();
        let key = key.serialize_pem();
        Pair { cert, key }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("it is PEM");
        roots.add(root).expect("it is an authority");
        roots
    }

    /// A client that trusts this authority.
    pub(super) fn client(&self) -> ClientConfig {
        self.client_of(&[&TLS13, &TLS12], None)
    }

    fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        shows: Option<&Pair>,
    ) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("they are versions")
            .with_root_certificates(self.roots());
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes())
                    .collect::<Result<Vec<_>, _>>()
                    .expect("it is PEM");
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("it is PEM");
                builder
                    .with_client_auth_cert(chain, key)
                    .expect("they are a pair")
            }
        };
        config.resumption = Resumption::in_memory_sessions(8);
        config
    }
}

pub(super) type Connected = StreamOwned<ClientConnection, TcpStream>;

/// Connects; the handshake is done with the first bytes that are written.
pub(super) fn connect(served: &Served, config: &Arc<ClientConfig>, name: &str) -> Connected {
    let socket = TcpStream::connect(served.address()).expect("the server listens");
    socket
        .set_read_timeout(Some(LIMIT))
        .expect("it is not zero");
    socket
        .set_write_timeout(Some(LIMIT))
        .expect("it is not zero");
    socket.set_nodelay(true).expect("it is TCP");
    let name = ServerName::try_from(name.to_owned()).expect("it is a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("the options are right");
    StreamOwned::new(session, socket)
}

fn get(stream: &mut Connected) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")?;
    answer(stream)
}

/// An answer with a length, head and body.
fn answer(stream: &mut Connected) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split('\r').next()?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(head + &String::from_utf8_lossy(&body))
}

/// A port with `tls`, which answers "hello" by itself.
fn hello(tls: &Value, limits: &Value) -> Value {
    let mut config = with_tls(tls, limits);
    config["ports"][0]["fixedAnswer"] = json!("hello");
    config
}

fn with_tls(tls: &Value, limits: &Value) -> Value {
    json!({
        "ports": [{
            "name": "main",
            "listen": { "host": "127.0.0.1", "port": 0 },
            "limits": limits,
            "tls": tls,
        }],
        "stuckAfter": 0,
    })
}

/// The `tls` of a port with this pair, and more.
fn tls(pair: &Pair, more: Value) -> Value {
    let mut tls =
        json!({ "option": "tls", "cert": { "text": pair.cert }, "key": { "text": pair.key } });
    let (Value::Object(whole), Value::Object(more)) = (&mut tls, more) else {
        panic!("both are objects");
    };
    whole.extend(more);
    tls
}

fn shown(stream: &Connected) -> Vec<u8> {
    let chain = stream
        .conn
        .peer_certificates()
        .expect("the handshake is done");
    chain[0].to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.cert.as_bytes())
        .expect("it is PEM")
        .to_vec()
}

#[test]
fn both_versions_are_spoken_unless_the_minimum_is_1_3() {
    let authority = Authority::new();
    let pair = authority.sign("a.test");
    for (minimum, takes_1_2) in [("TLSv1.2", true), ("TLSv1.3", false)] {
        let options = tls(&pair, json!({ "minVersion": minimum }));
        let served = Served::start(&hello(&options, &json!({})));
        for (version, is_taken) in [(&TLS12, takes_1_2), (&TLS13, true)] {
            let config = Arc::new(authority.client_of(&[version], None));
            let mut stream = connect(&served, &config, "a.test");
            assert_eq!(
                get(&mut stream).is_ok(),
                is_taken,
                "{version:?} of {minimum}"
            );
            if is_taken {
                assert_eq!(stream.conn.protocol_version(), Some(version.version));
                assert!(
                    get(&mut stream)
                        .expect("it is kept alive")
                        .ends_with("hello")
                );
            }
        }
        if !takes_1_2 {
            served.until("the refusal", |stats| stats.rejected.handshake == 1);
        }
    }
}

#[test]
fn the_protocol_of_both_is_negotiated_and_none_of_both_is_refused() {
    let authority = Authority::new();
    let options = tls(
        &authority.sign("a.test"),
        json!({ "alpn": ["x", "http/1.1"] }),
    );
    let served = Served::start(&hello(&options, &json!({})));
    for (offers, expected) in [
        (vec!["http/1.1"], Some("http/1.1")),
        (vec!["http/1.1", "x"], Some("x")),
        (vec![], None),
    ] {
        let mut config = authority.client();
        config.alpn_protocols = offers.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut stream = connect(&served, &Arc::new(config), "a.test");
        get(&mut stream).expect("it is answered");
        assert_eq!(
            stream.conn.alpn_protocol(),
            expected.map(str::as_bytes),
            "{offers:?}"
        );
    }
    let mut config = authority.client();
    config.alpn_protocols = vec![b"y".to_vec()];
    assert!(get(&mut connect(&served, &Arc::new(config), "a.test")).is_err());
}

#[test]
fn the_certificate_follows_the_name_that_the_client_asks_for() {
    let authority = Authority::new();
    let [default, exact, wild] =
        ["d.test", "a.x.test", "*.x.test"].map(|name| authority.sign(name));
    let named = |pair: &Pair| json!({ "cert": { "text": pair.cert }, "key": { "text": pair.key } });
    let sni = json!({ "a.x.test": named(&exact), "*.x.test": named(&wild) });
    let served = Served::start(&hello(&tls(&default, json!({ "sni": sni })), &json!({})));
    let config = Arc::new(authority.client());
    for (name, pair) in [
        ("d.test", &default),
        ("a.x.test", &exact),
        ("b.x.test", &wild),
    ] {
        let mut stream = connect(&served, &config, name);
        get(&mut stream).expect(name);
        assert!(shown(&stream) == der(pair), "{name}");
    }
}

#[test]
fn a_session_is_resumed_in_both_versions() {
    let authority = Authority::new();
    let served = Served::start(&hello(
        &tls(&authority.sign("a.test"), json!({})),
        &json!({}),
    ));
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(authority.client_of(&[version], None));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut stream = connect(&served, &config, "a.test");
            get(&mut stream).expect("it is answered");
            assert_eq!(stream.conn.handshake_kind(), Some(expected), "{version:?}");
        }
    }
}

/// What the port says of a client, and whether it lets it in.
fn authorized(served: &Served, config: ClientConfig) -> Option<Value> {
    let mut worker = served.worker(0);
    let mut stream = connect(served, &Arc::new(config), "a.test");
    if stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .and_then(|()| stream.flush())
        .is_err()
    {
        return None;
    }
    // With 1.3 the client has sent its request before it hears of the refusal.
    let mut byte = [0];
    stream.sock.set_nonblocking(true).expect("it is TCP");
    loop {
        if let Some(event) = worker.poll() {
            let Event::Request(asked) = event else {
                panic!("expected a request, got {event:?}");
            };
            assert_eq!(asked.flags & event_flag::HTTPS, event_flag::HTTPS);
            let info = worker.worker.connection_info(asked.name)?;
            // Else the next worker would get it again.
            worker.answer(&asked, "");
            return Some(serde_json::to_value(info.tls).expect("it is data"));
        }
        match stream.read(&mut byte) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(_) | Ok(0) => return None,
            Ok(_) => panic!("nothing was answered"),
        }
    }
}

#[test]
fn a_client_is_let_in_with_the_certificate_that_the_port_wants() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let pair = authority.sign("a.test");
    let (known, unknown) = (clients.sign("client"), strangers.sign("client"));
    let versions = [&TLS12, &TLS13];
    for version in versions {
        for is_strict in [true, false] {
            let options = json!({ "ca": { "text": clients.pem }, "requestCert": true, "rejectUnauthorized": is_strict });
            let served = Served::start(&with_tls(&tls(&pair, options), &json!({})));
            let ask = |shows| authorized(&served, authority.client_of(&[version], shows));
            let info = ask(Some(&known)).expect("it is wanted");
            assert_eq!(info["authorized"], true);
            assert_eq!(
                info["protocol"],
                format!(
                    "TLSv1.{}",
                    if version.version == TLS12.version {
                        2
                    } else {
                        3
                    }
                )
            );
            assert_eq!(info["servername"], "a.test");
            let cipher = info["cipher"].as_str().expect("it has a name");
            assert!(cipher.starts_with("TLS_"), "{cipher}");
            let shown = info["peerCertificate"].as_str().expect("it was shown");
            assert_eq!(shown, data_encoding::BASE64.encode(&der(&known)));
            for (shows, has_shown) in [(Some(&unknown), true), (None, false)] {
                match ask(shows) {
                    Some(info) => {
                        assert!(!is_strict, "{shows:?} was let in", shows = shows.is_some());
                        assert_eq!(info["authorized"], false);
                        assert_eq!(info.get("peerCertificate").is_some(), has_shown);
                    }
                    None => assert!(is_strict, "{shows:?} was refused", shows = shows.is_some()),
                }
            }
        }
    }
}

#[test]
fn what_comes_byte_by_byte_is_put_together() {
    let authority = Authority::new();
    let served = Served::start(&hello(
        &tls(&authority.sign("a.test"), json!({})),
        &json!({}),
    ));
    let Connected { mut conn, mut sock } =
        connect(&served, &Arc::new(authority.client()), "a.test");
    conn.writer()
        .write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .expect("it is kept");
    let mut input = Vec::new();
    while !input.ends_with(b"hello") {
        while conn.wants_write() {
            let mut bytes = Vec::new();
            conn.write_tls(&mut bytes).expect("it is memory");
            for byte in bytes {
                sock.write_all(&[byte]).expect("the server takes it");
            }
        }
        conn.read_tls(&mut sock).expect("the server answers");
        conn.process_new_packets().expect("it is TLS");
        match conn.reader().read_to_end(&mut input) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn large_bodies_go_both_ways_in_a_stream() {
    let authority = Authority::new();
    let options = tls(&authority.sign("a.test"), json!({}));
    let limits = json!({ "sendBuffer": 65_536, "bodyBytes": 64 * 1024 * 1024 });
    let served = Served::start(&with_tls(&options, &limits));
    let mut worker = served.worker(0);
    let mut stream = connect(&served, &Arc::new(authority.client()), "a.test");
    let body: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("it is taken");
    let asked = worker.request("the upload");
    let sent = body.clone();
    let sender = std::thread::spawn(move || {
        stream.write_all(&sent).expect("it is taken");
        stream
    });
    let received = worker.body(&asked).expect("it is whole");
    assert!(received == body, "{} bytes came", received.len());
    let mut stream = sender.join().expect("it has sent all");
    worker.queue(asked.name, 200, &received);
    worker.worker.flush();
    let answer = answer(&mut stream).expect("it is answered");
    assert!(answer.ends_with(&*String::from_utf8_lossy(&body)));
}

#[test]
fn http_in_clear_is_answered_in_clear() {
    let authority = Authority::new();
    let served = Served::start(&hello(
        &tls(&authority.sign("a.test"), json!({})),
        &json!({}),
    ));
    let mut client = served.connect();
    client.get("/");
    let response = client.response();
    assert_eq!(response.status, 400);
    assert_eq!(response.text(), "https-required\n");
    assert!(response.closes());
}

#[test]
fn garbage_and_a_handshake_that_is_cut_close_the_connection() {
    let authority = Authority::new();
    let served = Served::start(&hello(
        &tls(&authority.sign("a.test"), json!({})),
        &json!({}),
    ));
    let mut client = served.connect();
    client.send([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
    // The alert, then the end.
    let alert = client.rest();
    assert_eq!(alert.first(), Some(&0x15), "{alert:?}");
    let mut client = served.connect();
    client.send([0x16, 3, 1, 2, 0]);
    client.half_close();
    assert_eq!(client.rest(), b"");
    served.until("both refusals", |stats| {
        stats.rejected.handshake == 2 && stats.connections == 0
    });
}

#[test]
fn garbage_after_the_handshake_closes_the_connection() {
    let authority = Authority::new();
    let served = Served::start(&hello(
        &tls(&authority.sign("a.test"), json!({})),
        &json!({}),
    ));
    let mut stream = connect(&served, &Arc::new(authority.client()), "a.test");
    get(&mut stream).expect("it is answered");
    stream
        .sock
        .write_all(&[
            0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0,
        ])
        .expect("it is taken");
    served.until("its end", |stats| stats.connections == 0);
}

#[test]
fn a_handshake_has_the_time_of_a_head() {
    let authority = Authority::new();
    let options = tls(&authority.sign("a.test"), json!({}));
    let served = Served::start(&hello(&options, &json!({ "headerTimeout": 50 })));
    let mut client = served.connect();
    client.send([0x16]);
    assert_eq!(client.rest(), b"");
    served.until("the count", |stats| stats.rejected.header_timeout == 1);
}

#[test]
fn an_idle_connection_ends_with_close_notify() {
    let authority = Authority::new();
    let options = tls(&authority.sign("a.test"), json!({}));
    let served = Served::start(&hello(&options, &json!({ "keepAliveTimeout": 20 })));
    let mut stream = connect(&served, &Arc::new(authority.client()), "a.test");
    get(&mut stream).expect("it is answered");
    // A bare FIN would be an error.
    assert_eq!(stream.read(&mut [0]).expect("it is no cut"), 0);
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_answer_and_close_notify() {
    let authority = Authority::new();
    let served = Served::start(&hello(
        &tls(&authority.sign("a.test"), json!({})),
        &json!({}),
    ));
    let mut stream = connect(&served, &Arc::new(authority.client()), "a.test");
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .expect("it is taken");
    stream.conn.send_close_notify();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("the end is no cut");
    assert!(all.ends_with(b"hello"));
}

/// A directory of its own with `cert.pem` and `key.pem`.
struct Files(PathBuf);

impl Files {
    fn new(name: &str, pair: &Pair) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("it can be made");
        let files = Self(path);
        files.write(pair);
        files
    }

    fn write(&self, pair: &Pair) {
        std::fs::write(self.0.join("cert.pem"), &pair.cert).expect("it can be written");
        std::fs::write(self.0.join("key.pem"), &pair.key).expect("it can be written");
    }

    fn options(&self, watch: bool) -> Value {
        let file = |name| json!({ "file": self.0.join(name) });
        json!({ "option": "tls", "cert": file("cert.pem"), "key": file("key.pem"), "watch": watch })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn new_certificates_are_for_new_connections_and_touch_no_other() {
    let authority = Authority::new();
    let [old, new] = ["a.test", "a.test"].map(|name| authority.sign(name));
    for is_watched in [false, true] {
        let files = Files::new(&format!("renewal-{is_watched}"), &old);
        let served = Served::start(&hello(&files.options(is_watched), &json!({})));
        let fresh = || connect(&served, &Arc::new(authority.client()), "a.test");
        let mut first = fresh();
        get(&mut first).expect("it is answered");
        files.write(&new);
        if !is_watched {
            served.server.renew_certificates();
        }
        let notice = served.notice("the renewal", |notice| {
            matches!(notice, Notice::Certificates { .. })
        });
        let expected = Notice::Certificates {
            port: "main".to_owned(),
            error: None,
            warnings: vec![],
        };
        assert_eq!(notice, expected);
        let mut second = fresh();
        get(&mut second).expect("it is answered");
        assert!(shown(&second) == der(&new));
        get(&mut first).expect("it lives on");
        assert!(shown(&first) == der(&old));
    }
}

#[test]
fn certificates_that_cannot_be_used_leave_the_old_ones_in_place() {
    let authority = Authority::new();
    let (old, other) = (authority.sign("a.test"), authority.sign("a.test"));
    let files = Files::new("bad", &old);
    let served = Served::start(&hello(&files.options(false), &json!({})));
    files.write(&Pair {
        cert: other.cert,
        key: old.key.clone(),
    });
    served.server.renew_certificates();
    let notice = served.notice("the fault", |notice| {
        matches!(notice, Notice::Certificates { .. })
    });
    let Notice::Certificates {
        error: Some(error), ..
    } = notice
    else {
        panic!("{notice:?}");
    };
    assert_eq!(
        error,
        "tls.key: the key does not belong to the certificate of tls.cert"
    );
    let mut stream = connect(&served, &Arc::new(authority.client()), "a.test");
    get(&mut stream).expect("it is answered");
    assert!(shown(&stream) == der(&old));
}

#[test]
fn what_is_wrong_with_certificates_stops_the_start() {
    let authority = Authority::new();
    let pair = authority.sign("a.test");
    let fault = |options: Value| {
        let error = Server::start(&hello(&tls(&pair, options), &json!({})).to_string()).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    };
    let unreadable = fault(json!({ "cert": { "file": "/nowhere/cert.pem" } }));
    assert!(
        unreadable.starts_with("tls.cert: cannot read \"/nowhere/cert.pem\": "),
        "{unreadable}"
    );
    assert!(fault(json!({ "requestCert": true })).starts_with("tls.requestCert needs `ca`"));
    assert!(
        fault(json!({ "ca": { "text": authority.pem } }))
            .starts_with("tls.ca needs `requestCert: true`")
    );
    assert_eq!(
        fault(json!({ "ca": { "text": "x" }, "requestCert": true })),
        "tls.ca: no certificate found in the text"
    );
    let named = json!({ "cert": { "text": pair.cert }, "key": { "text": pair.key } });
    assert_eq!(
        fault(json!({ "sni": { "a b": named } })),
        "tls.sni[\"a b\"] must be a host name such as \"example.com\" or \"*.example.com\""
    );
    assert_eq!(fault(json!({})), "");
}
