//! Who called what, added up from access logs.
//!
//! Pure: lines in, rows out. Only lines of destinations count: the caller's own proxy writes about the same request once more,
//! before it is decided. Lines of anybody else are counted and otherwise left alone.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use serde::Serialize;

use crate::access_log::{Decided, Direction, LogLine};

/// Nothing, as rows show it.
const NONE: &str = "-";

/// How calls are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// By the Service port that the caller's proxy announced; by address where it announced none.
    Announced,
    /// By the address that was dialled.
    Address,
}

/// What one caller did at one destination under one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerRow {
    /// The verified identity, or what the certificate said of one that was refused for it; `-` for callers without one.
    pub caller: String,
    /// `<namespace>/<service>:<port>`, or an address.
    pub destination: String,
    /// The permission rule or default that decided; `-` if none did.
    pub rule: String,
    /// Requests, and connections of TCP ports.
    pub requests: u64,
    /// Let in by permissions.
    pub allowed: u64,
    /// Refused or ended, by permissions or for want of an identity.
    pub denied: u64,
    /// Let in or refused, and the candidate policy of Shadow permissions would refuse it.
    pub would_deny: u64,
    /// Refused by a limit.
    pub limited: u64,
    /// Changed by a fault.
    pub faulted: u64,
}

/// All rows and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerReport {
    /// By caller, destination and rule.
    pub items: Vec<CallerRow>,
    /// Lines of callers' own proxies.
    pub outbound: u64,
    /// Lines that are not of our access log.
    pub foreign: u64,
}

/// Adds lines up.
#[derive(Clone, Debug)]
pub struct Sums {
    by: Destination,
    /// By caller, destination and rule.
    rows: BTreeMap<[String; 3], CallerRow>,
    outbound: u64,
    foreign: u64,
}

impl Sums {
    /// Nothing yet.
    pub fn new(by: Destination) -> Self {
        Self {
            by,
            rows: BTreeMap::new(),
            outbound: 0,
            foreign: 0,
        }
    }

    /// Reads a log to its end.
    pub fn read(&mut self, mut log: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line)? > 0 {
            self.line(&line);
            line.clear();
        }
        Ok(())
    }

    /// One line; empty ones are nobody's.
    pub fn line(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        match LogLine::parse(line) {
            Ok(line) if line.direction == Direction::Inbound => self.call(line),
            Ok(_) => self.outbound += 1,
            Err(_) => self.foreign += 1,
        }
    }

    fn call(&mut self, line: LogLine) {
        let announced = line.announced.filter(|_| self.by == Destination::Announced);
        let address = || line.destination.map(|address| address.to_string());
        let key = [line.caller, announced.or_else(address), line.rule];
        let row = self
            .rows
            .entry(key.map(|part| part.unwrap_or(NONE.to_owned())))
            .or_default();
        row.requests += 1;
        row.allowed += u64::from(line.decided == Decided::Allowed);
        row.denied += u64::from(line.decided == Decided::Denied);
        row.would_deny += u64::from(line.would_deny.is_some());
        row.limited += u64::from(line.limited_by.is_some());
        row.faulted += u64::from(line.fault.is_some());
    }

    /// The rows.
    pub fn report(self) -> CallerReport {
        let items = self
            .rows
            .into_iter()
            .map(|([caller, destination, rule], row)| CallerRow {
                caller,
                destination,
                rule,
                ..row
            });
        CallerReport {
            items: items.collect(),
            outbound: self.outbound,
            foreign: self.foreign,
        }
    }
}
