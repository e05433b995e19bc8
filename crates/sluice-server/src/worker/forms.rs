//! The forms that a worker reads. Their files are there as long as their requests are handled, and no longer than the worker lives.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::{ExchangeName, Worker};
use crate::multipart::{Account, Form, FormFault, FormLimits, FormStep};
use crate::reactor::Message;

/// The forms of a worker, by number; at most one for each of its exchanges.
#[derive(Default)]
pub(super) struct Forms {
    last: u32,
    open: HashMap<u32, Form>,
}

/// What is in a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FormContent {
    /// Names and values, in order.
    pub fields: Vec<(String, String)>,
    /// The files, in order.
    pub files: Vec<FormFile>,
}

/// A file of a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FormFile {
    /// The name of its field.
    pub field: String,
    /// Its own, without directories.
    pub name: String,
    /// Its media type as the client has guessed it; empty when it has not.
    #[serde(rename = "type")]
    pub content_type: String,
    /// Its length.
    pub size: u64,
    /// Where it is; empty when it is in memory or nowhere.
    pub path: String,
    /// PHP's number for what is wrong with it.
    pub error: u8,
    /// Why it could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Worker {
    /// Begins to read the form of an exchange; a number for the calls below. `memory`: what may be kept in memory of it. `None` when
    /// `content_type` is not that of a form with parts.
    pub fn form_open(
        &mut self,
        name: ExchangeName,
        content_type: &[u8],
        memory: u64,
    ) -> Option<u32> {
        let config = &self.shared.config.uploads;
        let limits = FormLimits {
            max_bytes: config.max_bytes,
            file_bytes: match config.file_bytes {
                0 => config.max_bytes,
                bytes => bytes,
            },
            spool_above: config.spool_above,
            fields: config.fields,
            files: config.files,
            field_bytes: config.field_bytes,
            memory,
        };
        let shared = Arc::downgrade(&self.shared);
        let account = Account::new(Box::new(move || {
            if let Some(shared) = shared.upgrade() {
                let (index, generation) = (name.index, name.generation);
                shared.send(name.lane as u8, Message::FormNews { index, generation });
            }
        }));
        let spooler = Arc::clone(&self.shared.spooler);
        let form = Form::new(content_type, limits, spooler, account)?;
        self.forms.last = self.forms.last.wrapping_add(1) & 0x7fff_ffff;
        self.forms.open.insert(self.forms.last, form);
        Some(self.forms.last)
    }

    /// Takes the next bytes of a form. [`FormStep::Wait`]: a DRAIN record with SPOOLED says when more may come. `None` when there is
    /// no such form.
    ///
    /// # Errors
    ///
    /// What is wrong with it. It is of no use then.
    pub fn form_write(&mut self, form: u32, data: &[u8]) -> Option<Result<FormStep, FormFault>> {
        Some(self.forms.open.get_mut(&form)?.feed(data))
    }

    /// There are no more bytes. [`FormStep::Wait`]: a DRAIN record with SPOOLED says when its files are written; call it again then.
    ///
    /// # Errors
    ///
    /// When the form is not complete.
    pub fn form_end(&mut self, form: u32) -> Option<Result<FormStep, FormFault>> {
        Some(self.forms.open.get_mut(&form)?.finish())
    }

    /// What is in a form.
    pub fn form_content(&self, form: u32) -> Option<FormContent> {
        let form = self.forms.open.get(&form)?;
        let fields = form.fields().iter();
        let files = form.files().iter();
        Some(FormContent {
            fields: fields
                .map(|field| (field.name.clone(), field.value.clone()))
                .collect(),
            files: files
                .map(|file| FormFile {
                    field: file.field.clone(),
                    name: file.name.clone(),
                    content_type: file.content_type.clone(),
                    size: file.size,
                    path: file
                        .path()
                        .map_or_else(String::new, |path| path.display().to_string()),
                    error: file.error(),
                    reason: file.reason().map(str::to_owned),
                })
                .collect(),
        })
    }

    /// The content of a file that was kept in memory.
    pub fn form_bytes(&self, form: u32, file: usize) -> Option<&[u8]> {
        self.forms.open.get(&form)?.files().get(file)?.bytes()
    }

    /// Nobody needs the form any more: its files are removed.
    pub fn form_close(&mut self, form: u32) {
        self.forms.open.remove(&form);
    }
}
