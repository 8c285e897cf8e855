//! The operators' service: requests become commands, answers become replies.

use std::pin::Pin;

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::proto::control_server::{Control, ControlServer};
use super::{drift_of, proto, record_of, status_of};
use crate::command::{Command, Order, Target};
use crate::control::Answer;
use crate::status::Done;

/// A command, and whom to answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub command: Command,
    pub reply: mpsc::Sender<Answer>,
}

/// Words on the way to one who asked. Whoever does not read loses what stood in the way in between, never the outcome.
const REPLIES: usize = 16;

/// The most records that one reply has: 4 MB of them, with long reasons.
const HISTORY_MAX: usize = 1000;

/// The longest word that an operator may write into the ledger.
const WORD_BYTES_MAX: usize = 1024;

pub(crate) fn server(asked: mpsc::Sender<Asked>) -> ControlServer<Service> {
    ControlServer::new(Service { asked })
}

pub(crate) struct Service {
    asked: mpsc::Sender<Asked>,
}

fn stopping() -> Status {
    Status::unavailable("the reconciler is stopping")
}

fn order(from: Option<proto::Order>) -> Result<Order, Status> {
    let proto::Order { who, why } = from.unwrap_or_default();
    if who.is_empty() || WORD_BYTES_MAX < who.len().max(why.len()) {
        return Err(Status::invalid_argument(format!(
            "an order needs a name, and no more than {WORD_BYTES_MAX} bytes"
        )));
    }
    Ok(Order { who, why })
}

impl Service {
    async fn ask(&self, command: Command) -> Result<mpsc::Receiver<Answer>, Status> {
        let (reply, answers) = mpsc::channel(REPLIES);
        self.asked.send(Asked { command, reply }).await.map_err(|_| stopping())?;
        Ok(answers)
    }

    async fn answer<T>(&self, command: Command, read: impl Fn(Answer) -> Option<T>) -> Result<Response<T>, Status> {
        match self.ask(command).await?.recv().await {
            Some(Answer::Failed(why)) => Err(Status::failed_precondition(why)),
            Some(answer) => read(answer).map(Response::new).ok_or_else(|| Status::internal("another answer")),
            None => Err(stopping()),
        }
    }

    async fn order(&self, command: Command) -> Result<Response<proto::DoneReply>, Status> {
        let read = |answer| match answer {
            Answer::Done(Done { generation, snapshot, said }) => {
                Some(proto::DoneReply { generation, snapshot: snapshot.map(super::bytes_of), said })
            }
            _ => None,
        };
        self.answer(command, read).await
    }
}

#[tonic::async_trait]
impl Control for Service {
    type WaitStream = Pin<Box<dyn Stream<Item = Result<proto::WaitReply, Status>> + Send>>;

    async fn status(&self, _: Request<proto::StatusRequest>) -> Result<Response<proto::StatusReply>, Status> {
        let read = |answer| match answer {
            Answer::Status(status) => Some(status_of(&status)),
            _ => None,
        };
        self.answer(Command::Status, read).await
    }

    async fn wait(&self, request: Request<proto::WaitRequest>) -> Result<Response<Self::WaitStream>, Status> {
        use proto::wait_request::Target as From;
        let proto::WaitRequest { target, timeout_ms } = request.into_inner();
        let target = match target {
            Some(From::Commit(rev)) => Target::Commit(rev),
            Some(From::Snapshot(id)) => Target::Snapshot(id),
            Some(From::Generation(generation)) => Target::Generation(generation),
            None => Target::Current,
        };
        let timeout = std::time::Duration::from_millis(timeout_ms);
        let answers = self.ask(Command::Wait { target, timeout }).await?;
        let replies = stream::unfold(Some(answers), |answers| async move {
            let mut answers = answers?;
            let (reply, more) = match answers.recv().await {
                Some(Answer::Pending(said)) => (Ok(proto::WaitReply { outcome: String::new(), said }), true),
                Some(Answer::Waited(waited)) => {
                    (Ok(proto::WaitReply { outcome: waited.outcome.word().to_owned(), said: waited.said }), false)
                }
                Some(Answer::Failed(why)) => (Err(Status::failed_precondition(why)), false),
                _ => (Err(stopping()), false),
            };
            Some((reply, more.then_some(answers)))
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn history(&self, request: Request<proto::HistoryRequest>) -> Result<Response<proto::HistoryReply>, Status> {
        let limit = (request.into_inner().limit as usize).min(HISTORY_MAX);
        let read = |answer| match answer {
            Answer::History(records) => Some(proto::HistoryReply { records: records.iter().map(record_of).collect() }),
            _ => None,
        };
        self.answer(Command::History { limit }, read).await
    }

    async fn drift(&self, _: Request<proto::DriftRequest>) -> Result<Response<proto::DriftReply>, Status> {
        let read = |answer| match answer {
            Answer::Drift(drifts) => Some(proto::DriftReply { drifts: drifts.iter().map(drift_of).collect() }),
            _ => None,
        };
        self.answer(Command::Drift, read).await
    }

    async fn plan(&self, _: Request<proto::PlanRequest>) -> Result<Response<proto::PlanReply>, Status> {
        let read = |answer| match answer {
            Answer::Plan(text) => Some(proto::PlanReply { text }),
            _ => None,
        };
        self.answer(Command::Plan, read).await
    }

    async fn rollback(&self, request: Request<proto::RollbackRequest>) -> Result<Response<proto::DoneReply>, Status> {
        let proto::RollbackRequest { order: from, to } = request.into_inner();
        self.order(Command::Rollback { to, order: order(from)? }).await
    }

    async fn hold(&self, request: Request<proto::HoldRequest>) -> Result<Response<proto::DoneReply>, Status> {
        self.order(Command::Hold { order: order(request.into_inner().order)? }).await
    }

    async fn resume(&self, request: Request<proto::ResumeRequest>) -> Result<Response<proto::DoneReply>, Status> {
        self.order(Command::Resume { order: order(request.into_inner().order)? }).await
    }
}
