//! Where a server listens, and when it does not accept.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::{Value, json};
use sluice_server::{PortInfo, Server};

use crate::support::{Client, Served, config_with};

fn start(ports: &Value) -> Server {
    let config = json!({ "ports": ports, "stuckAfter": 0 });
    Server::start(&config.to_string()).expect("the ports are free")
}

fn error(listen: &Value) -> String {
    let config = json!({ "ports": [{ "name": "main", "listen": listen }] });
    match Server::start(&config.to_string()) {
        Ok(server) => panic!("it listens on {:?}", server.info().ports),
        Err(error) => error.to_string(),
    }
}

fn port(server: &Server, index: usize) -> &PortInfo {
    &server.info().ports[index]
}

/// A directory of this test's own; removed when it ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(&self.0)
            .expect("it is there")
            .map(|entry| entry.expect("it is there").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn localhost_is_both_loopback_addresses_with_one_number() {
    let server = start(&json!([{ "name": "main", "listen": { "host": "localhost", "port": 0 } }]));
    assert_eq!(port(&server, 0).host.as_deref(), Some("127.0.0.1"));
    let number = port(&server, 0).port.expect("it is TCP");
    TcpStream::connect((Ipv4Addr::LOCALHOST, number)).expect("IPv4");
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        TcpStream::connect((Ipv6Addr::LOCALHOST, number)).expect("IPv6");
    }
}

#[test]
fn the_unspecified_ipv6_address_takes_ipv4_unless_it_may_not() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return;
    }
    let listen =
        |only| json!([{ "name": "main", "listen": { "host": "::", "port": 0, "ipv6Only": only } }]);
    let both = start(&listen(false));
    let number = port(&both, 0).port.expect("it is TCP");
    TcpStream::connect((Ipv4Addr::LOCALHOST, number)).expect("dual stack");
    TcpStream::connect((Ipv6Addr::LOCALHOST, number)).expect("dual stack");
    let one = start(&listen(true));
    let number = port(&one, 0).port.expect("it is TCP");
    TcpStream::connect((Ipv6Addr::LOCALHOST, number)).expect("IPv6");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, number)).is_err());
}

#[test]
fn two_servers_share_a_port_only_if_both_say_so() {
    let listen = |number: u16, share| json!([{ "name": "main", "listen": { "host": "127.0.0.1", "port": number, "reusePort": share } }]);
    let first = start(&listen(0, true));
    let number = port(&first, 0).port.expect("it is TCP");
    let _second = start(&listen(number, true));
    assert!(error(&listen(number, false)[0]["listen"]).contains("in use"));
}

#[test]
fn a_unix_socket_has_its_mode_and_owner_from_the_start() {
    let directory = Directory::new("owner");
    let path = directory.0.join("s");
    let me = std::fs::metadata(&directory.0).expect("it is there");
    let owner = format!("{}:{}", me.uid(), me.gid());
    let listen = json!({ "path": path, "mode": 0o622, "owner": owner });
    let server = start(&json!([{ "name": "main", "listen": listen }]));
    let meta = std::fs::symlink_metadata(&path).expect("it is bound");
    assert_eq!(meta.permissions().mode() & 0o777, 0o622);
    assert_eq!((meta.uid(), meta.gid()), (me.uid(), me.gid()));
    assert_eq!(directory.names(), ["s"]);
    drop(server);
    assert_eq!(directory.names(), [""; 0]);
    let text = error(&json!({ "path": path, "owner": "nobody-of-this-name" }));
    assert!(
        text.contains("there is no user \"nobody-of-this-name\""),
        "{text}"
    );
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn of_many_servers_that_start_at_once_one_gets_the_path() {
    let directory = Directory::new("race");
    let path = directory.0.join("s");
    let config = json!({ "ports": [{ "name": "main", "listen": { "path": path } }] }).to_string();
    for _ in 0..10 {
        // A leftover that nobody listens on.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("the path is free"));
        let started: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| Server::start(&config)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("it does not panic"))
                .collect()
        });
        assert_eq!(started.iter().filter(|result| result.is_ok()).count(), 1);
        UnixStream::connect(&path).expect("the one that started listens there");
        drop(started);
        assert_eq!(directory.names(), [""; 0]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_socket_serves_without_a_file() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("sluice-test-{}", std::process::id());
    let config = config_with(
        json!({}),
        json!({ "ports": [{ "name": "main", "listen": { "path": format!("\0{name}") } }] }),
    );
    let served = Served::start(&config);
    let mut worker = served.worker(0);
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let mut client = UnixStream::connect_addr(&address).expect("it listens");
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .expect("the server takes it");
    let asked = worker.request("a request");
    worker.answer(&asked, "abstract");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("FIN");
    assert!(answer.ends_with("abstract"), "{answer}");
    let text = error(&json!({ "path": format!("\0{name}") }));
    assert!(text.contains(&format!("@{name}")), "{text}");
}

