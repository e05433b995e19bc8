//! Frames in, messages out (RFC 6455 sections 5 and 8, RFC 7692 section 6.2).

use super::{
    Deflate, Fault, Opcode, Tools,
    close::read_close,
    frame::Header,
    inflate::{Inflated, Inflater},
    mask::apply_mask,
    progress::{Frame, Progress},
};

/// Which end of the connection the decoder stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The peer must mask.
    Server,
    /// The peer must not mask.
    Client,
}

/// How a connection is read.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The longest message, in bytes: as declared by the header of a frame, summed up over the fragments, and
    /// inflated.
    pub max_message: usize,
    /// Which end this is.
    pub role: Role,
    /// Whether fragments are given out as they come instead of whole messages. The sum is limited all the same.
    pub deliver_frames: bool,
    /// What was agreed on; None without permessage-deflate.
    pub deflate: Option<Deflate>,
}

/// The receiving half of a connection: 32 bytes while no message is incomplete.
///
/// A message that comes in pieces is kept in a buffer of its own, which grows with what has come and is given up with
/// the message. With context takeover there are 43 KiB more from the first compressed message on.
///
/// After a Close, and after a [`Fault`], everything is thrown away (RFC 6455 sections 1.4 and 7.1.7).
#[derive(Debug)]
pub struct Decoder {
    max_message: usize,
    progress: Option<Box<Progress>>,
    /// With context takeover, and while fragments of a compressed message are given out one by one.
    inflater: Option<Box<Inflater>>,
    role: Role,
    deliver_frames: bool,
    deflate: bool,
    takeover: bool,
    has_ended: bool,
}

/// One step of [`Decoder::decode`].
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// How many bytes of the input are done with. They may have been changed.
    pub consumed: usize,
    /// What they made. None with nothing consumed: more bytes are needed. None with something consumed: call again
    /// with the rest, if there is any.
    pub event: Option<Event<'a>>,
}

