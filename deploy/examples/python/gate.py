"""A model that answers only while its organisation's node says that it may.

    gate.py train FOLDER                                    # trains the model, and writes what was measured
    counterfoil profile declare profile.toml                # what has to be shown; then `profile activate`
    counterfoil observe FOLDER/evaluation.json              # an authority records that
    gate.py answer FOLDER --node URL --token FILE           # asks before each batch, answers, reports the effect

The model is a logistic regression on scikit-learn's breast cancer data. It is the subject of every decision, by the digest
of its weights. The node answers with a mode and a permit:

    continue   all answers are given
    partial    those of the scopes that the permit names: here, of high confidence only
    defer, refuse   none; the reasons are printed, and the program ends with the mode's exit code

Nothing but the standard library is used to talk to the node.
"""

import argparse
import hashlib
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

ACTION = "answer/triage"
ACTUATOR = "python-gate"
BATCH = 20
HIGH_CONFIDENCE = 0.9
EXIT_CODES = {"continue": 0, "partial": 10, "defer": 11, "refuse": 12}


class Refused(Exception):
    """What the node refused, as the problem details (RFC 9457) that it gave."""

    def __init__(self, problem):
        super().__init__(f"{problem['detail']} [{problem['check']}]")
        self.problem = problem


class Gate:
    """The node's side of the gate: a request in, a verdict and a permit out; and the effect afterwards."""

    def __init__(self, node, token):
        self.node = node.rstrip("/")
        self.token = token

    def post(self, path, body):
        request = urllib.request.Request(self.node + path, data=json.dumps(body).encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Refused(json.load(error)) from error

    def ask(self, model, scopes, predicted):
        request = {
            "action": ACTION,
            "subjects": [model],
            "actuator": ACTUATOR,
            "reversibility": "reversible",
            "scopes": scopes,
            "predicted": predicted,
        }
        return self.post("/v1/decisions", {"request": request})

    def report(self, permit, observed):
        return self.post("/v1/effects", {"permit": permit, "observed": observed})


def data():
    examples = load_breast_cancer()
    return train_test_split(examples.data, examples.target, test_size=0.35, random_state=7, stratify=examples.target)


class Model:
    """Weights as they lie on disk: what is asked about is exactly what answers."""

    def __init__(self, folder):
        stored = (folder / "model.json").read_bytes()
        self.digest = "sha256:" + hashlib.sha256(stored).hexdigest()
        weights = json.loads(stored)
        self.mean, self.scale, self.weights = (numpy.array(weights[name]) for name in ("mean", "scale", "weights"))
        self.bias = weights["bias"]

    def probabilities(self, inputs):
        return 1 / (1 + numpy.exp(-(((inputs - self.mean) / self.scale) @ self.weights + self.bias)))


def train(folder):
    folder.mkdir(parents=True, exist_ok=True)
    inputs, unseen, targets, expected = data()
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0)
    fitted = LogisticRegression(max_iter=1000).fit((inputs - mean) / scale, targets)
    weights = {
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "weights": fitted.coef_[0].tolist(),
        "bias": float(fitted.intercept_[0]),
    }
    (folder / "model.json").write_text(json.dumps(weights))
    model = Model(folder)
    right = (model.probabilities(unseen) >= 0.5) == expected
    evaluation = {
        "claim": "evaluation/holdout",
        "subjects": [model.digest],
        "content": {"accuracy_ppm": int(right.mean() * 1_000_000), "examples": len(expected)},
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    print(json.dumps({"model": model.digest, **evaluation["content"]}))
    return 0


def answer(folder, gate, batches):
    model = Model(folder)
    _, unseen, _, expected = data()
    for number in range(batches):
        inputs = unseen[number * BATCH : (number + 1) * BATCH]
        predicted = {"accuracy_ppm": ">=800000", "answers": f"1..{len(inputs)}"}
        decided = gate.ask(model.digest, {"confidence": ["high", "low"]}, predicted)
        verdict, permit = decided["verdict"], decided.get("permit")
        said = {"batch": number, "mode": verdict["mode"], "decision": decided["decision"]}
        if permit is None:
            said["reasons"] = [reason["text"] for reason in verdict["reasons"]]
            print(json.dumps(said), flush=True)
            return EXIT_CODES[verdict["mode"]]
        sure = model.probabilities(inputs)
        is_high = numpy.maximum(sure, 1 - sure) >= HIGH_CONFIDENCE
        allowed = verdict["scopes"]["confidence"]
        given = numpy.array([("high" if high else "low") in allowed for high in is_high])
        right = ((sure >= 0.5) == expected[number * BATCH : (number + 1) * BATCH])[given]
        observed = {
            "accuracy_ppm": str(int(right.mean() * 1_000_000)) if right.size else "none",
            "answers": str(int(given.sum())),
        }
        reported = gate.report(permit, observed)
        said |= {"permit": permit, "answers": int(given.sum()), "of": len(inputs), "observed": observed}
        said["mismatches"] = reported["mismatches"]
        if "nonconformity" in reported:
            said["nonconformity"] = reported["nonconformity"]
        print(json.dumps(said), flush=True)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train", "answer"):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path)
    command.add_argument("--node", required=True, help="http://host:port of the node's API")
    command.add_argument("--token", required=True, type=Path, help="file with the API's token")
    command.add_argument("--batches", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.command == "train":
        return train(arguments.folder)
    gate = Gate(arguments.node, arguments.token.read_text().strip())
    try:
        return answer(arguments.folder, gate, arguments.batches)
    except Refused as refused:
        print(f"gate.py: {refused}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
