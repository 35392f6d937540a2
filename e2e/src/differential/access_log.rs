//! The proxies' access logs, read as they grow. Lines are told apart by the request id that each probe carries.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// One line about a request or connection.
#[derive(Clone, Debug)]
pub struct Line {
    /// Whose proxy wrote it: `namespace/workload`.
    pub proxy: String,
    /// The probe; empty for a connection.
    pub id: String,
    /// As it was written.
    pub text: String,
    /// It is of the destination's side.
    pub inbound: bool,
    fields: Value,
}

impl Line {
    /// A field with a text.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| *text != "-")
    }

    /// A field with a number, as text.
    pub fn number(&self, name: &str) -> Option<String> {
        self.fields
            .get(name)
            .filter(|value| value.is_number())
            .map(Value::to_string)
    }

    /// All of it, for reports.
    pub fn fields(&self) -> &Value {
        &self.fields
    }
}

/// The logs of all proxies.
#[derive(Debug, Default)]
pub struct AccessLogs(BTreeMap<String, Log>);

#[derive(Debug)]
struct Log {
    file: File,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
}

impl AccessLogs {
    /// Opens the logs of these workloads (`namespace/workload`).
    pub fn open<'a>(state: &Path, workloads: impl Iterator<Item = &'a String>) -> Result<Self> {
        let mut logs = BTreeMap::new();
        for workload in workloads {
            let path = state
                .join("logs")
                .join(format!("{}.envoy.log", workload.replace('/', ".")));
            let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            logs.insert(workload.clone(), Log { file, rest: Vec::new() });
        }
        Ok(Self(logs))
    }

    /// The lines that came since the last look.
    pub fn read(&mut self) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for (proxy, log) in &mut self.0 {
            log.file.read_to_end(&mut log.rest)?;
            let end = log.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let whole: Vec<u8> = log.rest.drain(..end).collect();
            lines.extend(whole.split(|byte| *byte == b'\n').filter_map(|line| parse(proxy, line)));
        }
        Ok(lines)
    }
}

fn parse(proxy: &str, line: &[u8]) -> Option<Line> {
    let fields: Value = serde_json::from_slice(line).ok()?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    Some(Line {
        proxy: proxy.to_owned(),
        id: text("request_id").unwrap_or_default().to_owned(),
        text: String::from_utf8_lossy(line).into_owned(),
        inbound: text("direction")? == "inbound",
        fields,
    })
}
