/**
 * The layout of what the reactors write: event records, lane headers and the worker block.
 *
 * The same numbers as `docs/architecture.md` and the Rust crate that writes them. All words are little-endian u32;
 * they are read as signed 32-bit integers, which keeps free-running counters small integers in V8.
 */

/** Kinds of event record, bits 0–7 of word 1. */
export const RecordKind = {
  PAD: 0,
  HTTP: 1,
  BODY_CHUNK: 2,
  BODY_END: 3,
  ABORT: 4,
  DRAIN: 5,
  // From here on: about a connection that outlives its request, a WebSocket or an event stream.
  WS_OPEN: 6,
  WS_MESSAGE: 7,
  WS_CLOSE: 8,
  WS_DRAIN: 9,
  WS_HIGH: 10,
  WS_ADOPT: 11,
  WS_HANDOVER: 12,
  WS_SETTLE: 13,
  /** A packet of a UDP port. */
  PACKET: 14,
  /** A call of a task. */
  TASK: 15,
  /** The end of a task that this worker has delivered. */
  TASK_RESULT: 16,
  /** How far such a task is. */
  TASK_PROGRESS: 17,
  /** A call is to hurry. */
  TASK_ABORT: 18,
} as const

/** Flags of an HTTP record, as they stand in word 1 (bits 8–15). */
export const HttpFlag = {
  /** The body lies outside the ring and is fetched with `takeBlob`. */
  BLOB: 1 << 8,
  /** The body follows as BODY_CHUNK records. */
  STREAM: 2 << 8,
  HTTP10: 4 << 8,
  HTTPS: 8 << 8,
  /** Second delivery, after the worker that had the request died. */
  REPLAY: 16 << 8,
} as const

/** The flag of a BODY_END record, as it stands in word 1: the body broke off. */
export const BODY_INCOMPLETE: number = 1 << 8

/** The flag of a DRAIN record, as it stands in word 1: it is about the disk that a form's files go to. */
export const DRAIN_SPOOLED: number = 1 << 8

/** The flag of a WS_OPEN record, as it stands in word 1: it goes on where an earlier connection of its client broke. */
export const OPEN_RESUMED: number = 1 << 8

/** Flags of WS_MESSAGE and WS_CLOSE records, as they stand in word 1. */
export const SocketFlag = {
  /** The payload lies outside the ring and is fetched with `takeMessage`. */
  BLOB: 1 << 8,
  FIN: 2 << 8,
  COMPRESSED: 4 << 8,
  /** Flips with every resume, so that what was in the ring before a pause cannot be taken for what comes after it. */
  EPOCH: 8 << 8,
} as const

/** What the two highest bits of word 6 of an HTTP record say of a WebSocket handshake. */
export const Handshake = { NONE: 0, VALID: 1, OTHER_VERSION: 2, MALFORMED: 3 } as const
/** How far word 6 is shifted right for {@link Handshake}. */
export const HANDSHAKE_SHIFT = 30
/** The rest of word 6: the length of the head. */
export const HEAD_LENGTH_MASK = 0x3fffffff

/** Opcodes of RFC 6455 that messages have. */
export const Opcode = { CONTINUATION: 0, TEXT: 1, BINARY: 2, PING: 9, PONG: 10 } as const
/** Bits above the opcode in the `kind` of a message that is sent. */
export const SendFlag = { FIN: 16, COMPRESS: 32 } as const
/** Kinds of channel: a named set of connections. */
export const ChannelKind = { TOPIC: 0, GROUP: 1, UID: 2 } as const

/** Values of word 4 of an ABORT record. */
export const AbortReason = { CLIENT_GONE: 0, ANSWER_DEADLINE: 1, HALF_CLOSED: 2, SOFT_TIMEOUT: 3 } as const

/** Bits 5–7 of the flags of an HTTP record. 0 is any other method, read from the bytes before the target. */
export const methods: readonly string[] = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']
/** How far word 1 is shifted right for the index into {@link methods}. */
export const METHOD_SHIFT = 13
/** How far word 1 is shifted right for the number of fields of an HTTP record, which {@link FIELDS_MASK} then takes out. */
export const FIELDS_SHIFT = 16
export const FIELDS_MASK = 0x3ff
/** How far word 1 of HTTP, WS_OPEN and WS_ADOPT records is shifted right for the index of the port. */
export const PORT_SHIFT = 26
/** {@link methods} index of HEAD, whose answers carry no body. */
export const METHOD_HEAD = 2

