"""What is released: the wheel is the package and nothing else, and the tests run on the source distribution."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def built(builder, folder):
    (path,) = builder.build(directory=str(folder))
    return path


def python(*arguments, path, folder):
    """Run Python in a folder, with the package of `path` alone; return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(built(SdistBuilder(str(ROOT)), folder)) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """The unpacked wheel, built from the source distribution as it is on an index."""
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(built(WheelBuilder(str(source)), folder)) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def files(folder):
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {path for path in paths if "__pycache__" not in path}


def test_the_wheel_holds_the_package_and_its_metadata_alone(wheel):
    package, metadata = sorted(wheel.iterdir(), key=lambda path: len(path.name))
    assert package.name == "sktorch_acc"
    assert metadata.name.endswith(".dist-info")
    assert {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"} == files(metadata)
    own = files(ROOT / "sktorch_acc")
    assert files(package) == own
    assert {"py.typed", "__init__.pyi", "datasets/data/cps1985_occupations.csv"} <= own


def test_the_wheel_holds_no_test(wheel):
    assert not [name for name in files(wheel) if "test_" in name or "conftest" in name]


def test_the_package_of_the_wheel_works(wheel, tmp_path):
    code = """if True:
        import sktorch_acc
        from sktorch_acc.datasets import load_occupations
        X, y = load_occupations(return_X_y=True)
        print(sktorch_acc.__file__, sktorch_acc.TorchClassifier(max_epochs=1).fit(X[["wage"]], y).n_iter_)
    """
    module, epochs = python("-c", code, path=wheel, folder=tmp_path).split()
    assert Path(module).is_relative_to(wheel)
    assert epochs == "1"


def test_the_source_distribution_has_all_tests_and_what_they_import(source):
    for folder in ("tests", "docs", "examples", "benchmarks", "sktorch_acc"):
        assert files(source / folder) == files(ROOT / folder), folder
    listed = python("-m", "pytest", "--collect-only", "--quiet", path=source, folder=source)
    assert all(f"\n{start}" in listed for start in ("tests/unit/", "sktorch_acc/", "docs/", "README.md"))
