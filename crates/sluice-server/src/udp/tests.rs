use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use sluice_core::config::{ListenConfig, UdpConfig};

use super::*;
use crate::listener::LocalAddress;

/// A socket under test; must be called on a runtime.
fn open(host: &str, udp: &UdpConfig) -> (PacketSocket, SocketAddr) {
    let listen = ListenConfig::Tcp {
        host: host.to_owned(),
        port: 0,
        reuse_port: false,
        ipv6_only: false,
    };
    let (bound, local) = bind(&listen, udp).expect("it binds");
    let LocalAddress::Tcp(local) = local else {
        panic!("it has an address");
    };
    (PacketSocket::register(bound).expect("it registers"), local)
}

/// Receives `count` packets.
async fn receive(socket: &PacketSocket, count: usize) -> Vec<(Vec<u8>, Peer)> {
    let mut packets = Vec::new();
    let all = async {
        while packets.len() < count {
            let visit = &mut |data: &[u8], peer| packets.push((data.to_vec(), peer));
            poll_fn(|cx| socket.poll_receive(cx, visit))
                .await
                .expect("it receives");
        }
    };
    tokio::time::timeout(Duration::from_secs(5), all)
        .await
        .expect("the packets come");
    packets
}

async fn send(socket: &PacketSocket, outbox: &mut Outbox) -> Sent {
    poll_fn(|cx| {
        let sent = socket.send(cx, outbox);
        if outbox.is_empty() {
            Poll::Ready(sent)
        } else {
            Poll::Pending
        }
    })
    .await
}

fn client(host: &str) -> UdpSocket {
    let client = UdpSocket::bind((host, 0)).expect("it binds");
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("it is a time");
    client
}

fn runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("there is a runtime")
        .block_on(test);
}

#[test]
fn more_packets_than_a_batch_come_with_their_senders_and_lengths() {
    runtime(async {
        let (socket, at) = open("127.0.0.1", &UdpConfig::default());
        let clients = [client("127.0.0.1"), client("127.0.0.1")];
        let lengths = [0_usize, 1, 1200, 65_507];
        for number in 0..150 {
            let data = vec![number as u8; if number < 4 { lengths[number] } else { 3 }];
            clients[number % 2].send_to(&data, at).expect("it is sent");
        }
        let packets = receive(&socket, 150).await;
        for (number, (data, peer)) in packets.iter().enumerate() {
            let len = if number < 4 { lengths[number] } else { 3 };
            assert_eq!(*data, vec![number as u8; len]);
            let from = clients[number % 2].local_addr().expect("it is bound");
            // Bound to one address, there is nothing to say of ours.
            assert_eq!(*peer, Peer::new(from, None));
        }
    });
}

#[test]
fn what_is_sent_arrives_packet_by_packet_whether_in_a_run_or_not() {
    runtime(async {
        let (socket, at) = open("127.0.0.1", &UdpConfig::default());
        let clients = [client("127.0.0.1"), client("127.0.0.1")];
        let to = |index: usize| Peer::new(clients[index].local_addr().expect("it is bound"), None);
        let mut outbox = Outbox::new(1 << 20);
        let mut expected = [Vec::new(), Vec::new()];
        let mut push = |index: usize, data: Vec<u8>| {
            assert!(outbox.push(to(index), &data));
            expected[index].push(data);
        };
        // A run longer than one call takes, with a short and an empty end, then one peer after the other, then large ones.
        for number in 0..100_u8 {
            push(0, vec![number; 64]);
        }
        push(0, vec![7; 5]);
        push(0, vec![]);
        for number in 0..100_u8 {
            push(
                usize::from(number % 2),
                vec![number; 1 + usize::from(number)],
            );
        }
        push(1, vec![1; 20_000]);
        push(1, vec![2; 20_000]);
        let sent = send(&socket, &mut outbox).await;
        let bytes: usize = expected.iter().flatten().map(Vec::len).sum();
        assert_eq!(
            (sent.packets, sent.bytes, sent.failed),
            (204, bytes as u64, 0)
        );
        let mut buffer = vec![0; 65_536];
        for (client, expected) in clients.iter().zip(expected) {
            for data in expected {
                let (len, from) = client.recv_from(&mut buffer).expect("it arrives");
                assert_eq!((&buffer[..len], from), (&data[..], at));
            }
        }
    });
}

#[test]
fn a_packet_that_cannot_be_sent_is_counted_and_the_next_one_is_sent() {
    runtime(async {
        let (socket, _) = open("127.0.0.1", &UdpConfig::default());
        let client = client("127.0.0.1");
        let mut outbox = Outbox::new(1 << 20);
        // Broadcast was not asked for, and more than IPv4 can carry.
        let everybody: SocketAddr = "255.255.255.255:9".parse().expect("it is an address");
        let to = client.local_addr().expect("it is bound");
        assert!(outbox.push(Peer::new(everybody, None), b"a"));
        assert!(outbox.push(Peer::new(to, None), &[0; 65_508]));
        assert!(outbox.push(Peer::new(to, None), b"b"));
        let sent = send(&socket, &mut outbox).await;
        assert_eq!((sent.packets, sent.failed), (1, 2));
        let mut buffer = [0; 8];
        let (len, _) = client.recv_from(&mut buffer).expect("it arrives");
        assert_eq!(&buffer[..len], b"b");
    });
}

