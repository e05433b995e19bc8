//! One form: its fields, and its files on their way to the disk, within limits.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::spool::{SpoolFile, SpoolWriter};
use super::{Account, Malformed, Parser, PartHead, Piece, Spooler};

/// PHP's numbers for what can be wrong with a file.
const TOO_LARGE: u8 = 1;
const LARGER_THAN_FORM_SAYS: u8 = 2;
const NO_FILE: u8 = 4;

/// The field by which a form says itself how large its files may be, as PHP knows it.
const MAX_FILE_SIZE: &str = "MAX_FILE_SIZE";

/// Why a form is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FormFault {
    /// It breaks the rules of its format.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is longer than it may be.
    #[error("it is longer than uploads.maxBytes ({0})")]
    TooLong(u64),
    /// It has more fields.
    #[error("it has more than uploads.fields ({0}) fields")]
    Fields(u32),
    /// It has more files.
    #[error("it has more than uploads.files ({0}) files")]
    Files(u32),
    /// A field has a longer value.
    #[error("a field is longer than uploads.fieldBytes ({0})")]
    FieldTooLong(u32),
    /// All that is kept in memory of it is more.
    #[error(
        "its fields, and the files that are kept in memory, are longer than limits.bodyBytes ({0})"
    )]
    Memory(u64),
}

/// What became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormStep {
    /// More may come.
    More,
    /// The disk is behind: more may come when the reader is told so.
    Wait,
}

/// The bounds of a form.
#[derive(Clone, Copy, Debug)]
pub struct FormLimits {
    /// Of all of it.
    pub max_bytes: u64,
    /// Of a file.
    pub file_bytes: u64,
    /// Of a file that stays in memory.
    pub spool_above: u32,
    /// Number of fields that are no files.
    pub fields: u32,
    /// Number of files.
    pub files: u32,
    /// Of the value of a field.
    pub field_bytes: u32,
    /// Of all that is kept in memory.
    pub memory: u64,
}

/// A field that is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue {
    /// Its name.
    pub name: String,
    /// Its value; what is no UTF-8 in it is replaced.
    pub value: String,
}

/// A file of a form.
pub struct FileValue {
    /// The name of its field.
    pub field: String,
    /// Its own name, without directories.
    pub name: String,
    /// Its media type as the client has guessed it.
    pub content_type: String,
    /// Its length.
    pub size: u64,
    error: u8,
    held: Held,
}

/// Where a file is.
enum Held {
    Memory(Vec<u8>),
    Disk(Arc<SpoolFile>),
    Nowhere,
}

impl FileValue {
    /// PHP's number for what is wrong with it, 0 when nothing is.
    pub fn error(&self) -> u8 {
        match &self.held {
            Held::Disk(file) => file.failure().map_or(self.error, |(code, _)| *code),
            _ => self.error,
        }
    }

    /// Why it could not be written.
    pub fn reason(&self) -> Option<&str> {
        match &self.held {
            Held::Disk(file) => file.failure().map(|(_, reason)| reason.as_str()),
            _ => None,
        }
    }

    /// Where it is on disk.
    pub fn path(&self) -> Option<&Path> {
        match &self.held {
            Held::Disk(file) if file.failure().is_none() => Some(file.path()),
            _ => None,
        }
    }

