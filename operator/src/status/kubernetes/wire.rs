//! What replicas say to each other, and how a report becomes messages and a report again.
//!
//! Messages are changes only; the newest of an object or a proxy counts, and nothing counts before the last message of a
//! report has arrived: half a report could claim what its sender never did. Fields that nobody knows are ignored, so that
//! replicas of two versions understand each other during an upgrade.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::ObjectRef;
use config::model::Key;
use serde::{Deserialize, Serialize};

use super::super::{Mark, Report, Reported};
use crate::engine::{ProxyView, Rejection};

/// About as many bytes go into one message.
const MESSAGE: usize = 512 << 10;
/// More rejections of one proxy are not reported; status shows fewer.
const MOST_REJECTIONS: usize = 32;
/// More proxies or objects than one mesh can have are a mistake.
const MOST: usize = 200_000;

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Message {
    /// The first one: who reports.
    Hello(String),
    /// A change of the report.
    Change(Change),
    /// Still here.
    Beat,
}

/// Part of a change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Change {
    objects: Vec<(Name, Option<ObjectMark>)>,
    proxies: Vec<(String, String, Option<Proxy>)>,
    /// It counts when the last part has arrived.
    more: bool,
}

/// Kind, namespace, name.
type Name = (String, String, String);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct ObjectMark {
    changed: u64,
    content: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Proxy {
    /// Microseconds since 1970.
    since: u64,
    sent: Option<u64>,
    acked: Option<u64>,
    failed: Option<String>,
    /// Seconds since 1970.
    certificate: Option<u64>,
    rejections: Vec<Refused>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Refused {
    kind: String,
    name: String,
    message: String,
    objects: Vec<Name>,
    /// Seconds since 1970.
    at: u64,
}

/// The messages that turn one report into another; none if they are the same.
pub(super) fn changes(before: &Report, after: &Report) -> Vec<Change> {
    let mut parts = vec![Change::default()];
    let mut size = 0;
    let mut part = |parts: &mut Vec<Change>, bytes: usize| {
        if size + bytes > MESSAGE && size > 0 {
            if let Some(last) = parts.last_mut() {
                last.more = true;
            }
            parts.push(Change::default());
            size = 0;
        }
        size += bytes;
    };
    for (object, mark) in edits(&before.objects, &after.objects) {
        part(&mut parts, 200);
        let mark = mark.map(|mark| ObjectMark {
            changed: mark.changed,
            content: mark.content,
        });
        if let Some(last) = parts.last_mut() {
            last.objects.push((name(object), mark));
        }
    }
    for (key, reported) in edits(&before.proxies, &after.proxies) {
        let proxy = reported.map(proxy);
        part(&mut parts, proxy.as_ref().map_or(200, bytes));
        let entry = (key.namespace.to_string(), key.name.to_string(), proxy);
        if let Some(last) = parts.last_mut() {
            last.proxies.push(entry);
        }
    }
    parts.retain(|part| !part.objects.is_empty() || !part.proxies.is_empty());
    parts
}

/// What is new or different in `after`, and what is gone.
fn edits<'a, K: Ord, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>)> {
    let gone = before
        .keys()
        .filter(|key| !after.contains_key(key))
        .map(|key| (key, None));
    let set = after.iter().filter(|(key, value)| before.get(key) != Some(value));
    gone.chain(set.map(|(key, value)| (key, Some(value))))
}

/// A report that arrives.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    report: Report,
    parts: Vec<Change>,
}

/// More arrived than a mesh can have.
#[derive(Debug, thiserror::Error)]
#[error("a report of more than {MOST} proxies or objects")]
pub(super) struct TooMuch;

impl Assembly {
    /// Takes a part; the report once it is whole.
    pub(super) fn take(&mut self, change: Change) -> Result<Option<Arc<Report>>, TooMuch> {
        let more = change.more;
        self.parts.push(change);
        let pending: usize = self
            .parts
            .iter()
            .map(|part| part.objects.len() + part.proxies.len())
            .sum();
        if pending > MOST {
            return Err(TooMuch);
        }
        if more {
            return Ok(None);
        }
        for part in std::mem::take(&mut self.parts) {
            for (name, mark) in part.objects {
                let mark = mark.map(|mark| Mark {
                    changed: mark.changed,
                    content: mark.content,
                });
                put(&mut self.report.objects, Arc::new(object(&name)), mark);
            }
            for (namespace, name, proxy) in part.proxies {
                put(
                    &mut self.report.proxies,
                    Key::new(&namespace, &name),
                    proxy.map(reported),
                );
            }
        }
        if self.report.proxies.len() > MOST || self.report.objects.len() > MOST {
            return Err(TooMuch);
        }
        Ok(Some(Arc::new(self.report.clone())))
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

fn bytes(proxy: &Proxy) -> usize {
    let refused = proxy.rejections.iter().map(|one| 500 + one.message.len());
    300 + refused.sum::<usize>()
}

fn name(object: &ObjectRef) -> Name {
    (
        object.kind.to_string(),
        object.namespace.to_string(),
        object.name.to_string(),
    )
}

fn object((kind, namespace, name): &Name) -> ObjectRef {
    ObjectRef::new(kind, namespace, name)
}

fn proxy(reported: &Reported) -> Proxy {
    let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let view = &reported.proxy;
    let rejections = view.rejections.iter().take(MOST_REJECTIONS).map(|rejection| Refused {
        kind: rejection.kind.type_url().to_owned(),
        name: rejection.name.to_string(),
        message: rejection.message.to_string(),
        objects: rejection.objects.iter().map(|object| name(object)).collect(),
        at: since_1970(rejection.at).as_secs(),
    });
    Proxy {
        since: u64::try_from(since_1970(view.since).as_micros()).unwrap_or(u64::MAX),
        sent: view.sent,
        acked: view.acked,
        failed: view.failed.clone(),
        certificate: reported.certificate.map(|end| since_1970(end).as_secs()),
        rejections: rejections.collect(),
    }
}

fn reported(proxy: Proxy) -> Reported {
    let at = |since_1970: Duration| {
        SystemTime::UNIX_EPOCH
            .checked_add(since_1970)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let rejections = proxy.rejections.into_iter().filter_map(|refused| {
        Some(Rejection {
            // A kind that only a newer version has.
            kind: xds::Kind::from_type_url(&refused.kind)?,
            name: refused.name.into(),
            version: None,
            message: refused.message.into(),
            objects: refused.objects.iter().map(|name| Arc::new(object(name))).collect(),
            at: at(Duration::from_secs(refused.at)),
        })
    });
    Reported {
        certificate: proxy.certificate.map(|end| at(Duration::from_secs(end))),
        proxy: Arc::new(ProxyView {
            connected: true,
            since: at(Duration::from_micros(proxy.since)),
            sent: proxy.sent,
            acked: proxy.acked,
            rejections: rejections.collect(),
            failed: proxy.failed,
        }),
    }
}
