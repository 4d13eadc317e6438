"""Reads a lineage in PROV-JSON, and checks that every relation holds between things of the kind that PROV asks for."""

import sys

from prov.model import ProvActivity, ProvAgent, ProvDocument, ProvEntity, ProvRelation

KINDS = {
    "Derivation": [ProvEntity, ProvEntity],
    "Usage": [ProvActivity, ProvEntity],
    "Generation": [ProvEntity, ProvActivity],
    "Attribution": [ProvEntity, ProvAgent],
    "Association": [ProvActivity, ProvAgent],
    "Influence": [object, object],
}

document = ProvDocument.deserialize(sys.argv[1], format="json")
elements = {
    record.identifier: record
    for record in document.get_records()
    if not isinstance(record, ProvRelation)
}
relations = list(document.get_records(ProvRelation))
for relation in relations:
    kind = relation.get_type().localpart
    ends = [value for _, value in relation.formal_attributes[:2]]
    for end, wanted in zip(ends, KINDS[kind]):
        element = elements.get(end)
        if element is None:
            sys.exit(f"{kind} names {end}, which is not described")
        if not isinstance(element, wanted):
            sys.exit(f"{kind} names {end}, which is of another kind")
print(len(elements), len(relations))
