//! The layout of records, as `docs/architecture.md` has it and `src-ts/bridge/record.ts` repeats it.
//!
//! A record is eight words (u32, little-endian), for an event a table of header fields, then bytes.
//! [`Words`] is the eight words with a name for every part of them.

use sluice_core::id::ReactorId;

/// Size of the words in front of every record but PAD, which may be its first two words alone.
pub const RECORD_HEADER_BYTES: u32 = 32;

/// Size of one entry of an event's field table: `{ u16 name_off, name_len, value_off, value_len }`.
pub const FIELD_BYTES: u32 = 8;

/// As `name_off` in the field table: `name_len` is a well-known header id (`sluice_core::header`).
pub const WELL_KNOWN_NAME: u16 = 0xffff;

/// The kind of the filler at the end of the data area, in both directions.
pub(crate) const PAD: u8 = 0;

/// What a reactor tells a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// A request.
    Http = 1,
    /// The next bytes of a streamed request body.
    BodyChunk = 2,
    /// The streamed body is complete, or with [`event_flag::BROKEN`] it never will be.
    BodyEnd = 3,
    /// The exchange has lost its client or its deadline, see [`AbortReason`].
    Abort = 4,
    /// A streamed answer may go on.
    Drain = 5,
    /// A connection is a WebSocket or an event stream from now on, as this worker has asked; or it has come by a TCP port.
    SocketOpen = 6,
    /// A message, a ping or a pong of a WebSocket.
    SocketMessage = 7,
    /// The end of a WebSocket or an event stream: the last record in its sequence.
    SocketClose = 8,
    /// What is queued for a connection has fallen to the low-water mark.
    SocketDrain = 9,
    /// What is queued for a connection has passed the high-water mark.
    SocketHigh = 10,
    /// The worker owns a connection that another worker had.
    SocketAdopt = 11,
    /// The worker is to let go of a connection once none of its handlers runs.
    SocketHandover = 12,
    /// The worker is to say when no handler of a connection runs.
    SocketSettle = 13,
    /// A packet that came to a UDP port.
    Packet = 14,
    /// A call of a task.
    Task = 15,
    /// The end of a task that the worker has delivered.
    TaskResult = 16,
    /// News of a task that the worker has delivered.
    TaskProgress = 17,
    /// A call in the worker's hands is to hurry.
    TaskAbort = 18,
}

impl EventKind {
    /// The kind of that number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Http,
            2 => Self::BodyChunk,
            3 => Self::BodyEnd,
            4 => Self::Abort,
            5 => Self::Drain,
            6 => Self::SocketOpen,
            7 => Self::SocketMessage,
            8 => Self::SocketClose,
            9 => Self::SocketDrain,
            10 => Self::SocketHigh,
            11 => Self::SocketAdopt,
            12 => Self::SocketHandover,
            13 => Self::SocketSettle,
            14 => Self::Packet,
            15 => Self::Task,
            16 => Self::TaskResult,
            17 => Self::TaskProgress,
            18 => Self::TaskAbort,
            _ => return None,
        })
    }
}

/// Flags of events. Each belongs to one kind.
pub mod event_flag {
    /// HTTP: the body waits in the reactor and is fetched with `takeBlob`.
    pub const BLOB: u8 = 1;
    /// HTTP: the body follows as BODY_CHUNK records.
    pub const STREAM: u8 = 2;
    /// HTTP: the request is HTTP/1.0.
    pub const HTTP10: u8 = 4;
    /// HTTP: the request came over TLS.
    pub const HTTPS: u8 = 8;
    /// HTTP: second delivery, the first worker died.
    pub const REPLAY: u8 = 16;
    /// BODY_END: the body is cut short.
    pub const BROKEN: u8 = 1;
    /// DRAIN: not the connection's buffer is low, but the disk has caught up with the form that is read.
    pub const SPOOLED: u8 = 1;
    /// SOCKET_OPEN: it goes on where an earlier connection broke; w7 = messages its client had missed.
    pub const RESUMED: u8 = 1;
    /// SOCKET_MESSAGE: the payload waits in the reactor and is fetched with `takeMessage`.
    pub const MESSAGE_BLOB: u8 = 1;
    /// SOCKET_MESSAGE: the last frame of its message. Only frames delivered one by one lack it.
    pub const FIN: u8 = 2;
    /// SOCKET_MESSAGE: it came compressed.
    pub const COMPRESSED: u8 = 4;
    /// SOCKET_MESSAGE, SOCKET_CLOSE: the epoch of the delivery, flipped by every RESUME.
    pub const EPOCH: u8 = 8;
    /// TASK and TASK_RESULT: the bytes wait in the core and are fetched with `takeParcel`. Below it TASK has its mode.
    pub const PARCEL: u8 = 4;
    /// Where an HTTP record's method sits in the flags; 0 = read it from the bytes.
    pub(crate) const METHOD_SHIFT: u32 = 5;
}

