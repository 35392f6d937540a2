//! What a person would look at when pods of a namespace do not get ready.

use crate::cluster::Cluster;

/// Pods, the newest events and the last words of each pod, as far as they can be had.
pub(super) fn describe(cluster: &Cluster, namespace: &str) -> String {
    let ask = |arguments: &[&str]| {
        let namespace = format!("--namespace={namespace}");
        let answer = cluster.kubectl(&[&[&*namespace], arguments].concat());
        answer.unwrap_or_else(|error| format!("{error:#}\n"))
    };
    let mut text = ask(&["get", "pods", "--output=wide"]);
    text += &ask(&["get", "events", "--sort-by=.lastTimestamp"]);
    let names = ask(&["get", "pods", "--output=name"]);
    for pod in names.lines() {
        for previous in [" --previous=true", " --previous=false"] {
            text += "\n";
            text += pod;
            text += previous;
            text += ":\n";
            text += &ask(&["logs", pod, "--all-containers", "--tail=20", previous.trim()]);
        }
    }
    text
}
