"""Judges crates with roc-validator (REQUIRED rules) and rocrate; run by the Python of requirements-crates.txt.

    judge_crates.py CONTEXTS < list

The list on standard input is JSON: {"load": [directory, ...], "validate": [directory, ...]}. Prints {directory: [finding, ...]} for
those with findings. No network: the contexts of RO-Crate come from CONTEXTS, anything else that is asked for is refused.
"""
import json
import os
import sys

import requests


def offline(contexts):
    def request(session, method, url, **more):
        for version in ("1.1", "1.2"):
            if url.startswith(f"https://w3id.org/ro/crate/{version}/context"):
                answer = requests.Response()
                with open(os.path.join(contexts, f"{version}.jsonld"), "rb") as f:
                    answer._content = f.read()
                answer.status_code, answer.url = 200, url
                answer.headers["Content-Type"] = "application/ld+json"
                return answer
        raise requests.ConnectionError(f"no network for {url}")

    requests.Session.request = request


def version(directory):
    with open(os.path.join(directory, "ro-crate-metadata.json"), encoding="utf-8") as f:
        graph = json.load(f)["@graph"]
    entity = next(e for e in graph if e["@id"] == "ro-crate-metadata.json")
    return entity["conformsTo"]["@id"].rsplit("/", 1)[1]


def validate(directory):
    from rocrate_validator import models, services

    settings = models.ValidationSettings(
        rocrate_uri=directory,
        profile_identifier=f"ro-crate-{version(directory)}",
        requirement_severity=models.Severity.REQUIRED,
    )
    result = services.validate(settings)
    findings = [f"{i.check.identifier}: {i.message}" for i in result.get_issues()]
    return findings or ([] if result.passed() else ["not passed"])


def load(directory):
    from rocrate.rocrate import ROCrate

    with open(os.path.join(directory, "ro-crate-metadata.json"), encoding="utf-8") as f:
        document = json.load(f)
    crate = ROCrate(document)
    root = crate.root_dataset
    wrong = [] if crate.version == version(directory) else [f"version {crate.version}"]
    return wrong + [key for key in ("name", "description", "license", "datePublished") if not root.get(key)]


def main():
    offline(sys.argv[1])
    wanted = json.load(sys.stdin)
    found = {}
    for judge in (load, validate):
        for directory in wanted[judge.__name__]:
            try:
                findings = judge(directory)
            except Exception as e:  # whatever it is, it is a finding
                findings = [f"{judge.__name__}: {type(e).__name__}: {e}"]
            if findings:
                found.setdefault(directory, []).extend(findings)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
