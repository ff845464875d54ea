"""Write LECTURES.md, and the line of lectures at the head of each section, from lectures.csv.

    python tools/stamp_lectures.py           write them
    python tools/stamp_lectures.py --check   fail where something is not what would be written

A row of `tools/lectures.csv` says that a lecture covers a section from a minute on. A section
without a point (`3`, `D`) means the whole chapter; its line stands under the notebook's title.
"""

import argparse
import csv
import re
import sys
from itertools import dropwhile
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.run_notebooks import tidy  # noqa: E402
from tools.stamp_address import lesson_notebooks  # noqa: E402

LINE = "*Lectures:* "
HEADING = re.compile(
    r"^(?:(?P<top>#) (?:Chapter|Appendix) (?P<chapter>\d|[A-Z])"
    r"|#{2,3} (?P<section>[\dA-Z](?:\.\d+)+)) (?P<title>.*)$"
)
SERIES = {
    "Vizuara": (
        "Vizuara, *Building LLMs from scratch*",
        "https://www.youtube.com/playlist?list=PLPTV0NXA_ZSgsLAr8YCgCwhPIJNNtexWu",
        "43 lectures that go through the curriculum section by section.",
    ),
    "Raschka": (
        "Sebastian Raschka, *Build an LLM from Scratch*",
        None,
        "The author of the curriculum codes along, one long video for a chapter. Start times "
        "within a video are known for chapter 3 only.",
    ),
    "Karpathy": (
        "Andrej Karpathy, *Let's build GPT* and *Let's reproduce GPT-2*",
        None,
        "Another way to the same model: the first builds a small GPT on Shakespeare, the second "
        "GPT-2 itself. The sections are the nearest of ours.",
    ),
}


def read_rows(path=ROOT / "tools" / "lectures.csv"):
    """The rows of the list, as dictionaries, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def seconds(stamp):
    """`1:02:03` or `2:03` as a number of seconds."""
    total = 0
    for part in stamp.split(":"):
        total = 60 * total + int(part)
    return total


def url(row):
    start = seconds(row["start"])
    return f"https://www.youtube.com/watch?v={row['video']}" + (f"&t={start}s" if start else "")


def name(row):
    """`Vizuara 7`, or the title where a series is known by its titles."""
    if row["series"] == "Karpathy":
        return row["title"]
    return f"{row['series']} {row['lecture'] or '(overview)'}"


def link(row):
    minute = f" from {row['start']}" if seconds(row["start"]) else ""
    return f"[{name(row)}{minute}]({url(row)})"


def line_for(section, rows):
    """The line of lectures of one section, or None."""
    links = [link(row) for row in rows if row["section"] == section]
    return LINE + " · ".join(links) if links else None


def stamp_cell(source, rows):
    """A markdown cell with the right line of lectures under each numbered heading."""
    source = re.sub(rf"^{re.escape(LINE)}.*\n*", "", source, flags=re.MULTILINE)
    lines, out = source.rstrip("\n").split("\n"), []
    while lines:
        out.append(lines.pop(0))
        match = HEADING.match(out[-1])
        wanted = match and line_for(match["chapter"] or match["section"], rows)
        if wanted:
            lines = without_blank_start(lines)
            if lines and lines[0].startswith("[Open in Colab]"):
                out += ["", lines[0]]
                lines = without_blank_start(lines[1:])
            out += ["", wanted, *([""] if lines else [])]
    return "\n".join(out)


def without_blank_start(lines):
    """The lines from the first that isn't empty on."""
    return list(dropwhile(lambda line: not line, lines))


def stamp_notebook(text, rows):
    """The notebook's text with all lines of lectures as they should be."""
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = stamp_cell(cell.source, rows)
    return nbformat.writes(tidy(notebook)) + "\n"


def lessons(root=ROOT):
    """The notebooks with numbered sections: the chapters and the appendices."""
    paths = lesson_notebooks(root)
    return [p for p in paths if p.stem == p.parent.name or p.parent.name == "appendix"]


