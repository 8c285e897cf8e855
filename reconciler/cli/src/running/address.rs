//! Addresses on the command line: `HOST:PORT`, or `@FILE` for one that another process writes down when it knows it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::commands::compile::write_whole;
use crate::failure::Failure;

/// The address of another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Given(String),
    InFile(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        match text.strip_prefix('@') {
            Some(file) => Ok(Address::InFile(file.to_owned())),
            None => match text.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    Ok(Address::Given(text.to_owned()))
                }
                _ => Err("write HOST:PORT, or @FILE for a file that holds it".to_owned()),
            },
        }
    }
}

impl Address {
    /// `HOST:PORT`, as it is known now.
    ///
    /// # Errors
    /// If the file cannot be read: then its writer has not started yet.
    pub(crate) fn resolve(&self) -> io::Result<String> {
        match self {
            Address::Given(address) => Ok(address.clone()),
            Address::InFile(file) => match fs::read_to_string(file) {
                Ok(text) => Ok(text.trim().to_owned()),
                Err(error) => {
                    Err(io::Error::new(error.kind(), format!("`{file}`, which is to hold the address: {error}")))
                }
            },
        }
    }

    /// `HOST:PORT`, once its writer has started.
    pub(crate) async fn wait(&self) -> String {
        const AGAIN: Duration = Duration::from_millis(50);
        let mut said = false;
        loop {
            match self.resolve() {
                Ok(address) => return address,
                Err(error) if !said => {
                    said = true;
                    tracing::info!("waiting for {error}");
                }
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Writes down where this process listens, for others that name it as `@FILE`.
pub(crate) fn publish(folder: &Path, address: SocketAddr) -> Result<(), Failure> {
    write_whole(&folder.join("address"), address.to_string().as_bytes())
}

/// Listens, or says who cannot.
pub(crate) async fn listen(address: SocketAddr) -> Result<tokio::net::TcpListener, Failure> {
    let bound = tokio::net::TcpListener::bind(address).await;
    bound.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => "another process has that port: stop it, or name another port with `--listen` (port 0 takes any that is free)",
            io::ErrorKind::PermissionDenied => "ports below 1024 need privileges: name a higher one with `--listen`",
            _ => "name another address with `--listen`",
        };
        Failure(format!("cannot listen on {address}: {error}; {remedy}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_or_stand_in_a_file() {
        assert_eq!("127.0.0.1:80".parse(), Ok(Address::Given("127.0.0.1:80".into())));
        assert_eq!("ca.example.com:80".parse(), Ok(Address::Given("ca.example.com:80".into())));
        assert_eq!("@/tmp/x".parse(), Ok(Address::InFile("/tmp/x".into())));
        assert!("127.0.0.1".parse::<Address>().is_err());
        assert!(":80".parse::<Address>().is_err());
    }
}
