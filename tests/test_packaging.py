"""What pip gets: a source distribution that builds anywhere, and a wheel that needs nothing but libc."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from parkit import _native

ROOT = Path(__file__).resolve().parent.parent
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
LIBRARY = f"parkit/_parkit_go/_parkit{SUFFIX}"


def output(*command: str, **options: object) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return str(done.stdout)


def native(*arguments: str, cwd: Path = ROOT) -> str:
    return output(sys.executable, str(cwd / "tools" / "build_native.py"), *arguments)


def assert_portable(library: str) -> None:
    """The library needs libc alone, and nothing of the machine that built it."""
    dynamic = output("readelf", "--dynamic", "--wide", library)
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    assert {
        name for name in needed if not re.match(r"(libc|libm|libpthread|libdl|librt|ld-linux.*)\.so", name)
    } == set()
    assert not re.search(r"\((RPATH|RUNPATH)\)", dynamic)
    content = Path(library).read_bytes()
    for place in {str(ROOT), os.path.expanduser("~"), sys.prefix, sys.base_prefix} - {"/usr", "/"}:
        assert f"{place}/".encode() not in content, f"the library holds the path {place}"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="readelf reads ELF")
def test_the_library_needs_libc_alone() -> None:
    assert_portable(_native.LIBRARY)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="readelf reads ELF")
def test_what_the_library_leaves_undefined_is_pythons() -> None:
    # The link step ignores unresolved symbols, since Python's are: so look for others here.
    table = output("readelf", "--dyn-syms", "--wide", _native.LIBRARY)
    undefined = {line.split()[7] for line in table.splitlines() if " UND " in line and len(line.split()) > 7}
    foreign = {name for name in undefined if "@" not in name and not name.startswith(("Py", "_Py"))}
    assert foreign - {"__gmon_start__", "_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable"} == set()
    missing = {name for name in undefined if name.startswith(("Py", "_Py")) and not hasattr(ctypes.pythonapi, name)}
    assert missing == set(), "this Python lacks them"


def test_one_library_holds_both_modules() -> None:
    folder = Path(_native.LIBRARY).parent
    assert [path.name for path in folder.glob("*.so")] == [f"_parkit{SUFFIX}"]
    library = ctypes.PyDLL(_native.LIBRARY)
    assert library.PyInit_lane
    assert library.PyInit__ctl


def test_all_say_the_same_version() -> None:
    import parkit

    project = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    assert project
    assert parkit.__version__ == _native.ctl.Version() == importlib.metadata.version("parkit") == project[1]


def test_the_notice_names_everything_that_is_linked_in() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    linked = re.findall(r"^\s+dep\s+(\S+)", native("run", "go", "version", "-m", _native.LIBRARY), re.M)
    assert "github.com/go-python/gopy" in linked
    assert [module for module in linked if module not in notice] == []


def test_every_exported_function_is_guarded_and_has_a_result() -> None:
    """gopy leaks where only an error is returned, and a panic that nobody recovers aborts Python."""
    wrong = []
    for path in sorted((ROOT / "parkit_go").glob("*.go")):
        if path.name.endswith("_test.go"):
            continue
        for found in re.finditer(r"^func ([A-Z]\w*)\([^)]*\) (.*)\{\n\t(.*)", path.read_text("utf-8"), re.M):
            name, results, first = found.groups()
            if not re.fullmatch(r"\([\w ]+, (err )?error\) ", results) or not re.match(
                r"return (bound\w*|withPool)\(", first
            ):
                wrong.append(f"{path.name}: {name}")
    assert wrong == []


def test_go_functions_and_the_built_module_agree() -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "parkit_go").glob("*.go") if "_test" not in path.name)
    exported = set(re.findall(r"^func ([A-Z]\w*)\(", text, re.M))
    bound = {name.removeprefix("parkit_go_") for name in dir(_native.ctl) if name.startswith("parkit_go_")}
    assert bound == exported


#: Not part of a fresh checkout.
MADE = (".git", ".venv", "build", "dist", "_parkit_go", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a clone has it, with nothing built in it."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("clone") / "parkit", ignore=shutil.ignore_patterns(*MADE))


@pytest.fixture(scope="module")
def sdist(checkout: Path) -> Path:
    dist = checkout / "dist"
    code = "import setuptools.build_meta as backend, sys; backend.build_sdist(sys.argv[1])"
    output(sys.executable, "-c", code, str(dist), cwd=checkout)
    [archive] = dist.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `pip install <sdist>` builds it: in an environment of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    output(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(sdist), cwd=folder)
    [built] = folder.glob("*.whl")
    return built


def new_environment(folder: Path) -> str:
    output(sys.executable, "-m", "venv", str(folder))
    return str(folder / "bin" / "python")


USE = "from parkit import _native; print(_native.ctl.Version(), _native.LIBRARY)"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_source_distribution_has_all_that_a_build_needs(checkout: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("gocore", "parkit_go", "python", "tools", "tests", "docs", "notebooks")
    files = [path for folder in folders for path in (checkout / folder).rglob("*") if path.is_file()]
    files += [path for path in checkout.iterdir() if path.is_file() and not path.name.startswith(".")]
    wanted = {str(path.relative_to(checkout)) for path in files if "__pycache__" not in path.parts}
    assert wanted - names == set()
    assert [name for name in names if name.endswith((".so", ".pyc")) or name.startswith("build")] == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_wheel_is_for_this_python_and_holds_one_library(wheel: Path, tmp_path: Path) -> None:
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert re.fullmatch(rf"parkit-[^-]+-{tag}-{tag}-(linux|macosx)_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert [name for name in names if name.startswith("parkit/_parkit_go/")] == [LIBRARY]
        assert "parkit/py.typed" in names
        assert {Path(name).name for name in names if ".dist-info/licenses/" in name} == {"LICENSE", "NOTICE"}
        assert {name.partition("/")[0] for name in names} == {"parkit", f"parkit-{_native.ctl.Version()}.dist-info"}
        archive.extract(LIBRARY, tmp_path)
    assert_portable(str(tmp_path / LIBRARY))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_wheel_works_where_it_was_not_built(wheel: Path, tmp_path: Path) -> None:
    python = new_environment(tmp_path / "environment")
    output(python, "-m", "pip", "install", "--quiet", str(wheel), cwd=tmp_path)
    version, place = output(python, "-c", USE, cwd=tmp_path).split()
    assert version == _native.ctl.Version()
    assert place.startswith(str(tmp_path / "environment"))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_pip_install_on_a_machine_without_go(checkout: Path, tmp_path: Path) -> None:
    python = new_environment(tmp_path / "environment")
    bare = {"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    bare |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    output(python, "-m", "pip", "install", "--quiet", str(checkout), env=bare, cwd=tmp_path)
    assert output(python, "-c", USE, env=bare, cwd=tmp_path).split()[0] == _native.ctl.Version()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_library_is_built_again_only_if_an_input_changed(checkout: Path) -> None:
    assert "built" in native("inplace", cwd=checkout)
    assert "up to date" in native("inplace", cwd=checkout)
    (checkout / "gocore" / "errs" / "added_test.go").write_text("package errs\n")
    (checkout / "python" / "parkit" / "added.py").write_text("")
    assert "up to date" in native("inplace", cwd=checkout)
    with open(checkout / "parkit_go" / "guard.go", "a") as file:
        file.write('\nfunc Added() (int, error) { return bound("added", func() (int, error) { return 7, nil }) }\n')
    assert "built" in native("inplace", cwd=checkout)
    code = "from parkit import _native; assert _native.ctl.Added() == 7"
    output(sys.executable, "-c", code, cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout / "python")})


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_function_that_gopy_cannot_bind_fails_the_build(checkout: Path) -> None:
    with open(checkout / "parkit_go" / "guard.go", "a") as file:
        file.write('\nfunc Unbound() (int, string) { return 0, "" }\n')
    done = subprocess.run(
        [sys.executable, "tools/build_native.py", "inplace"], cwd=checkout, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "ignoring python incompatible function" in done.stderr
