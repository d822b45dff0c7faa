//! Which contact a call is about.
//!
//! A user id is a contact's id, if it is fit to be one. Others, such as addresses, are hashed, so that any program's ids
//! will do and none is in a name; and anonymous ids have a prefix of their own, so that nobody is taken for somebody else.

use std::fmt::Write;

use cursus_ids::ContactId;
use sha2::{Digest, Sha256};

const ANONYMOUS: &str = "anon-";
const HASHED: &str = "hashed-";
/// Bytes of the hash that are kept: with 128 bits no two ids meet by chance.
const HASH: usize = 16;

/// The contact that a program calls so.
pub(crate) fn of_user(id: &str) -> ContactId {
    let is_reserved = id.starts_with(ANONYMOUS) || id.starts_with(HASHED);
    match id.parse() {
        Ok(id) if !is_reserved => id,
        _ => contact(&format!("{HASHED}{}", hash(id))),
    }
}

/// The contact of whom only this is known.
pub(crate) fn of_anonymous(id: &str) -> ContactId {
    let named = format!("{ANONYMOUS}{id}").parse();
    named.unwrap_or_else(|_| contact(&format!("{ANONYMOUS}{HASHED}{}", hash(id))))
}

fn hash(id: &str) -> String {
    let mut hex = String::with_capacity(2 * HASH);
    for byte in &Sha256::digest(id)[..HASH] {
        write!(hex, "{byte:02x}").expect("a string takes every write");
    }
    hex
}

fn contact(text: &str) -> ContactId {
    text.parse().expect("a prefix and hexadecimal digits are the id of a contact")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fit_user_id_is_the_contacts_id_and_any_other_is_hashed() {
        assert_eq!(of_user("019mr8mf4r").as_ref(), "019mr8mf4r");
        assert_eq!(of_user("ana@example.com").as_ref(), "hashed-8e43ca37701228e74983efdbd0cff5c1");
        assert_eq!(of_anonymous("39239-2").as_ref(), "anon-39239-2");
    }

    proptest! {
        #[test]
        fn different_people_are_different_contacts(left in "\\PC{1,140}", right in "\\PC{1,140}") {
            prop_assert_eq!(left == right, of_user(&left) == of_user(&right));
            prop_assert_eq!(left == right, of_anonymous(&left) == of_anonymous(&right));
            prop_assert_ne!(of_user(&left), of_anonymous(&right));
        }

        #[test]
        fn nobody_can_call_himself_by_anothers_prefix(id in "[a-z0-9]{1,20}") {
            prop_assert_ne!(of_user(&format!("anon-{id}")), of_anonymous(&id));
            let hashed = of_user(&format!("{id}@example.com"));
            prop_assert_ne!(of_user(hashed.as_ref()), hashed);
        }
    }
}