/** Indexes of a record's words. */
export const Word = { LENGTH: 0, KIND: 1, SLOT: 2, GENERATION: 3, TARGET: 4, BODY_LENGTH: 5, HEAD_LENGTH: 6, INDEX: 7 } as const
/** The same words, as the records about connections name them. */
export const SocketWord = { KIND: 1, SLOT: 2, GENERATION: 3, DETAIL: 4, PAYLOAD_LENGTH: 5, ID_LOW: 5, ID_HIGH: 6, SEQUENCE: 7 } as const
/** The words of a PACKET record. The peer is an IPv4 address, or with a flag the length of what follows the payload; LOCAL 0 is: as bound. */
export const PacketWord = { LENGTH: 0, KIND: 1, PEER: 3, PEER_PORT: 4, PAYLOAD_LENGTH: 5, RECEIVED: 6, LOCAL: 7 } as const
/**
 * The words of a TASK record. What follows them: the id of the task (two words), who has delivered it (its number | its kind << 16, -1 nobody who
 * could be named), how the task has ended, of a call that comes after it; then the name of the task, the input, and the extra.
 */
export const TaskWord = { KIND: 1, ID_LOW: 2, ID_HIGH: 3, NAME_LENGTH: 4, INPUT_LENGTH: 5, EXTRA_LENGTH: 6, ATTEMPT: 7, TASK_LOW: 8, TASK_HIGH: 9, FROM: 10, END: 11 } as const
/** In the low half of {@link TaskWord} FROM: who has no number, or is nobody who could be named. */
export const NO_NUMBER = 0xffff
/** Words before the bytes of a TASK record. */
export const TASK_WORDS = 12
/** The words of a TASK_RESULT, a TASK_PROGRESS and a TASK_ABORT record, whose id is that of the call. The bytes follow. */
export const TaskNewsWord = { KIND: 1, ID_LOW: 2, ID_HIGH: 3, END: 4, LENGTH: 5, ATTEMPTS: 6 } as const
/** Flags of TASK and TASK_RESULT records, as they stand in bits 8–15 of word 1, shifted down. */
export const TaskFlag = {
  /** What a TASK calls: 0 the handler, 1 `finish`, 2 `failed`. */
  MODE: 3,
  /** The bytes are fetched with `takeParcel`. */
  PARCEL: 4,
} as const
/** Flags of a PACKET record, as they stand in bits 8–15 of word 1, shifted down. */
export const PacketFlag = {
  /** 36 bytes follow the payload: address, scope, and the address of ours or zeros. */
  V6: 2,
  /** The path of a unix socket follows the payload. */
  UNIX: 4,
} as const
/** The slot in word 2; the reactor is above it. */
export const SLOT_MASK = 0xffffff
/** Words before the field table. */
export const RECORD_WORDS = 8
/** Bytes of one entry of the field table: name offset, name length, value offset, value length, each u16. */
export const FIELD_BYTES = 8
/** A name offset that says: the name length is the id of a well-known name. */
export const WELL_KNOWN = 0xffff
/** The shortest record, a PAD: words 0 and 1. */
export const RECORD_BYTES_MIN = 8

/** Word indexes in the header of a lane's event ring. */
export const LaneWord = { TAIL: 0, HEAD: 16 } as const
/** Bytes before the data of an event ring. */
export const LANE_HEADER_BYTES = 256

/** Word indexes in the worker block. */
export const BlockWord = { PARKED: 0, HEARTBEAT: 16, CURRENT_LANE: 48, CURRENT_POSITION: 49, PENDING_MESSAGES: 50, PENDING_PACKETS: 51, EVENTS: 64, BATCHES: 65, WAKES: 66 } as const
/** Bytes of a worker block. */
export const BLOCK_BYTES = 4096

/** Flags of an answer, as they stand in `meta` (`flags << 24`). */
export const AnswerFlag = {
  /** Close the connection after this answer. */
  CLOSE: 2 << 24,
  /** The header block has a `date` of its own. */
  HAS_DATE: 4 << 24,
  /** The header block has a `server` of its own. */
  HAS_SERVER: 8 << 24,
} as const

/** How far the template id is shifted left in `meta`. */
export const TEMPLATE_SHIFT = 16
/** The `content-type` a template id stands for; 0 is none. */
export const templates: readonly string[] = ['', 'text/plain;charset=UTF-8', 'application/json', 'text/html;charset=UTF-8', 'application/octet-stream']
/** Ids of {@link templates} that the code names. */
export const Template = { NONE: 0, TEXT: 1, JSON: 2, HTML: 3, BYTES: 4 } as const
