//! The operators' end: commands become requests, replies become values.

use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code, Status as Refusal};

use super::proto::control_client::ControlClient;
use super::{Unreadable, digest, drift, proto, record, status};
use crate::api::ApiError;
use crate::command::{Order, Target};
use crate::record::Record;
use crate::status::{Done, Drift, Outcome, Status, Waited};

/// The largest reply: a thousand records, or the status of a hundred thousand members.
const REPLY_BYTES_MAX: usize = 256 << 20;

/// Calls to a reconciler.
#[derive(Clone, Debug)]
pub(crate) struct Calls(ControlClient<Channel>);

type Called<T> = Result<T, ApiError>;

impl From<Unreadable> for ApiError {
    fn from(unreadable: Unreadable) -> ApiError {
        ApiError::Answer(unreadable.to_string())
    }
}

/// What a failed call means.
fn failed(refusal: &Refusal) -> ApiError {
    match refusal.code() {
        Code::FailedPrecondition | Code::InvalidArgument => ApiError::Refused(refusal.message().to_owned()),
        _ => ApiError::Lost(refusal.message().to_owned()),
    }
}

fn order(order: &Order) -> Option<proto::Order> {
    Some(proto::Order { who: order.who.clone(), why: order.why.clone() })
}

fn done(reply: proto::DoneReply) -> Called<Done> {
    let snapshot = reply.snapshot.as_deref().map(digest).transpose()?;
    Ok(Done { generation: reply.generation, snapshot, said: reply.said })
}

impl Calls {
    pub(crate) fn new(channel: Channel) -> Calls {
        Calls(ControlClient::new(channel).max_decoding_message_size(REPLY_BYTES_MAX))
    }

    pub(crate) async fn status(&mut self) -> Called<Status> {
        let reply = self.0.status(proto::StatusRequest {}).await.map_err(|refusal| failed(&refusal))?;
        Ok(status(reply.into_inner())?)
    }

    pub(crate) async fn wait(
        &mut self,
        target: Target,
        timeout: Duration,
        mut pending: impl FnMut(&str),
    ) -> Called<Waited> {
        use proto::wait_request::Target as To;
        let target = match target {
            Target::Current => None,
            Target::Commit(rev) => Some(To::Commit(rev)),
            Target::Snapshot(id) => Some(To::Snapshot(id)),
            Target::Generation(generation) => Some(To::Generation(generation)),
        };
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let request = proto::WaitRequest { target, timeout_ms };
        let mut replies = self.0.wait(request).await.map_err(|refusal| failed(&refusal))?.into_inner();
        loop {
            let reply = replies.message().await.map_err(|refusal| failed(&refusal))?;
            let Some(proto::WaitReply { outcome, said }) = reply else {
                return Err(ApiError::Lost("it stopped".to_owned()));
            };
            if outcome.is_empty() {
                pending(&said);
                continue;
            }
            let outcome = Outcome::of(&outcome).ok_or(Unreadable("the outcome"))?;
            return Ok(Waited { outcome, said });
        }
    }

    pub(crate) async fn history(&mut self, limit: usize) -> Called<Vec<Record>> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let reply = self.0.history(proto::HistoryRequest { limit }).await.map_err(|refusal| failed(&refusal))?;
        let records = reply.into_inner().records.into_iter().map(record);
        Ok(records.collect::<Result<_, _>>()?)
    }

    pub(crate) async fn drift(&mut self) -> Called<Vec<Drift>> {
        let reply = self.0.drift(proto::DriftRequest {}).await.map_err(|refusal| failed(&refusal))?;
        let drifts = reply.into_inner().drifts.into_iter().map(drift);
        Ok(drifts.collect::<Result<_, _>>()?)
    }

    pub(crate) async fn plan(&mut self) -> Called<String> {
        let reply = self.0.plan(proto::PlanRequest {}).await.map_err(|refusal| failed(&refusal))?;
        Ok(reply.into_inner().text)
    }

    pub(crate) async fn rollback(&mut self, to: Option<String>, by: &Order) -> Called<Done> {
        let request = proto::RollbackRequest { order: order(by), to };
        done(self.0.rollback(request).await.map_err(|refusal| failed(&refusal))?.into_inner())
    }

    pub(crate) async fn hold(&mut self, by: &Order) -> Called<Done> {
        let request = proto::HoldRequest { order: order(by) };
        done(self.0.hold(request).await.map_err(|refusal| failed(&refusal))?.into_inner())
    }

    pub(crate) async fn resume(&mut self, by: &Order) -> Called<Done> {
        let request = proto::ResumeRequest { order: order(by) };
        done(self.0.resume(request).await.map_err(|refusal| failed(&refusal))?.into_inner())
    }
}
