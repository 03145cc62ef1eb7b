"""The wheel holds what the folders hold, installs, and works from any folder."""

import configparser
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def packages_on_disk() -> set[str]:
    """Every folder with Python files below sb3_ext/, envs/ and zoo/, under the name it is installed by."""
    names = set()
    for top, prefix in (("sb3_ext", "sb3_ext"), ("envs", "sb3_ext.envs"), ("zoo", "sb3_ext.zoo")):
        for file in (ROOT / top).rglob("*.py"):
            names.add(".".join([prefix, *file.parent.relative_to(ROOT / top).parts]))
    return names


def test_setup_cfg_lists_the_packages_on_disk():
    listed = setup_cfg()["options"]["packages"].split()
    assert len(listed) == len(set(listed))
    assert set(listed) == packages_on_disk()


def test_every_package_folder_has_an_init():
    mapping = {"sb3_ext.envs": "envs", "sb3_ext.zoo": "zoo"}
    for name in packages_on_disk():
        folder = next((name.replace(key, path, 1) for key, path in mapping.items() if name.startswith(key)), name)
        assert (ROOT / folder.replace(".", "/") / "__init__.py").is_file(), name


def test_the_symlinks_serve_an_uninstalled_checkout():
    for name in ("envs", "zoo"):
        link = ROOT / "sb3_ext" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..") / name


def test_extra_all_is_every_extra():
    extras = setup_cfg()["options.extras_require"]
    inside = extras["all"].strip().removeprefix("sb3-ext[").removesuffix("]")
    assert set(inside.split(",")) == set(extras) - {"all"}


def test_version_is_written_once_the_same():
    import sb3_ext

    assert setup_cfg()["metadata"]["version"] == sb3_ext.__version__
    assert f"## {sb3_ext.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.slow
def test_the_wheel_works_from_another_folder_beside_folders_named_envs_and_zoo(tmp_path):
    """A fresh environment gets the wheel alone; the dependencies are borrowed from this one, after the wheel."""
    source = tmp_path / "source"  # building in the checkout would leave a build/ folder behind
    shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(".*", "build", "runs", "*.egg-info"))
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", source], check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "fresh", with_pip=True)
    python = tmp_path / "fresh" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    fresh_site = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (fresh_site / "zz_borrowed.pth").write_text("\n".join(borrowed))

    elsewhere = tmp_path / "elsewhere"
    for name in ("envs", "zoo"):  # the user's own packages of these names must neither hide ours nor be hidden
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / "__init__.py").write_text(f"MINE = {name!r}\n")
    script = (
        "import envs, zoo, sb3_ext, sb3_ext.envs, sb3_ext.zoo.demo as demo\n"
        "from sb3_ext.vec_env import make_vec_env\n"
        f"assert envs.MINE == 'envs' and zoo.MINE == 'zoo'\n"
        f"assert sb3_ext.__file__.startswith({str(fresh_site)!r}), sb3_ext.__file__\n"
        f"assert demo.__file__.startswith({str(fresh_site)!r}), demo.__file__\n"
        "import importlib.resources as resources\n"
        "assert resources.files('sb3_ext.zoo').joinpath('hyperparams/reinforce.yml').is_file()\n"
        "assert resources.files('sb3_ext').joinpath('py.typed').is_file()\n"
        "model = sb3_ext.REINFORCE('MlpPolicy', make_vec_env('CartPole-v1', 4), seed=0).learn(200)\n"
        "assert model.num_timesteps >= 200\n"
    )
    subprocess.run([python, "-c", script], check=True, cwd=elsewhere)
    command = tmp_path / "fresh" / "bin" / "sb3-ext"
    shown = subprocess.run(
        [command, "demo", "--timesteps", "500"], check=True, capture_output=True, text=True, cwd=elsewhere
    )
    assert "100 greedy episodes" in shown.stdout
    assert (elsewhere / "runs/demo/curve.png").stat().st_size > 5000
    assert (elsewhere / "runs/demo/model.zip").is_file()
