//! A bounded memory of what was asked for lately. What it holds never changes, so it is never wrong.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Remembers at least the last `capacity` entries used, and at most twice as many: when the young half is full it
/// becomes the old one, and what was old and is not used again is forgotten.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    halves: Mutex<Halves<K, V>>,
    capacity: usize,
}

#[derive(Debug)]
struct Halves<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        let halves = Halves { young: HashMap::new(), old: HashMap::new() };
        Self { halves: Mutex::new(halves), capacity }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.lock().get(key, self.capacity)
    }

    /// The same of several, in their order.
    pub(crate) fn get_each(&self, keys: &[K]) -> Vec<Option<V>> {
        let mut halves = self.lock();
        keys.iter().map(|key| halves.get(key, self.capacity)).collect()
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        self.lock().remember(key, value, self.capacity);
    }

    fn lock(&self) -> MutexGuard<'_, Halves<K, V>> {
        // Entries are whole at any moment, whoever panicked.
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V: Clone> Halves<K, V> {
    fn get(&mut self, key: &K, capacity: usize) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.remember(key, value.clone(), capacity);
        Some(value)
    }

    fn remember(&mut self, key: K, value: V, capacity: usize) {
        if self.young.len() >= capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_remembered_and_what_is_not_is_forgotten() {
        let recent = Recent::new(3);
        recent.insert("kept", 0);
        for number in 1..100 {
            assert_eq!(recent.get(&"kept"), Some(0), "after {number}");
            recent.insert(["a", "b", "c", "d", "e", "f", "g"][number % 7], number);
        }
        let halves = recent.halves.lock().unwrap();
        assert!(halves.young.len() + halves.old.len() <= 6);
    }
}
