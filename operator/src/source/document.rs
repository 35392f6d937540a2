//! A file's text -> typed objects: YAML (several documents) or JSON (one object).
//!
//! Everything that a file can get wrong before it has a meaning is found here, with line and column: syntax, unknown
//! kinds, wrong types, fields that no kind has. Unknown fields inside a policy's narrowing parts are kept by their types
//! and refused by `config`, with the rule they would have widened.

use config::ObjectRef;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::locate;
use super::names;
use super::object::Object;
use super::problem::Mistake;

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Yaml,
    Json,
}

/// An object and the first line of its document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) reference: ObjectRef,
    pub(super) object: Object,
    pub(super) line: u64,
}

/// Reads one document as any type.
pub(super) trait Reader {
    fn read<T: DeserializeOwned>(&self, kind: &str) -> Result<T, Mistake>;
}

/// Reads all objects of a text.
pub(super) fn parse(text: &str, format: Format) -> Result<Vec<Placed>, Mistake> {
    // A byte order mark is what some editors write; it is not a part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let chunks = match format {
        Format::Yaml => split(text),
        Format::Json => vec![Chunk {
            text,
            first_line: 1,
            format,
        }],
    };
    let mut objects = Vec::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_blank()) {
        objects.extend(chunk.object()?);
    }
    if objects.is_empty() {
        return Err(Mistake::whole(
            "the file holds no object; write one into it, or remove the file to remove what it held",
        ));
    }
    Ok(objects)
}

/// One document of a text.
struct Chunk<'a> {
    text: &'a str,
    first_line: u64,
    format: Format,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: Option<String>,
    kind: Option<String>,
}

impl Chunk<'_> {
    /// Only comments, directives and markers.
    fn is_blank(&self) -> bool {
        self.text.lines().map(str::trim).all(|line| {
            let line = line
                .strip_prefix("---")
                .or_else(|| line.strip_prefix("..."))
                .unwrap_or(line)
                .trim_start();
            line.is_empty() || line.starts_with('#') || line.starts_with('%')
        })
    }

    fn object(&self) -> Result<Option<Placed>, Mistake> {
        let Some(header) = self.deserialize::<Option<Header>>(&mut Vec::new())? else {
            return Ok(None);
        };
        // Comments and the marker may stand in front; the object begins after them.
        let skipped = self
            .text
            .lines()
            .take_while(|line| line.trim().is_empty() || line.starts_with(['#', '-', '%']));
        let line = self.first_line + u64::try_from(skipped.count()).unwrap_or(0);
        let (Some(api_version), Some(kind)) = (header.api_version, header.kind) else {
            return Err(Mistake::at(line, "the object has no apiVersion or no kind; add both"));
        };
        let Some(namespaced) = Object::namespaced(&api_version, &kind) else {
            return Err(Mistake::at(line, unknown_kind(&api_version, &kind)));
        };
        self.refuse_null(&api_version, line)?;
        let Some(mut object) = Object::read(&api_version, &kind, self)? else {
            return Ok(None);
        };
        let metadata = object.metadata_mut();
        names::complete(metadata, namespaced, &kind).map_err(|message| Mistake::at(line, message))?;
        let reference = object.reference();
        Ok(Some(Placed {
            reference,
            object,
            line,
        }))
    }

    /// In our own kinds a null would read as "not given", and so widen a rule.
    fn refuse_null(&self, api_version: &str, first_line: u64) -> Result<(), Mistake> {
        if !api_version.starts_with(crds::GROUP) {
            return Ok(());
        }
        let value = self.deserialize::<serde_json::Value>(&mut Vec::new())?;
        let Some(path) = locate::first_null(&value) else {
            return Ok(());
        };
        let place = match self.format {
            Format::Yaml => locate::find(self.text, &path),
            Format::Json => None,
        };
        Err(Mistake {
            path: String::new(),
            line: Some(place.map_or(first_line, |(line, _)| line + self.first_line - 1)),
            column: place.map(|(_, column)| column),
            message: format!("{path} is null, which would count as not given; write a value or remove the field"),
        })
    }

    fn deserialize<T: DeserializeOwned>(&self, ignored: &mut Vec<locate::FieldPath>) -> Result<T, Mistake> {
        let note = |path: serde_ignored::Path<'_>| ignored.push(locate::FieldPath::from(&path));
        match self.format {
            Format::Yaml => serde_saphyr::with_deserializer_from_str_with_options(self.text, options(), |yaml| {
                serde_ignored::deserialize(yaml, note)
            })
            .map_err(|error| self.yaml_mistake(&error)),
            Format::Json => {
                let mut json = serde_json::Deserializer::from_str(self.text);
                serde_ignored::deserialize(&mut json, note)
                    .and_then(|value| json.end().map(|()| value))
                    .map_err(|error| json_mistake(&error))
            }
        }
    }

    fn yaml_mistake(&self, error: &serde_saphyr::Error) -> Mistake {
        let place = error.location();
        Mistake {
            path: String::new(),
            line: place.map(|place| place.line() + self.first_line - 1),
            column: place.map(|place| place.column()),
            message: format!(
                "{}; correct the file and save it again",
                plain(&error.without_snippet().to_string())
            ),
        }
    }
}