def headings(root=ROOT):
    """{section: (title, path of the notebook)} of every numbered heading of the lessons."""
    found = {}
    for path in lessons(root):
        for cell in nbformat.read(path, as_version=4).cells:
            matches = map(HEADING.match, cell.source.split("\n"))
            for match in filter(None, matches) if cell.cell_type == "markdown" else ():
                title = match["title"].removeprefix("· ").strip()
                where = path.relative_to(root).as_posix()
                found[match["chapter"] or match["section"]] = (title, where)
    return found


def place(section, title, path):
    """Where the section is: the notebook, and within it GitHub's name for the heading."""
    if "." not in section:
        return path
    kept = re.sub(r"[^\w\- ]", "", f"{section} {title}".lower())
    return f"{path}#{kept.replace(' ', '-')}"


def page(rows, titles):
    """LECTURES.md: by section, and by lecture."""
    out = [
        "# Lectures beside the course",
        "Three series of public lectures follow the same curriculum or build the same model. Every "
        "link opens the video at the minute given. Which lecture belongs to which section we found "
        "by their titles and chapter marks; a start may be some seconds off. The lectures are "
        "their authors' own, and none of them has a part in this course.",
    ]
    out += [
        f"- **{series}**: {f'[{title}]({address})' if address else title}. {words}"
        for series, (title, address, words) in SERIES.items()
    ]
    out[2 : 2 + len(SERIES)] = ["\n".join(out[2 : 2 + len(SERIES)])]
    out.append("## From the section to the lecture")
    table = ["| section | lectures |", "|---|---|"]
    for section, (title, path) in titles.items():
        line = line_for(section, rows)
        if line:
            whole = "." not in section
            label = f"**{section} {title}**" if whole else f"{section} {title}"
            where = place(section, title, path)
            table.append(f"| [{label}]({where}) | {line.removeprefix(LINE)} |")
    out.append("\n".join(table))
    out.append("## From the lecture to the section")
    for series, (title, _, _) in SERIES.items():
        table = [f"### {title}\n", "| lecture | sections |", "|---|---|"]
        for video, mine in by_lecture(rows, series).items():
            label = f"{mine[0]['lecture']}. {mine[0]['title']}".removeprefix(". ")
            places = ", ".join(
                f"[{row['section']}]({place(row['section'], *titles[row['section']])})"
                f" ([{row['start']}]({url(row)}))"
                for row in sorted(mine, key=lambda row: seconds(row["start"]))
            )
            table.append(f"| [{label}](https://www.youtube.com/watch?v={video}) | {places} |")
        out.append("\n".join(table))
    return "\n\n".join(out) + "\n"


def by_lecture(rows, series):
    """{video: rows} of a series, in the order of its lectures."""
    mine = [row for row in rows if row["series"] == series]
    mine.sort(key=lambda row: int(row["lecture"] or 0))
    found = {}
    for row in mine:
        found.setdefault(row["video"], []).append(row)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check, rows, titles, stale = parser.parse_args().check, read_rows(), headings(), []
    unknown = sorted({row["section"] for row in rows} - set(titles))
    if unknown:
        sys.exit(f"error: tools/lectures.csv names sections that no notebook has: {unknown}")
    wanted = {ROOT / "LECTURES.md": page(rows, titles)}
    for path in lessons():
        wanted[path] = stamp_notebook(path.read_text(encoding="utf-8"), rows)
    for path, text in wanted.items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old != text:
            stale.append(path.relative_to(ROOT).as_posix())
            if not check:
                path.write_text(text, encoding="utf-8", newline="\n")
    if stale and check:
        sys.exit(f"error: run python tools/stamp_lectures.py: {', '.join(stale)}")
    print(f"lectures: {f'wrote {len(stale)} files' if stale else 'every file agrees'}")


if __name__ == "__main__":
    main()
