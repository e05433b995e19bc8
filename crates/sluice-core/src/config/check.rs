//! The ranges of the configuration.

use std::fmt::Debug;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::{
    ConfigError, Descriptor, DispatchConfig, HEADER_BYTES_MAX, Heartbeat, Limits, ListenConfig,
    PortConfig, PortProtocol, ServerConfig, TasksConfig, TlsConfig, TopicsConfig,
};

/// Longest duration: what a Node timer can count, and far below the overflow of `now + duration`.
const MILLIS_MAX: u64 = i32::MAX as u64;

/// The record names connections and exchanges in 24 bits.
const HANDLES_MAX: u64 = (1 << 24) - 1;

const GIB: u64 = 1 << 30;
/// Most tasks at once.
const TASKS_MAX: u64 = 16_777_216;

/// Most shared timers: about 1.5 GiB of them.
const TIMERS_MAX: u64 = 1 << 24;

/// Of anything per second: more is no limit.
const RATE_MAX: u64 = 1_000_000;

/// What one socket may join.
const GROUPS_MAX: u64 = 64;

/// Each is compared with the origin of every handshake.
const ORIGINS_MAX: usize = 256;

/// An hour: the kernel counts in retransmissions, and has no more than 255 of them.
const DEFER_ACCEPT_MAX: u64 = 3_600_000;

impl ServerConfig {
    /// The first value outside its range, in the order of the fields.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        number("number of ports", self.ports.len() as u64, 1..=64)?;
        for (index, port) in self.ports.iter().enumerate() {
            port.check(&format!("ports[{index}]"))?;
            if self.ports[..index]
                .iter()
                .any(|other| other.name == port.name)
            {
                return Err(wrong(&format!("ports[{index}].name"), "unique", &port.name));
            }
        }
        number("reactors", self.reactors.into(), 1..=64)?;
        for (index, &cpu) in self.affinity.iter().enumerate() {
            // The size of the kernel's `cpu_set_t`.
            number(&format!("affinity[{index}]"), cpu as u64, 0..=1023)?;
        }
        number("stuckAfter", self.stuck_after, 0..=MILLIS_MAX)?;
        number("replay.maxBody", self.replay.max_body.into(), 0..=GIB)?;
        number("replay.status", self.replay.status.into(), 500..=599)?;
        self.topics.check("topics")?;
        number("timers.max", self.timers.max.into(), 0..=TIMERS_MAX)?;
        self.tasks.check("tasks")?;
        if let Some(compression) = &self.compression {
            compression.check("compression")?;
        }
        number("number of static", self.static_files.len() as u64, 0..=64)?;
        for (index, entry) in self.static_files.iter().enumerate() {
            entry.check(&format!("static[{index}]"))?;
        }
        self.uploads.check("uploads")?;
        if let Some(header) = &self.server_header {
            let is_printable = header.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            // Blanks at the ends are not part of a field value (RFC 9110, 5.5).
            let is_trimmed = header.trim_matches(' ') == header;
            if !(1..=256).contains(&header.len()) || !is_printable || !is_trimmed {
                let expected = "1 to 256 characters of printable ASCII without blanks around them";
                return Err(wrong("serverHeader", expected, header));
            }
        }
        Ok(())
    }
}

impl PortConfig {
    fn check(&self, path: &str) -> Result<(), ConfigError> {
        if !(1..=64).contains(&self.name.len()) {
            return Err(wrong(
                &format!("{path}.name"),
                "1 to 64 bytes long",
                &self.name,
            ));
        }
        self.listen.check(&format!("{path}.listen"))?;
        self.limits.check(&format!("{path}.limits"))?;
        self.heartbeat.check(&format!("{path}.heartbeat"))?;
        number(
            &format!("length of {path}.proxy.trust"),
            self.proxy.trust.len() as u64,
            0..=1024,
        )?;
        if let Some(tls) = &self.tls {
            tls.check(&format!("{path}.tls"))?;
        }
        number(
            &format!("{path}.tcp.keepAlive"),
            self.tcp.keep_alive,
            0..=MILLIS_MAX,
        )?;
        number(
            &format!("{path}.tcp.backlog"),
            self.tcp.backlog.into(),
            1..=65_535,
        )?;
        number(
            &format!("{path}.tcp.userTimeout"),
            self.tcp.user_timeout,
            0..=MILLIS_MAX,
        )?;
        number(
            &format!("{path}.tcp.deferAccept"),
            self.tcp.defer_accept,
            0..=DEFER_ACCEPT_MAX,
        )?;
        if self.protocol == PortProtocol::Udp {
            self.check_udp(path)?;
        }
        Ok(())
    }

