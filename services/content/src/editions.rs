//! Versions ready to be filled in, kept in memory. A version never changes, so what is kept is never out of date.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use cursus_ids::TemplateVersionName;
use cursus_template::{Compiled, FieldUse, Renderer};
use sqlx::PgPool;

use crate::error::{Error, What};
use crate::metrics::EDITIONS;
use crate::store;

/// A version that is parsed.
#[derive(Debug)]
pub(crate) struct Edition {
    pub(crate) renderer: Renderer,
    pub(crate) links: Vec<String>,
    pub(crate) fields: Vec<FieldUse>,
}

/// The editions that were used last. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Editions {
    pool: PgPool,
    shelf: Arc<Mutex<Shelf<TemplateVersionName, Arc<Edition>>>>,
}

/// As many things as it has places; what was not used for longest makes room.
#[derive(Debug)]
struct Shelf<K, V> {
    places: NonZeroUsize,
    uses: u64,
    things: HashMap<K, (V, u64)>,
}

impl Edition {
    pub(crate) fn new(compiled: Compiled) -> Result<Self, Error> {
        let renderer = Renderer::new(&compiled).map_err(Error::Corrupt)?;
        Ok(Self { renderer, links: compiled.links, fields: compiled.fields })
    }
}

impl Editions {
    pub(crate) fn new(pool: PgPool, places: NonZeroUsize) -> Self {
        Self { pool, shelf: Arc::new(Mutex::new(Shelf::new(places))) }
    }

    pub(crate) async fn get(&self, name: &TemplateVersionName) -> Result<Arc<Edition>, Error> {
        if let Some(edition) = self.shelf(|shelf| shelf.get(name)) {
            EDITIONS.with_label_values(&["memory"]).inc();
            return Ok(edition);
        }
        let mut conn = self.pool.acquire().await?;
        let compiled = store::versions::compiled(&mut conn, name).await?;
        let compiled = compiled.ok_or_else(|| Error::no_such(What::Version, name))?;
        // Several may parse it at once when it is new here. They make the same, and that is rare and quick.
        let edition = Arc::new(Edition::new(compiled)?);
        EDITIONS.with_label_values(&["database"]).inc();
        self.shelf(|shelf| shelf.put(name.clone(), Arc::clone(&edition)));
        Ok(edition)
    }

    fn shelf<T>(&self, work: impl FnOnce(&mut Shelf<TemplateVersionName, Arc<Edition>>) -> T) -> T {
        // Whoever panicked while holding it left at worst a use that was not counted.
        work(&mut self.shelf.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: Clone + Eq + std::hash::Hash, V: Clone> Shelf<K, V> {
    fn new(places: NonZeroUsize) -> Self {
        Self { places, uses: 0, things: HashMap::new() }
    }

    fn get(&mut self, key: &K) -> Option<V> {
        self.uses += 1;
        let (thing, used) = self.things.get_mut(key)?;
        *used = self.uses;
        Some(thing.clone())
    }

    fn put(&mut self, key: K, thing: V) {
        self.uses += 1;
        if !self.things.contains_key(&key) && self.things.len() >= self.places.get() {
            let oldest = self.things.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.things.remove(&oldest);
            }
        }
        self.things.insert(key, (thing, self.uses));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let mut shelf = Shelf::new(NonZeroUsize::new(2).unwrap());
        shelf.put("a", 1);
        shelf.put("b", 2);
        assert_eq!(shelf.get(&"a"), Some(1));
        shelf.put("c", 3);
        assert_eq!((shelf.get(&"a"), shelf.get(&"b"), shelf.get(&"c")), (Some(1), None, Some(3)));
    }

    #[test]
    fn putting_the_same_again_needs_no_room() {
        let mut shelf = Shelf::new(NonZeroUsize::new(2).unwrap());
        shelf.put("a", 1);
        shelf.put("b", 2);
        shelf.put("b", 3);
        assert_eq!((shelf.get(&"a"), shelf.get(&"b")), (Some(1), Some(3)));
    }
}
