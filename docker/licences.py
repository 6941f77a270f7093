"""Third-party licences of an environment, from the metadata of the packages that are installed in it.

`python docker/licences.py` prints every package with its licence and the texts that it ships; `--summary FILE` prints
the SPDX expression of what a requirements file installs: the image's label `org.opencontainers.image.licenses`.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

OURS = "Apache-2.0"
SPDX = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mit no attribution license (mit-0)": "MIT-0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "psf": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "nvidia proprietary software": "LicenseRef-NVIDIA-Proprietary",
    "other/proprietary license": "LicenseRef-Proprietary",
}
"""What older metadata says, in lower case, for what SPDX says."""

TEXT = re.compile(r"(^|/)(licen[cs]es?/|licen[cs]e|copying|notice)[^/]*", re.IGNORECASE)
"""Files with the text of a licence."""
SILENT = {"cuda-toolkit": "LicenseRef-NVIDIA-Proprietary", "huey": "MIT", "skops": "MIT"}
"""Packages whose metadata says nothing, read from the texts that they ship; cuda-toolkit lists NVIDIA's wheels."""


def licence(package: Distribution) -> str:
    """SPDX expression if the package declares one, else its classifiers or its own words; `unknown` without any."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or () if "License ::" in line]
    named = [name for name in classifiers if name != "OSI Approved"] or [str(metadata.get("License") or "").strip()]
    first = [name.splitlines()[0] if name else "" for name in named]
    return " AND ".join(sorted({SPDX.get(name.lower(), name) for name in first} - {""})) or SILENT.get(
        package.name, "unknown"
    )


def listing(packages: Iterable[Distribution]) -> Iterator[str]:
    """A section for each package: name, version, licence, and the texts that it ships."""
    for package in sorted(packages, key=lambda found: found.name.lower()):
        yield f"{package.name} {package.version}: {licence(package)}"
        for file in package.files or ():
            if TEXT.search(str(file)):
                path = Path(str(package.locate_file(file)))
                if path.is_file() and path.suffix not in {".py", ".pyc"}:
                    yield f"--- {file}\n{path.read_text(encoding='utf-8', errors='replace').rstrip()}"
        yield ""


def summary(requirements: Path) -> str:
    """All licences of the packages of a requirements file and of our own."""
    names = re.findall(r"^([A-Za-z0-9._-]+)==", requirements.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {OURS}
    for name in names:
        try:
            found.add(licence(distribution(name)))
        except PackageNotFoundError:  # of another platform
            continue
    single = {part for expression in found for part in re.split(r" AND ", expression)}
    return " AND ".join(sorted(f"({part})" if " OR " in part else part for part in single))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--summary"]:
        sys.stdout.write(f"{summary(Path(sys.argv[2]))}\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in listing(distributions()))
