//! Connections that begin with a PROXY header.

use std::io::{Read, Write};
use std::sync::Arc;

use serde_json::{Value, json};
use sluice_server::ConnectionInfo;

use crate::support::{Asked, Served, WorkerDouble, config_with};

const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb";

fn served(proxy: Value, limits: Value) -> Served {
    let mut config = config_with(limits, json!({}));
    config["ports"][0]["proxy"] = proxy;
    Served::start(&config)
}

fn trusting(protocol: &str) -> Value {
    json!({ "trust": ["127.0.0.0/8"], "protocol": protocol })
}

fn info(worker: &WorkerDouble, asked: &Asked) -> ConnectionInfo {
    let info = worker.worker.connection_info(asked.name);
    info.expect("its client waits for the answer")
}

#[test]
fn the_client_is_the_one_that_the_header_names() {
    for (protocol, header, address, port) in [
        (
            "v1",
            &b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"[..],
            "192.0.2.1",
            56324,
        ),
        (
            "v1",
            b"PROXY TCP6 2001:db8::1 ::2 7 443\r\n",
            "2001:db8::1",
            7,
        ),
        ("v2", V2, "192.0.2.1", 56324),
        ("auto", V2, "192.0.2.1", 56324),
        ("auto", b"PROXY UNKNOWN\r\n", "127.0.0.1", 0),
    ] {
        let served = served(trusting(protocol), json!({}));
        let mut worker = served.worker(0);
        let mut client = served.connect();
        client.send([header, b"GET /one HTTP/1.1\r\nhost: a\r\n\r\n"].concat());
        let asked = worker.request("a request behind a header");
        let seen = info(&worker, &asked);
        assert_eq!(seen.remote_address, address);
        if port != 0 {
            assert_eq!(seen.remote_port, port);
        }
        worker.answer(&asked, "first");
        assert_eq!(client.response().text(), "first");
        // Only the first bytes of a connection are a header.
        client.get("/two");
        let asked = worker.request("the next request");
        assert_eq!(info(&worker, &asked).remote_address, address);
        worker.answer(&asked, "second");
        assert_eq!(client.response().text(), "second");
    }
}

#[test]
fn a_header_that_comes_byte_by_byte_is_put_together() {
    let served = served(trusting("auto"), json!({}));
    let mut worker = served.worker(0);
    for header in [V2, b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"] {
        let mut client = served.connect();
        for byte in [header, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"].concat() {
            client.send([byte]);
        }
        let asked = worker.request("a request");
        assert_eq!(info(&worker, &asked).remote_address, "192.0.2.1");
        worker.answer(&asked, "");
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn who_is_not_trusted_or_begins_otherwise_is_closed() {
    for (proxy, bytes) in [
        (
            json!({ "trust": ["10.0.0.0/8", "unix"], "protocol": "v1" }),
            &b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"[..],
        ),
        (trusting("v1"), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        (trusting("v1"), V2),
        (trusting("v2"), b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"),
    ] {
        let served = served(proxy, json!({}));
        let mut client = served.connect();
        client.send(bytes);
        served.until("its end", |stats| {
            stats.rejected.proxy_header == 1 && stats.connections == 0
        });
        let mut rest = Vec::new();
        // FIN or RST, as the system sees it.
        let _ = client.stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
}

#[test]
fn a_look_without_a_word_is_no_fault() {
    let served = served(trusting("v1"), json!({}));
    served.connect().half_close_and_drop();
    let stats = served.until("its end", |stats| {
        stats.counters.close_count == 1 && stats.connections == 0
    });
    assert_eq!(stats.rejected.proxy_header, 0);
}

#[test]
fn a_header_has_the_time_of_a_head() {
    let served = served(trusting("v1"), json!({ "headerTimeout": 50 }));
    let mut client = served.connect();
    client.send("PROXY TCP4");
    served.until("its end", |stats| {
        stats.rejected.header_timeout == 1 && stats.connections == 0
    });
}

#[test]
fn a_header_goes_before_tls() {
    let authority = super::tls::Authority::new();
    let pair = authority.sign("a.test");
    let mut config = config_with(json!({}), json!({}));
    config["ports"][0]["proxy"] = trusting("v1");
    config["ports"][0]["tls"] =
        json!({ "option": "tls", "cert": { "text": pair.cert }, "key": { "text": pair.key } });
    let served = Served::start(&config);
    let mut worker = served.worker(0);
    let mut stream = super::tls::connect(&served, &Arc::new(authority.client()), "a.test");
    // Together with the ClientHello.
    let mut first = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".to_vec();
    stream.conn.write_tls(&mut first).expect("it is memory");
    stream.sock.write_all(&first).expect("the server takes it");
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        .expect("the server takes it");
    let asked = worker.request("a request in TLS behind a header");
    let seen = info(&worker, &asked);
    assert_eq!(seen.remote_address, "192.0.2.1");
    assert!(seen.tls.is_some());
    worker.answer(&asked, "");
}
