"""Write `previous_chapters.py` from the notebooks' cells that begin with `#| export`.

    python tools/export_previous_chapters.py           write it
    python tools/export_previous_chapters.py --check   fail if it is not what would be written

An exported cell holds imports, definitions and constants. It may use built-in names and what the
exported cells of its own notebook define or import; what an earlier chapter exported comes by
`from previous_chapters import ...`, and those lines are left out of the generated file. The file
needs nothing of the course: a module that comes by `from course.MODULE import ...` is copied in.
"""

import argparse
import ast
import builtins
import difflib
import os
import re
import subprocess
import symtable
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
MARK = "#| export"
TARGET = "previous_chapters.py"
VOCABULARY = "course.vocabulary"

HEADER = '''"""What the chapters of this course built, for the chapters that come after.

Generated from the notebooks by tools/export_previous_chapters.py. Don't edit it: change the
notebook that a comment names and run the tool again.
"""
'''


class ExportError(Exception):
    """Something in a notebook that can't be exported; the message names notebook and cell."""


@dataclass
class Cell:
    """A code cell: where it stands and what it says."""

    notebook: str
    number: int  # counted from 1 over all cells of the notebook
    section: str
    source: str

    @property
    def exported(self):
        return self.source.startswith(MARK)

    @property
    def where(self):
        first = next((line for line in self.source.splitlines() if line and line != MARK), "")
        return f"{self.notebook}, cell {self.number} ({first.strip()})"


def notebooks(root):
    """The notebooks that may export, in reading order."""
    return sorted(root.glob("ch[0-9][0-9]/ch[0-9][0-9].ipynb")) + sorted(
        path
        for path in root.glob("appendix/**/*.ipynb")
        if not {".ipynb_checkpoints", "C-solutions"} & set(path.parts)
        and not path.stem.endswith("exercises")
    )


def read_cells(path, root):
    """The code cells of one notebook, each with the section it stands in."""
    section, cells = "", []
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells, start=1):
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#{2,3} ((?:\d+|[A-Z])\.\d.*)$", cell.source, re.MULTILINE)
            section = headings[-1].strip() if headings else section
        elif cell.cell_type == "code":
            name = path.relative_to(root).as_posix()
            cells.append(Cell(name, number, section, cell.source))
    return cells


def parse(cell):
    """The cell's syntax tree. IPython's own lines (%magic, !command) are left out."""
    source = re.sub(r"^(\s*)[%!?].*$", r"\1pass", cell.source, flags=re.MULTILINE)
    if cell.exported and source != cell.source:
        raise ExportError(f"{cell.where}: an exported cell can't hold % or ! lines")
    if source.startswith("pass"):  # a %%cell magic: not Python
        return ast.Module(body=[], type_ignores=[])
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise ExportError(f"{cell.where}: not valid Python: {error}") from error


def used_globals(source):
    """The global names that the code reads, at any depth."""
    names = set()

    def visit(table):
        for symbol in table.get_symbols():
            top = table.get_type() == "module"
            bound = symbol.is_assigned() or symbol.is_imported()
            if symbol.is_referenced() and ((top and not bound) or (not top and symbol.is_global())):
                names.add(symbol.get_name())
        for child in table.get_children():
            visit(child)

    visit(symtable.symtable(source, "cell", "exec"))
    return names


def defined_names(statement, cell):
    """The names that a statement of an exported cell defines, apart from imports."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return [statement.name]
    targets = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    if targets and all(isinstance(target, ast.Name) for target in targets):
        return [target.id for target in targets]
    raise ExportError(
        f"{cell.where}: an exported cell holds only imports, definitions and constants, "
        f"but line {statement.lineno} is something else"
    )


def check_imports_from_previous(tree, cell, exported):
    """Every name that comes from `previous_chapters` must be of an EARLIER chapter."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "previous_chapters":
            for alias in node.names:
                owner = exported.get(alias.name)
                if owner is None or owner.notebook == cell.notebook:
                    raise ExportError(
                        f"{cell.where}: imports {alias.name!r} from previous_chapters, but no "
                        "earlier chapter exports it"
                    )
                if cell.exported and alias.asname:
                    raise ExportError(
                        f"{cell.where}: an exported cell can't rename what it imports from "
                        f"previous_chapters ({alias.name} as {alias.asname})"
                    )


def is_previous(statement):
    return isinstance(statement, ast.ImportFrom) and statement.module == "previous_chapters"


def is_course(statement):
    return isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("course.")


def module_code(module):
    """The code of a module of `course` without its docstring and imports, and these imports."""
    path = ROOT / (module.replace(".", "/") + ".py")
    source = path.read_text(encoding="utf-8")
    lines, imports = source.splitlines(), []
    for i, statement in enumerate(ast.parse(source).body):
        docstring = i == 0 and isinstance(statement, ast.Expr)
        if docstring or isinstance(statement, ast.Import | ast.ImportFrom):
            lines[statement.lineno - 1 : statement.end_lineno] = [""] * (
                statement.end_lineno - statement.lineno + 1
            )
            imports += [] if docstring else [statement]
    if any(is_course(statement) for statement in imports):
        raise ExportError(f"{module} imports from course, so it can't be copied")
    title = f"# {path.relative_to(ROOT).as_posix()}"
    return f"{title}\n\n\n" + "\n".join(lines).strip("\n"), imports


