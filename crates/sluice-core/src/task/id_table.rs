//! Values by ids that were given in order.

use hashbrown::HashTable;

/// Values that know their id. Ids are our own, one after the other, so a cheap hash spreads them.
#[derive(Debug)]
pub(super) struct IdTable<T> {
    values: HashTable<(u64, T)>,
}

impl<T> Default for IdTable<T> {
    fn default() -> Self {
        Self {
            values: HashTable::new(),
        }
    }
}

/// Fibonacci hashing (Knuth, TAOCP 3, 6.4).
fn hash(id: u64) -> u64 {
    id.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<T> IdTable<T> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// `id` is not there yet.
    pub(super) fn insert(&mut self, id: u64, value: T) {
        self.values
            .insert_unique(hash(id), (id, value), |&(id, _)| hash(id));
    }

    pub(super) fn get(&self, id: u64) -> Option<&T> {
        self.values
            .find(hash(id), |&(own, _)| own == id)
            .map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.values
            .find_mut(hash(id), |&(own, _)| own == id)
            .map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<T> {
        let entry = self
            .values
            .find_entry(hash(id), |&(own, _)| own == id)
            .ok()?;
        Some(entry.remove().0.1)
    }

    /// In no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.values.iter().map(|(id, value)| (*id, value))
    }
}