    /// What it has, if it was kept in memory.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.held {
            Held::Memory(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// A form that is being read. Its files are removed with it.
pub struct Form {
    parser: Parser,
    content: Content,
}

/// All of a form but its parser.
struct Content {
    limits: FormLimits,
    spooler: Arc<Spooler>,
    account: Arc<Account>,
    fields: Vec<FieldValue>,
    files: Vec<FileValue>,
    current: Current,
    total: u64,
    memory: u64,
    /// What the form says itself.
    file_bytes_said: Option<u64>,
}

enum Current {
    None,
    Field(String, Vec<u8>),
    /// The last of the files, while it is in memory.
    Memory,
    /// The last of the files, on disk.
    Disk(SpoolWriter),
    /// The last of the files, of which nothing more is wanted.
    Dropped,
}

impl Form {
    /// A form of this `content-type`; `None` when it is of another kind.
    pub(crate) fn new(
        content_type: &[u8],
        limits: FormLimits,
        spooler: Arc<Spooler>,
        account: Arc<Account>,
    ) -> Option<Self> {
        Some(Self {
            parser: Parser::for_type(content_type)?,
            content: Content {
                limits,
                spooler,
                account,
                fields: Vec::new(),
                files: Vec::new(),
                current: Current::None,
                total: 0,
                memory: 0,
                file_bytes_said: None,
            },
        })
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    ///
    /// [`FormFault`]; the form is of no use then.
    pub fn feed(&mut self, data: &[u8]) -> Result<FormStep, FormFault> {
        let content = &mut self.content;
        content.total += data.len() as u64;
        if content.total > content.limits.max_bytes {
            return Err(FormFault::TooLong(content.limits.max_bytes));
        }
        self.parser.feed(data, |piece| content.take(piece))?;
        Ok(if content.account.has_room() {
            FormStep::More
        } else {
            FormStep::Wait
        })
    }

    /// The body is complete. [`FormStep::Wait`]: call again when the reader is told that its files are written.
    ///
    /// # Errors
    ///
    /// [`FormFault::Malformed`] when the form is not complete.
    pub fn finish(&mut self) -> Result<FormStep, FormFault> {
        self.parser.finish()?;
        Ok(if self.content.account.is_settled() {
            FormStep::More
        } else {
            FormStep::Wait
        })
    }

    /// Its fields that are no files, in order.
    pub fn fields(&self) -> &[FieldValue] {
        &self.content.fields
    }

    /// Its files, in order.
    pub fn files(&self) -> &[FileValue] {
        &self.content.files
    }
}

impl Content {
    fn take(&mut self, piece: Piece<'_>) -> Result<(), FormFault> {
        match piece {
            Piece::Part(head) => self.begin(head),
            Piece::Data(data) => self.data(data),
            Piece::End => {
                if let Current::Field(name, value) =
                    std::mem::replace(&mut self.current, Current::None)
                {
                    let value = match String::from_utf8(value) {
                        Ok(value) => value,
                        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
                    };
                    if name == MAX_FILE_SIZE {
                        self.file_bytes_said = value.parse().ok();
                    }
                    self.fields.push(FieldValue { name, value });
                }
                Ok(())
            }
        }
    }

    fn begin(&mut self, head: PartHead) -> Result<(), FormFault> {
        let texts = head.name.len()
            + head.content_type.len()
            + head.file_name.as_ref().map_or(0, String::len);
        self.keep(texts)?;
        let Some(name) = head.file_name else {
            if self.fields.len() >= self.limits.fields as usize {
                return Err(FormFault::Fields(self.limits.fields));
            }
            self.current = Current::Field(head.name, Vec::new());
            return Ok(());
        };
        if self.files.len() >= self.limits.files as usize {
            return Err(FormFault::Files(self.limits.files));
        }
        let is_chosen = !name.is_empty();
        let (held, current) = if !is_chosen {
            (Held::Nowhere, Current::Dropped)
        } else if self.limits.spool_above > 0 {
            (Held::Memory(Vec::new()), Current::Memory)
        } else {
            let (file, writer) = self.spooler.create(&self.account);
            (Held::Disk(file), Current::Disk(writer))
        };
        self.files.push(FileValue {
            field: head.name,
            name,
            content_type: head.content_type,
            size: 0,
            error: if is_chosen { 0 } else { NO_FILE },
            held,
        });
        self.current = current;
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), FormFault> {
        if let Current::Field(_, value) = &self.current {
            if value.len() + data.len() > self.limits.field_bytes as usize {
                return Err(FormFault::FieldTooLong(self.limits.field_bytes));
            }
            self.keep(data.len())?;
            if let Current::Field(_, value) = &mut self.current {
                value.extend_from_slice(data);
            }
            return Ok(());
        }
        if matches!(self.current, Current::Dropped | Current::None) {
            return Ok(());
        }
        let Some(file) = self.files.last_mut() else {
            return Ok(());
        };
        file.size += data.len() as u64;
        let said = self.file_bytes_said.unwrap_or(u64::MAX);
        if file.size > self.limits.file_bytes || file.size > said {
            file.error = if file.size > self.limits.file_bytes {
                TOO_LARGE
            } else {
                LARGER_THAN_FORM_SAYS
            };
            file.size = 0;
            if let Held::Memory(bytes) = std::mem::replace(&mut file.held, Held::Nowhere) {
                self.memory -= bytes.len() as u64;
            }
            self.current = Current::Dropped;
            return Ok(());
        }
        match &self.current {
            Current::Disk(writer) => writer.write(data),
            Current::Memory if file.size <= u64::from(self.limits.spool_above) => {
                if let Held::Memory(bytes) = &mut file.held {
                    bytes.extend_from_slice(data);
                }
                self.keep(data.len())?;
            }
            _ => {
                let (spooled, writer) = self.spooler.create(&self.account);
                if let Held::Memory(bytes) = std::mem::replace(&mut file.held, Held::Disk(spooled))
                {
                    self.memory -= bytes.len() as u64;
                    writer.write(&bytes);
                }
                writer.write(data);
                self.current = Current::Disk(writer);
            }
        }
        Ok(())
    }

    /// Counts what stays in memory.
    fn keep(&mut self, bytes: usize) -> Result<(), FormFault> {
        self.memory += bytes as u64;
        if self.memory > self.limits.memory {
            return Err(FormFault::Memory(self.limits.memory));
        }
        Ok(())
    }
}