#[test]
fn a_reply_leaves_from_the_address_that_the_packet_came_to() {
    for (host, loopback, other) in [
        ("0.0.0.0", "127.0.0.1", "127.0.0.2"),
        ("::", "127.0.0.1", "127.0.0.2"),
        ("::", "::1", "::1"),
    ] {
        runtime(async move {
            let (socket, at) = open(host, &UdpConfig::default());
            let client = client(loopback);
            let target = SocketAddr::new(other.parse().expect("it is an address"), at.port());
            let mut outbox = Outbox::new(1 << 20);
            for round in 0..3 {
                for number in 0..70_u8 {
                    client.send_to(&[number; 9], target).expect("it is sent");
                }
                for (data, peer) in receive(&socket, 70).await {
                    let from = client.local_addr().expect("it is bound");
                    assert_eq!(peer, Peer::new(from, Some(target.ip())));
                    // Of different lengths and then of one, so that both ways to send are gone.
                    let len = if round == 0 {
                        usize::from(data[0]) % 9 + 1
                    } else {
                        9
                    };
                    assert!(outbox.push(peer, &data[..len]));
                }
                assert_eq!(send(&socket, &mut outbox).await.failed, 0);
                let mut buffer = [0; 16];
                for _ in 0..70 {
                    let (_, from) = client.recv_from(&mut buffer).expect("it arrives");
                    assert_eq!(from, target);
                }
            }
        });
    }
}

#[test]
fn what_is_sent_to_a_group_comes_to_those_who_joined_it() {
    runtime(async {
        let group = Ipv4Addr::new(239, 255, 77, 1);
        let udp = UdpConfig {
            multicast: vec![format!("{group}%127.0.0.1")],
            ..UdpConfig::default()
        };
        let (member, at) = open("0.0.0.0", &udp);
        let client = client("127.0.0.1");
        socket2::SockRef::from(&client)
            .set_multicast_if_v4(&Ipv4Addr::LOCALHOST)
            .expect("there is a loopback");
        client
            .send_to(b"all", (group, at.port()))
            .expect("it is sent");
        let packets = receive(&member, 1).await;
        let from = client.local_addr().expect("it is bound");
        assert_eq!(
            packets,
            [(b"all".to_vec(), Peer::new(from, Some(group.into())))]
        );
        // A group is no address to answer from.
        let mut outbox = Outbox::new(1 << 20);
        assert!(outbox.push(packets[0].1.clone(), b"here"));
        assert_eq!(send(&member, &mut outbox).await.packets, 1);
        let mut buffer = [0; 8];
        assert_eq!(client.recv_from(&mut buffer).expect("it arrives").0, 4);
    });
}

#[test]
fn a_group_that_is_none_is_an_error_that_names_it() {
    for group in ["192.0.2.1", "239.1.1.1%nowhere0"] {
        let udp = UdpConfig {
            multicast: vec![group.to_owned()],
            ..UdpConfig::default()
        };
        let listen = ListenConfig::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 0,
            reuse_port: false,
            ipv6_only: false,
        };
        let error = bind(&listen, &udp).err().expect("it does not bind");
        assert!(error.to_string().contains(group), "{error}");
    }
}

#[test]
fn a_full_outbox_takes_no_more_until_something_is_sent() {
    let peer = Peer::new("192.0.2.1:9".parse().expect("it is an address"), None);
    let mut outbox = Outbox::new(1000);
    let mut taken = 0;
    while outbox.push(peer.clone(), &[0; 100]) {
        taken += 1;
    }
    assert_eq!(taken, 1000 / 164);
    let mut sent = Sent::default();
    outbox.settle(Ok(1), &mut sent);
    assert!(outbox.push(peer.clone(), &[0; 100]) && !outbox.push(peer.clone(), &[0; 100]));
    outbox.settle(Ok(taken), &mut sent);
    assert_eq!((sent.packets, outbox.len()), (1 + taken as u64, 0));
    // One that is larger than the bound goes alone.
    assert!(outbox.push(peer.clone(), &[0; 5000]) && !outbox.push(peer, b""));
}

#[test]
fn unix_peers_are_named_by_their_paths() {
    runtime(async {
        let directory = std::env::temp_dir().join(format!("sluice-udp-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("it is made");
        let (path, own) = (directory.join("server"), directory.join("client"));
        // A stale file is no hindrance.
        drop(UnixDatagram::bind(&path).expect("it binds"));
        let listen = ListenConfig::Unix {
            path: path.clone(),
            mode: Some(0o600),
            owner: None,
        };
        let (bound, _) = bind(&listen, &UdpConfig::default()).expect("it binds");
        assert!(
            bind(&listen, &UdpConfig::default()).is_err(),
            "it is in use"
        );
        let socket = PacketSocket::register(bound).expect("it registers");
        let mode = std::fs::metadata(&path).map(|meta| {
            use std::os::unix::fs::PermissionsExt;
            meta.permissions().mode() & 0o777
        });
        assert_eq!(mode.ok(), Some(0o600));
        let client = UnixDatagram::bind(&own).expect("it binds");
        client.send_to(b"named", &path).expect("it is sent");
        UnixDatagram::unbound()
            .and_then(|anonymous| anonymous.send_to(b"unnamed", &path))
            .expect("it is sent");
        let packets = receive(&socket, 2).await;
        assert_eq!(packets[0], (b"named".to_vec(), Peer::Unix(own)));
        assert_eq!(packets[1], (b"unnamed".to_vec(), Peer::unix(b"")));
        let mut outbox = Outbox::new(1 << 20);
        assert!(outbox.push(packets[0].1.clone(), b"reply"));
        assert!(outbox.push(Peer::Unix(directory.join("nobody")), b"reply"));
        let sent = send(&socket, &mut outbox).await;
        assert_eq!((sent.packets, sent.failed), (1, 1));
        let mut buffer = [0; 8];
        let (len, from) = client.recv_from(&mut buffer).expect("it arrives");
        assert_eq!(
            (&buffer[..len], from.as_pathname()),
            (&b"reply"[..], Some(&*path))
        );
        drop(socket);
        assert!(!path.exists());
        std::fs::remove_dir_all(&directory).expect("it is ours");
    });
}