def generate(root=ROOT):
    """The text of `previous_chapters.py` for the notebooks under `root`."""
    exported = {}  # name -> the Cell that exports it
    import_of = {}  # name -> (import line, Cell)
    modules = [VOCABULARY]  # of course, to be copied in
    import_lines, parts = [], []
    for path in notebooks(root):
        cells = read_cells(path, root)
        trees = {cell.number: parse(cell) for cell in cells}
        available = set(dir(builtins)) | {"__file__"}
        section = None
        for cell in cells:
            check_imports_from_previous(trees[cell.number], cell, exported)
            if not cell.exported:
                continue
            kept = cell.source.splitlines()[1:]
            for statement in trees[cell.number].body:
                if isinstance(statement, ast.Import | ast.ImportFrom):
                    for line in range(statement.lineno - 2, statement.end_lineno - 1):
                        kept[line] = ""
                    for alias in statement.names:
                        name = alias.asname or alias.name.split(".")[0]
                        available.add(name)
                        if is_course(statement):
                            modules += [statement.module] * (statement.module not in modules)
                        elif not is_previous(statement):
                            add_import(ast.unparse(statement), alias, name, cell, import_of)
                            import_lines.append(one_import(statement, alias))
                    continue
                for name in defined_names(statement, cell):
                    if name in exported:
                        raise ExportError(
                            f"{cell.where}: {name!r} is exported a second time; the first is in "
                            f"{exported[name].where}"
                        )
                    exported[name] = cell
                    available.add(name)
            body = "\n".join(kept).strip("\n")
            if body.strip():
                label = (
                    f"# {path.stem}, section {cell.section}" if cell.section else f"# {path.stem}"
                )
                parts.append(f"{label}\n\n\n{body}" if label != section else body)
                section = label
        for cell in cells:
            if cell.exported:
                for name in sorted(used_globals(cell.source) - available):
                    raise ExportError(
                        f"{cell.where}: needs {name!r}, which no exported cell of this notebook "
                        "defines or imports"
                    )
    for name, (_, cell) in import_of.items():
        if name in exported:
            raise ExportError(f"{exported[name].where}: {name!r} is also an import of {cell.where}")
    copied = []
    for module in modules:
        code, imports = module_code(module)
        copied.append(code)
        for name in re.findall(r"^(?:def |class )?(\w+)(?: =|\(|:)", code, re.MULTILINE):
            if name in exported:
                raise ExportError(f"{exported[name].where}: {name!r} is also a name of {module}")
        for statement in imports:
            import_lines += [one_import(statement, alias) for alias in statement.names]
    names = ", ".join(f'"{name}"' for name in exported)
    text = "\n\n\n".join(
        [
            HEADER + "\n" + "\n".join(sorted({*import_lines, "from pathlib import Path"})),
            f"__all__ = [{names}]",
            *copied,
            'offer_vocabulary_to_tiktoken(Path(__file__).resolve().parent / "course" / "gpt2-bpe")',
            *parts,
        ]
    )
    return formatted(text + "\n")


def one_import(statement, alias):
    """The import of a single name as a line of its own; the formatter merges them."""
    if isinstance(statement, ast.Import):
        return ast.unparse(ast.Import(names=[alias]))
    return ast.unparse(ast.ImportFrom(statement.module, [alias], statement.level))


def add_import(line, alias, name, cell, import_of):
    """Record an import; an ExportError when a name would mean two things."""
    meaning = re.sub(r"import .*", "import ", line) + alias.name
    if name in import_of and import_of[name][0] != meaning:
        raise ExportError(
            f"{cell.where}: imports {name!r} as something else than {import_of[name][1].where}"
        )
    import_of.setdefault(name, (meaning, cell))


def formatted(text):
    """`text` as ruff writes it, imports merged and sorted."""
    ruff = [sys.executable, "-m", "ruff"]
    stdin = ["--stdin-filename", str(ROOT / TARGET), "-"]
    for arguments in (["check", "--select=I", "--fix", "--quiet"], ["format", "--quiet"]):
        run = subprocess.run(
            [*ruff, *arguments, *stdin], input=text, capture_output=True, encoding="utf-8"
        )
        if run.returncode != 0:
            raise ExportError(f"ruff {arguments[0]} failed: {run.stderr.strip() or run.stdout}")
        text = run.stdout
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    target = arguments.root / TARGET
    try:
        text = generate(arguments.root)
    except ExportError as error:
        sys.exit(f"error: {error}")
    old = target.read_text(encoding="utf-8") if target.exists() else ""
    if not arguments.check:
        part = target.with_suffix(".part")
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, target)
        change = "same as before" if old == text else "changed"
        print(f"{TARGET}: {len(text.splitlines())} lines, {change}")
    elif old != text:
        diff = difflib.unified_diff(
            old.splitlines(), text.splitlines(), TARGET, "from the notebooks", lineterm="", n=1
        )
        sys.exit(
            "\n".join([*list(diff)[:60], ""])
            + f"error: {TARGET} is out of date: run python tools/export_previous_chapters.py"
        )
    else:
        print(f"{TARGET} is up to date")


if __name__ == "__main__":
    main()