/// Why an exchange was aborted: w4 of an ABORT record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AbortReason {
    /// The client closed or broke the connection.
    ClientGone = 0,
    /// No answer was started in time; the client has got a 504.
    AnswerDeadline = 1,
    /// The client has closed its half of the connection: it has probably left, but an answer would still be sent.
    HalfClosed = 2,
    /// The soft time limit has passed: the handler should hurry or give up, an answer is still sent.
    SoftTimeout = 3,
}

/// Whether a request asks for a WebSocket: the two highest bits of w6 of an HTTP record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Handshake {
    /// It does not.
    #[default]
    None = 0,
    /// It does, and may be answered by UPGRADE.
    Valid = 1,
    /// It asks for a version of the protocol that we do not speak.
    Version = 2,
    /// It breaks the rules of the handshake.
    Malformed = 3,
}

/// Why a worker gets a connection that another one had: part of w4 of a SOCKET_ADOPT record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum AdoptReason {
    /// New code.
    #[default]
    Reload = 0,
    /// The other one died.
    Crash = 1,
    /// The other one hung.
    Stuck = 2,
    /// The other one had reached its age.
    Recycle = 3,
    /// It was bound to a uid whose connections another worker has.
    Rebalance = 4,
}

impl AdoptReason {
    /// The reason of that number; an unknown one reads as a reload.
    pub fn from_u8(number: u8) -> Self {
        match number {
            1 => Self::Crash,
            2 => Self::Stuck,
            3 => Self::Recycle,
            4 => Self::Rebalance,
            _ => Self::Reload,
        }
    }
}

/// What a worker tells a reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CommandKind {
    /// A whole answer.
    Respond = 1,
    /// The start of a streamed answer.
    Head = 2,
    /// The next bytes of a streamed answer.
    Chunk = 3,
    /// The end of a streamed answer.
    End = 4,
    /// A streamed answer is given up.
    Reset = 5,
    /// Credit for bytes of a streamed request body that were consumed.
    Credit = 6,
    /// The handler may be repeated: the exchange is replayed after a crash like one with a safe method.
    Idempotent = 7,
    /// Makes the connection of an exchange a WebSocket.
    Upgrade = 8,
    /// Makes the connection of an exchange an event stream.
    EventStream = 9,
    /// A message to a connection.
    SocketSend = 10,
    /// Closes a connection, a WebSocket with the closing handshake.
    SocketClose = 11,
    /// Cuts a connection off.
    SocketTerminate = 12,
    /// No more messages until a RESUME.
    SocketPause = 13,
    /// Messages again, from a sequence number on.
    SocketResume = 14,
    /// A message that the worker could not take in its turn.
    SocketReturn = 15,
    /// The worker has let go of a connection.
    SocketRelease = 16,
    /// Heartbeats do not close the connection any more, or do again.
    SocketProtect = 17,
    /// A message to many connections; what it is lies beside the ring.
    Fanout = 18,
    /// No handler of a connection runs.
    SocketSettled = 19,
    /// A connection was bound to a uid, on a port whose connections go to workers by uid.
    SocketRebalance = 20,
    /// A packet to be sent by a UDP port.
    PacketSend = 21,
    /// A packet that the worker could not take: its record, as it came.
    PacketReturn = 22,
    /// No more packets of a port until a PACKET_RESUME.
    PacketPause = 23,
    /// Packets of a port again.
    PacketResume = 24,
    /// A whole answer with a file, which lies beside the ring.
    File = 32,
}

impl CommandKind {
    /// Whether it is about packets.
    pub fn is_packet(self) -> bool {
        matches!(
            self,
            Self::PacketSend | Self::PacketReturn | Self::PacketPause | Self::PacketResume
        )
    }

