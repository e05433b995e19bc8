//! The primitives this crate is built on: std's, or loom's models of them under `cfg(loom)`.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence},
};
#[cfg(not(loom))]
pub(crate) use std::thread::yield_now;

#[cfg(loom)]
#[allow(unused_imports, reason = "mapped memory is not modelled")]
pub(crate) use loom::sync::atomic::AtomicU64;
#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, AtomicU32, Ordering, fence},
};
#[cfg(loom)]
pub(crate) use loom::thread::yield_now;

/// Tells loom which bytes of a region's plain data are touched, so that a read racing a write
/// fails the model. Ordinary builds carry nothing of it.
#[cfg(not(loom))]
pub(crate) struct RaceCheck;

#[cfg(not(loom))]
impl RaceCheck {
    pub(crate) fn new(_bytes: usize) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn read(&self, _offset: u32, _len: u32) {}

    #[inline]
    pub(crate) fn write(&self, _offset: u32, _len: u32) {}
}

/// One cell per 8 bytes, the unit in which records are laid out.
#[cfg(loom)]
pub(crate) struct RaceCheck(Box<[loom::cell::UnsafeCell<()>]>);

#[cfg(loom)]
impl RaceCheck {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(
            (0..bytes / 8)
                .map(|_| loom::cell::UnsafeCell::new(()))
                .collect(),
        )
    }

    pub(crate) fn read(&self, offset: u32, len: u32) {
        for cell in self.cells(offset, len) {
            cell.with(|_| ());
        }
    }

    pub(crate) fn write(&self, offset: u32, len: u32) {
        for cell in self.cells(offset, len) {
            cell.with_mut(|_| ());
        }
    }

    fn cells(&self, offset: u32, len: u32) -> &[loom::cell::UnsafeCell<()>] {
        let first = offset as usize / 8;
        &self.0[first..first + (len as usize).div_ceil(8)]
    }
}
