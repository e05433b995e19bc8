//! The answers of a worker that leave it compressed.
//!
//! It is done on the worker's own thread, inside the call that answers: a reactor serves many workers and must not wait for
//! one body; and whoever makes large answers is the one whom they cost time.

use std::collections::HashMap;

use sluice_core::config::CompressionConfig;

use super::{AnswerMeta, ExchangeName};
use crate::coding::{Coding, Encoder, Encoders, may_encode, rewrite};

/// How far the choice of a coding stands above the template in [`AnswerMeta::template`].
const CHOICE_SHIFT: u32 = 5;
/// Compressors of streamed answers that a worker holds at once, each about a MiB; further streams go out as they are.
const STREAMS_MAX: usize = 128;
/// What is left allocated for the next answer.
const SCRATCH_BYTES: usize = 256 * 1024;

/// What an answer may be coded with, as JavaScript has read it in the request: the highest three bits of the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Nothing is to be looked at.
    Off,
    /// The client takes it as it is only.
    Identity,
    /// The client takes this one.
    Coded(Coding),
}

impl AnswerMeta {
    /// Takes the choice of a coding out of the template.
    pub(super) fn split_choice(self) -> (Self, Choice) {
        let choice = match self.template >> CHOICE_SHIFT {
            1 => Choice::Identity,
            2 => Choice::Coded(Coding::Gzip),
            3 => Choice::Coded(Coding::Brotli),
            4 => Choice::Coded(Coding::Zstd),
            _ => Choice::Off,
        };
        let template = self.template & ((1 << CHOICE_SHIFT) - 1);
        (Self { template, ..self }, choice)
    }
}

/// Compressors of a worker: one for whole answers of each coding, and one for each streamed answer under way.
#[derive(Default)]
pub(super) struct Coded {
    encoders: Encoders,
    /// By lane and index, with the generation.
    streams: HashMap<(u32, u32), (u32, Encoder)>,
    /// Scratch: header lines and body of the answer that is being made.
    block: Vec<u8>,
    body: Vec<u8>,
}

impl Coded {
    /// Makes header lines and body of a whole answer.
    pub(super) fn whole(
        &mut self,
        config: &CompressionConfig,
        meta: AnswerMeta,
        choice: Choice,
        headers: &[u8],
        body: &[u8],
    ) -> Form {
        let length = Some(body.len() as u64);
        if !may_encode(config, meta.status, meta.template, headers, length) {
            return Form::AsItWas;
        }
        self.block.clear();
        self.body.clear();
        if let Choice::Coded(coding) = choice {
            let done = self
                .encoders
                .encode(coding, config.level, body, &mut self.body);
            // What does not become shorter is sent as it is; so is what an encoder fails at, which would be its bug.
            if done.is_ok() && self.body.len() < body.len() {
                rewrite(headers, Some(coding), &mut self.block);
                return Form::Coded;
            }
        }
        rewrite(headers, None, &mut self.block);
        Form::OtherFields
    }

    /// Makes the header lines of a streamed answer, and its encoder.
    pub(super) fn stream(
        &mut self,
        config: &CompressionConfig,
        name: ExchangeName,
        meta: AnswerMeta,
        choice: Choice,
        headers: &[u8],
        length: Option<u64>,
    ) -> Form {
        if !may_encode(config, meta.status, meta.template, headers, length) {
            return Form::AsItWas;
        }
        self.block.clear();
        if let Choice::Coded(coding) = choice
            && self.streams.len() < STREAMS_MAX
            && let Ok(encoder) = Encoder::new(coding, config.level)
        {
            rewrite(headers, Some(coding), &mut self.block);
            let place = (name.lane, name.index);
            self.streams.insert(place, (name.generation, encoder));
            return Form::Coded;
        }
        rewrite(headers, None, &mut self.block);
        Form::OtherFields
    }

    /// Makes `body` of the next bytes of a streamed answer. `None`: it is not coded.
    pub(super) fn chunk(&mut self, name: ExchangeName, data: &[u8]) -> Option<std::io::Result<()>> {
        if self.streams.is_empty() {
            return None;
        }
        let encoder = match self.streams.get_mut(&(name.lane, name.index)) {
            Some((generation, encoder)) if *generation == name.generation => encoder,
            _ => return None,
        };
        self.body.clear();
        Some(encoder.write(data, &mut self.body))
    }

    /// Makes `body` of the end of a streamed answer. `None`: it is not coded.
    pub(super) fn end(&mut self, name: ExchangeName) -> Option<std::io::Result<()>> {
        let encoder = self.forget(name)?;
        self.body.clear();
        Some(encoder.finish(&mut self.body))
    }

    /// A streamed answer is over, however it ended.
    pub(super) fn forget(&mut self, name: ExchangeName) -> Option<Encoder> {
        if self.streams.is_empty() {
            return None;
        }
        let place = (name.lane, name.index);
        if self.streams.get(&place)?.0 != name.generation {
            return None;
        }
        self.streams.remove(&place).map(|(_, encoder)| encoder)
    }

    /// Lends header lines and body of what was made last, to be given back by [`put_back`](Self::put_back).
    pub(super) fn lend(&mut self) -> (Vec<u8>, Vec<u8>) {
        (
            std::mem::take(&mut self.block),
            std::mem::take(&mut self.body),
        )
    }

    /// Takes the scratch buffers back.
    pub(super) fn put_back(&mut self, block: Vec<u8>, body: Vec<u8>) {
        self.block = block;
        if body.capacity() <= SCRATCH_BYTES {
            self.body = body;
        }
    }
}

/// In which form an answer goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Neither header nor body change.
    AsItWas,
    /// The header changes, the body does not.
    OtherFields,
    /// Both change.
    Coded,
}