/// What the peer sent. The bytes stay until the input is changed or the tools are used again.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message, or with [`Settings::deliver_frames`] a fragment of one.
    Message {
        /// Text or Binary; Continuation for every fragment but the first.
        opcode: Opcode,
        /// Whether the message ends here. Always, if whole messages are given out.
        fin: bool,
        /// Whether the message came compressed.
        compressed: bool,
        /// The payload. That of a whole text message is UTF-8; a fragment of one may begin and end within a character.
        payload: &'a [u8],
    },
    /// A Ping; its payload, at most 125 bytes, goes into the Pong.
    Ping(&'a [u8]),
    /// A Pong.
    Pong(&'a [u8]),
    /// The peer closes the connection. Nothing comes after it.
    Close {
        /// A code that may be sent, or 1005 if there was none.
        code: u16,
        /// Why, in at most 123 bytes.
        reason: &'a str,
    },
}

impl Decoder {
    /// A decoder for a connection whose handshake is done.
    pub fn new(settings: &Settings) -> Self {
        let takeover = settings.deflate.is_some_and(|deflate| match settings.role {
            Role::Server => deflate.client_takeover,
            Role::Client => deflate.server_takeover,
        });
        Self {
            max_message: settings.max_message,
            progress: None,
            inflater: None,
            role: settings.role,
            deliver_frames: settings.deliver_frames,
            deflate: settings.deflate.is_some(),
            takeover,
            has_ended: false,
        }
    }

    /// Takes the next thing out of `input`, which it may change: payloads are unmasked in place.
    ///
    /// An incomplete header or control frame, at most 138 bytes, is not consumed and must be given again with what
    /// follows it. A piece of a message's payload is consumed and kept. An uncompressed message that is whole in
    /// `input` is given out as a part of it, without a copy.
    ///
    /// # Errors
    ///
    /// The first rule that the peer breaks. Everything after that is thrown away.
    pub fn decode<'a>(
        &mut self,
        input: &'a mut [u8],
        tools: &'a mut Tools,
    ) -> Result<Decoded<'a>, Fault> {
        tools.release();
        if self.has_ended {
            return Ok(Decoded {
                consumed: input.len(),
                event: None,
            });
        }
        let result = self.step(input, tools);
        if let Err(_)
        | Ok(Decoded {
            event: Some(Event::Close { .. }),
            ..
        }) = &result
        {
            self.has_ended = true;
            self.progress = None;
            self.inflater = None;
        }
        result
    }

    fn step<'a>(
        &mut self,
        input: &'a mut [u8],
        tools: &'a mut Tools,
    ) -> Result<Decoded<'a>, Fault> {
        if let Some(progress) = &self.progress
            && progress.frame.is_some()
        {
            return self.read_payload(input, 0, tools);
        }
        let Some(header) = Header::parse(input, self.role)? else {
            return Ok(MORE);
        };
        if header.opcode.is_control() {
            return read_control(&header, input);
        }
        let len = self.admit(&header)?;
        // `len` is at most a limit in memory, the size of a header at most 14.
        if self.progress.is_none() && header.fin && input.len() - header.size >= len {
            return self.read_whole(&header, len, input, tools);
        }
        let progress = self
            .progress
            .get_or_insert_with(|| Box::new(Progress::new(&header)));
        progress.declared += len;
        progress.frame = Some(Frame::new(&header, len));
        self.read_payload(input, header.size, tools)
    }

    /// The length of a data frame that may come now.
    fn admit(&self, header: &Header) -> Result<usize, Fault> {
        let is_continuation = header.opcode == Opcode::Continuation;
        if header.rsv1 && (!self.deflate || is_continuation) {
            return Err(Fault::protocol("Reserved bit set"));
        }
        let (declared, compressed) = match &self.progress {
            None if is_continuation => {
                return Err(Fault::protocol("Continuation without a message"));
            }
            Some(_) if !is_continuation => {
                return Err(Fault::protocol("New message within a message"));
            }
            None => (0, header.rsv1),
            Some(progress) => (progress.declared, progress.compressed),
        };
        let bytes_max = if compressed {
            compressed_bytes_max(self.max_message)
        } else {
            self.max_message
        };
        match usize::try_from(header.len) {
            Ok(len) if len <= bytes_max - declared => Ok(len),
            _ => Err(Fault::TOO_BIG),
        }
    }

    /// Reads a message of one frame that is all there.
    fn read_whole<'a>(
        &mut self,
        header: &Header,
        len: usize,
        input: &'a mut [u8],
        tools: &'a mut Tools,
    ) -> Result<Decoded<'a>, Fault> {
        let consumed = header.size + len;
        let payload = &mut input[header.size..consumed];
        if let Some(mask) = header.mask {
            apply_mask(payload, mask);
        }
        let payload = if header.rsv1 {
            self.inflate_message(payload, &mut tools.inflater, &mut tools.inflated)?;
            tools.inflated.bytes()
        } else {
            payload
        };
        if header.opcode == Opcode::Text && simdutf8::basic::from_utf8(payload).is_err() {
            return Err(Fault::NOT_UTF8);
        }
        Ok(Decoded {
            consumed,
            event: Some(Event::Message {
                opcode: header.opcode,
                fin: true,
                compressed: header.rsv1,
                payload,
            }),
        })
    }

    /// Reads on in the payload of the fragment that has begun; `from` is where it goes on in `input`.
    fn read_payload<'a>(
        &mut self,
        input: &'a mut [u8],
        from: usize,
        tools: &'a mut Tools,
    ) -> Result<Decoded<'a>, Fault> {
        let Some(mut progress) = self.progress.take() else {
            return Ok(MORE);
        };
        let Some(frame) = &mut progress.frame else {
            self.progress = Some(progress);
            return Ok(MORE);
        };
        let piece = frame.take(&mut input[from..]);
        let (fin, missing) = (frame.fin, frame.missing);
        let consumed = from + piece.len();
        let is_plain_text = progress.opcode == Opcode::Text && !progress.compressed;
        if is_plain_text {
            progress.utf8.feed(piece)?;
        }
        if missing > 0 {
            progress.keep(piece, missing);
            self.progress = Some(progress);
            return Ok(Decoded {
                consumed,
                event: None,
            });
        }

        progress.frame = None;
        if is_plain_text && fin {
            progress.utf8.finish()?;
        }
        let event = if self.deliver_frames {
            Some(self.end_fragment(progress, fin, piece, tools)?)
        } else {
            progress.keep(piece, 0);
            if fin {
                Some(self.end_message(*progress, tools)?)
            } else {
                progress.continues = true;
                self.progress = Some(progress);
                None
            }
        };
        Ok(Decoded { consumed, event })
    }

    /// Gives out a message that has come in pieces.
    fn end_message<'a>(
        &mut self,
        progress: Progress,
        tools: &'a mut Tools,
    ) -> Result<Event<'a>, Fault> {
        let Progress {
            opcode, compressed, ..
        } = progress;
        tools.assembled = progress.payload;
        let payload = if compressed {
            self.inflate_message(&tools.assembled, &mut tools.inflater, &mut tools.inflated)?;
            let payload = tools.inflated.bytes();
            if opcode == Opcode::Text && simdutf8::basic::from_utf8(payload).is_err() {
                return Err(Fault::NOT_UTF8);
            }
            payload
        } else {
            &tools.assembled
        };
        Ok(Event::Message {
            opcode,
            fin: true,
            compressed,
            payload,
        })
    }

    /// Gives out a fragment; `piece` is the last of its payload.
    fn end_fragment<'a>(
        &mut self,
        mut progress: Box<Progress>,
        fin: bool,
        piece: &'a [u8],
        tools: &'a mut Tools,
    ) -> Result<Event<'a>, Fault> {
        let Progress { compressed, .. } = *progress;
        let opcode = if progress.continues {
            Opcode::Continuation
        } else {
            progress.opcode
        };
        let payload = if progress.payload.is_empty() {
            piece
        } else {
            progress.keep(piece, 0);
            tools.assembled = std::mem::take(&mut progress.payload);
            &tools.assembled
        };
        let payload = if compressed {
            let inflater = self
                .inflater
                .get_or_insert_with(|| Box::new(Inflater::new()));
            let inflated = &mut tools.inflated;
            inflated.clear();
            let bytes_max = self.max_message - progress.inflated;
            inflater.feed(payload, inflated, bytes_max)?;
            if fin && progress.declared > 0 {
                inflater.finish(self.takeover, inflated)?;
            }
            let payload = inflated.bytes();
            progress.inflated += payload.len();
            if progress.opcode == Opcode::Text {
                progress.utf8.feed(payload)?;
                if fin {
                    progress.utf8.finish()?;
                }
            }
            payload
        } else {
            payload
        };
        if !fin {
            progress.continues = true;
            self.progress = Some(progress);
        } else if !self.takeover {
            self.inflater = None;
        }
        Ok(Event::Message {
            opcode,
            fin,
            compressed,
            payload,
        })
    }

    /// Inflates a whole message.
    fn inflate_message(
        &mut self,
        data: &[u8],
        shared: &mut Option<Inflater>,
        inflated: &mut Inflated,
    ) -> Result<(), Fault> {
        inflated.clear();
        // Not what section 7.2.3.6 makes of an empty message, but what can be meant by it is clear.
        if data.is_empty() {
            return Ok(());
        }
        let inflater = if self.takeover {
            self.inflater
                .get_or_insert_with(|| Box::new(Inflater::new()))
        } else {
            let inflater = shared.get_or_insert_with(Inflater::new);
            inflater.reset();
            inflater
        };
        inflater.feed(data, inflated, self.max_message)?;
        inflater.finish(self.takeover, inflated)
    }
}

