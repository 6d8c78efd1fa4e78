"""Builds the shared library when pip builds parkit; tools/build_native.py holds the steps."""

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# pip does not put the project's own folder on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent / "tools"))

import build_native


class BuildNative(build_ext):
    """Makes the one extension by the Go build instead of by a C compiler."""

    def build_extension(self, ext: Extension) -> None:
        build_native.build(Path(self.get_ext_fullpath(ext.name)).resolve())

    def copy_extensions_to_source(self) -> None:
        build_native.build(build_native.PACKAGE / build_native.LIBRARY)


setup(
    ext_modules=[Extension("parkit._parkit_go._parkit", sources=[])],
    cmdclass={"build_ext": BuildNative},
    # Through this pip learns, before it builds, that the build environment needs a Go of its own.
    setup_requires=[] if build_native.find_go() else [build_native.GO_FROM_PYPI],
)
