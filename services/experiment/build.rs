//! Rebuilds when a migration changes, because `migrate!` does not see a new file.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
