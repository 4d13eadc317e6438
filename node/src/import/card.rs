//! Model and data cards: Google's Model Card Toolkit, Hugging Face, and plain Markdown.
//!
//! A card names its subject and describes it; it is signed by nobody and identifies no bytes.

use std::collections::BTreeMap;

use counterfoil_protocol::observation::{Metric, Subject};
use serde_json::Value as Json;

use super::json::{Content, label, list, metric, text, time_at};
use super::proof::Proof;
use super::{ImportError, Imported, Input};

/// Largest front matter, in bytes.
const FRONT_MATTER_BYTES_MAX: usize = 256 * 1024;
/// Most headings that are copied into a claim.
const HEADINGS_MAX: usize = 128;

/// Metrics as the Model Card Toolkit and CycloneDX write them: type, value and slice.
pub(super) fn performance(values: &[Json]) -> Vec<Metric> {
    let each = values.iter().filter_map(|one| {
        let kind = text(one, "/type")?;
        let slice = text(one, "/slice").filter(|slice| !slice.eq_ignore_ascii_case("overall"));
        // A value for a part must not pass for the value of the whole.
        let name = slice.map_or_else(|| kind.to_owned(), |slice| format!("{kind}@{slice}"));
        metric(&name, one.get("value")?)
    });
    each.collect()
}

/// A card of the Model Card Toolkit.
pub(super) fn toolkit(input: &Input<'_>, value: &Json) -> Result<Imported, ImportError> {
    let name =
        text(value, "/model_details/name").ok_or_else(|| input.fail("document", "the model has no name"))?;
    let mut content = Content::default();
    let empty = Json::Null;
    let details = value.get("model_details").unwrap_or(&empty);
    content.put_all(details, &["name", "overview", "owners", "version", "licenses", "references", "path"]);
    content.put("considerations", value.get("considerations"));
    let version = text(value, "/schema_version").unwrap_or("unknown");
    let proof = Proof::unsigned("a model card carries no signature");
    let subject = Subject::Named(name.to_owned());
    let format = label(&format!("model-card-toolkit/{version}"));
    let mut imported = input.claim(format, "description/model-card", vec![subject], proof);
    imported.effective = time_at(details, "/version/date");
    imported.metrics = performance(list(value, "/quantitative_analysis/performance_metrics"));
    imported.content = content.into_fields();
    imported.materials = list(value, "/model_parameters/data")
        .iter()
        .filter_map(|data| text(data, "/link").or_else(|| text(data, "/name")))
        .map(|name| Subject::Named(name.to_owned()))
        .collect();
    Ok(imported)
}

/// Whether this is Markdown.
pub(super) fn is_markdown(name: &str, text: &str) -> bool {
    [".md", ".markdown"].iter().any(|end| name.ends_with(end)) || text.starts_with("---\n# ")
}

/// A card in Markdown, with or without the front matter that Hugging Face reads.
pub(super) fn markdown(input: &Input<'_>, document: &str) -> Result<Imported, ImportError> {
    let (front, body) = match front_matter(document) {
        Some((front, body)) => (Some(yaml(input, front)?), body),
        None => (None, document),
    };
    let headings = headings(body);
    let is_data =
        headings.first().is_some_and(|title| title.to_ascii_lowercase().starts_with("dataset card"));
    let claim = if is_data { "description/data-card" } else { "description/model-card" };
    let empty = Json::Null;
    let data = front.as_ref().unwrap_or(&empty);
    let name = text(data, "/model-index/0/name")
        .or_else(|| text(data, "/model_name"))
        .or_else(|| text(data, "/pretty_name"))
        .map(str::to_owned)
        .or_else(|| headings.first().map(|title| title_name(title)))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| input.name.to_owned());

    let mut content = Content::default();
    content.put_all(
        data,
        &[
            "license",
            "language",
            "tags",
            "library_name",
            "pipeline_tag",
            "task_categories",
            "size_categories",
        ],
    );
    content.put("headings", Some(&Json::from(headings.iter().map(|text| label(text)).collect::<Vec<_>>())));
    let format = if front.is_some() { "huggingface/card" } else { "markdown" };
    let mut proof = Proof::unsigned("a card carries no signature");
    let (metrics, incomplete) = results(data);
    if incomplete > 0 {
        let detail = format!("{incomplete} results name no data set, so their metrics are left out");
        proof = proof.and("model-index", false, detail);
    }
    let mut imported = input.claim(format, claim, vec![Subject::Named(name)], proof);
    imported.metrics = metrics;
    imported.content = content.into_fields();
    imported.materials = names(data.get("base_model"))
        .chain(names(data.get("datasets")))
        .map(|name| Subject::Named(name.to_owned()))
        .collect();
    Ok(imported)
}

