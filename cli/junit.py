"""A run on images as JUnit XML, which CI services show: a test case an image, one for the interface sheet."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ..model.error import printable
from ..sim.taps import CLASS, OUTPUT, Difference
from .simulation import Ran

SHEET = "interface sheet"
"""The name of the test case of what the machine does besides giving values."""


def render(ran: Ran, net: str, images: str) -> bytes:
    """The XML of a run of the network `net` on the images called so.

    Images that no part has reached, because the machine has a fault, are skipped.
    """
    finished = [ran.cut[part.part] for part in ran.done if not part.fault]
    reached = {image for part in finished for image in range(part.start, part.stop)}
    wrong = {difference.image: difference for difference in ran.differences}
    count = max(part.stop for part in ran.cut)
    name = printable(f"bitfold simulate {net}")
    suites = Element("testsuites")
    suite = SubElement(
        suites, "testsuite", name=name, tests=str(count + 1), failures=str(len(wrong) + bool(ran.fault)), errors="0",
        skipped=str(count - len(reached) + bool(wrong and not ran.fault)), time=f"{ran.seconds:.3f}",
    )  # fmt: skip
    properties = SubElement(suite, "properties")
    for key, value in ran.figures().items():
        if value is None:
            continue
        SubElement(properties, "property", name=key, value=printable(str(value)))
    for image in range(count):
        case = SubElement(suite, "testcase", classname=printable(images), name=f"image {image}")
        if image in wrong:
            _add_failure(case, wrong[image])
        elif image not in reached:
            SubElement(case, "skipped", message="the run ended before it")
    case = SubElement(suite, "testcase", classname=printable(images), name=SHEET)
    if ran.fault:
        lines = [printable(line) for line in ran.fault.expandtabs().splitlines()]
        SubElement(case, "failure", type="sheet", message=lines[0]).text = "\n".join(lines)
    elif wrong:
        SubElement(case, "skipped", message="not tried where values differ")
    indent(suites)
    text: str = tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def _add_failure(case: Element, difference: Difference) -> None:
    at = {
        "layer": difference.layer,
        "kind": difference.kind,
        "row": difference.row,
        "column": difference.column,
        "channel": difference.channel,
        "expected": difference.expected,
        "actual": "unknown bits" if difference.actual is None else difference.actual,
    }
    if difference.layer in (OUTPUT, CLASS):
        del at["kind"]
    failure = SubElement(case, "failure", type="value", message=str(difference))
    failure.text = "\n".join(f"{name}: {value}" for name, value in at.items())
