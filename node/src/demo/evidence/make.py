#!/usr/bin/env python3
"""Makes the demonstration's evidence with public tools: a synthetic dataset, a model that is really fitted to it, and the
documents that its supplier, its data provider and its assessor would publish.

    python3 -m venv venv && venv/bin/pip install model-signing==1.1.1 pyOpenSSL 'securesystemslib[crypto]' numpy
    venv/bin/python make.py

The data, the model and its metrics follow from the seed and come out the same each time. Keys are made anew, and only
their public halves are kept.
"""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

HERE = pathlib.Path(__file__).resolve().parent
EFFECTIVE = "2026-11-01"
STATEMENT = "https://in-toto.io/Statement/v1"


def write(name: str, value) -> None:
    path = HERE / name
    path.parent.mkdir(exist_ok=True)
    text = value if isinstance(value, str) else json.dumps(value, indent=2, sort_keys=True) + "\n"
    path.write_text(text)


def sha256(name: str) -> str:
    return hashlib.sha256((HERE / name).read_bytes()).hexdigest()


def dataset(rng):
    """Six findings of a chest radiograph, scored by a reader, and whether the patient needed urgent care."""
    names = ["opacity", "effusion", "cardiomegaly", "consolidation", "oedema", "pneumothorax"]
    urgent = rng.random(400) < 0.4
    centres = np.where(urgent[:, None], 0.62, 0.34)
    scores = np.clip(rng.normal(centres, 0.24, (400, len(names))), 0, 1).round(3)
    rows = [",".join(names + ["urgent"])]
    rows += [",".join(f"{x:.3f}" for x in row) + f",{int(label)}" for row, label in zip(scores, urgent)]
    write("dataset/triage.csv", "\n".join(rows) + "\n")
    return names, scores, urgent.astype(float)


def fit(x, y):
    """Logistic regression by gradient descent."""
    weights, bias = np.zeros(x.shape[1]), 0.0
    for _ in range(4000):
        error = 1 / (1 + np.exp(-(x @ weights + bias))) - y
        weights -= 0.5 * (x.T @ error / len(y) + 1e-3 * weights)
        bias -= 0.5 * error.mean()
    return weights, bias


def measure(weights, bias, x, y):
    score = 1 / (1 + np.exp(-(x @ weights + bias)))
    positive, negative = score[y == 1], score[y == 0]
    pairs = positive[:, None] - negative[None, :]
    return {
        "auroc": round(float(((pairs > 0) + 0.5 * (pairs == 0)).mean()), 4),
        "sensitivity": round(float((positive >= 0.5).mean()), 4),
        "specificity": round(float((negative < 0.5).mean()), 4),
    }


def signer(name: str):
    """A new P-256 key whose public half is kept."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (HERE / "keys").mkdir(exist_ok=True)
    (HERE / "keys" / f"{name}.pub").write_bytes(public)
    return key


def attest(name: str, statement: dict, key) -> None:
    envelope = Envelope(json.dumps(statement, sort_keys=True).encode(), "application/vnd.in-toto+json", {})
    signer = CryptoSigner(key)
    envelope.sign(signer)
    envelope.verify([signer.public_key], 1)
    write(name, envelope.to_dict())


def main() -> None:
    rng = np.random.default_rng(20261101)
    names, x, y = dataset(rng)
    weights, bias = fit(x[:280], y[:280])
    metrics = measure(weights, bias, x[280:], y[280:])
    write("model/weights.json", {"weights": dict(zip(names, weights.round(6).tolist())), "bias": round(bias, 6)})
    write("model/config.json", {"kind": "logistic-regression", "threshold": 0.5, "features": names})
    model, data = sha256("model/weights.json"), sha256("dataset/triage.csv")

    write("dataset/datasheet.json", {
        "claim": "dataset/datasheet", "subjects": [f"sha256:{data}"], "effective": EFFECTIVE,
        "content": {"rows": 400, "collected": "2026-01 to 2026-06", "consent": "obtained", "licence": "CDLA-Permissive-2.0"},
    })
    write("evaluation.json", {
        "claim": "evaluation/clinical", "subjects": [f"sha256:{model}"], "effective": EFFECTIVE, "metrics": metrics,
        "content": {"cohort": 120, "design": "held-out split", "population": "adult"},
    })
    write("assessment.json", {
        "claim": "assessment/conformity", "subjects": [f"sha256:{model}"], "effective": EFFECTIVE,
        "expires": "2036-11-01",
        "content": {"scheme": "demonstration scheme", "result": "conformant", "findings": 0},
    })
    card = f"""---
