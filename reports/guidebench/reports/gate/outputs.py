"""The findings where other tools look for them: JUnit XML and GitHub's annotations."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from typing import Final

from guidebench.reports.gate.judge import Finding
from guidebench.reports.gate.memory import MemoryFinding
from guidebench.reports.gate.words import sentence, worth_saying

_LEVELS: Final = {
    "worse": "error",
    "remeasured": "error",
    "inconclusive": "warning",
    "better": "notice",
}


def junit(found: Sequence[Finding], memory: Sequence[MemoryFinding]) -> bytes:
    """One test case for each row and metric; an inconclusive one is an error, never a pass."""
    root = ET.Element("testsuites", name="guidebench gate")
    for suite in dict.fromkeys(f.change.suite for f in found):
        cases = [_case(f) for f in found if f.change.suite == suite]
        own = (m for m in memory if m.name.partition("::")[0] == suite)
        cases += [_memory_case(m) for m in own]
        kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
        counts = {k: sum(c.find(tag) is not None for c in cases) for k, tag in kinds.items()}
        attributes = {"name": suite, "tests": str(len(cases))}
        attributes |= {k: str(n) for k, n in counts.items()}
        ET.SubElement(root, "testsuite", attributes).extend(cases)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(finding: Finding) -> ET.Element:
    case = ET.Element("testcase", classname=finding.change.name, name=finding.change.metric)
    text = sentence(finding)
    if finding.failed:
        ET.SubElement(case, "failure", type=finding.verdict, message=text)
    elif finding.verdict == "inconclusive":
        ET.SubElement(case, "error", type=finding.verdict, message=text)
    else:
        ET.SubElement(case, "system-out").text = text
    return case


def _memory_case(finding: MemoryFinding) -> ET.Element:
    case = ET.Element("testcase", classname=finding.name, name="peak memory")
    if finding.failed:
        ET.SubElement(case, "failure", type="memory", message=finding.sentence)
    elif finding.skipped:
        ET.SubElement(case, "skipped", message=finding.sentence)
    return case


def speed_junit(row: str, verdict: str, text: str) -> bytes:
    """A race as one test case; an inconclusive one is an error here too."""
    root = ET.Element("testsuites", name="guidebench gate")
    kind = {"slower": "failure", "inconclusive": "error"}.get(verdict)
    counts = {k: str(int(kind == tag)) for k, tag in (("failures", "failure"), ("errors", "error"))}
    suite = ET.SubElement(root, "testsuite", {"name": "speed", "tests": "1"} | counts)
    case = ET.SubElement(suite, "testcase", classname=row, name="speed")
    if kind is None:
        ET.SubElement(case, "system-out").text = text
    else:
        ET.SubElement(case, kind, type=verdict, message=text)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def annotations(found: Sequence[Finding], memory: Sequence[MemoryFinding]) -> Iterable[str]:
    """GitHub workflow commands, a line for each finding that a reader should see."""
    for finding in worth_saying(found):
        level = _LEVELS.get(finding.verdict, "notice")
        title = f"{finding.change.name} {finding.change.metric} {finding.verdict}"
        yield f"::{level} title={_property(title)}::{_data(sentence(finding))}"
    for grown in (m for m in memory if m.failed):
        yield f"::error title={_property(f'{grown.name} memory')}::{_data(grown.sentence)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
