//! Names of tasks, each kept once however many timers call it.

use std::collections::HashMap;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct TaskNames {
    /// Name and how many hold it, by number.
    names: Vec<(Arc<str>, usize)>,
    numbers: HashMap<Arc<str>, u32>,
    free: Vec<u32>,
}

impl TaskNames {
    /// The number of a name, held once more.
    pub(super) fn take(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            self.names[number as usize].1 += 1;
            return number;
        }
        let name: Arc<str> = Arc::from(name);
        let number = self.free.pop().unwrap_or_else(|| {
            self.names.push((Arc::from(""), 0));
            // There are no more names than timers, whose places are counted in 32 bits.
            self.names.len() as u32 - 1
        });
        self.names[number as usize] = (Arc::clone(&name), 1);
        self.numbers.insert(name, number);
        number
    }

    /// One holds it less.
    pub(super) fn give_back(&mut self, number: u32) {
        let Some((name, held)) = self.names.get_mut(number as usize) else {
            return;
        };
        *held = held.saturating_sub(1);
        if *held == 0 {
            self.numbers.remove(&**name);
            *name = Arc::from("");
            self.free.push(number);
        }
    }

    /// The name of a number that is held.
    pub(super) fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", |(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_for_as_long_as_it_is_held() {
        let mut names = TaskNames::default();
        let (a, b) = (names.take("a"), names.take("b"));
        assert_eq!(names.take("a"), a);
        names.give_back(a);
        assert_eq!((names.name(a), names.name(b)), ("a", "b"));
        names.give_back(a);
        assert_eq!(names.take("c"), a, "its number is used again");
        assert_eq!(names.name(a), "c");
        assert_ne!(names.take("a"), a);
        assert_eq!(names.names.len(), 3);
    }
}