    /// The kind of that number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Respond,
            2 => Self::Head,
            3 => Self::Chunk,
            4 => Self::End,
            5 => Self::Reset,
            6 => Self::Credit,
            7 => Self::Idempotent,
            8 => Self::Upgrade,
            9 => Self::EventStream,
            10 => Self::SocketSend,
            11 => Self::SocketClose,
            12 => Self::SocketTerminate,
            13 => Self::SocketPause,
            14 => Self::SocketResume,
            15 => Self::SocketReturn,
            16 => Self::SocketRelease,
            17 => Self::SocketProtect,
            18 => Self::Fanout,
            19 => Self::SocketSettled,
            20 => Self::SocketRebalance,
            21 => Self::PacketSend,
            22 => Self::PacketReturn,
            23 => Self::PacketPause,
            24 => Self::PacketResume,
            32 => Self::File,
            _ => return None,
        })
    }
}

/// Flags of commands.
pub mod command_flag {
    /// The body is not in the record: w6 is a blob id.
    pub const BLOB: u8 = 1;
    /// Close the connection after this answer.
    pub const CLOSE: u8 = 2;
    /// The header block has its own `date`.
    pub const HAS_DATE: u8 = 4;
    /// The header block has its own `server`.
    pub const HAS_SERVER: u8 = 8;
    /// CHUNK: send a DRAIN record as soon as the connection's buffer is low.
    pub const WANT_DRAIN: u8 = 16;
    /// HEAD: w2 and w6 are the content length.
    pub const LENGTH_KNOWN: u8 = 32;
}

/// Flags of PACKET and PACKET_SEND: what w3 is. Without any, the peer's IPv4 address.
pub mod packet_flag {
    /// The length of an IPv6 peer behind the payload of a PACKET, in front of that of a PACKET_SEND: address, scope (u32), and
    /// the address of ours, or zeros.
    pub const V6: u8 = 2;
    /// The length of the path of a unix socket there.
    pub const UNIX: u8 = 4;
}

/// Templates of commands: usual header lines that need no bytes in the record.
pub mod template {
    /// No line.
    pub const NONE: u8 = 0;
    /// `content-type: text/plain;charset=UTF-8`
    pub const TEXT: u8 = 1;
    /// `content-type: application/json`
    pub const JSON: u8 = 2;
    /// `content-type: text/html;charset=UTF-8`
    pub const HTML: u8 = 3;
    /// `content-type: application/octet-stream`
    pub const BYTES: u8 = 4;
}

const LOW_10: u32 = 0x3ff;
/// A port's index stands above the number of fields: there are at most 64 ports.
const PORT_SHIFT: u32 = 26;
const LOW_24: u32 = 0x00ff_ffff;
const LOW_30: u32 = 0x3fff_ffff;

/// The eight words of a record. w0, the length, is the ring's: it is set by
/// [`Producer::push`](crate::Producer::push).
///
/// `with_…` methods fill in parts; a part that is not filled in is 0. Parts of 24 bits are cut to
/// them: their makers are bound far below (targets by 64 KiB, slots by the connection limit).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Words(pub(crate) [u32; 8]);

impl Words {
    /// An event. `flags` are those of [`event_flag`].
    #[inline]
    pub const fn event(kind: EventKind, flags: u8) -> Self {
        Self([0, kind as u32 | (flags as u32) << 8, 0, 0, 0, 0, 0, 0])
    }

    /// A command. `flags` are those of [`command_flag`], `template` one of [`template`].
    #[inline]
    pub const fn command(kind: CommandKind, flags: u8, template: u8) -> Self {
        Self([
            0,
            kind as u32 | (flags as u32) << 8 | (template as u32) << 16,
            0,
            0,
            0,
            0,
            0,
            0,
        ])
    }

    /// Events: another kind and its flags, everything else unchanged.
    #[inline]
    pub const fn with_kind(mut self, kind: EventKind, flags: u8) -> Self {
        self.0[1] = self.0[1] & 0xffff_0000 | kind as u32 | (flags as u32) << 8;
        self
    }

    /// Both directions: one more flag.
    #[inline]
    pub const fn with_flag(mut self, flag: u8) -> Self {
        self.0[1] |= (flag as u32) << 8;
        self
    }

    /// Both directions: the exchange, as a place in its reactor's slab and the generation there.
    #[inline]
    pub const fn with_exchange(mut self, index: u32, generation: u32) -> Self {
        self.0[3] = generation;
        self.0[7] = index;
        self
    }

