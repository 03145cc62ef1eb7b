"""What MkDocs builds by itself: a page for each algorithm of ours and for each package; equations as MathML."""

import html
import json
import re
from importlib import import_module
from pathlib import Path
from statistics import mean, stdev

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from sb3_ext.algos import TABLE

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "sb3_ext.common": "pure functions, each beside its equation",
    "sb3_ext.tabular": "tables and exact planning",
    "sb3_ext.oracle": "exact gradients, biases and variances",
    "sb3_ext.reinforce": "REINFORCE",
    "sb3_ext.grpo": "GRPO",
    "sb3_ext.dqn": "DQN up to Rainbow",
    "sb3_ext.rlhf": "aligning language models",
    "sb3_ext.from_scratch": "SB3's algorithms to be read",
    "sb3_ext.multi_agent": "several agents",
    "sb3_ext.envs": "worlds and wrappers",
    "sb3_ext.vec_env": "fast vectorised environments",
}
OURS = {name: entry for name, entry in TABLE.items() if entry.path.startswith("sb3_ext")}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the generated pages and the notebooks into the navigation."""
    notebooks = sorted(file.name for file in (ROOT / "notebooks").glob("*.ipynb"))
    pages = {
        "notebooks": ["notebooks/README.md", *(f"notebooks/{name}" for name in notebooks)],
        "algorithms": ["algorithms/index.md", *({name: f"algorithms/{name}.md"} for name in OURS)],
        "api": [{name: f"api/{name}.md"} for name in PACKAGES],
    }
    for entry in config.nav or []:
        if isinstance(entry, dict):
            for title, value in entry.items():
                entry[title] = pages.get(value, value) if isinstance(value, str) else value
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    pages = {"algorithms/index.md": overview()}
    pages |= {f"algorithms/{name}.md": algorithm_page(name) for name in OURS}
    pages |= {f"api/{name}.md": api_page(name, about) for name, about in PACKAGES.items()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


VERBATIM = re.compile(r"(<(pre|code|script|style)\b.*?</\2>)", re.DOTALL)
EQUATION = re.compile(
    r"\\\((?P<in_text>.+?)\\\)|\\\[(?P<apart>.+?)\\\]|\$\$(?P<apart_in_notebook>.+?)\$\$|\$(?P<in_text_of_notebook>[^$\n<]+?)\$",
    re.DOTALL,
)


def on_page_content(content: str, page: Page, **_: object) -> str:
    """Equations as MathML, which browsers draw by themselves."""

    def draw(match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        return convert(html.unescape(match[kind]), display="block" if "apart" in kind else "inline")

    pieces = VERBATIM.split(content)  # text, verbatim, its tag, text, ...
    return "".join(EQUATION.sub(draw, piece) if i % 3 == 0 else piece for i, piece in enumerate(pieces) if i % 3 != 2)


def overview() -> str:
    """All algorithms in a table."""
    rows = [f"| [{name}]({name}.md) | {entry.actions} | {entry.summary} |" for name, entry in OURS.items()]
    others = [f"| {name} | {entry.actions} | {entry.summary} |" for name, entry in TABLE.items() if name not in OURS]
    head = "| name | actions | |\n|---|---|---|\n"
    return "\n".join(
        [
            "# Algorithms",
            "The short names serve every command (`sb3-ext train --algo NAME`) and `sb3_ext.ALGOS`.\n",
            head + "\n".join(rows),
            "\n## Of Stable-Baselines3 and sb3-contrib\n",
            head + "\n".join(others),
        ]
    )


def algorithm_page(name: str) -> str:
    """Idea and equation, differences from the paper (the module's text); arguments and metrics; results."""
    entry = OURS[name]
    module, _, class_name = entry.path.partition(":")
    cls = getattr(import_module(module), class_name)
    home = cls.__module__
    text = import_module(home).__doc__ or ""
    return "\n\n".join(
        [
            f"# {class_name}",
            f"`{name}`: {entry.summary}. Actions: {entry.actions}.",
            f"```python\nfrom {module} import {class_name}\n```",
            text.strip(),
            "## Results",
            results(name),
            f"## Arguments, logs, errors\n\n::: {home}.{class_name}\n    options:\n      heading_level: 3\n"
            "      members: false",
        ]
    )


def results(name: str) -> str:
    """The shipped scores of an algorithm."""
    rows = []
    for file in sorted((ROOT / "zoo" / "results" / name).glob("*/result.json")):
        found = json.loads(file.read_text())
        scores = list(found["scores"].values())
        spread = f" ± {stdev(scores):.1f}" if len(scores) > 1 else ""
        rows.append(f"| {found['env_id']} | {found['n_timesteps']:,} | {mean(scores):.1f}{spread} | {len(scores)} |")
    if not rows:
        return "None ship yet; `sb3-ext benchmark --algos " + name + " --envs CartPole-v1` measures them."
    head = "Mean return of 100 greedy episodes after training, ± standard deviation over seeds"
    return (
        f"{head} (`sb3-ext benchmark --shipped`):"
        + "\n\n| environment | steps | return | seeds |\n|---|---|---|---|\n"
        + "\n".join(rows)
    )


def api_page(name: str, about: str) -> str:
    """The public names of a package."""
    package = import_module(name)
    home = {}
    for public in package.__all__:
        thing = getattr(package, public)
        home[public] = f"{getattr(thing, '__module__', name)}.{getattr(thing, '__qualname__', public)}"
    parts = [f"# {name}", about[0].upper() + about[1:] + "."]
    for _, path in sorted(home.items()):
        if path.startswith("sb3_ext"):
            parts.append(f"::: {path}\n    options:\n      heading_level: 2")
    return "\n\n".join(parts)
