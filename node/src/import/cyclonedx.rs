//! CycloneDX bills of material, read for what they say about models and data.

use counterfoil_protocol::observation::{ArtifactDigest, Metric, Subject};
use serde_json::Value as Json;

use super::card::performance;
use super::json::{Content, digest, label, list, text, time_at};
use super::proof::Proof;
use super::{ImportError, Imported, Input};

/// Versions whose fields this module knows; others are read as far as they agree.
const VERSIONS: [&str; 3] = ["1.5", "1.6", "1.7"];
/// Most components that are looked at.
const COMPONENTS_MAX: usize = 65_536;

/// Reads a bill of material.
pub(super) fn read(input: &Input<'_>, value: &Json) -> Result<Imported, ImportError> {
    let version =
        text(value, "/specVersion").ok_or_else(|| input.fail("document", "it has no specVersion"))?;
    let components = components(value);
    let models = || components.iter().filter(|one| is(one, "machine-learning-model"));

    let about: Vec<&Json> = match value.pointer("/metadata/component") {
        Some(component) if component.is_object() => vec![component],
        // Without it the bill is about the models in it.
        _ => models().copied().collect(),
    };
    let mut subjects: Vec<_> = about.iter().flat_map(|component| known_as(component)).collect();
    if subjects.is_empty() {
        let serial = text(value, "/serialNumber").map(|serial| Subject::Named(serial.to_owned()));
        let itself = || Subject::Artifact {
            digest: ArtifactDigest::sha256_of(input.bytes),
            label: Some(label(input.name)),
        };
        subjects.push(serial.unwrap_or_else(itself));
    }

    // The subject may stand among the components once more, there with its model card.
    let cards: Vec<&Json> = components
        .iter()
        .chain(&about)
        .filter(|one| known_as(one).iter().any(|name| subjects.contains(name)))
        .filter_map(|one| one.get("modelCard"))
        .collect();
    let mut metrics: Vec<Metric> = Vec::new();
    for metric in
        cards.iter().flat_map(|card| performance(list(card, "/quantitativeAnalysis/performanceMetrics")))
    {
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    let mut materials: Vec<_> = components
        .iter()
        .filter(|one| is(one, "machine-learning-model") || is(one, "data"))
        .flat_map(|one| known_as(one))
        .collect();
    materials.extend(cards.iter().flat_map(|card| datasets(card, &components)));
    materials.retain(|material| !subjects.contains(material));

    let mut content = Content::default();
    content.put_all(value, &["specVersion", "serialNumber", "version"]);
    content.put("components", Some(&Json::from(components.len())));
    content.put("models", Some(&Json::from(models().count())));
    let metadata = value.get("metadata").unwrap_or(&Json::Null);
    content.put_all(metadata, &["authors", "manufacturer", "supplier", "lifecycles", "licenses"]);
    if let [component] = about.as_slice() {
        content.put_all(component, &["name", "publisher", "description"]);
    }
    if let Some(card) = cards.first() {
        content.put_all(card, &["modelParameters", "considerations"]);
    }
    content.put("vulnerabilities", count(value, "/vulnerabilities").as_ref());
    content.put_all(value, &["declarations", "compositions"]);

    let proof = match value.get("signature") {
        Some(_) => Proof::unverified("jsf-signature", "JSON signatures are not verified by this importer"),
        None => Proof::unsigned("the bill carries no signature"),
    };
    let proof = match VERSIONS.contains(&version) {
        true => proof,
        false => {
            proof.and("format-version", false, format!("read as {}, is {}", VERSIONS[0], label(version)))
        }
    };
    let mut imported =
        input.claim(label(&format!("cyclonedx/{version}")), "inventory/ml-bom", subjects, proof);
    imported.effective = time_at(value, "/metadata/timestamp");
    imported.metrics = metrics;
    imported.materials = materials;
    imported.content = content.into_fields();
    Ok(imported)
}

fn is(component: &Json, kind: &str) -> bool {
    text(component, "/type") == Some(kind)
}

fn count(value: &Json, pointer: &str) -> Option<Json> {
    Some(list(value, pointer).len()).filter(|length| *length > 0).map(Json::from)
}

/// All components, those inside others included.
fn components(value: &Json) -> Vec<&Json> {
    let mut found: Vec<&Json> = list(value, "/components").iter().collect();
    let mut next = 0;
    while let Some(component) = found.get(next).copied() {
        next += 1;
        if found.len() >= COMPONENTS_MAX {
            break;
        }
        found.extend(list(component, "/components"));
    }
    found
}

/// What a component is matched by: its strong digests, or else its name.
fn known_as(component: &Json) -> Vec<Subject> {
    let name = text(component, "/purl").map(str::to_owned).or_else(|| {
        let group = text(component, "/group").map_or(String::new(), |group| format!("{group}/"));
        let version = text(component, "/version").map_or(String::new(), |version| format!("@{version}"));
        Some(format!("{group}{}{version}", text(component, "/name")?))
    });
    let hashes = list(component, "/hashes").iter();
    let artifacts: Vec<_> = hashes
        .filter_map(|hash| digest(text(hash, "/alg")?, text(hash, "/content")?))
        .map(|digest| Subject::Artifact { digest, label: name.as_deref().map(label) })
        .collect();
    if artifacts.is_empty() { name.map(Subject::Named).into_iter().collect() } else { artifacts }
}

/// The data sets of a model card, by reference to a component or in place.
fn datasets(card: &Json, components: &[&Json]) -> Vec<Subject> {
    let each = list(card, "/modelParameters/datasets").iter();
    each.flat_map(|dataset| match text(dataset, "/ref") {
        Some(wanted) => components
            .iter()
            .find(|one| text(one, "/bom-ref") == Some(wanted))
            .map_or_else(|| vec![Subject::Named(wanted.to_owned())], |one| known_as(one)),
        None => text(dataset, "/name").map(|name| Subject::Named(name.to_owned())).into_iter().collect(),
    })
    .collect()
}