    /// HTTP: the method, 0–7: 0 other, 1 GET, 2 HEAD, 3 POST, 4 PUT, 5 DELETE, 6 PATCH, 7 OPTIONS.
    #[inline]
    pub const fn with_method(mut self, method: u8) -> Self {
        self.0[1] |= (method as u32 & 7) << (8 + event_flag::METHOD_SHIFT);
        self
    }

    /// HTTP: number of entries in the field table (10 bits), which is the start of the record's parts.
    #[inline]
    pub const fn with_fields(mut self, fields: u16) -> Self {
        self.0[1] |= (fields as u32 & LOW_10) << 16;
        self
    }

    /// HTTP, SOCKET_OPEN and SOCKET_ADOPT: the port by which it came (6 bits).
    #[inline]
    pub const fn with_port(mut self, port: u16) -> Self {
        self.0[1] |= (port as u32) << PORT_SHIFT;
        self
    }

    /// Events: the connection's slot (24 bits) and its reactor.
    #[inline]
    pub const fn with_connection(mut self, slot: u32, reactor: ReactorId) -> Self {
        self.0[2] = slot & LOW_24 | (reactor.0 as u32) << 24;
        self
    }

    /// HTTP: length of the target (24 bits) and its offset in the bytes.
    #[inline]
    pub const fn with_target(mut self, len: u32, offset: u8) -> Self {
        self.0[4] = len & LOW_24 | (offset as u32) << 24;
        self
    }

    /// HTTP: length of the request head in the bytes (30 bits).
    #[inline]
    pub const fn with_head_len(mut self, len: u32) -> Self {
        self.0[6] = self.0[6] & !LOW_30 | len & LOW_30;
        self
    }

    /// HTTP: whether the request asks for a WebSocket.
    #[inline]
    pub const fn with_handshake(mut self, handshake: Handshake) -> Self {
        self.0[6] = self.0[6] & LOW_30 | (handshake as u32) << 30;
        self
    }

    /// SOCKET_… in both directions: the connection, as a place in its reactor's slab and the generation there.
    #[inline]
    pub const fn with_socket(mut self, slot: u32, generation: u32) -> Self {
        self.0[2] = self.0[2] & !LOW_24 | slot & LOW_24;
        self.0[3] = generation;
        self
    }

    /// SOCKET_… in both directions: w4, whose meaning depends on the kind.
    #[inline]
    pub const fn with_detail(mut self, detail: u32) -> Self {
        self.0[4] = detail;
        self
    }

    /// SOCKET_… in both directions: the sequence number.
    #[inline]
    pub const fn with_sequence(mut self, sequence: u32) -> Self {
        self.0[7] = sequence;
        self
    }

    /// SOCKET_OPEN and SOCKET_ADOPT: the id of the connection.
    #[inline]
    pub const fn with_id(mut self, id: u64) -> Self {
        self.0[5] = id as u32;
        self.0[6] = (id >> 32) as u32;
        self
    }

    /// SOCKET_RETURN: the word w1 of the record that comes back.
    #[inline]
    pub const fn with_returned(mut self, word: u32) -> Self {
        self.0[5] = word;
        self
    }

    /// PACKET and PACKET_SEND: the peer's IPv4 address, or as [`packet_flag`] says; its port; the address of ours, 0 = as bound.
    #[inline]
    pub const fn with_peer(mut self, peer: u32, port: u16, local: u32) -> Self {
        self.0[3] = peer;
        self.0[4] = port as u32;
        self.0[7] = local;
        self
    }

    /// PACKET: when it came, the low 32 bits of the Unix time in milliseconds.
    #[inline]
    pub const fn with_received(mut self, at: u32) -> Self {
        self.0[6] = at;
        self
    }

    /// TASK: the id of the call, and the length of the task's name in the bytes, in front of the input.
    #[inline]
    pub const fn with_call(mut self, id: u64, name_len: u32) -> Self {
        self.0[2] = id as u32;
        self.0[3] = (id >> 32) as u32;
        self.0[4] = name_len;
        self
    }

    /// TASK: the length of what follows the input, which attempt this is, and how many there may be.
    #[inline]
    pub const fn with_attempt(mut self, extra_len: u32, attempt: u16, tries: u16) -> Self {
        self.0[6] = extra_len;
        self.0[7] = attempt as u32 | (tries as u32) << 16;
        self
    }

