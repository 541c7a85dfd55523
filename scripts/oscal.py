"""Hold the OSCAL of `kakunin report` against the models of compliance-trestle, and against the report."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from trestle.oscal import OSCAL_VERSION
from trestle.oscal.assessment_results import AssessmentResults
from trestle.oscal.component import ComponentDefinition

work = Path(sys.argv[1])
OSCAL, KEY = "1.2.1", "assessment-results"
assert OSCAL_VERSION == OSCAL, "the validator is of another version"


def refused(document: dict, spoil: Callable[[dict], object]) -> bool:
    """Whether the validator notices a fault: else its silence would say nothing."""
    spoiled = json.loads(json.dumps(document))
    spoil(spoiled[KEY])
    try:
        AssessmentResults.parse_obj(spoiled[KEY])
    except ValueError:
        return True
    return False


def main() -> None:
    frameworks = sorted(path.name.removesuffix(".results.json") for path in work.glob("*.results.json"))
    assert len(frameworks) == 10, frameworks
    findings = 0
    for name in frameworks:
        path = work / f"{name}.results.json"
        results = AssessmentResults.oscal_read(path)
        report = json.loads((work / f"{name}.json").read_text())
        assert json.loads(path.read_text())[KEY]["metadata"]["oscal-version"] == OSCAL
        [result] = results.results
        assert report["findings"] and len(result.findings) == len(report["findings"])
        known = {observation.uuid for observation in result.observations}
        assert len(known) == len(result.observations), "no identifier twice"
        for finding, row in zip(result.findings, report["findings"], strict=True):
            state = getattr(finding.target.status.state, "value", finding.target.status.state)
            assert (state == "satisfied") == (row["status"] == "evidenced" and row["applies"]), row
            assert finding.target.status.reason and finding.target.status.remarks
            assert all(related.observation_uuid in known for related in finding.related_observations)
            findings += 1
        component = ComponentDefinition.oscal_read(work / f"{name}.component.json")
        [implementation] = component.components[0].control_implementations
        assert len(implementation.implemented_requirements) == len(report["findings"])

    document = json.loads((work / "csf-2.0.results.json").read_text())

    def state(results: dict) -> None:
        results["results"][0]["findings"][0]["target"]["status"]["state"] = "partial"

    def unknown(results: dict) -> None:
        results["results"][0]["score"] = 1

    def identifier(results: dict) -> None:
        results["uuid"] = "no uuid"

    for spoil in (state, unknown, identifier, lambda results: results.pop("import-ap")):
        assert refused(document, spoil), spoil
    print(f"{findings} findings of {len(frameworks)} frameworks are OSCAL {OSCAL}")


main()
