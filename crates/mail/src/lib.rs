//! One message, composed and sent safely.
//!
//! [`compose()`] turns typed parts into bytes; every type it takes refuses control characters when it is made, so nothing
//! a contact typed can become a header or an SMTP command. [`smtp`] hands those bytes to a relay and says in which window
//! of the transaction a failure happened; [`classify`] says whose fault a refusal was.

mod address;
mod compose;
mod disposition;
mod header;
mod malformed;
mod reply;
pub mod smtp;

pub use address::{Address, Domain, Mailbox};
pub use compose::{Outgoing, compose};
pub use disposition::{Disposition, classify};
pub use header::{FeedbackId, HeaderText, ListId, MessageId, UnsubscribeUrl};
pub use malformed::Malformed;
pub use reply::{Enhanced, Reply};
