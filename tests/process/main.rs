//! Real processes, real sockets, real disks.

mod bad_input;
mod capture;
mod churn;
mod demo;
