//! Answers with files: of `static`, before any worker is asked, and those that a worker names.

use sluice_core::config::PortProtocol;
use sluice_shared::record::{
    CommandKind, FIELD_BYTES, Handshake, WELL_KNOWN_NAME, Words, template,
};

use super::Engine;
use super::intake::Step;
use crate::http1::{AnswerHead, Framing, Length, Method, answer};
use crate::pending::Stage;
use crate::static_files::answer::of_app;
use crate::static_files::site::{self, Found, Question};
use crate::static_files::{AppHeaders, Body, Conditions, FileAnswer, OpenFile};

impl Engine {
    /// Answers a request for a file of `static`. `None`: there is none, and the request is the application's.
    pub(super) fn take_file(&mut self, slot: u32, input: &[u8]) -> Option<Step> {
        let connection = self.connections[slot as usize].as_deref()?;
        let port = &self.shared.config.ports[usize::from(connection.port)];
        if port.protocol != PortProtocol::Http
            || port.fixed_answer.is_some()
            || self.handshake != Handshake::None
        {
            return None;
        }
        let unix_seconds = self.shared.unix_seconds(self.now);
        let mut conditions = Conditions::default();
        for field in &self.head.fields {
            conditions.take(field.name_id, self.head.bytes(input, field.value));
        }
        let question = Question {
            target: self.head.target_bytes(input),
            is_read: matches!(self.head.method, Method::Get | Method::Head),
            is_head: self.head.method == Method::Head,
            conditions: &conditions,
            now: self.now,
            unix_seconds,
        };
        self.file_headers.clear();
        let found = site::find(&mut self.sites, &question, &mut self.file_headers);
        let (file, template) = match found {
            Found::Nothing => return None,
            Found::Answer(file) => (file, 0),
            Found::Refusal(status, name) => {
                (refusal(status, name, question.is_head), template::TEXT)
            }
        };
        if connection.first.is_some() {
            // In its turn: what is sent from here goes straight to the connection.
            return Some(Step::Stuck);
        }
        let has_body = !matches!(self.head.framing, Framing::None | Framing::Length(0));
        let close = has_body || !self.head.keep_alive || self.stopping;
        Some(self.answer_file(slot, file, template, close))
    }

    /// Writes an answer with a file into an output that nothing else is to be written to before.
    fn answer_file(&mut self, slot: u32, file: FileAnswer, template: u8, close: bool) -> Step {
        self.counters.static_count += 1;
        let date = *self.date.get(self.shared.unix_seconds(self.now));
        let headers = std::mem::take(&mut self.file_headers);
        let http10 = self.head.http10;
        let consumed = self.head.start + self.head.head_len;
        let shared = std::sync::Arc::clone(&self.shared);
        let head = AnswerHead {
            status: file.status,
            template,
            headers: &headers,
            length: file.length.map_or(Length::None, Length::Known),
            close,
            keep_alive_10: http10 && !close,
            date: Some(&date),
            server: shared.config.server_header.as_deref(),
            http10,
        };
        let is_sound = self
            .tail(slot)
            .is_some_and(|out| answer::write_head(out, &head));
        self.file_headers = headers;
        let Some(connection) = self.connection(slot) else {
            return Step::Stuck;
        };
        if !is_sound || connection.output.push_body(file.body).is_err() {
            // It has become shorter since its length was told.
            connection.stream.abort_on_drop();
            self.lose(slot);
            return Step::Stuck;
        }
        if close {
            self.begin_close(slot);
            return Step::Stuck;
        }
        let at = self.idle_deadline(slot);
        self.set_deadline(slot, at);
        self.mark_dirty(slot);
        Step::Consumed(consumed)
    }
}

impl Engine {
    /// A whole answer with a file that a worker names. What the request asks of it is read in the record that is kept.
    pub(super) fn respond_file(
        &mut self,
        index: u32,
        words: Words,
        block: &[u8],
        file: OpenFile,
        name: &[u8],
    ) {
        let Some(exchange) = self.pending.get(index) else {
            return;
        };
        if exchange.stage != Stage::Dispatched {
            return;
        }
        let unix_seconds = self.shared.unix_seconds(self.now);
        let method = exchange.words.method();
        let mut conditions = Conditions::default();
        // What other methods make is not what the client may have.
        if method == Method::Get as u8 || method == Method::Head as u8 {
            let fields = usize::from(exchange.words.fields());
            take_recorded(&exchange.record, fields, &mut conditions);
        }
        let request = (&conditions, exchange.head_request);
        let mut headers = std::mem::take(&mut self.file_headers);
        headers.clear();
        let app = AppHeaders::of(block, words.template());
        let file = of_app(file, name, app, request, unix_seconds, &mut headers);
        let close = !self.body_can_be_skipped(exchange);
        let length = file.length.map_or(Length::None, Length::Known);
        let words = Words::command(CommandKind::Respond, words.flags(), template::NONE)
            .with_status(file.status);
        let close = self.write_answer_head(index, words, &headers, length, close);
        self.file_headers = headers;
        let Some(exchange) = self.pending.get_mut(index) else {
            return;
        };
        let Some(connection) = self.connections[exchange.connection as usize].as_deref_mut() else {
            return;
        };
        let output = if connection.first == Some(index) {
            &mut connection.output
        } else {
            &mut exchange.held
        };
        if output.push_body(file.body).is_err() {
            // It has become shorter since its length was told.
            exchange.stage = Stage::Answering {
                chunked: false,
                left: None,
            };
            return self.respond_reset(index);
        }
        self.answered(index, close);
    }
}

/// Reads the fields of a record as it was made for a worker: a table, then the bytes of the head.
fn take_recorded<'a>(record: &'a [u8], fields: usize, conditions: &mut Conditions<'a>) {
    let table = fields * FIELD_BYTES as usize;
    let Some((table, head)) = record.split_at_checked(table) else {
        return;
    };
    for entry in table.chunks_exact(FIELD_BYTES as usize) {
        let word = |at: usize| usize::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
        let (name_off, id, value_off, value_len) = (word(0), word(2), word(4), word(6));
        if name_off == usize::from(WELL_KNOWN_NAME)
            && let Ok(id) = u8::try_from(id)
            && let Some(value) = head.get(value_off..value_off + value_len)
        {
            conditions.take(id, value);
        }
    }
}

fn refusal(status: u16, name: &str, is_head: bool) -> FileAnswer {
    let text = format!("{name}\n").into_bytes();
    FileAnswer {
        status,
        length: Some(text.len() as u64),
        body: if is_head {
            Body::Empty
        } else {
            Body::Bytes(text)
        },
    }
}