    /// What holds for UDP ports only.
    fn check_udp(&self, path: &str) -> Result<(), ConfigError> {
        let is_own = match &self.listen {
            ListenConfig::Tcp { .. } => true,
            ListenConfig::Unix { path, .. } => {
                !path.as_os_str().as_encoded_bytes().starts_with(b"\0")
            }
            ListenConfig::Inherited { .. } => false,
        };
        if !is_own {
            let expected = "an address or the path of a file on a UDP port";
            return Err(wrong(&format!("{path}.listen"), expected, &self.listen));
        }
        let rules = [
            DispatchConfig::RoundRobin,
            DispatchConfig::Idle,
            DispatchConfig::Ip,
        ];
        match &self.dispatch {
            Some(rule) if !rules.contains(rule) => {
                let expected = "round-robin, idle or ip on a UDP port";
                return Err(wrong(&format!("{path}.dispatch"), expected, rule));
            }
            _ => {}
        }
        let groups = &self.udp.multicast;
        let path = format!("{path}.udp");
        number(
            &format!("{path}.queue"),
            self.udp.queue.into(),
            64 * 1024..=GIB,
        )?;
        for (name, bytes) in [
            ("receiveBuffer", self.udp.receive_buffer),
            ("sendBuffer", self.udp.send_buffer),
        ] {
            number(&format!("{path}.{name}"), bytes.into(), 0..=GIB)?;
        }
        number(
            &format!("number of {path}.multicast"),
            groups.len() as u64,
            0..=GROUPS_MAX,
        )?;
        for (index, group) in groups.iter().enumerate() {
            let address = group.split('%').next().unwrap_or_default();
            if !address
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_multicast())
            {
                let expected = "a multicast address, or one with %interface";
                return Err(wrong(
                    &format!("{path}.multicast[{index}]"),
                    expected,
                    group,
                ));
            }
        }
        Ok(())
    }
}

impl TlsConfig {
    /// What can be checked without a look at the certificates.
    fn check(&self, path: &str) -> Result<(), ConfigError> {
        number(
            &format!("length of {path}.option"),
            self.option.len() as u64,
            1..=256,
        )?;
        number(
            &format!("length of {path}.alpn"),
            self.alpn.len() as u64,
            0..=16,
        )?;
        for (index, protocol) in self.alpn.iter().enumerate() {
            let path = format!("length of {path}.alpn[{index}]");
            number(&path, protocol.len() as u64, 1..=255)?;
        }
        number(
            &format!("length of {path}.sni"),
            self.sni.len() as u64,
            0..=1024,
        )
    }
}

impl ListenConfig {
    fn check(&self, path: &str) -> Result<(), ConfigError> {
        match self {
            ListenConfig::Tcp { host, .. } => {
                let is_plain = host.bytes().all(|byte| byte.is_ascii_graphic());
                if !(1..=255).contains(&host.len()) || !is_plain {
                    let expected = "a host name or an IP address of 1 to 255 characters";
                    return Err(wrong(&format!("{path}.host"), expected, host));
                }
                Ok(())
            }
            ListenConfig::Unix {
                path: file,
                mode,
                owner,
            } => {
                let bytes = file.as_os_str().as_encoded_bytes();
                let name = bytes.strip_prefix(b"\0").unwrap_or(bytes);
                let is_abstract = name.len() < bytes.len();
                if !(1..=107).contains(&bytes.len()) || name.is_empty() || name.contains(&0) {
                    let expected = "a file name of 1 to 107 bytes without NUL";
                    return Err(wrong(&format!("{path}.path"), expected, file));
                }
                if is_abstract && (mode.is_some() || owner.is_some()) {
                    let expected = "without mode and owner, as an abstract socket has no file";
                    return Err(wrong(path, expected, file));
                }
                if let Some(owner) = owner
                    && !(1..=65).contains(&owner.len())
                {
                    let expected = "user, user:group or :group of at most 65 characters";
                    return Err(wrong(&format!("{path}.owner"), expected, owner));
                }
                let mode = mode.unwrap_or(0).into();
                number(&format!("{path}.mode"), mode, 0..=0o777)
            }
            ListenConfig::Inherited {
                fd: Descriptor::Number(fd),
            } => {
                // 0 to 2 are the standard streams.
                number(&format!("{path}.fd"), (*fd).into(), 3..=u16::MAX.into())
            }
            ListenConfig::Inherited {
                fd: Descriptor::Name(name),
            } => {
                if !(1..=255).contains(&name.len()) || name.contains(':') {
                    let expected = "a name of 1 to 255 characters without a colon";
                    return Err(wrong(&format!("{path}.fd"), expected, name));
                }
                Ok(())
            }
        }
    }
}

