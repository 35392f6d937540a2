//! The kinds that can be asked for, under all their names, with the columns of their tables.
//!
//! Names and columns of our kinds come from their definitions, so that `tulle get` and `kubectl get` agree; those of
//! Kubernetes' own kinds stand here.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// Where the value is, in the JSON path of printer columns.
    pub path: String,
    /// A time, shown as an age.
    pub date: bool,
    /// Only shown with `-o wide`.
    pub wide: bool,
}

/// A kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As in `kind:`.
    pub kind: String,
    /// As in URLs and on the command line.
    pub plural: String,
    /// Other names on the command line.
    pub aliases: Vec<String>,
    /// Whether its objects have a namespace.
    pub namespaced: bool,
    /// Its columns after the name.
    pub columns: Vec<Column>,
}

/// Every kind.
pub fn all() -> Vec<Kind> {
    crds::all().iter().filter_map(of_definition).chain(builtin()).collect()
}

/// The kind of any of its names, in any case.
pub fn find(name: &str) -> Option<Kind> {
    let name = name.to_lowercase();
    all()
        .into_iter()
        .find(|kind| kind.plural == name || kind.aliases.contains(&name))
}

fn of_definition(definition: &CustomResourceDefinition) -> Option<Kind> {
    let names = &definition.spec.names;
    let columns = definition
        .spec
        .versions
        .first()?
        .additional_printer_columns
        .clone()
        .unwrap_or_default();
    let mut aliases = names.short_names.clone().unwrap_or_default();
    aliases.push(names.kind.to_lowercase());
    Some(Kind {
        kind: names.kind.clone(),
        plural: names.plural.clone(),
        aliases,
        namespaced: definition.spec.scope == "Namespaced",
        columns: columns
            .into_iter()
            .map(|column| Column {
                name: column.name,
                path: column.json_path,
                date: column.type_ == "date",
                wide: column.priority.is_some_and(|priority| priority > 0),
            })
            .collect(),
    })
}

fn builtin() -> [Kind; 3] {
    let kind = |kind: &str, plural: &str, aliases: &[&str], namespaced, columns: &[(&str, &str)]| Kind {
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        aliases: aliases.iter().map(ToString::to_string).collect(),
        namespaced,
        columns: columns
            .iter()
            .map(|(name, path)| Column {
                name: (*name).to_owned(),
                path: (*path).to_owned(),
                date: false,
                wide: false,
            })
            .collect(),
    };
    [
        kind(
            "Service",
            "services",
            &["service", "svc"],
            true,
            &[
                ("Cluster-IP", ".spec.clusterIP"),
                ("Port(s)", ".spec.ports[*].port"),
                ("Selector", ".spec.selector"),
            ],
        ),
        kind(
            "EndpointSlice",
            "endpointslices",
            &["endpointslice"],
            true,
            &[("Ports", ".ports[*].port"), ("Endpoints", ".endpoints[*].addresses[*]")],
        ),
        kind("Namespace", "namespaces", &["namespace", "ns"], false, &[]),
    ]
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn kinds_are_found_by_all_their_names() {
        for (name, kind) in [
            ("mesh", "Mesh"),
            ("meshes", "Mesh"),
            ("ms", "MeshStatus"),
            ("meshstatus", "MeshStatus"),
            ("tp", "TrafficPermission"),
            ("TrafficPermissions", "TrafficPermission"),
            ("tr", "TrafficRoute"),
            ("rl", "RateLimit"),
            ("fi", "FaultInjection"),
            ("wl", "Workload"),
            ("svc", "Service"),
            ("ns", "Namespace"),
        ] {
            assert_eq!(find(name).map(|found| found.kind).as_deref(), Some(kind), "{name}");
        }
        assert_eq!(find("pods"), None);
    }
}
