//! Conversations made at random: what is written is what is read, in either direction and however it arrives.

use proptest::prelude::*;

use super::{
    Deflate, Deflater, Opcode, Role, Settings, apply_mask,
    driver::{DEFLATE, SETTINGS, Seen, TAKEOVER, run},
    write_frame_header,
};

/// Something to say: a message and where it is cut into fragments, with control frames before the fragments.
#[derive(Clone, Debug)]
pub(super) struct Saying {
    text: bool,
    payload: Vec<u8>,
    compress: bool,
    cuts: Vec<prop::sample::Index>,
    pings: Vec<Option<Vec<u8>>>,
}

fn payload() -> impl Strategy<Value = (bool, Vec<u8>)> {
    let text = prop_oneof![
        "\\PC{0,40}",
        "(ab|cd|é){0,200}",
        prop::collection::vec(any::<char>(), 0..60).prop_map(String::from_iter),
    ];
    prop_oneof![
        text.prop_map(|text| (true, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| (false, bytes)),
        (any::<u8>(), 0..70_000usize).prop_map(|(byte, len)| (false, vec![byte; len])),
    ]
}

pub(super) fn saying() -> impl Strategy<Value = Saying> {
    let ping = prop::option::of(prop::collection::vec(any::<u8>(), 0..=125));
    (
        payload(),
        any::<bool>(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        prop::collection::vec(ping, 0..4),
    )
        .prop_map(|((text, payload), compress, cuts, pings)| Saying {
            text,
            payload,
            compress,
            cuts,
            pings,
        })
}

/// Writes what a peer says to a reader of this role.
pub(super) struct Writer {
    role: Role,
    deflater: Option<Deflater>,
    pub(super) bytes: Vec<u8>,
    masks: u32,
}

impl Writer {
    pub(super) fn new(role: Role, deflater: Option<Deflater>) -> Self {
        Self {
            role,
            deflater,
            bytes: Vec::new(),
            masks: 1,
        }
    }

    pub(super) fn frame(&mut self, opcode: Opcode, fin: bool, rsv1: bool, payload: &[u8]) {
        self.masks = self
            .masks
            .wrapping_mul(0x9e37_79b9)
            .wrapping_add(0x7f4a_7c15);
        let mask = (self.role == Role::Server).then(|| self.masks.to_be_bytes());
        write_frame_header(&mut self.bytes, opcode, fin, rsv1, payload.len(), mask);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        if let Some(mask) = mask {
            apply_mask(&mut self.bytes[start..], mask);
        }
    }

    /// Writes a saying; what must be read of it, as whole messages.
    pub(super) fn say(&mut self, saying: &Saying) -> Vec<Seen> {
        let opcode = if saying.text {
            Opcode::Text
        } else {
            Opcode::Binary
        };
        let mut compressed = Vec::new();
        let rsv1 = saying.compress
            && self
                .deflater
                .as_mut()
                .is_some_and(|deflater| deflater.compress(&saying.payload, &mut compressed));
        let payload = if rsv1 { &compressed } else { &saying.payload };

        let mut places: Vec<usize> = saying
            .cuts
            .iter()
            .map(|cut| cut.index(payload.len() + 1))
            .collect();
        places.extend([0, payload.len()]);
        places.sort_unstable();
        let fragments = places.len() - 1;
        let mut expected = Vec::new();
        for (at, ends) in places.windows(2).enumerate() {
            if let Some(Some(ping)) = saying.pings.get(at) {
                self.frame(Opcode::Ping, true, false, ping);
                expected.push(Seen::Ping(ping.clone()));
            }
            let is_first = at == 0;
            let opcode = if is_first {
                opcode
            } else {
                Opcode::Continuation
            };
            self.frame(
                opcode,
                at + 1 == fragments,
                rsv1 && is_first,
                &payload[ends[0]..ends[1]],
            );
        }
        expected.push(Seen::Message {
            opcode,
            fin: true,
            compressed: rsv1,
            payload: saying.payload.clone(),
        });
        expected
    }
}

/// Puts the fragments of messages together.
fn joined(events: Vec<Seen>) -> Vec<Seen> {
    let mut whole = Vec::new();
    let mut open: Option<(Opcode, bool, Vec<u8>)> = None;
    for event in events {
        let Seen::Message {
            opcode,
            fin,
            compressed,
            payload,
        } = event
        else {
            whole.push(event);
            continue;
        };
        let message = match &mut open {
            Some(message) => {
                assert_eq!(opcode, Opcode::Continuation);
                message
            }
            None => open.insert((opcode, compressed, Vec::new())),
        };
        assert_eq!(message.1, compressed);
        message.2.extend(payload);
        if fin && let Some((opcode, compressed, payload)) = open.take() {
            whole.push(Seen::Message {
                opcode,
                fin,
                compressed,
                payload,
            });
        }
    }
    assert_eq!(open, None);
    whole
}

pub(super) fn pieces<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|ends| &bytes[ends[0]..ends[1]])
        .collect()
}

fn agreement() -> impl Strategy<Value = Option<Deflate>> {
    prop::option::of((
        prop::sample::select(vec![DEFLATE, TAKEOVER]),
        9..=15u8,
        9..=15u8,
    ))
    .prop_map(|agreed| {
        agreed.map(
            |(deflate, server_window_bits, client_window_bits)| Deflate {
                server_window_bits,
                client_window_bits,
                ..deflate
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_is_read(
        sayings in prop::collection::vec(saying(), 1..6), is_server: bool, deliver_frames: bool,
        deflate in agreement(), level in 0..=9u8, cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let deflater = deflate.and_then(|deflate| match role {
            Role::Server => Deflater::new(level, deflate.client_window_bits, deflate.client_takeover),
            Role::Client => Deflater::new(level, deflate.server_window_bits, deflate.server_takeover),
        });
        let mut writer = Writer::new(role, deflater);
        let expected: Vec<Seen> = sayings.iter().flat_map(|saying| writer.say(saying)).collect();
        let settings = Settings { role, deliver_frames, deflate, ..SETTINGS };
        let read = run(&settings, pieces(&writer.bytes, &cuts));
        prop_assert_eq!(read.fault, None);
        prop_assert_eq!(joined(read.events), expected);
    }

    #[test]
    fn a_message_is_taken_at_its_own_length_and_refused_one_below(
        saying in saying(), is_server: bool, deliver_frames: bool, deflate in agreement(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let deflater = deflate.and_then(|deflate| Deflater::new(6, deflate.client_window_bits, false));
        let mut writer = Writer::new(role, deflater);
        writer.say(&saying);
        let settings = Settings { role, deliver_frames, deflate, max_message: saying.payload.len() };
        prop_assert_eq!(run(&settings, pieces(&writer.bytes, &cuts)).fault, None);
        if let Some(max_message) = saying.payload.len().checked_sub(1) {
            let settings = Settings { max_message, ..settings };
            let fault = run(&settings, pieces(&writer.bytes, &cuts)).fault;
            prop_assert_eq!(fault.map(|fault| fault.code), Some(1009));
        }
    }
}
