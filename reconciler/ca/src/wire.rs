//! The messages of `schemas/ca.proto`. Generated types do not leave this module.
//!
//! Owns: what a request, an answer and a refusal look like on the wire, on both ends.
//! Invariant: what comes from the wire is bounded before it is looked at, and has one meaning or none.

use std::error::Error;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::csr::CSR_BYTES_MAX;
use crate::serve::{Peer, Service};
use crate::{CaError, Caller, Issued, JoinToken, Refusal};

#[expect(unreachable_pub, clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated")]
mod generated {
    tonic::include_proto!("taut.ca.v1");
}

use generated::certificate_authority_client::CertificateAuthorityClient;
use generated::certificate_authority_server::{CertificateAuthority, CertificateAuthorityServer};
use generated::{IssueRequest, IssueResponse};

/// The most bytes of a request: the certificate request, and room for a token.
const REQUEST_BYTES_MAX: usize = CSR_BYTES_MAX + 1024;

/// The most bytes of an answer: a short chain, and the roots that a bundle can have.
const RESPONSE_BYTES_MAX: usize = 256 * 1024;

/// What someone asks for.
pub(crate) struct Ask {
    /// `None`: whoever holds the certificate of the connection.
    pub(crate) token: Option<JoinToken>,
    /// PKCS#10 in DER.
    pub(crate) request: Vec<u8>,
    pub(crate) lifetime: Option<Duration>,
}

/// A chain and roots, as an authority sends them.
pub(crate) struct Answer {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) bundle: Vec<CertificateDer<'static>>,
}

pub(crate) fn server(service: Service) -> CertificateAuthorityServer<Service> {
    CertificateAuthorityServer::new(service).max_decoding_message_size(REQUEST_BYTES_MAX)
}

#[tonic::async_trait]
impl CertificateAuthority for Service {
    async fn issue(&self, request: Request<IssueRequest>) -> Result<Response<IssueResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        let message = request.into_inner();
        let caller = caller(&message.join_token, peer).map_err(|refusal| status(&refusal.into()))?;
        let lifetime = Some(message.lifetime_seconds).filter(|it| *it != 0).map(Duration::from_secs);
        let issued = self.issue(caller, message.csr_der, lifetime).await;
        issued.map(|issued| Response::new(response(&issued))).map_err(|error| status(&error))
    }
}

/// A token counts before the certificate: whoever shows one wants the identity that it is for.
fn caller(token: &str, Peer(peer): Peer) -> Result<Caller, Refusal> {
    match (token, peer) {
        ("", None) => Err(Refusal::Anonymous),
        ("", Some(peer)) => Ok(Caller::Certificate(peer)),
        (token, _) => Ok(Caller::Token(token.parse()?)),
    }
}

fn response(issued: &Issued) -> IssueResponse {
    let bytes = |list: &[CertificateDer<'_>]| list.iter().map(|it| it.to_vec()).collect();
    IssueResponse { chain: bytes(&issued.chain), bundle: bytes(issued.bundle.roots()) }
}

/// Refusals are told in full: whoever gets one holds a token or a certificate, or learns that one is needed. Failures
/// are not: they are about our disk.
fn status(error: &CaError) -> Status {
    let code = match error {
        CaError::Refused(refusal) => match refusal {
            Refusal::Anonymous
            | Refusal::BadToken(_)
            | Refusal::OtherAuthority
            | Refusal::UnknownToken
            | Refusal::UsedToken
            | Refusal::ExpiredToken => Code::Unauthenticated,
            Refusal::TrustDomain { .. } | Refusal::OtherMesh { .. } | Refusal::NotInMesh { .. } => {
                Code::PermissionDenied
            }
            Refusal::Lifetime { .. } | Refusal::Request { .. } => Code::InvalidArgument,
            Refusal::IssuerExpired => Code::Unavailable,
        },
        _ => return Status::internal("the authority failed: see its log"),
    };
    Status::new(code, error.to_string())
}

/// Why an authority gave no answer.
pub(crate) enum NoAnswer {
    /// It said no, and will again.
    Refused(String),
    /// It failed, or the connection did.
    Failed(String),
}

/// Asks an authority, over a connection to it.
pub(crate) async fn ask(channel: Channel, ask: Ask) -> Result<Answer, NoAnswer> {
    let request = IssueRequest {
        csr_der: ask.request,
        join_token: ask.token.map(|token| token.to_text()).unwrap_or_default(),
        lifetime_seconds: ask.lifetime.map_or(0, |lifetime| lifetime.as_secs().max(1)),
    };
    let mut client = CertificateAuthorityClient::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX);
    let response = client.issue(request).await.map_err(|status| match status.code() {
        Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument => {
            NoAnswer::Refused(status.message().to_owned())
        }
        _ => NoAnswer::Failed(status.source().map_or_else(|| status.message().to_owned(), explain)),
    })?;
    let response = response.into_inner();
    let certificates = |list: Vec<Vec<u8>>| list.into_iter().map(CertificateDer::from).collect();
    Ok(Answer { chain: certificates(response.chain), bundle: certificates(response.bundle) })
}

/// The innermost cause of a failure: all that tonic itself says of it is "transport error".
pub(crate) fn explain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}