#[test]
fn an_inherited_socket_serves_and_outlives_the_server() {
    let theirs = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = theirs.local_addr().expect("it is bound");
    let ports = json!({ "ports": [{ "name": "main", "listen": { "fd": theirs.as_raw_fd() } }] });
    for _ in 0..2 {
        let served = Served::start(&config_with(json!({}), ports.clone()));
        assert_eq!(served.address(), address);
        let mut worker = served.worker(0);
        let mut client = served.connect();
        client.get("/");
        let asked = worker.request("a request");
        worker.answer(&asked, "ok");
        assert_eq!(client.response().status, 200);
    }
    // Nobody serves now, and nobody is refused.
    TcpStream::connect(address).expect("it waits for the next server");
    let text = error(&json!({ "fd": 60_000 }));
    assert!(text.contains("descriptor 60000"), "{text}");
}

#[test]
fn an_optional_port_that_cannot_be_bound_is_left_out_with_the_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let number = taken.local_addr().expect("it is bound").port();
    let optional =
        |name: &str, listen: Value| json!({ "name": name, "optional": true, "listen": listen });
    let server = start(&json!([
        optional("taken", json!({ "host": "127.0.0.1", "port": number })),
        { "name": "free", "listen": { "host": "127.0.0.1", "port": 0 } },
        optional("nowhere", json!({ "path": "/nowhere/at/all" })),
        optional("closed", json!({ "fd": 60_000 })),
        optional("named", json!({ "fd": "web" })),
    ]));
    let taken = port(&server, 0);
    assert_eq!(taken.host.as_deref(), Some("127.0.0.1"));
    assert_eq!(taken.port, Some(number));
    let text = taken.error.as_deref().expect("it is not bound");
    assert!(text.contains("in use") && text.contains("taken"), "{text}");
    assert_eq!(port(&server, 1).error, None);
    assert_eq!(port(&server, 2).path.as_deref(), Some("/nowhere/at/all"));
    for index in [2, 3, 4] {
        assert!(port(&server, index).error.is_some());
    }
    let number = port(&server, 1).port.expect("it is TCP");
    TcpStream::connect((Ipv4Addr::LOCALHOST, number)).expect("the others are bound");
    server.accept();
    assert_eq!(server.port_stats(0).expect("it exists").connections, 0);
}

#[test]
fn a_paused_port_accepts_nothing_until_it_is_resumed() {
    let served = Served::start(&config_with(json!({}), json!({ "reactors": 2 })));
    let mut worker = served.worker(0);
    let answer = |client: &mut Client, worker: &mut crate::support::WorkerDouble| {
        client.get("/");
        let asked = worker.request("a request");
        worker.answer(&asked, "ok");
        assert_eq!(client.response().status, 200);
    };
    let mut before = served.connect();
    answer(&mut before, &mut worker);
    assert!(served.server.pause_accept(0));
    assert!(!served.server.pause_accept(1));
    let mut waiting = served.connect();
    // What was accepted before is served; were the new connection accepted, it would be within this time.
    for _ in 0..20 {
        answer(&mut before, &mut worker);
    }
    let stats = served.server.port_stats(0).expect("it exists");
    assert!(stats.paused);
    assert_eq!(stats.counters.accept_count, 1);
    assert!(served.server.resume_accept(0));
    answer(&mut waiting, &mut worker);
    let stats = served.server.port_stats(0).expect("it exists");
    assert!(!stats.paused);
    assert_eq!(stats.counters.accept_count, 2);
    assert_eq!(stats.counters.request_count, 22);
    assert_eq!(stats.connections, 2);
    assert!(served.server.port_stats(1).is_none());
}

#[test]
fn a_port_that_is_resumed_before_the_start_waits_for_it() {
    let config = config_with(json!({}), json!({}));
    let server = Server::start(&config.to_string()).expect("the port is free");
    assert!(server.pause_accept(0) && server.resume_accept(0));
    let number = port(&server, 0).port.expect("it is TCP");
    let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, number)).expect("it is bound");
    server.stop(0, 1001);
    assert_eq!(server.stats().counters.accept_count, 0);
}

#[test]
fn bytes_are_counted_for_the_port_they_came_by() {
    let ports = json!({ "ports": [
        { "name": "a", "listen": { "host": "127.0.0.1", "port": 0 }, "fixedAnswer": "aaaa" },
        { "name": "b", "listen": { "host": "127.0.0.1", "port": 0 }, "fixedAnswer": "b" },
    ] });
    let served = Served::start(&config_with(json!({}), ports));
    let number = served.server.info().ports[1].port.expect("it is TCP");
    let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], number)));
    client.get("/");
    assert_eq!(client.response().status, 200);
    let of = |port| served.server.port_stats(port).expect("it exists");
    let open = of(1);
    assert!(open.counters.bytes_in > 0 && open.counters.bytes_out > 0);
    assert_eq!(of(0).counters, sluice_server::PortCounters::default());
    drop(client);
    served.until("the end of the connection", |stats| stats.connections == 0);
    let closed = of(1);
    assert_eq!(closed.counters.bytes_in, open.counters.bytes_in);
    assert_eq!(closed.counters.bytes_out, open.counters.bytes_out);
    assert_eq!(closed.counters.close_count, 1);
    assert_eq!(closed.connections, 0);
}
