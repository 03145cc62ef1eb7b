"""What README and docs/ say is true: their code runs, their commands exist, their links lead somewhere."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from sb3_ext.zoo.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/*/*.md"))]
DOCUMENTS = [file for file in DOCUMENTS if file.parent.name != "notebooks"]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
GENERATED = ("algorithms/", "api/")  # by docs/hooks.py
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def names(files):
    return [str(file.relative_to(ROOT)) for file in files]


def blocks(file, language):
    return [text for kind, text in FENCE.findall(file.read_text()) if kind == language]


def with_code(files):
    return [file for file in files if blocks(file, "python")]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("file", with_code(DOCUMENTS), ids=names(with_code(DOCUMENTS)))
def test_code_runs_from_top_to_bottom(file, tmp_path):
    code = "import torch\ntorch.set_num_threads(1)\n" + "\n".join(blocks(file, "python"))
    (tmp_path / "code.py").write_text(f"if __name__ == '__main__':\n    exec({code!r}, {{'__name__': '__main__'}})\n")
    done = subprocess.run(
        [sys.executable, "code.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, done.stderr[-2000:]


def commands():
    """(file, command line) of every sb3-ext in a block of shell lines."""
    for file in DOCUMENTS:
        for block in blocks(file, ""):
            for line in block.splitlines():
                if line.startswith("sb3-ext "):
                    yield file.name, line.split("#")[0].strip()


@cache
def help_of(command):
    done = subprocess.run([sys.executable, "-m", "sb3_ext.zoo", command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("file", "line"), sorted(set(commands())))
def test_commands_and_their_options_exist(file, line):
    command, *rest = line.split()[1:]
    if command.startswith("--"):
        return
    assert command in COMMANDS
    for option in rest:
        if option.startswith("-"):
            assert re.search(rf"(^|[\s,\[|(]){re.escape(option)}\b", help_of(command)), f"{command} has no {option}"


def links():
    """(document, target) of every relative link."""
    for file in [*DOCUMENTS, ROOT / "notebooks" / "README.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", file.read_text())):
            yield file, target
    for file in NOTEBOOKS:
        for cell in json.loads(file.read_text())["cells"]:
            if cell["cell_type"] == "markdown":
                yield from ((file, target) for target in re.findall(r"\]\(([^)\s]+)\)", "".join(cell["source"])))


def test_links_lead_to_files():
    missing = []
    for file, target in links():
        path = target.partition("#")[0]
        if not path or "://" in path or path.removeprefix("../").startswith(GENERATED):
            continue
        if not (file.parent / path).exists():
            missing.append(f"{file.relative_to(ROOT)}: {target}")
    assert missing == []


@pytest.mark.parametrize("file", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_notebooks_are_committed_as_executed(file):
    """From top to bottom, with outputs, without errors or warnings; solutions are folded."""
    cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any(cell["metadata"].get("jupyter", {}).get("source_hidden") for cell in cells)
    assert "/tmp/" not in file.read_text()
    assert str(ROOT) not in file.read_text()