    /// TASK_RESULT and TASK_PROGRESS: the task, how it ended, and after how many attempts.
    #[inline]
    pub const fn with_task(mut self, id: u64, end: u32, attempts: u32) -> Self {
        self.0[2] = id as u32;
        self.0[3] = (id >> 32) as u32;
        self.0[4] = end;
        self.0[6] = attempts;
        self
    }

    /// HTTP and BODY_CHUNK: length of the body in this record; of the whole blob with
    /// [`event_flag::BLOB`].
    #[inline]
    pub const fn with_event_body_len(mut self, len: u32) -> Self {
        self.0[5] = len;
        self
    }

    /// ABORT: why.
    #[inline]
    pub const fn with_abort_reason(mut self, reason: AbortReason) -> Self {
        self.0[4] = reason as u32;
        self
    }

    /// RESPOND and HEAD: the status code.
    #[inline]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.0[4] = status as u32;
        self
    }

    /// RESPOND and HEAD: length of the header block in the bytes.
    #[inline]
    pub const fn with_block_len(mut self, len: u32) -> Self {
        self.0[5] = len;
        self
    }

    /// RESPOND and CHUNK: length of the body in this record. CREDIT: the bytes consumed.
    #[inline]
    pub const fn with_command_body_len(mut self, len: u32) -> Self {
        self.0[6] = len;
        self
    }

    /// RESPOND and CHUNK with [`command_flag::BLOB`]: where the body waits.
    #[inline]
    pub const fn with_blob(self, id: u32) -> Self {
        self.with_command_body_len(id)
    }

    /// HEAD with [`command_flag::LENGTH_KNOWN`]: the content length in bytes.
    #[inline]
    pub const fn with_content_length(mut self, len: u64) -> Self {
        self.0[2] = (len >> 32) as u32;
        self.0[6] = len as u32;
        self
    }

    /// The record's whole length in bytes, set once it is in a ring.
    #[inline]
    pub const fn len_bytes(&self) -> u32 {
        self.0[0]
    }

    /// The number of an [`EventKind`] or a [`CommandKind`].
    #[inline]
    pub const fn kind(&self) -> u8 {
        self.0[1] as u8
    }

    /// The flags, an HTTP record's method bits included.
    #[inline]
    pub const fn flags(&self) -> u8 {
        (self.0[1] >> 8) as u8
    }

    /// True when every bit of `flag` is set.
    #[inline]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags() & flag == flag
    }

    /// HTTP: the method, 0–7.
    #[inline]
    pub const fn method(&self) -> u8 {
        self.flags() >> event_flag::METHOD_SHIFT
    }

    /// Events: number of entries in the field table.
    #[inline]
    pub const fn fields(&self) -> u16 {
        (self.0[1] >> 16 & LOW_10) as u16
    }

    /// HTTP, SOCKET_OPEN and SOCKET_ADOPT: the port by which it came.
    #[inline]
    pub const fn port(&self) -> u16 {
        (self.0[1] >> PORT_SHIFT) as u16
    }

    /// Commands: one of [`template`].
    #[inline]
    pub const fn template(&self) -> u8 {
        (self.0[1] >> 16) as u8
    }

    /// Events: the connection's slot.
    #[inline]
    pub const fn connection(&self) -> u32 {
        self.0[2] & LOW_24
    }

    /// Events: the connection's reactor.
    #[inline]
    pub const fn reactor(&self) -> ReactorId {
        ReactorId((self.0[2] >> 24) as u8)
    }

    /// Both directions: the exchange's generation.
    #[inline]
    pub const fn generation(&self) -> u32 {
        self.0[3]
    }

    /// Both directions: the exchange's index.
    #[inline]
    pub const fn index(&self) -> u32 {
        self.0[7]
    }

    /// HTTP: length of the target.
    #[inline]
    pub const fn target_len(&self) -> u32 {
        self.0[4] & LOW_24
    }

    /// HTTP: offset of the target in the bytes.
    #[inline]
    pub const fn target_offset(&self) -> u8 {
        (self.0[4] >> 24) as u8
    }

    /// HTTP: length of the request head in the bytes.
    #[inline]
    pub const fn head_len(&self) -> u32 {
        self.0[6] & LOW_30
    }

    /// HTTP: whether the request asks for a WebSocket.
    #[inline]
    pub const fn handshake(&self) -> Handshake {
        match self.0[6] >> 30 {
            0 => Handshake::None,
            1 => Handshake::Valid,
            2 => Handshake::Version,
            _ => Handshake::Malformed,
        }
    }

    /// SOCKET_… in both directions: w4, whose meaning depends on the kind.
    #[inline]
    pub const fn detail(&self) -> u32 {
        self.0[4]
    }

    /// SOCKET_… in both directions: the sequence number.
    #[inline]
    pub const fn sequence(&self) -> u32 {
        self.0[7]
    }

    /// TASK: the id of the call.
    #[inline]
    pub const fn call(&self) -> u64 {
        self.0[2] as u64 | (self.0[3] as u64) << 32
    }

    /// TASK: length of what follows the input.
    #[inline]
    pub const fn extra_len(&self) -> u32 {
        self.0[6]
    }

    /// TASK: which attempt it is, and how many there may be.
    #[inline]
    pub const fn attempt(&self) -> (u16, u16) {
        (self.0[7] as u16, (self.0[7] >> 16) as u16)
    }

    /// TASK_RESULT: after how many attempts.
    #[inline]
    pub const fn attempts(&self) -> u32 {
        self.0[6]
    }

    /// TASK: length of the task's name in the bytes.
    #[inline]
    pub const fn task_len(&self) -> u32 {
        self.0[4]
    }

    /// PACKET and PACKET_SEND: see [`with_peer`](Self::with_peer).
    #[inline]
    pub const fn peer(&self) -> u32 {
        self.0[3]
    }

    /// PACKET and PACKET_SEND: see [`with_peer`](Self::with_peer).
    #[inline]
    pub const fn peer_port(&self) -> u16 {
        self.0[4] as u16
    }

    /// PACKET and PACKET_SEND: see [`with_peer`](Self::with_peer).
    #[inline]
    pub const fn local(&self) -> u32 {
        self.0[7]
    }

    /// PACKET: see [`with_received`](Self::with_received).
    #[inline]
    pub const fn received(&self) -> u32 {
        self.0[6]
    }

    /// The words as bytes in the ring, to be read back from what a worker returns. `None`: not as many.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RECORD_HEADER_BYTES as usize] = bytes.try_into().ok()?;
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Some(Self(words))
    }

    /// SOCKET_OPEN and SOCKET_ADOPT: the id of the connection.
    #[inline]
    pub const fn id(&self) -> u64 {
        (self.0[6] as u64) << 32 | self.0[5] as u64
    }

    /// SOCKET_RETURN: the word w1 of the record that comes back.
    #[inline]
    pub const fn returned(&self) -> u32 {
        self.0[5]
    }

    /// HTTP and BODY_CHUNK: see [`with_event_body_len`](Self::with_event_body_len).
    #[inline]
    pub const fn event_body_len(&self) -> u32 {
        self.0[5]
    }

    /// ABORT: why; a reason this version does not know reads as the client's leaving.
    #[inline]
    pub const fn abort_reason(&self) -> AbortReason {
        match self.0[4] {
            1 => AbortReason::AnswerDeadline,
            2 => AbortReason::HalfClosed,
            3 => AbortReason::SoftTimeout,
            _ => AbortReason::ClientGone,
        }
    }

    /// RESPOND and HEAD: the status code, cut to 16 bits.
    #[inline]
    pub const fn status(&self) -> u16 {
        self.0[4] as u16
    }

    /// RESPOND and HEAD: length of the header block in the bytes.
    #[inline]
    pub const fn block_len(&self) -> u32 {
        self.0[5]
    }

    /// RESPOND and CHUNK: length of the body in this record. CREDIT: the bytes consumed.
    #[inline]
    pub const fn command_body_len(&self) -> u32 {
        self.0[6]
    }

    /// RESPOND and CHUNK with [`command_flag::BLOB`]: where the body waits.
    #[inline]
    pub const fn blob(&self) -> u32 {
        self.0[6]
    }

    /// HEAD: the content length in bytes, `None` without [`command_flag::LENGTH_KNOWN`].
    #[inline]
    pub const fn content_length(&self) -> Option<u64> {
        if self.has(command_flag::LENGTH_KNOWN) {
            Some((self.0[2] as u64) << 32 | self.0[6] as u64)
        } else {
            None
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kinds_and_numbers_name_each_other() {
        for number in 0..=u8::MAX {
            let event = EventKind::from_u8(number).map(|kind| kind as u8);
            assert_eq!(event, (1..=18).contains(&number).then_some(number));
            let command = CommandKind::from_u8(number).map(|kind| kind as u8);
            let is_known = (1..=24).contains(&number) || number == 32;
            assert_eq!(command, is_known.then_some(number));
        }
    }

    #[test]
    fn an_abort_says_why() {
        for reason in [
            AbortReason::ClientGone,
            AbortReason::AnswerDeadline,
            AbortReason::HalfClosed,
            AbortReason::SoftTimeout,
        ] {
            let words = Words::event(EventKind::Abort, 0).with_abort_reason(reason);
            assert_eq!(words.abort_reason(), reason);
        }
    }

    #[test]
    fn a_content_length_counts_only_with_its_flag() {
        let known = Words::command(
            CommandKind::Head,
            command_flag::LENGTH_KNOWN,
            template::NONE,
        );
        assert_eq!(
            known.with_content_length(u64::MAX - 1).content_length(),
            Some(u64::MAX - 1)
        );
        assert_eq!(known.with_content_length(0).content_length(), Some(0));
        let unknown = Words::command(CommandKind::Head, 0, template::NONE);
        assert_eq!(unknown.with_content_length(5).content_length(), None);
    }

    #[test]
    fn has_wants_every_bit() {
        let words = Words::command(CommandKind::Respond, command_flag::CLOSE, template::NONE);
        assert!(words.has(command_flag::CLOSE));
        assert!(!words.has(command_flag::CLOSE | command_flag::BLOB));
    }

    proptest! {
        #[test]
        fn every_part_of_a_request_comes_back(
            (flags, method, fields, port) in (0..32_u8, 0..8_u8, 0..1024_u16, 0..64_u16),
            (slot, reactor) in (0..1_u32 << 24, any::<u8>()),
            (index, generation) in any::<(u32, u32)>(),
            (target_len, target_offset) in (0..1_u32 << 24, any::<u8>()),
            (head_len, body_len) in (0..1_u32 << 30, any::<u32>()),
        ) {
            let words = Words::event(EventKind::Http, flags)
                .with_method(method)
                .with_fields(fields)
                .with_port(port)
                .with_connection(slot, ReactorId(reactor))
                .with_exchange(index, generation)
                .with_target(target_len, target_offset)
                .with_head_len(head_len)
                .with_event_body_len(body_len);
            prop_assert_eq!(words.kind(), EventKind::Http as u8);
            prop_assert_eq!(words.flags(), flags | method << 5);
            prop_assert_eq!((words.method(), words.fields(), words.port()), (method, fields, port));
            prop_assert_eq!((words.connection(), words.reactor()), (slot, ReactorId(reactor)));
            prop_assert_eq!((words.index(), words.generation()), (index, generation));
            prop_assert_eq!((words.target_len(), words.target_offset()), (target_len, target_offset));
            prop_assert_eq!((words.head_len(), words.event_body_len()), (head_len, body_len));
        }

        #[test]
        fn every_part_of_an_answer_comes_back(
            (flags, template) in any::<(u8, u8)>(),
            (index, generation) in any::<(u32, u32)>(),
            status in any::<u16>(),
            (block_len, body_len) in any::<(u32, u32)>(),
        ) {
            let words = Words::command(CommandKind::Respond, flags, template)
                .with_exchange(index, generation)
                .with_status(status)
                .with_block_len(block_len)
                .with_command_body_len(body_len);
            prop_assert_eq!(words.kind(), CommandKind::Respond as u8);
            prop_assert_eq!((words.flags(), words.template()), (flags, template));
            prop_assert_eq!((words.index(), words.generation()), (index, generation));
            prop_assert_eq!(words.status(), status);
            prop_assert_eq!((words.block_len(), words.command_body_len()), (block_len, body_len));
            prop_assert_eq!(words.blob(), body_len);
        }

        #[test]
        fn an_oversized_part_leaves_its_neighbour_alone(len in any::<u32>(), slot in any::<u32>(), method in any::<u8>()) {
            let words = Words::event(EventKind::Http, 0)
                .with_method(method)
                .with_connection(slot, ReactorId(3))
                .with_target(len, 9);
            prop_assert_eq!((words.reactor(), words.target_offset()), (ReactorId(3), 9));
            prop_assert_eq!((words.fields(), words.flags() & 31), (0, 0));
        }
    }
}