const MORE: Decoded<'static> = Decoded {
    consumed: 0,
    event: None,
};

/// How long a compressed message of `bytes_max` inflated bytes may be.
///
/// What cannot be compressed grows by five bytes for each stored block, and a sender may flush in between.
const fn compressed_bytes_max(bytes_max: usize) -> usize {
    bytes_max.saturating_add(bytes_max / 256).saturating_add(64)
}

/// Reads a control frame, whose header is sound, once it is all there.
fn read_control<'a>(header: &Header, input: &'a mut [u8]) -> Result<Decoded<'a>, Fault> {
    // At most 125.
    let consumed = header.size + header.len as usize;
    let Some(payload) = input.get_mut(header.size..consumed) else {
        return Ok(MORE);
    };
    if let Some(mask) = header.mask {
        apply_mask(payload, mask);
    }
    let event = match header.opcode {
        Opcode::Ping => Event::Ping(payload),
        Opcode::Pong => Event::Pong(payload),
        _ => {
            let (code, reason) = read_close(payload)?;
            Event::Close { code, reason }
        }
    };
    Ok(Decoded {
        consumed,
        event: Some(event),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::driver::{DEFLATE, SETTINGS, TAKEOVER};

    /// A masked frame whose header declares `declared` bytes.
    fn beginning(first: u8, declared: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0xff];
        bytes.extend(declared.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn an_idle_decoder_is_small() {
        assert!(size_of::<Decoder>() <= 32, "{}", size_of::<Decoder>());
    }

    #[test]
    fn a_whole_message_is_a_part_of_the_input() {
        let mut decoder = Decoder::new(&Settings {
            deflate: Some(TAKEOVER),
            ..SETTINGS
        });
        let mut tools = Tools::new();
        let mut input = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x81";
        let place = input[6..].as_ptr();
        let decoded = decoder.decode(&mut input, &mut tools);
        let Ok(Decoded {
            consumed: 11,
            event: Some(Event::Message { payload, .. }),
        }) = decoded
        else {
            panic!("{decoded:?}");
        };
        assert_eq!(payload, b"Hello");
        assert_eq!(payload.as_ptr(), place);
        assert!(decoder.progress.is_none() && decoder.inflater.is_none());
        assert_eq!(tools.assembled.capacity() + tools.inflated.bytes().len(), 0);
    }

    #[test]
    fn the_buffer_grows_with_what_has_come_and_not_by_what_was_declared() {
        let mut decoder = Decoder::new(&Settings {
            max_message: usize::MAX,
            ..SETTINGS
        });
        let mut tools = Tools::new();
        let mut input = beginning(0x82, 1 << 40, b"a");
        let mut came = 1;
        loop {
            assert!(decoder.decode(&mut input, &mut tools).is_ok());
            let progress = decoder.progress.as_ref().expect("a message has begun");
            let capacity = progress.payload.capacity();
            assert_eq!(progress.payload.len(), came);
            assert!(capacity <= came * 2 + 2048, "{capacity} for {came}");
            if came > 1 << 20 {
                break;
            }
            input = vec![b'a'; came];
            came *= 2;
        }
    }

    #[test]
    fn a_message_in_pieces_takes_its_memory_along() {
        let mut decoder = Decoder::new(&SETTINGS);
        let mut tools = Tools::new();
        let mut first = beginning(0x82, 100_000, &[1; 60_000]);
        assert_eq!(
            decoder
                .decode(&mut first, &mut tools)
                .map(|decoded| (decoded.consumed, decoded.event.is_some())),
            Ok((60_014, false))
        );
        let mut rest = [1; 40_000];
        let decoded = decoder.decode(&mut rest, &mut tools);
        assert!(
            matches!(&decoded, Ok(Decoded { consumed: 40_000, event: Some(Event::Message { payload, .. }) }) if *payload == [1; 100_000])
        );
        assert!(decoder.progress.is_none());
        assert_eq!(tools.assembled.capacity(), 100_000);
        assert!(decoder.decode(&mut [], &mut tools).is_ok());
        assert_eq!(tools.assembled.capacity(), 0);
    }

    #[test]
    fn an_inflater_stays_with_the_connection_only_for_takeover() {
        let hello = b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00";
        for (deflate, deliver_frames, stays) in [
            (DEFLATE, false, false),
            (DEFLATE, true, false),
            (TAKEOVER, false, true),
        ] {
            let mut decoder = Decoder::new(&Settings {
                deflate: Some(deflate),
                deliver_frames,
                ..SETTINGS
            });
            let mut tools = Tools::new();
            let (left, right) = hello.split_at(9);
            assert!(decoder.decode(&mut left.to_vec(), &mut tools).is_ok());
            assert!(decoder.decode(&mut right.to_vec(), &mut tools).is_ok());
            assert_eq!(decoder.inflater.is_some(), stays);
        }
    }

    #[test]
    fn a_fault_of_one_connection_is_nothing_to_the_next() {
        let hello = b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00";
        // Over the limit, not deflate, and cut off: each leaves the shared inflater in the middle of something.
        for bad in [
            &hello[..],
            b"\xc1\x82\0\0\0\0\xff\xff",
            b"\xc1\x83\0\0\0\0\xf2\x48\xcd",
        ] {
            let mut tools = Tools::new();
            let settings = Settings {
                max_message: 4,
                deflate: Some(DEFLATE),
                ..SETTINGS
            };
            let refused = Decoder::new(&settings)
                .decode(&mut bad.to_vec(), &mut tools)
                .is_err();
            assert!(refused, "{bad:x?}");
            let settings = Settings {
                max_message: 5,
                ..settings
            };
            let mut input = hello.to_vec();
            let mut decoder = Decoder::new(&settings);
            let decoded = decoder.decode(&mut input, &mut tools);
            assert!(
                matches!(
                    decoded,
                    Ok(Decoded {
                        event: Some(Event::Message {
                            payload: b"Hello",
                            ..
                        }),
                        ..
                    })
                ),
                "{decoded:?} after {bad:x?}"
            );
        }
    }

    #[test]
    fn a_fault_and_a_close_give_back_what_the_connection_held() {
        for end in [&b"\x88\x80\0\0\0\0"[..], b"\x83"] {
            let mut decoder = Decoder::new(&SETTINGS);
            let mut tools = Tools::new();
            let mut first = b"\x01\x81\0\0\0\0a".to_vec();
            assert!(decoder.decode(&mut first, &mut tools).is_ok());
            assert!(decoder.progress.is_some());
            let closes = decoder
                .decode(&mut end.to_vec(), &mut tools)
                .is_ok_and(|decoded| decoded.event.is_some());
            assert_eq!(closes, end.len() > 1);
            assert!(decoder.progress.is_none());
        }
    }
}