/// The text between the first two lines of dashes, and what follows.
fn front_matter(document: &str) -> Option<(&str, &str)> {
    let rest = document.strip_prefix("---")?;
    let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))?;
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some((rest.get(..at)?, rest.get(at + line.len()..)?));
        }
        at += line.len();
    }
    None
}

fn yaml(input: &Input<'_>, front: &str) -> Result<Json, ImportError> {
    if front.len() > FRONT_MATTER_BYTES_MAX {
        return Err(input.fail("front-matter", format!("more than {FRONT_MATTER_BYTES_MAX} bytes")));
    }
    let value: Json = serde_saphyr::from_str(front).map_err(|e| input.fail("front-matter", e))?;
    if value.is_object() { Ok(value) } else { Err(input.fail("front-matter", "it is not a map of fields")) }
}

/// A text, or each text of a list.
fn names(value: Option<&Json>) -> impl Iterator<Item = &str> {
    let alone = value.and_then(Json::as_str);
    let several = value.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    alone.into_iter().chain(several).filter(|name| !name.is_empty())
}

/// The metrics of a card's results, and how many results name no data set.
fn results(data: &Json) -> (Vec<Metric>, usize) {
    let (mut found, mut incomplete) = (Vec::new(), 0_usize);
    let mut times = BTreeMap::<&str, usize>::new();
    for result in list(data, "/model-index").iter().flat_map(|model| list(model, "/results")) {
        let Some(dataset) = text(result, "/dataset/name").or_else(|| text(result, "/dataset/type")) else {
            incomplete += 1;
            continue;
        };
        for one in list(result, "/metrics") {
            if let (Some(kind), Some(value)) = (text(one, "/type"), one.get("value")) {
                *times.entry(kind).or_default() += 1;
                found.push((kind, dataset, value));
            }
        }
    }
    let metrics = found.into_iter().filter_map(|(kind, dataset, value)| {
        // The plain name is only given away where there is one candidate for it.
        let alone = times.get(kind) == Some(&1);
        let name = if alone { kind.to_owned() } else { format!("{kind}@{dataset}") };
        metric(&name, value)
    });
    (metrics.collect(), incomplete)
}

/// The headings outside of code blocks, without their marks.
fn headings(body: &str) -> Vec<&str> {
    let mut in_code = false;
    let lines = body.lines().filter(|line| {
        in_code ^= line.trim_start().starts_with("```");
        !in_code
    });
    lines
        .filter_map(|line| {
            let title = line.trim_start_matches('#');
            let marks = line.len() - title.len();
            ((1..=6).contains(&marks) && title.starts_with(' ')).then(|| title.trim())
        })
        .filter(|title| !title.is_empty())
        .take(HEADINGS_MAX)
        .collect()
}

/// `Whisper` out of `Model Card: Whisper`, and `GPT-2` out of `GPT-2 model card`.
fn title_name(title: &str) -> String {
    let lower = title.to_ascii_lowercase();
    for prefix in ["model card for ", "dataset card for ", "model card: ", "dataset card: "] {
        if lower.starts_with(prefix) {
            return title.get(prefix.len()..).unwrap_or(title).trim().to_owned();
        }
    }
    let end = lower.strip_suffix(" model card").map_or(title.len(), str::len);
    title.get(..end).unwrap_or(title).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_name_the_model() {
        for (title, name) in [
            ("Model Card: Whisper", "Whisper"),
            ("GPT-2 model card", "GPT-2"),
            ("Dataset Card for Beans", "Beans"),
            ("Résumé model card", "Résumé"),
            ("my-cool-model", "my-cool-model"),
        ] {
            assert_eq!(title_name(title), name);
        }
    }

    #[test]
    fn code_holds_no_headings_and_a_line_of_dashes_ends_the_front_matter() {
        assert_eq!(headings("# a\n```\n# b\n```\n####### c\n## d\n"), ["a", "d"]);
        assert_eq!(front_matter("---\na: 1\n---\nrest"), Some(("a: 1\n", "rest")));
        assert_eq!(front_matter("---\na: 1\n"), None);
    }
}
