//! A bounded store: least recently used first out, by weight.

use std::hash::Hash;

use lru::LruCache;

/// Values with weights; the newest always stays, however heavy.
pub struct Store<K: Hash + Eq, V> {
    entries: LruCache<K, (V, [u64; 2])>,
    held: [u64; 2],
    limits: [u64; 2],
}

impl<K: Hash + Eq + Clone, V: Clone> Store<K, V> {
    /// Two limits, on two weights of whatever the caller counts (bytes and open files, say).
    pub fn new(limits: [u64; 2]) -> Self {
        Store { entries: LruCache::unbounded(), held: [0; 2], limits }
    }

    /// The value, now the most recently used.
    pub fn get(&mut self, key: &K) -> Option<V> {
        self.entries.get(key).map(|(value, _)| value.clone())
    }

    /// The value, its age unchanged.
    pub fn peek(&self, key: &K) -> Option<&V> {
        self.entries.peek(key).map(|(value, _)| value)
    }

    /// Adds or replaces; gives back what had to go, for the caller to drop outside its lock.
    pub fn insert(&mut self, key: K, value: V, weights: [u64; 2]) -> Vec<V> {
        let mut gone = Vec::new();
        if let Some(old) = self.entries.put(key, (value, weights)) {
            self.release(old, &mut gone);
        }
        self.held = [self.held[0].saturating_add(weights[0]), self.held[1].saturating_add(weights[1])];
        while (self.held[0] > self.limits[0] || self.held[1] > self.limits[1]) && self.entries.len() > 1 {
            match self.entries.pop_lru() {
                Some((_, old)) => self.release(old, &mut gone),
                None => break,
            }
        }
        gone
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (value, weights) = self.entries.pop(key)?;
        let mut gone = Vec::new();
        self.release((value, weights), &mut gone);
        gone.pop()
    }

    /// Takes the oldest value out.
    pub fn remove_oldest(&mut self) -> Option<V> {
        let (_, old) = self.entries.pop_lru()?;
        let mut gone = Vec::new();
        self.release(old, &mut gone);
        gone.pop()
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Weights held together.
    pub fn held(&self) -> [u64; 2] {
        self.held
    }

    fn release(&mut self, (value, weights): (V, [u64; 2]), gone: &mut Vec<V>) {
        self.held = [self.held[0].saturating_sub(weights[0]), self.held[1].saturating_sub(weights[1])];
        gone.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_the_newest_stays() {
        let mut store = Store::new([10, 3]);
        assert!(store.insert("a", 1, [4, 1]).is_empty());
        assert!(store.insert("b", 2, [4, 1]).is_empty());
        assert_eq!(store.get(&"a"), Some(1));
        assert_eq!(store.insert("c", 3, [4, 1]), [2]);
        assert_eq!(store.insert("d", 4, [1, 2]), [1]);
        assert_eq!(store.insert("e", 5, [99, 9]), [3, 4]);
        assert_eq!(store.held(), [99, 9]);
        assert_eq!(store.insert("e", 6, [1, 1]), [5]);
        assert_eq!((store.held(), store.len(), store.remove(&"e")), ([1, 1], 1, Some(6)));
        assert!(store.is_empty());
    }
}