impl Limits {
    fn check(&self, path: &str) -> Result<(), ConfigError> {
        let ranges: [(&str, u64, RangeInclusive<u64>); 25] = [
            (
                "headerBytes",
                self.header_bytes.into(),
                1024..=HEADER_BYTES_MAX.into(),
            ),
            ("headerFields", self.header_fields.into(), 1..=256),
            (
                "targetBytes",
                self.target_bytes.into(),
                1..=HEADER_BYTES_MAX.into(),
            ),
            // The record has 32 bits for the length of a body.
            ("bodyBytes", self.body_bytes, 0..=u32::MAX.into()),
            ("headerTimeout", self.header_timeout, 1..=MILLIS_MAX),
            ("bodyMinRate", self.body_min_rate, 0..=GIB),
            ("bodyGrace", self.body_grace, 0..=MILLIS_MAX),
            ("keepAliveTimeout", self.keep_alive_timeout, 1..=MILLIS_MAX),
            ("softTimeout", self.soft_timeout, 0..=MILLIS_MAX),
            ("answerTimeout", self.answer_timeout, 0..=MILLIS_MAX),
            ("sendTimeout", self.send_timeout, 1..=MILLIS_MAX),
            ("connections", self.connections.into(), 1..=HANDLES_MAX),
            ("concurrency", self.concurrency.into(), 1..=HANDLES_MAX),
            (
                "workerConcurrency",
                self.worker_concurrency.into(),
                1..=HANDLES_MAX,
            ),
            ("queueTimeout", self.queue_timeout, 0..=MILLIS_MAX),
            ("pipeline", self.pipeline.into(), 1..=256),
            ("streams", self.streams.into(), 1..=65535),
            ("controlFrames", self.control_frames.into(), 10..=RATE_MAX),
            ("streamResets", self.stream_resets.into(), 1..=RATE_MAX),
            ("sendBuffer", self.send_buffer.into(), 1024..=GIB),
            ("highWaterMark", self.high_water_mark.into(), 2..=GIB),
            ("lowWaterMark", self.low_water_mark.into(), 1..=GIB),
            ("message", self.message.into(), 1..=GIB),
            ("openPerSecond", self.open_per_second.into(), 0..=RATE_MAX),
            (
                "messagesPerSecond",
                self.messages_per_second.into(),
                0..=RATE_MAX,
            ),
        ];
        for (name, value, range) in ranges {
            number(&format!("{path}.{name}"), value, range)?;
        }
        if self.low_water_mark >= self.high_water_mark {
            let expected = format!("less than highWaterMark ({})", self.high_water_mark);
            let path = format!("{path}.lowWaterMark");
            return Err(wrong(&path, &expected, &self.low_water_mark));
        }
        let path = format!("{path}.allowOrigins");
        if self.allow_origins.len() > ORIGINS_MAX {
            let expected = format!("a list of at most {ORIGINS_MAX}");
            return Err(wrong(&path, &expected, &self.allow_origins.len()));
        }
        for (index, origin) in self.allow_origins.iter().enumerate() {
            let is_visible = origin.bytes().all(|byte| byte.is_ascii_graphic());
            if !(1..=512).contains(&origin.len()) || !is_visible {
                let expected = "an origin of 1 to 512 visible ASCII characters";
                return Err(wrong(&format!("{path}[{index}]"), expected, origin));
            }
        }
        Ok(())
    }
}

