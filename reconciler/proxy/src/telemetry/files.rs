//! Where the mesh has requests logged: in files, and at services that are told of them.
//!
//! Owns: which there are for each side, which headers they want, and one writer for each path, whatever snapshot names it.
//! May not: be looked for while a request waits: a world has its logs ready.

use std::collections::{BTreeMap, HashMap};
use std::fs::OpenOptions;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::{HeaderMap, HeaderName};
use taut_snapshot::Text;
use taut_snapshot::object::{FilterAttribute, FilterStep, HeaderNames, LogFile, LogFormat, LogItem, LogPiece, Told};
use tokio::runtime::Handle;

use super::filter::holds;
use super::log::{Entry, Log};
use super::told::Sink;
use crate::config::{AccessLog, LogFormat as OwnFormat};
use crate::trace::export::Report;
use crate::worker::Shared;

/// Writers by path. They live as long as the proxy.
#[derive(Default)]
pub(crate) struct Writers {
    by_path: Mutex<BTreeMap<Text, Arc<Log>>>,
    /// Runs on a thread that serves, from which they are started.
    serving: OnceLock<Handle>,
}

impl Writers {
    /// From now on they are started from a thread of this runtime, which serves.
    pub(crate) fn start_from(&self, serving: &Handle) {
        self.serving.get_or_init(|| serving.clone());
    }

    /// The writer of a path.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn of(&self, path: &Text) -> Result<Arc<Log>, String> {
        let mut known = self.by_path.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = known.get(path) {
            return Ok(log.clone());
        }
        let failed = |error: io::Error| format!("the access log {path} cannot be written: {error}");
        let to: Box<dyn io::Write + Send> = match path.as_str() {
            "/dev/stdout" => Box::new(io::stdout()),
            "/dev/stderr" => Box::new(io::stderr()),
            path => Box::new(OpenOptions::new().create(true).append(true).open(path).map_err(failed)?),
        };
        let log = AccessLog { to, format: OwnFormat::Text, provenance: false };
        let log = Arc::new(Log::start(log, self.serving.get()).map_err(failed)?);
        known.insert(path.clone(), log.clone());
        Ok(log)
    }

    /// Waits until all that was handed over is written.
    pub(crate) fn flush(&self) {
        self.by_path.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(|log| log.flush());
    }
}

/// The logs of one side of a workload.
pub(crate) struct Logs {
    all: Vec<OneLog>,
    /// Headers that they want of requests, and of answers.
    asked: Vec<HeaderName>,
    answered: Vec<HeaderName>,
}

struct OneLog {
    to: To,
    filter: Vec<FilterStep>,
}

enum To {
    File(Arc<Log>, Arc<LogFormat>),
    Service(Arc<Sink>),
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logs").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Logs {
    /// Opens the files; none if there are none, and nobody is told.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub(crate) fn open(files: &[LogFile], told: Vec<Sink>, writers: &Writers) -> Result<Option<Arc<Logs>>, String> {
        if files.is_empty() && told.is_empty() {
            return Ok(None);
        }
        let mut logs = Logs { all: Vec::new(), asked: Vec::new(), answered: Vec::new() };
        for file in files {
            let pieces: Vec<&LogPiece> = match &file.format {
                LogFormat::Text(pieces) => pieces.iter().collect(),
                LogFormat::Json(fields) => fields.iter().flat_map(|field| &field.value).collect(),
            };
            logs.want(&pieces, &file.filter);
            let to = To::File(writers.of(&file.path)?, Arc::new(file.format.clone()));
            logs.all.push(OneLog { to, filter: file.filter.clone() });
        }
        for sink in told {
            let names =
                |names: &[Text]| names.iter().filter_map(|name| HeaderName::try_from(name.as_str()).ok()).collect();
            let pieces: Vec<&LogPiece> = match &sink.service.takes {
                Told::Requests(headers) => {
                    logs.asked.extend::<Vec<HeaderName>>(names(&headers.request));
                    logs.answered.extend::<Vec<HeaderName>>(names(&headers.response));
                    Vec::new()
                }
                Told::Connections => Vec::new(),
                Told::Otlp(record) => {
                    record.body.iter().chain(record.attributes.iter().flat_map(|field| &field.value)).collect()
                }
            };
            logs.want(&pieces, &sink.service.filter);
            let filter = sink.service.filter.clone();
            logs.all.push(OneLog { to: To::Service(Arc::new(sink)), filter });
        }
        for names in [&mut logs.asked, &mut logs.answered] {
            names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
            names.dedup();
        }
        Ok(Some(Arc::new(logs)))
    }

    fn want(&mut self, pieces: &[&LogPiece], filter: &[FilterStep]) {
        let names = |it: &HeaderNames| {
            [&it.name, &it.otherwise].into_iter().filter_map(|name| HeaderName::try_from(name.as_str()).ok()).collect()
        };
        for piece in pieces {
            let LogPiece::Item(item) = piece else { continue };
            match &item.item {
                LogItem::Request(it) => self.asked.extend::<Vec<HeaderName>>(names(it)),
                LogItem::Response(it) => self.answered.extend::<Vec<HeaderName>>(names(it)),
                _ => {}
            }
        }
        for step in filter {
            let FilterStep::Test(test) = step else { continue };
            let name = match &test.attribute {
                FilterAttribute::Header(name) => name.as_str(),
                FilterAttribute::RequestUserAgent => "user-agent",
                FilterAttribute::RequestId => "x-request-id",
                _ => continue,
            };
            self.asked.extend(HeaderName::try_from(name));
        }
    }

    /// What of a request they want to keep.
    pub(crate) fn keep(self: &Arc<Logs>, headers: &HeaderMap) -> Kept {
        Kept { asked: picked(&self.asked, headers), answered: HeaderMap::new(), logs: self.clone() }
    }

    /// Hands a record to each that wants it.
    pub(super) fn write(&self, entry: &Arc<Entry>, shared: &Shared) {
        for log in self.all.iter().filter(|log| holds(&log.filter, entry)) {
            match &log.to {
                To::File(writer, format) => {
                    writer.write(entry.clone(), Some(format.clone()), &shared.counters.log_drops);
                }
                To::Service(sink) if sink.wants(entry) => {
                    shared.reports.add(Report::Log(sink.clone(), entry.clone()), &shared.counters);
                }
                To::Service(_) => {}
            }
        }
    }
}

/// What is kept of a request for its logs.
#[derive(Debug)]
pub(crate) struct Kept {
    asked: HeaderMap,
    answered: HeaderMap,
    pub(super) logs: Arc<Logs>,
}

impl Kept {
    /// There is an answer.
    pub(crate) fn answer(&mut self, headers: &HeaderMap) {
        self.answered = picked(&self.logs.answered, headers);
    }

    /// Those headers of the request, and of the answer, that are of these names.
    pub(super) fn named(&self, request: &[Text], response: &[Text]) -> [HashMap<String, String>; 2] {
        let of = |names: &[Text], from: &HeaderMap| {
            names.iter().filter_map(|name| Some((name.to_string(), text(from, name)?))).collect()
        };
        [of(request, &self.asked), of(response, &self.answered)]
    }

    /// A header of the request.
    pub(super) fn asked(&self, name: &str) -> Option<String> {
        text(&self.asked, name)
    }

    /// A header of the answer.
    pub(super) fn answered(&self, name: &str) -> Option<String> {
        text(&self.answered, name)
    }
}

fn picked(names: &[HeaderName], from: &HeaderMap) -> HeaderMap {
    names.iter().filter_map(|name| Some((name.clone(), from.get(name)?.clone()))).collect()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
