"""Who may import whom, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"sb3_ext.envs": ROOT / "envs", "sb3_ext.zoo": ROOT / "zoo", "sb3_ext": ROOT / "sb3_ext"}
ALGORITHM_PACKAGES = {"reinforce", "tabular", "grpo", "dqn", "rlhf", "from_scratch"}
SHARED = "sb3_ext.tabular.mdp"  # plain data, which environments may build on
EXACT = "sb3_ext.tabular.planning"  # where a world states its exact solution, in the body of a function


def modules() -> list[tuple[str, Path]]:
    """(dotted name, file) of every module; the symlinks inside sb3_ext/ are not followed."""
    found = []
    for prefix, folder in FOLDERS.items():
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            if prefix == "sb3_ext" and parts[0] in ("envs", "zoo"):
                continue
            found.append((".".join([prefix, *parts]).removesuffix(".__init__"), file))
    return found


def imports(file: Path) -> set[tuple[str, bool]]:
    """What a file imports: dotted names, and whether only when a function runs."""
    found: set[tuple[str, bool]] = set()

    def visit(node: ast.AST, in_function: bool) -> None:
        if isinstance(node, ast.Import):
            found.update((alias.name, in_function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            found.update((name, in_function) for name in names)
        for child in ast.iter_child_nodes(node):
            visit(child, in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    visit(ast.parse(file.read_text()), False)
    return found


def family(module: str) -> str:
    """The package below sb3_ext that a module belongs to; "" for the top level."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "sb3_ext" else ""


def is_part(imported: str, module: str) -> bool:
    """Whether it is the module or a name in it."""
    return imported == module or imported.startswith(module + ".")


def forbidden(importer: str, imported: str, in_function: bool = False) -> bool:
    """True if the design's arrows rule the import out."""
    here, there = family(importer), family(imported)
    if here == "common":
        roots = ("stable_baselines3", "sb3_contrib", "gymnasium")
        return imported.split(".")[0] in roots or there not in ("", "common")
    if not there or here == there:
        return False
    if there == "zoo":
        return True
    if here == "envs":
        allowed = (SHARED, EXACT) if in_function else (SHARED,)
        return there in ALGORITHM_PACKAGES and not any(is_part(imported, module) for module in allowed)
    if here in ALGORITHM_PACKAGES:
        return there in ALGORITHM_PACKAGES | {"envs"}
    return False


def test_the_arrows_of_the_design_hold():
    wrong = [(name, *there) for name, file in modules() for there in imports(file) if forbidden(name, *there)]
    assert len(modules()) > 15
    assert wrong == []


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("sb3_ext.common.returns", "gymnasium.spaces"),
        ("sb3_ext.common.returns", "sb3_ext.vec_env"),
        ("sb3_ext.reinforce.reinforce", "sb3_ext.grpo"),
        ("sb3_ext.reinforce.reinforce", "sb3_ext.envs"),
        ("sb3_ext.reinforce.reinforce", "sb3_ext.zoo.demo"),
        ("sb3_ext.envs.grid.world", "sb3_ext.tabular.planning"),
    ],
)
def test_the_check_can_fail(importer, imported):
    assert forbidden(importer, imported)
    assert not forbidden("sb3_ext.zoo.demo", imported)


def test_a_world_may_plan_only_where_a_function_states_its_solution(tmp_path):
    file = tmp_path / "world.py"
    file.write_text("""
from sb3_ext.tabular.planning import value_iteration
class World:
    from sb3_ext.tabular.mdp import TabularMDP
    def solve(self):
        if self:
            import sb3_ext.tabular.planning
""")
    name, planning = "sb3_ext.envs.textbook.world", "sb3_ext.tabular.planning"
    wrong = {there for there in imports(file) if forbidden(name, *there)}
    assert wrong == {(planning, False), (f"{planning}.value_iteration", False)}
    assert (planning, True) in imports(file)
    assert forbidden(name, "sb3_ext.tabular", in_function=True)
    assert forbidden(name, "sb3_ext.tabular.planning_fast", in_function=True)
    assert forbidden("sb3_ext.reinforce.reinforce", planning, in_function=True)


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in memory after a statement, in a fresh interpreter."""
    code = f"import sys; {statement}; print(*sys.modules)"
    names = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("statement", ["import sb3_ext", "import sb3_ext.zoo.__main__ as m; m.main(['--help'])"])
def test_imports_and_help_are_cheap(statement):
    heavy = {"torch", "numpy", "gymnasium", "stable_baselines3", "matplotlib"}
    assert heavy & loaded_by(statement) == set()


def test_public_names():
    import sb3_ext

    assert sb3_ext.REINFORCE.__module__ == "sb3_ext.reinforce.reinforce"
    assert sb3_ext.ALGOS["reinforce"] is sb3_ext.REINFORCE
    assert set(sb3_ext.__all__) <= set(dir(sb3_ext))
    with pytest.raises(AttributeError, match="no attribute 'Reinforce'"):
        sb3_ext.Reinforce  # noqa: B018