impl Heartbeat {
    fn check(&self, path: &str) -> Result<(), ConfigError> {
        number(&format!("{path}.ping"), self.ping, 0..=MILLIS_MAX)?;
        number(
            &format!("{path}.pongTimeout"),
            self.pong_timeout,
            1..=MILLIS_MAX,
        )?;
        number(&format!("{path}.idle"), self.idle, 0..=MILLIS_MAX)
    }
}

impl TopicsConfig {
    fn check(&self, path: &str) -> Result<(), ConfigError> {
        let history = &self.history;
        number(
            &format!("{path}.history.messages"),
            history.messages.into(),
            0..=65_536,
        )?;
        number(
            &format!("{path}.history.bytes"),
            history.bytes.into(),
            0..=GIB,
        )?;
        number(&format!("{path}.history.age"), history.age, 0..=MILLIS_MAX)
        // `history_bytes` may be whatever 32 bits hold.
    }
}

pub(super) fn number(
    path: &str,
    value: u64,
    range: RangeInclusive<u64>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let expected = format!("a number from {} to {}", range.start(), range.end());
    Err(wrong(path, &expected, &value))
}

pub(super) fn wrong(path: &str, expected: &str, got: &dyn Debug) -> ConfigError {
    ConfigError::Value {
        path: path.to_owned(),
        expected: expected.to_owned(),
        got: format!("{got:?}"),
    }
}

