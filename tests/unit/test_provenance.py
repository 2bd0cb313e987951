"""The version of the package, said once."""

import subprocess
import sys
from importlib import metadata

import pytest

import initsuite
from initsuite import provenance


def test_the_version_is_that_of_the_installed_package() -> None:
    assert initsuite.__version__ == provenance.package_version() == metadata.version("initsuite")
    assert "__version__" in dir(initsuite)


def test_a_checkout_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(provenance, "version", missing)
    assert initsuite.__version__ == "unknown"


def test_the_version_is_looked_up_only_when_asked_for_and_without_torch() -> None:
    code = (
        "import sys, initsuite; early = 'initsuite.provenance' in sys.modules; initsuite.__version__; "
        "sys.exit(early or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
