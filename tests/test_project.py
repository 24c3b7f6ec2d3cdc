"""The checkout itself: one list of dependencies, clean files, a README that tells the truth."""

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_conda_installs_this_project_and_lists_nothing_twice():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    python, pip, from_pip = environment["dependencies"]
    assert pip == "pip"
    assert from_pip == {"pip": ["-e ."]}
    wanted, given = (tuple(map(int, re.findall(r"\d+", text)[:2])) for text in (project["requires-python"], python))
    assert given >= wanted


def test_fixed_top_level():
    allowed = {"README.md", "environment.yml", "notebooks", "crreid", "results", "tests", "docs"}
    tools = {"pyproject.toml", "uv.lock", "Makefile", ".ci", ".gitignore", "LICENSE", "CITATION.cff", "CONTRIBUTING.md"}
    assert {name.split("/")[0] for name in tracked()} <= allowed | tools


def test_results_are_small_and_records_complete():
    sizes = sum((ROOT / name).stat().st_size for name in tracked() if name.startswith("results/"))
    assert sizes < 8 * 2**20


def test_readme_names_every_notebook_and_command():
    text = (ROOT / "README.md").read_text()
    for name in [f"notebooks/{file.name}" for file in (ROOT / "notebooks").glob("*.ipynb")]:
        assert name in text
    for command in ("make study", "make test", "conda env create", "crreid --help"):
        assert command in text
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text) + re.findall(r'src="(?!https?:)([^"]+)"', text):
        assert (ROOT / link).exists(), link
