//! Counting the frames that a client sends without their costing it anything.
//!
//! `h2` bounds what it stores, and closes on the floods it knows: CONTINUATION, empty DATA, streams reset before they are
//! accepted. What it answers or ignores at once it does not count: SETTINGS, PING, PRIORITY, unknown frames, and resets of
//! streams that we have accepted, which is all of them. So the frame headers are counted here on their way in.

const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// The code of an RST_STREAM whose stream may be opened again.
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One WINDOW_UPDATE is free for so many bytes that we sent.
const BYTES_PER_UPDATE: u64 = 512;
/// Bytes we sent that count for that at most, so that nothing is saved up for a flood.
const CREDIT_MAX: u64 = 16 * 1024 * 1024;

/// How many frames of a kind a client may send in a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameLimits {
    /// SETTINGS, PING, PRIORITY, unknown ones, DATA without data, and WINDOW_UPDATE beyond what our data accounts for.
    pub(crate) control: u32,
    /// RST_STREAM.
    pub(crate) resets: u32,
}

/// Which of the limits was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    Control,
    Resets,
}

/// Counts the streams that `h2` refuses, in what it writes: it tells nobody else.
#[derive(Debug, Default)]
pub(crate) struct RefusalMeter {
    /// The header of the current frame, and the first bytes of its payload.
    begin: [u8; HEADER + 4],
    have: usize,
    /// What is still to come of the current frame, behind `begin`.
    left: usize,
}

impl RefusalMeter {
    /// Walks over what was written; returns how many refusals were in it.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> u64 {
        let mut refused = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let skip = self.left.min(bytes.len());
                self.left -= skip;
                bytes = &bytes[skip..];
                continue;
            }
            let want = if self.have < HEADER {
                HEADER
            } else {
                HEADER + 4
            };
            let take = (want - self.have).min(bytes.len());
            self.begin[self.have..self.have + take].copy_from_slice(&bytes[..take]);
            self.have += take;
            bytes = &bytes[take..];
            if self.have == HEADER {
                let [a, b, c, kind, ..] = self.begin;
                if kind != RST_STREAM {
                    self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                    self.have = 0;
                }
            } else if self.have == HEADER + 4 {
                self.have = 0;
                refused += u64::from(self.begin[HEADER..] == REFUSED_STREAM);
            }
        }
        refused
    }
}

/// Walks over the frames of one direction, fed in pieces of any size. Keeps no payload.
#[derive(Debug, Default)]
pub(crate) struct FrameMeter {
    header: [u8; HEADER],
    have: usize,
    /// Payload of the current frame that is still to come.
    left: usize,
    kind: u8,
    /// A frame has come.
    has_begun: bool,
    /// A HEADERS frame came whose CONTINUATION is still to come.
    in_block: bool,
    second: u64,
    control: u32,
    resets: u32,
    /// Bytes we sent that no WINDOW_UPDATE has been counted for.
    credit: u64,
}

impl FrameMeter {
    /// Counts what is in `bytes`, received in `second`; `sent` bytes went out since the last call.
    pub(crate) fn take(
        &mut self,
        mut bytes: &[u8],
        second: u64,
        sent: u64,
        limits: &FrameLimits,
    ) -> Result<(), Flood> {
        if second != self.second {
            self.second = second;
            self.control = 0;
            self.resets = 0;
        }
        self.credit = (self.credit + sent).min(CREDIT_MAX);
        while !bytes.is_empty() {
            if self.left > 0 {
                let skip = self.left.min(bytes.len());
                self.left -= skip;
                bytes = &bytes[skip..];
                continue;
            }
            let take = (HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + take].copy_from_slice(&bytes[..take]);
            self.have += take;
            bytes = &bytes[take..];
            if self.have == HEADER {
                self.have = 0;
                self.count();
            }
        }
        if self.control > limits.control {
            Err(Flood::Control)
        } else if self.resets > limits.resets {
            Err(Flood::Resets)
        } else {
            Ok(())
        }
    }

    /// The client owes the rest of something: its SETTINGS, or the fields of a request.
    pub(crate) fn is_in_head(&self) -> bool {
        !self.has_begun
            || self.in_block
            || (self.left > 0 && matches!(self.kind, HEADERS | CONTINUATION))
    }

