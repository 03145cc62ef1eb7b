"""What MkDocs builds by itself: a page for each algorithm of ours and for each package; equations as MathML."""

import html
import inspect
import json
import re
from importlib import import_module
from pathlib import Path
from statistics import mean, stdev
from types import ModuleType
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from sb3_ext.algos import TABLE, Algorithm
from sb3_ext.dqn import RainbowDQN

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
    "sb3_ext.episodic": "what REINFORCE and GRPO share: playing whole episodes",
    "sb3_ext.zoo.training": "training by a recipe, evaluating, learning curves",
    "sb3_ext.zoo.statistics": "means and intervals over seeds, comparisons",
    "sb3_ext.zoo.doctor": "what is wrong with a training",
}
WITHOUT_NAME = {
    "rainbow_dqn": Algorithm("sb3_ext.dqn:RainbowDQN", "Discrete", "DQN with six extensions, each a switch"),
    "dpo": Algorithm("sb3_ext.rlhf:DPO", "Discrete (tokens)", "language models from preferences, without play"),
}  # classes that ALGOS does not list
OURS = {name: entry for name, entry in TABLE.items() if entry.path.startswith("sb3_ext")}
PAGES = OURS | WITHOUT_NAME


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the generated pages and the notebooks into the navigation."""
    notebooks = sorted(file.name for file in (ROOT / "notebooks").glob("*.ipynb"))
    pages = {
        "notebooks": ["notebooks/README.md", *(f"notebooks/{name}" for name in notebooks)],
        "algorithms": ["algorithms/index.md", *({name: f"algorithms/{name}.md"} for name in PAGES)],
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
    pages |= {f"algorithms/{name}.md": algorithm_page(name) for name in PAGES}
    pages |= {f"api/{name}.md": api_page(name, about) for name, about in PACKAGES.items()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


VERBATIM = re.compile(r"(<(pre|code|script|style)\b.*?</\2>)", re.DOTALL)
EQUATION = re.compile(
    r"\\\((?P<in_text>.+?)\\\)|\\\[(?P<apart>.+?)\\\]|\$\$(?P<apart_in_notebook>.+?)\$\$|\$(?P<in_text_of_notebook>[^$\n<]+?)\$",
    re.DOTALL,
)


INTO_DOCS = re.compile(r'(href|src)="\.\./docs/')


def on_page_content(content: str, page: Page, **_: object) -> str:
    """Equations as MathML, which browsers draw by themselves; what the course links in docs/ is on this site."""

    def draw(match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        return convert(html.unescape(match[kind]), display="block" if "apart" in kind else "inline")

    if page.url.startswith("notebooks/"):
        top = "../" * page.url.count("/")
        content = INTO_DOCS.sub(rf'\1="{top}', content)
        content = re.sub(r'(href="[./]+[^":]*?)(index)?\.md(["#])', lambda it: page_of(*it.groups()), content)
    pieces = VERBATIM.split(content)  # text, verbatim, its tag, text, ...
    return "".join(EQUATION.sub(draw, piece) if i % 3 == 0 else piece for i, piece in enumerate(pieces) if i % 3 != 2)


def page_of(path: str, index: str | None, rest: str) -> str:
    """The address of a page, from that of its Markdown file."""
    return path + ("" if index else "/") + rest


def overview() -> str:
    """All algorithms in a table."""
    rows = [f"| [{name}]({name}.md) | {entry.actions} | {entry.summary} |" for name, entry in OURS.items()]
    others = [f"| {name} | {entry.actions} | {entry.summary} |" for name, entry in TABLE.items() if name not in OURS]
    more = [f"| [{name}]({name}.md) | {entry.actions} | {entry.summary} |" for name, entry in WITHOUT_NAME.items()]
    head = "| name | actions | |\n|---|---|---|\n"
    return "\n".join(
        [
            "# Algorithms",
            "The short names serve every command (`sb3-ext train --algo NAME`) and `sb3_ext.ALGOS`.\n",
            head + "\n".join(rows),
            "\n## Of ours, without a short name\n",
            head + "\n".join(more),
            "\n## Of Stable-Baselines3 and sb3-contrib\n",
            head + "\n".join(others),
        ]
    )


def algorithm_page(name: str) -> str:
    """Idea and equation, differences from the paper (the module's text); results; arguments and metrics."""
    entry = PAGES[name]
    module, _, class_name = entry.path.partition(":")
    cls = getattr(import_module(module), class_name)
    told_by = RainbowDQN if issubclass(cls, RainbowDQN) else cls
    preset = [] if told_by is cls else [f"{inspect.getdoc(cls)} As `RainbowDQN` with `{changed_defaults(cls)}`:"]
    return "\n\n".join(
        [
            f"# {class_name}",
            (f"`{name}`: " if name in OURS else "") + f"{entry.summary}. Actions: {entry.actions}.",
            f"```python\nfrom {module} import {class_name}\n```",
            *preset,
            (import_module(told_by.__module__).__doc__ or "").strip(),
            "## Results",
            results(name),
            f"## Arguments, logs, errors\n\n::: {told_by.__module__}.{told_by.__qualname__}\n    options:\n"
            "      heading_level: 3\n      members: false",
        ]
    )


def changed_defaults(preset: Any) -> str:
    """What a preset sets, as it would be written in a call."""
    usual = inspect.signature(RainbowDQN.__init__).parameters
    own = inspect.signature(preset.__init__).parameters
    return ", ".join(f"{name}={own[name].default}" for name in own if own[name].default != usual[name].default)


def results(name: str) -> str:
    """The shipped scores of an algorithm."""
    rows = []
    for file in sorted((ROOT / "zoo" / "results" / name).glob("*/result.json")):
        found = json.loads(file.read_text())
        scores = list(found["scores"].values())
        spread = f" ± {stdev(scores):.1f}" if len(scores) > 1 else ""
        rows.append(f"| {found['env_id']} | {found['n_timesteps']:,} | {mean(scores):.1f}{spread} | {len(scores)} |")
    if not rows:
        measured_by = {
            "dpo": "sb3-ext rlhf exact` measures how near it comes to the exact optimum; README, section “Aligning a "
            "language model”, has the figures",
            "rainbow_dqn": "sb3-ext dqn` compares its switches",
        }
        default = f"sb3-ext benchmark --algos {name} --envs CartPole-v1` measures them"
        return f"None ship. `{measured_by.get(name, default)}."
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
    for public in getattr(package, "__all__", None) or own_names(package):
        thing = getattr(package, public)
        home[public] = f"{getattr(thing, '__module__', name)}.{getattr(thing, '__qualname__', public)}"
    parts = [f"# {name}", about[0].upper() + about[1:] + "."]
    for public, path in sorted(home.items()):
        if path.startswith("sb3_ext") and public != "main":
            parts.append(f"::: {path}\n    options:\n      heading_level: 2")
    return "\n\n".join(parts)


def own_names(module: ModuleType) -> list[str]:
    """Public classes and functions of a module without ``__all__``."""
    here = [name for name, it in vars(module).items() if getattr(it, "__module__", "") == module.__name__]
    return [name for name in here if not name.startswith("_")]
