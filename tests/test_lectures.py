"""The links to lectures: each section has one, both directions agree, nothing else is touched."""

import re
import subprocess
import sys
from urllib.parse import parse_qs, urlparse

from conftest import ROOT

from tools.stamp_lectures import HEADING, LINE, headings, read_rows, seconds, stamp_cell

ROWS = read_rows()


def test_the_committed_files_are_what_the_tool_writes():
    run = subprocess.run(
        [sys.executable, "tools/stamp_lectures.py", "--check"],
        cwd=ROOT, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_every_section_of_the_chapters_has_a_lecture():
    covered = {row["section"] for row in ROWS}
    for section in headings():
        if re.match(r"\d", section):
            within = {other for other in covered if other.startswith(section + ".")}
            assert section in covered or within, f"no lecture for section {section}"


def test_both_directions_of_the_page_say_the_same():
    page = (ROOT / "LECTURES.md").read_text(encoding="utf-8")
    forth, back = page.split("## From the lecture to the section")
    section_first, lecture_first = set(), set()
    for line in forth.splitlines():
        if match := re.match(r"\| \[\**([\dA-Z](?:\.\d+)*) ", line):
            addresses = re.findall(r"\]\((https://www.youtube.com/\S+?)\)", line)
            section_first |= {(match[1], address) for address in addresses}
    for line in back.splitlines():
        places = re.findall(
            r"\[([\dA-Z](?:\.\d+)*)\]\(\S+\) \(\[[\d:]+\]\((https://\S+?)\)\)", line
        )
        lecture_first |= set(places)
    assert section_first == lecture_first
    assert len(section_first) == len(ROWS)


def test_an_address_leads_to_the_stated_second():
    page = (ROOT / "LECTURES.md").read_text(encoding="utf-8")
    found = re.findall(r"from ((?:\d+:)+\d\d)\]\((https://\S+?)\)", page)
    assert len(found) > 80
    for stamp, address in found:
        query = parse_qs(urlparse(address).query)
        parts = [int(part) for part in stamp.split(":")]
        assert query["t"] == [f"{sum(n * 60**i for i, n in enumerate(reversed(parts)))}s"]
        assert re.fullmatch(r"[\w-]{11}", query["v"][0])


def test_a_line_is_put_in_renewed_and_taken_away():
    row = {"section": "2.1", "series": "Vizuara", "lecture": "10", "title": "T", "video": "v"}
    rows = [{**row, "start": "1:02:03"}]
    plain = "Before.\n\n## 2.1 Words\n\nText.\n\n### 2.1.1 More\n\nText."
    stamped = stamp_cell(plain, rows)
    line = f"{LINE}[Vizuara 10 from 1:02:03](https://www.youtube.com/watch?v=v&t=3723s)"
    assert stamped == plain.replace("Words\n\n", f"Words\n\n{line}\n\n")
    assert stamp_cell(stamped, rows) == stamped
    assert stamp_cell(stamped, []) == plain
    assert stamp_cell("## Summary\n\nText.", rows) == "## Summary\n\nText."


def test_what_counts_as_a_numbered_heading():
    found = {
        "# Chapter 3 · Coding": ("3", None),
        "# Appendix D · Adding": ("D", None),
        "## 3.1 The problem": (None, "3.1"),
        "### 3.3.1 A simple": (None, "3.3.1"),
        "## D.1 Warmup": (None, "D.1"),
    }
    for heading, (chapter, section) in found.items():
        match = HEADING.match(heading)
        assert (match["chapter"], match["section"]) == (chapter, section)
    for other in ("## Summary", "## Chapter 3 · Coding", "#### Step 1: bytes", "# Exercises"):
        assert not HEADING.match(other)


def test_seconds():
    assert [seconds(stamp) for stamp in ("0:00", "2:03", "1:02:03")] == [0, 123, 3723]