    fn count(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.kind = kind;
        self.has_begun = true;
        match kind {
            // The empty frame that ends a stream costs the client the stream.
            DATA if self.left == 0 && flags & END_STREAM == 0 => self.control += 1,
            DATA => {}
            HEADERS | CONTINUATION => self.in_block = flags & END_HEADERS == 0,
            RST_STREAM => self.resets += 1,
            WINDOW_UPDATE if self.credit >= BYTES_PER_UPDATE => self.credit -= BYTES_PER_UPDATE,
            _ => self.control += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: FrameLimits = FrameLimits {
        control: 10,
        resets: 3,
    };

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![
            (payload >> 16) as u8,
            (payload >> 8) as u8,
            payload as u8,
            kind,
            flags,
            0,
            0,
            0,
            1,
        ];
        frame.resize(HEADER + payload, 0xff);
        frame
    }

    #[test]
    fn control_frames_are_bound_by_the_second() {
        let mut meter = FrameMeter::default();
        let pings = frame(6, 0, 8).repeat(10);
        assert_eq!(meter.take(&pings, 1, 0, &LIMITS), Ok(()));
        assert_eq!(meter.take(&pings, 2, 0, &LIMITS), Ok(()));
        assert_eq!(
            meter.take(&frame(4, 0, 6), 2, 0, &LIMITS),
            Err(Flood::Control)
        );
    }

    #[test]
    fn resets_have_a_bound_of_their_own() {
        let mut meter = FrameMeter::default();
        assert_eq!(meter.take(&frame(3, 0, 4).repeat(3), 1, 0, &LIMITS), Ok(()));
        assert_eq!(
            meter.take(&frame(3, 0, 4), 1, 0, &LIMITS),
            Err(Flood::Resets)
        );
    }

    #[test]
    fn window_updates_are_free_for_what_we_have_sent() {
        let mut meter = FrameMeter::default();
        let updates = frame(8, 0, 4).repeat(40);
        assert_eq!(meter.take(&updates, 1, 30 * 512, &LIMITS), Ok(()));
        assert_eq!(
            meter.take(&frame(8, 0, 4), 1, 0, &LIMITS),
            Err(Flood::Control)
        );
    }

    #[test]
    fn data_is_counted_only_when_there_is_none() {
        let mut meter = FrameMeter::default();
        let data = frame(0, 0, 1).repeat(100);
        assert_eq!(meter.take(&data, 1, 0, &LIMITS), Ok(()));
        let ends = frame(0, 1, 0).repeat(100);
        assert_eq!(meter.take(&ends, 1, 0, &LIMITS), Ok(()));
        let empty = frame(0, 0, 0).repeat(11);
        assert_eq!(meter.take(&empty, 1, 0, &LIMITS), Err(Flood::Control));
    }

    #[test]
    fn refusals_are_seen_wherever_the_split_is() {
        let mut bytes = frame(1, 4, 10);
        for code in [7, 8, 7] {
            let mut reset = frame(3, 0, 4);
            reset[HEADER..].copy_from_slice(&[0, 0, 0, code]);
            bytes.extend(reset);
            bytes.extend(frame(0, 0, 0));
        }
        for cut in 0..bytes.len() {
            let mut meter = RefusalMeter::default();
            let refused = meter.take(&bytes[..cut]) + meter.take(&bytes[cut..]);
            assert_eq!(refused, 2, "{cut}");
        }
    }

    #[test]
    fn fields_that_are_not_complete_are_seen() {
        let mut meter = FrameMeter::default();
        let mut take = |bytes: &[u8]| {
            meter.take(bytes, 1, 0, &LIMITS).unwrap();
            meter.is_in_head()
        };
        assert!(take(&[]), "nothing has come");
        let whole = frame(1, 4, 20);
        assert!(take(&whole[..20]), "half a HEADERS frame");
        assert!(!take(&whole[20..]), "all of it");
        assert!(take(&frame(1, 0, 5)), "CONTINUATION is to come");
        assert!(!take(&frame(9, 4, 5)), "it has come");
        assert!(!take(&frame(0, 0, 20)[..12]), "half a DATA frame");
    }

    proptest! {
        #[test]
        fn the_split_does_not_matter(
            frames in prop::collection::vec((0u8..12, any::<u8>(), 0usize..30), 0..20),
            cuts in prop::collection::vec(1usize..20, 1..200),
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|&(kind, flags, len)| frame(kind, flags, len)).collect();
            let limits = FrameLimits { control: u32::MAX, resets: u32::MAX };
            let mut whole = FrameMeter::default();
            whole.take(&bytes, 1, 2048, &limits).unwrap();
            let mut pieces = FrameMeter::default();
            pieces.take(&[], 1, 2048, &limits).unwrap();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                pieces.take(piece, 1, 0, &limits).unwrap();
                rest = tail;
            }
            pieces.take(rest, 1, 0, &limits).unwrap();
            prop_assert_eq!(
                (whole.control, whole.resets, whole.credit, whole.in_block, whole.left),
                (pieces.control, pieces.resets, pieces.credit, pieces.in_block, pieces.left)
            );
        }
    }
}