impl TasksConfig {
    fn check(&self, path: &str) -> Result<(), ConfigError> {
        number(&format!("{path}.workers"), self.workers.into(), 0..=128)?;
        number(
            &format!("{path}.concurrency"),
            self.concurrency.into(),
            1..=256,
        )?;
        number(&format!("{path}.max"), self.max.into(), 0..=TASKS_MAX)?;
        number(
            &format!("{path}.keepFailed"),
            self.keep_failed.into(),
            0..=1_000_000,
        )?;
        if let Some(durable) = &self.durable
            && durable.path.is_empty()
        {
            return Err(wrong(
                &format!("{path}.durable.path"),
                "a path",
                &durable.path,
            ));
        }
        number("number of queues", self.queues.len() as u64, 0..=256)?;
        for (index, queue) in self.queues.iter().enumerate() {
            let path = format!("{path}.queues[{index}]");
            number(
                &format!("length of {path}.name"),
                queue.name.len() as u64,
                1..=255,
            )?;
            if self.queues[..index]
                .iter()
                .any(|other| other.name == queue.name)
            {
                return Err(wrong(&format!("{path}.name"), "unique", &queue.name));
            }
            if let Some(rate) = &queue.rate {
                number(
                    &format!("{path}.rate.limit"),
                    rate.limit.into(),
                    1..=1_000_000,
                )?;
                number(&format!("{path}.rate.per"), rate.per, 1..=MILLIS_MAX)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A configuration with one value changed: `pointer` is a JSON pointer, its parents are made as needed.
    fn parse_with(pointer: &str, value: Value) -> Result<ServerConfig, ConfigError> {
        let mut config = json!({
            "ports": [{
                "name": "web", "listen": { "host": "127.0.0.1", "port": 0 }, "limits": {}, "heartbeat": {}, "tcp": {},
            }],
            "replay": {},
            "topics": { "history": {} },
            "timers": {},
            "tasks": {},
        });
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
        let parent = config.pointer_mut(parent).expect("the parent is above");
        parent[key] = value;
        ServerConfig::parse(&config.to_string())
    }

    /// `first` and `last` are taken; one before and one after are refused with the path in the message.
    fn assert_range(pointer: &str, path: &str, first: u64, last: u64) {
        for value in [first, last] {
            assert!(
                parse_with(pointer, json!(value)).is_ok(),
                "{pointer} = {value}"
            );
        }
        for value in first.checked_sub(1).into_iter().chain([last + 1]) {
            let error = parse_with(pointer, json!(value))
                .expect_err(pointer)
                .to_string();
            let expected = format!("{path} must be a number from {first} to {last}, got {value}");
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn every_limit_is_taken_at_its_bounds_and_refused_beyond() {
        let millis = i32::MAX as u64;
        for (name, first, last) in [
            ("headerFields", 1, 256),
            ("targetBytes", 1, 65_535),
            ("headerTimeout", 1, millis),
            ("bodyMinRate", 0, GIB),
            ("bodyGrace", 0, millis),
            ("keepAliveTimeout", 1, millis),
            ("answerTimeout", 0, millis),
            ("sendTimeout", 1, millis),
            ("connections", 1, 16_777_215),
            ("concurrency", 1, 16_777_215),
            ("workerConcurrency", 1, 16_777_215),
            ("queueTimeout", 0, millis),
            ("pipeline", 1, 256),
            ("streams", 1, 65_535),
            ("controlFrames", 10, 1_000_000),
            ("streamResets", 1, 1_000_000),
            ("sendBuffer", 1024, GIB),
            ("highWaterMark", 2, GIB),
            ("message", 1, GIB),
            ("openPerSecond", 0, 1_000_000),
            ("messagesPerSecond", 0, 1_000_000),
            ("bodyBytes", 0, 4_294_967_295),
        ] {
            let pointer = format!("/ports/0/limits/{name}");
            assert_range(&pointer, &format!("ports[0].limits.{name}"), first, last);
        }
    }

    #[test]
    fn header_bytes_go_from_1_kib_to_65_535_and_64_kib_means_65_535() {
        let limit = |value: u32| parse_with("/ports/0/limits/headerBytes", json!(value));
        assert!(limit(1023).is_err());
        assert!(limit(65_537).is_err());
        for (given, held) in [(1024, 1024), (65_535, 65_535), (65_536, 65_535)] {
            let config = limit(given).expect("it is in the range");
            assert_eq!(config.ports[0].limits.header_bytes, held);
        }
    }

    #[test]
    fn the_marks_are_parts_of_the_buffer_unless_they_are_given() {
        let marks = |limits: Value| {
            let config =
                parse_with("/ports/0/limits", limits).map_err(|error| error.to_string())?;
            let limits = &config.ports[0].limits;
            Ok((limits.high_water_mark, limits.low_water_mark))
        };
        let default = Limits::default();
        let defaults = (default.high_water_mark, default.low_water_mark);
        assert_eq!(marks(json!({})), Ok(defaults));
        assert_eq!(marks(json!({ "sendBuffer": 1024 })), Ok((819, 256)));
        assert_eq!(marks(json!({ "highWaterMark": 100 })), Ok((100, 50)));
        assert_eq!(marks(json!({ "highWaterMark": 2 })), Ok((2, 1)));
        assert_eq!(marks(json!({ "lowWaterMark": 1 })), Ok((838_860, 1)));
        assert_eq!(
            marks(json!({ "highWaterMark": 9, "lowWaterMark": 8 })),
            Ok((9, 8))
        );
        let error = "ports[0].limits.lowWaterMark must be less than highWaterMark (9), got 9";
        assert_eq!(
            marks(json!({ "highWaterMark": 9, "lowWaterMark": 9 })),
            Err(error.to_owned())
        );
    }

    #[test]
    fn there_are_up_to_256_origins_of_1_to_512_visible_characters() {
        let origins = |origins: Value| parse_with("/ports/0/limits/allowOrigins", origins);
        let config = origins(json!(["*", "https://example.com"])).expect("both are origins");
        assert_eq!(
            config.ports[0].limits.allow_origins,
            ["*", "https://example.com"]
        );
        assert!(origins(json!(["a".repeat(512)])).is_ok());
        assert!(origins(json!(vec!["a"; 256])).is_ok());
        assert!(origins(json!(vec!["a"; 257])).is_err());
        for bad in ["", "a b", "é", "a\n", &"a".repeat(513)] {
            let error = origins(json!(["*", bad])).expect_err(bad).to_string();
            assert!(
                error.starts_with("ports[0].limits.allowOrigins[1] must be "),
                "{error}"
            );
        }
    }

    #[test]
    fn the_bounds_of_topics_are_those_of_their_history() {
        let config = parse_with("/topics", json!({})).expect("all is a default");
        assert_eq!(
            config.topics.history_limits(),
            crate::history::HistoryLimits::default()
        );
        let given =
            json!({ "history": { "messages": 1, "bytes": 2, "age": 3 }, "historyBytes": 4 });
        let limits = parse_with("/topics", given)
            .expect("all is in its range")
            .topics
            .history_limits();
        assert_eq!(
            (
                limits.messages,
                limits.bytes,
                limits.age_ms,
                limits.total_bytes
            ),
            (1, 2, 3, 4)
        );
    }

    #[test]
    fn the_defaults_are_in_their_ranges() {
        let config = parse_with("/reactors", json!(1)).expect("all else is a default");
        assert_eq!(config.ports[0].limits.header_bytes, 65_535);
        assert_eq!(config.stuck_after, 10_000);
        assert_eq!(config.replay.status, 503);
    }

    #[test]
    fn the_other_numbers_have_bounds() {
        let millis = i32::MAX as u64;
        assert_range("/stuckAfter", "stuckAfter", 0, millis);
        assert_range("/replay/status", "replay.status", 500, 599);
        assert_range("/replay/maxBody", "replay.maxBody", 0, GIB);
        assert_range(
            "/ports/0/tcp/keepAlive",
            "ports[0].tcp.keepAlive",
            0,
            millis,
        );
        assert_range("/ports/0/tcp/backlog", "ports[0].tcp.backlog", 1, 65_535);
        assert_range(
            "/ports/0/tcp/userTimeout",
            "ports[0].tcp.userTimeout",
            0,
            millis,
        );
        assert_range(
            "/ports/0/tcp/deferAccept",
            "ports[0].tcp.deferAccept",
            0,
            3_600_000,
        );
        assert_range("/reactors", "reactors", 1, 64);
        let heartbeat = |name: &str, first| {
            let pointer = format!("/ports/0/heartbeat/{name}");
            assert_range(
                &pointer,
                &format!("ports[0].heartbeat.{name}"),
                first,
                millis,
            );
        };
        heartbeat("ping", 0);
        heartbeat("pongTimeout", 1);
        heartbeat("idle", 0);
        assert_range(
            "/topics/history/messages",
            "topics.history.messages",
            0,
            65_536,
        );
        assert_range("/topics/history/bytes", "topics.history.bytes", 0, GIB);
        assert_range("/topics/history/age", "topics.history.age", 0, millis);
        assert_range("/timers/max", "timers.max", 0, TIMERS_MAX);
        assert_range("/tasks/workers", "tasks.workers", 0, 128);
        assert_range("/tasks/concurrency", "tasks.concurrency", 1, 256);
        assert_range("/tasks/max", "tasks.max", 0, TASKS_MAX);
        assert_range("/tasks/keepFailed", "tasks.keepFailed", 0, 1_000_000);
        for (cpu, is_ok) in [(0, true), (1023, true), (1024, false)] {
            assert_eq!(
                parse_with("/affinity", json!([0, cpu])).is_ok(),
                is_ok,
                "{cpu}"
            );
        }
    }

    #[test]
    fn there_are_1_to_64_ports() {
        let ports = |count: u32| {
            let port = |index| json!({ "name": format!("p{index}"), "listen": { "host": "::1", "port": 0 } });
            parse_with("/ports", (0..count).map(port).collect())
        };
        assert!(ports(0).is_err());
        assert!(ports(1).is_ok());
        assert!(ports(64).is_ok());
        assert!(ports(65).is_err());
    }

    #[test]
    fn names_of_ports_are_unique_and_1_to_64_bytes() {
        let port = |name: &str| json!({ "name": name, "listen": { "path": "s" } });
        assert!(parse_with("/ports", json!([port("a"), port("b")])).is_ok());
        let error = parse_with("/ports", json!([port("a"), port("b"), port("a")]))
            .expect_err("the name is taken")
            .to_string();
        assert_eq!(error, "ports[2].name must be unique, got \"a\"");
        assert!(parse_with("/ports", json!([port("")])).is_err());
        assert!(parse_with("/ports", json!([port(&"a".repeat(64))])).is_ok());
        assert!(parse_with("/ports", json!([port(&"a".repeat(65))])).is_err());
    }

    #[test]
    fn the_server_header_cannot_split_the_response() {
        let header = |value: &str| parse_with("/serverHeader", json!(value)).is_ok();
        assert!(header("sluice/0.1 (linux)"));
        assert!(header(&"a".repeat(256)));
        for bad in [
            "",
            "a\r\nb: c",
            "a\n",
            "a\0",
            "a\tb",
            "a\u{7f}",
            "\u{85}",
            "é",
            " a",
            "a ",
        ] {
            assert!(!header(bad), "{bad:?}");
        }
        assert!(!header(&"a".repeat(257)));
        let none = parse_with("/serverHeader", Value::Null).expect("null sends none");
        assert_eq!(none.server_header, None);
    }

    #[test]
    fn listen_is_host_and_port_or_path() {
        let listen = |value: Value| {
            parse_with("/ports/0/listen", value).map(|mut config| config.ports.remove(0).listen)
        };
        let tcp = listen(json!({ "host": "::", "port": 80, "ipv6Only": true })).expect("it is TCP");
        assert_eq!(
            tcp,
            ListenConfig::Tcp {
                host: "::".into(),
                port: 80,
                reuse_port: false,
                ipv6_only: true
            }
        );
        let unix = listen(json!({ "path": "/run/s", "mode": 0o777 })).expect("it is a file");
        assert_eq!(
            unix,
            ListenConfig::Unix {
                path: "/run/s".into(),
                mode: Some(0o777),
                owner: None,
            }
        );
        for (fd, descriptor) in [
            (json!(3), Descriptor::Number(3)),
            (json!(65_535), Descriptor::Number(65_535)),
            (json!("web"), Descriptor::Name("web".into())),
        ] {
            let inherited = listen(json!({ "fd": fd })).expect("it is a descriptor");
            assert_eq!(inherited, ListenConfig::Inherited { fd: descriptor });
        }
        for bad in [
            json!({}),
            json!({ "host": "::" }),
            json!({ "port": 80 }),
            json!({ "host": "::", "port": 80, "path": "/run/s" }),
            json!({ "path": "/run/s", "reusePort": true }),
            json!({ "path": "/run/s", "mode": 0o1000 }),
            json!({ "path": "" }),
            json!({ "path": "a\0b" }),
            json!({ "path": "\0" }),
            json!({ "path": "\0a\0b" }),
            json!({ "path": "\0a", "mode": 0o600 }),
            json!({ "path": "\0a", "owner": "root" }),
            json!({ "path": "a", "owner": "" }),
            json!({ "path": "a", "owner": "a".repeat(66) }),
            json!({ "fd": 2 }),
            json!({ "fd": 65_536 }),
            json!({ "fd": "" }),
            json!({ "fd": "a:b" }),
            json!({ "fd": 3, "path": "a" }),
            json!({ "fd": 3, "port": 80 }),
            json!({ "path": "a".repeat(108) }),
            json!({ "host": "", "port": 80 }),
            json!({ "host": "a b", "port": 80 }),
            json!({ "host": "a".repeat(256), "port": 80 }),
            json!({ "host": "::", "port": 65_536 }),
            json!({ "host": "::", "port": 80, "reuseport": true }),
        ] {
            assert!(listen(bad.clone()).is_err(), "{bad}");
        }
        assert!(listen(json!({ "path": "a".repeat(107) })).is_ok());
        assert!(listen(json!({ "path": "\0name" })).is_ok());
        assert!(listen(json!({ "path": "a", "owner": "a".repeat(65) })).is_ok());
        assert!(listen(json!({ "host": "a".repeat(255), "port": 80 })).is_ok());
    }

    #[test]
    fn dispatch_is_a_name_or_a_key_rule() {
        for good in [
            json!("least-requests"),
            json!("round-robin"),
            json!("idle"),
            json!("ip"),
            json!("connection"),
            json!({ "key": "cookie:sid" }),
        ] {
            assert!(parse_with("/dispatch", good.clone()).is_ok(), "{good}");
        }
        let error =
            parse_with("/dispatch", json!({ "key": "body:sid" })).expect_err("no such kind");
        assert!(error.to_string().contains("body:sid"), "{error}");
        assert!(parse_with("/dispatch", json!("random")).is_err());
    }

    #[test]
    fn an_unknown_key_is_refused_and_named() {
        for pointer in [
            "/portz",
            "/ports/0/nmae",
            "/ports/0/limits/bodybytes",
            "/ports/0/tcp/x",
            "/ports/0/heartbeat/x",
            "/replay/x",
            "/topics/x",
            "/topics/history/x",
            "/timers/x",
        ] {
            let error = parse_with(pointer, json!(1)).expect_err(pointer);
            let key = pointer
                .rsplit('/')
                .next()
                .expect("a pointer has a last part");
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn a_text_that_is_no_json_is_refused_with_the_code_of_options() {
        let error = ServerConfig::parse("{").expect_err("it ends too early");
        assert_eq!(error.code(), crate::ErrorCode::InvalidOption);
    }
}
