//! Bodies beyond handing them over: compressed answers, forms; and requests that are answered elsewhere.

use napi::bindgen_prelude::{Buffer, Uint8Array};
use napi_derive::napi;
use sluice_server::multipart::{FormFault, FormStep};
use sluice_server::{AnswerMeta, ContentDecoder, ExchangeName};

use crate::worker::with_worker;

/// Whether an answer is compressed if `meta` names a coding.
#[napi(catch_unwind)]
pub fn may_encode(worker: u32, meta: u32, headers: String, length: f64) -> bool {
    let meta = AnswerMeta::unpack(meta);
    with_worker(worker, |worker| {
        worker.may_encode(meta, headers.as_bytes(), length as u64)
    })
    .unwrap_or(false)
}

/// Lets go of an exchange that somebody else will answer. A token for `claimExchange`, or -1.
#[napi(catch_unwind)]
pub fn detach_exchange(worker: u32, lane: u32, index: u32, generation: u32) -> f64 {
    let name = ExchangeName {
        lane,
        index,
        generation,
    };
    with_worker(worker, |worker| worker.detach(name))
        .flatten()
        .map_or(-1.0, |token| token as f64)
}

/// Takes a detached exchange over: its generation from now on, or -1.
#[napi(catch_unwind)]
pub fn claim_exchange(worker: u32, lane: u32, index: u32, token: f64) -> f64 {
    with_worker(worker, |worker| worker.claim(lane, index, token as u64))
        .flatten()
        .map_or(-1.0, |name| f64::from(name.generation))
}

/// What became of a step in reading a form: 0 go on, 1 wait for a DRAIN record with SPOOLED, 2 it is malformed, 3 it is too
/// large, 4 there is no such form. With 2 and 3, why.
#[napi(object)]
pub struct FormProgress {
    /// The number.
    pub step: u32,
    /// Why.
    pub fault: Option<String>,
}

impl From<Option<Result<FormStep, FormFault>>> for FormProgress {
    fn from(result: Option<Result<FormStep, FormFault>>) -> Self {
        let (step, fault) = match result {
            Some(Ok(FormStep::More)) => (0, None),
            Some(Ok(FormStep::Wait)) => (1, None),
            Some(Err(fault @ FormFault::Malformed(_))) => (2, Some(fault.to_string())),
            Some(Err(fault)) => (3, Some(fault.to_string())),
            None => (4, None),
        };
        Self { step, fault }
    }
}

/// Begins to read a form with parts; a number for the calls below, or -1 when `content_type` is of another kind. `memory`: what
/// may be kept in memory of it.
#[napi(catch_unwind)]
pub fn form_open(
    worker: u32,
    lane: u32,
    index: u32,
    generation: u32,
    content_type: String,
    memory: f64,
) -> i32 {
    let name = ExchangeName {
        lane,
        index,
        generation,
    };
    with_worker(worker, |worker| {
        worker.form_open(name, content_type.as_bytes(), memory as u64)
    })
    .flatten()
    .map_or(-1, |form| form as i32)
}

/// Takes the next bytes of a form.
#[napi(catch_unwind)]
pub fn form_write(worker: u32, form: u32, data: Uint8Array) -> FormProgress {
    with_worker(worker, |worker| worker.form_write(form, &data))
        .flatten()
        .into()
}

/// There are no more bytes. After 1, call it again.
#[napi(catch_unwind)]
pub fn form_end(worker: u32, form: u32) -> FormProgress {
    with_worker(worker, |worker| worker.form_end(form))
        .flatten()
        .into()
}

/// JSON `{ fields: [name, value][], files: [{ field, name, type, size, path, error, reason? }] }`.
#[napi(catch_unwind)]
pub fn form_content(worker: u32, form: u32) -> Option<String> {
    let content = with_worker(worker, |worker| worker.form_content(form)).flatten()?;
    serde_json::to_string(&content).ok()
}

/// The content of a file that was kept in memory, by its position.
#[napi(catch_unwind)]
pub fn form_bytes(worker: u32, form: u32, file: u32) -> Option<Buffer> {
    with_worker(worker, |worker| {
        worker
            .form_bytes(form, file as usize)
            .map(|bytes| Buffer::from(bytes.to_vec()))
    })
    .flatten()
}

/// Removes the files of a form. Idempotent.
#[napi(catch_unwind)]
pub fn form_close(worker: u32, form: u32) {
    with_worker(worker, |worker| worker.form_close(form));
}

/// The most that one step of decoding gives.
const DECODED_BYTES: usize = 64 * 1024;

/// Undoes the coding of a request body.
#[napi]
pub struct BodyDecoder {
    inner: Option<ContentDecoder>,
}

/// What came out of one step.
#[napi(object)]
pub struct DecodedPiece {
    /// At most 64 KiB.
    pub data: Buffer,
    /// Bytes of the input that are done with.
    pub consumed: u32,
    /// Nothing more can come out of what was given so far.
    pub is_drained: bool,
    /// The coded form has come to its end.
    pub is_complete: bool,
}

#[napi]
impl BodyDecoder {
    /// For the value of a `content-encoding`; see `isKnown`.
    #[napi(constructor, catch_unwind)]
    pub fn new(coding: String) -> Self {
        Self {
            inner: ContentDecoder::for_codings(coding.as_bytes()),
        }
    }

    /// Whether the coding is one that can be undone, and the decoder was not freed.
    #[napi(getter)]
    pub fn is_known(&self) -> bool {
        self.inner.is_some()
    }

    /// The next step. Null when the input breaks the rules of its coding.
    #[napi(catch_unwind)]
    pub fn decode(&mut self, input: Uint8Array) -> Option<DecodedPiece> {
        let decoder = self.inner.as_mut()?;
        let mut data = Vec::new();
        let step = decoder.decode(&input, DECODED_BYTES, &mut data).ok()?;
        Some(DecodedPiece {
            data: data.into(),
            consumed: step.consumed as u32,
            is_drained: step.is_drained,
            is_complete: decoder.is_complete(),
        })
    }

    /// Frees its memory before it is collected.
    #[napi(catch_unwind)]
    pub fn free(&mut self) {
        self.inner = None;
    }
}
