//! What no single package can test: the five services together, and the rules of the whole tree.

mod tidy;