/// The library's words for people who write YAML, not Rust.
fn plain(text: &str) -> String {
    let text = without_place(text);
    if let Some(key) = text
        .strip_prefix("duplicate mapping key: ")
        .and_then(|rest| rest.split(',').next())
    {
        return format!("the field {key} stands twice");
    }
    text.replace("expected mapping start", "expected fields (`name: value`) here")
        .replace("expected sequence start", "expected a list here")
}

impl Reader for Chunk<'_> {
    fn read<T: DeserializeOwned>(&self, kind: &str) -> Result<T, Mistake> {
        let mut ignored = Vec::new();
        let object = self.deserialize(&mut ignored)?;
        // The Rust type says which kind it is, so it does not read these two.
        let Some(path) = ignored.iter().find(|path| !path.is("apiVersion") && !path.is("kind")) else {
            return Ok(object);
        };
        let place = match self.format {
            Format::Yaml => locate::find(self.text, path),
            Format::Json => None,
        };
        Err(Mistake {
            path: String::new(),
            line: Some(place.map_or(self.first_line, |(line, _)| line + self.first_line - 1)),
            column: place.map(|(_, column)| column),
            message: format!("there is no field {path} in {kind}; remove it or correct its spelling"),
        })
    }
}

/// Types as the Kubernetes API server sees them: a number is no string, a key stands once.
pub(super) fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        no_schema: true,
        with_snippet: false,
    }
}

fn json_mistake(error: &serde_json::Error) -> Mistake {
    Mistake {
        path: String::new(),
        line: u64::try_from(error.line()).ok().filter(|line| *line > 0),
        column: u64::try_from(error.column()).ok().filter(|column| *column > 0),
        message: format!(
            "{}; correct the file and save it again",
            without_place(&error.to_string())
        ),
    }
}

/// The library's words without the place, which is said separately.
fn without_place(text: &str) -> &str {
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text.get(..end).unwrap_or(text).trim_end_matches(':').trim()
}

fn unknown_kind(api_version: &str, kind: &str) -> String {
    if kind == "MeshStatus" && api_version.starts_with("mesh.tulle.dev/") {
        return "MeshStatus is written by Tulle only; remove it and see `tulle get meshstatus`".to_owned();
    }
    if let Some((wanted, _)) = Object::kinds().iter().find(|(_, known)| *known == kind) {
        return format!("{kind} is read as apiVersion {wanted}, not {api_version}; correct apiVersion");
    }
    let known: Vec<&str> = Object::kinds().iter().map(|(_, kind)| *kind).collect();
    format!(
        "kind {kind} of {api_version} is not read from files; remove the object or correct its kind (one of {})",
        known.join(", ")
    )
}

/// Splits at lines that begin with `---`: nothing else may begin so in YAML, block scalars included.
fn split(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut first_line, mut offset) = (0, 1, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.trim_end().is_empty() || rest.starts_with([' ', '\t']));
        if marker && offset > start {
            chunks.push(Chunk {
                text: text.get(start..offset).unwrap_or_default(),
                first_line,
                format: Format::Yaml,
            });
            (start, first_line) = (offset, number);
        }
        offset += line.len();
    }
    chunks.push(Chunk {
        text: text.get(start..).unwrap_or_default(),
        first_line,
        format: Format::Yaml,
    });
    chunks
}
