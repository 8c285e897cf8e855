//! What must be true of any bytes that this crate reads of others: one function for each kind of reader, which panics where it
//! is not. `tests/fuzz` and `tests/compatibility` drive them; no product is built with them.

use crate::wire::{
    read_desired, read_head, read_known, read_record, write_desired, write_head, write_known, write_record,
};

/// What the ledger takes for one of its entries is one: written again, it is read as the same.
///
/// # Panics
/// If it is not.
pub fn entries(bytes: &[u8]) {
    if let Ok(record) = read_record(bytes) {
        assert_eq!(read_record(&write_record(&record)).ok(), Some(record));
    }
    if let Ok(desired) = read_desired(bytes) {
        assert_eq!(read_desired(&write_desired(&desired)).ok(), Some(desired));
    }
    if let Ok(head) = read_head(bytes) {
        assert_eq!(read_head(&write_head(&head)).ok(), Some(head));
    }
    if let Ok(known) = read_known(bytes) {
        assert!(read_known(&write_known("a", &known)).ok() == Some(known), "it is read as another member");
    }
}