license: apache-2.0
library_name: none
tags: [tabular-classification, triage]
model-index:
- name: triage-lite
  results:
  - task: {{type: tabular-classification}}
    dataset: {{name: triage, type: triage}}
    metrics:
    - {{type: auroc, value: {metrics["auroc"]}}}
    - {{type: sensitivity, value: {metrics["sensitivity"]}}}
    - {{type: specificity, value: {metrics["specificity"]}}}
---
# triage-lite

A logistic regression over six findings of a chest radiograph. It was made for a demonstration from synthetic data and
is of no use for patients. Adults only: there are no children in the data.
"""
    write("model-card.md", card)
    write("ml-bom.cdx.json", {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6",
        "version": 1, "serialNumber": "urn:uuid:6f0f6f8e-6a0c-4b1e-9c59-3a7b3b1c5d11",
        "metadata": {"timestamp": f"{EFFECTIVE}T00:00:00Z", "component": {
            "type": "machine-learning-model", "bom-ref": "model", "name": "triage-lite", "version": "1",
            "hashes": [{"alg": "SHA-256", "content": model}],
            "modelCard": {"modelParameters": {"task": "classification", "datasets": [{"ref": "data"}]}},
        }},
        "components": [{
            "type": "data", "bom-ref": "data", "name": "triage", "hashes": [{"alg": "SHA-256", "content": data}],
            "data": [{"type": "dataset", "name": "triage"}],
        }],
        "dependencies": [{"ref": "model", "dependsOn": ["data"]}],
    })
    attest("slsa-provenance.dsse.json", {
        "_type": STATEMENT, "subject": [{"name": "weights.json", "digest": {"sha256": model}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://aurora.example/train/v1", "externalParameters": {"seed": 20261101},
                "resolvedDependencies": [{"uri": "https://meridian.example/triage.csv", "digest": {"sha256": data}}],
            },
            "runDetails": {
                "builder": {"id": "https://aurora.example/builder"},
                "metadata": {"invocationId": "train-1", "startedOn": f"{EFFECTIVE}T08:00:00Z",
                             "finishedOn": f"{EFFECTIVE}T08:00:07Z"},
            },
        },
    }, signer("builder"))
    attest("vsa.dsse.json", {
        "_type": STATEMENT, "subject": [{"name": "weights.json", "digest": {"sha256": model}}],
        "predicateType": "https://slsa.dev/verification_summary/v1",
        "predicate": {
            "verifier": {"id": "https://norden.example/verifier"}, "timeVerified": f"{EFFECTIVE}T12:00:00Z",
            "resourceUri": "https://aurora.example/triage-lite", "policy": {"uri": "https://norden.example/policy/1"},
            "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_2"],
        },
    }, signer("assessor"))

    key = signer("supplier")
    with tempfile.TemporaryDirectory() as directory:
        private = pathlib.Path(directory) / "key.pem"
        private.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ))
        tool = [sys.executable, "-m", "model_signing"]
        signature, public = HERE / "model.sig", HERE / "keys" / "supplier.pub"
        subprocess.run([*tool, "sign", "key", HERE / "model", "--private_key", private, "--signature", signature], check=True)
        subprocess.run([*tool, "verify", "key", HERE / "model", "--public_key", public, "--signature", signature], check=True)
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)
    print(json.dumps({"model": model, "data": data, "metrics": metrics}))


if __name__ == "__main__":
    main()
