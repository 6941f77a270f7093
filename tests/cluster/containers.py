"""What a container of a pod becomes as a process: its environment, its arguments and its volumes as folders.

The rules are the kubelet's. A process sees this machine's files and no mounts, so a path below a mount is rewritten to
the volume's folder wherever the environment or the arguments mention it, and /tmp is where TMPDIR says.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.api import Api, Object, Refused

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")


class CannotStart(Exception):
    """Something that the pod needs is not there yet: the kubelet waits and tries again."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Command:
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    """Where it starts."""


@dataclass(frozen=True)
class Workplace:
    """What a pod finds on its node."""

    api: Api
    pod: Object
    folder: Path
    """The pod's own."""
    claims: Path
    """Persistent volume claims of the node's pods, a folder each: they outlive pods."""
    image: Mapping[str, str]
    """The environment that the image brings."""

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    def command(self, container: Object) -> Command:
        """The container's process. It has what the pod says and what the image says, and nothing of this process."""
        environment = _Environment(self).of(container)
        mounts = self._mounts(container)
        if words := container.get("terminationMessagePath"):
            mounts[words] = termination_message(self.folder, container)
        rewrite = _rewriting(mounts)
        own = {"HOME": str(self.folder), "TMPDIR": str(mounts.get("/tmp") or _made(self.folder / "tmp"))}
        work = Path(rewrite(container.get("workingDir", "")))
        return Command(
            tuple(
                rewrite(expand(argument, environment))
                for argument in (*container.get("command", []), *container.get("args", []))
            ),
            {**self.image, "HOSTNAME": self.pod["metadata"]["name"], **own}
            | {name: rewrite(value) for name, value in environment.items()},
            work if work.is_absolute() and work.is_dir() else self.folder,
        )

    def _mounts(self, container: Object) -> dict[str, Path]:
        folders = {volume["name"]: self._volume(volume) for volume in self.pod["spec"].get("volumes", [])}
        return {
            mount["mountPath"].rstrip("/"): folder / mount.get("subPath", "")
            for mount in container.get("volumeMounts", [])
            if (folder := folders[mount["name"]])
        }

    def _volume(self, volume: Object) -> Path | None:
        """Its folder with its content; None for those whose paths stay as they are."""
        folder = self.folder / "volumes" / volume["name"]
        if claim := volume.get("persistentVolumeClaim"):
            return _made(self.claims / self.namespace / claim["claimName"])
        if "hostPath" in volume or "projected" in volume:  # the latter is the service account's, at a fixed path
            return None
        if source := volume.get("secret"):
            _write(folder, source, self.secret(source["secretName"], source.get("optional", False)))
        elif source := volume.get("configMap"):
            _write(folder, source, self.config_map(source["name"], source.get("optional", False)))
        return _made(folder)

    def secret(self, name: str, optional: bool) -> dict[str, bytes]:
        found = self._read("secrets", name, optional)
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}

    def config_map(self, name: str, optional: bool) -> dict[str, bytes]:
        found = self._read("configmaps", name, optional)
        text = {key: value.encode() for key, value in (found.get("data") or {}).items()}
        return text | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}

    def _read(self, resource: str, name: str, optional: bool) -> Object:
        try:
            return self.api.get(f"/api/v1/namespaces/{self.namespace}/{resource}/{name}")
        except Refused as error:
            if error.status != 404:
                raise
            if optional:
                return {}
            raise CannotStart(
                "CreateContainerConfigError", f'{resource.removesuffix("s")} "{name}" not found'
            ) from error


def termination_message(folder: Path, container: Object) -> Path:
    """File of the container's last words, in the pod's folder."""
    return folder / f"{container['name']}.termination-message"


@dataclass(frozen=True)
class _Environment:
    """`envFrom` and `env`, in their order."""

    workplace: Workplace

    def of(self, container: Object) -> dict[str, str]:
        environment: dict[str, str] = {}
        for source in container.get("envFrom", []):
            prefix = source.get("prefix", "")
            environment |= {f"{prefix}{key}": value.decode() for key, value in self._all_of(source).items()}
        for variable in container.get("env", []):
            value = self._value(variable, environment)
            if value is not None:
                environment[variable["name"]] = value
        return environment

    def _all_of(self, source: Object) -> dict[str, bytes]:
        if wanted := source.get("secretRef"):
            return self.workplace.secret(wanted["name"], wanted.get("optional", False))
        wanted = source["configMapRef"]
        return self.workplace.config_map(wanted["name"], wanted.get("optional", False))

    def _value(self, variable: Object, environment: Mapping[str, str]) -> str | None:
        source = variable.get("valueFrom")
        if source is None:
            return expand(variable.get("value", ""), environment)
        if wanted := source.get("secretKeyRef"):
            return self._entry(self.workplace.secret, wanted)
        if wanted := source.get("configMapKeyRef"):
            return self._entry(self.workplace.config_map, wanted)
        if wanted := source.get("fieldRef"):
            return _field(self.workplace.pod, wanted["fieldPath"])
        raise CannotStart("CreateContainerConfigError", f"tests know no {next(iter(source))} of {variable['name']}")

    @staticmethod
    def _entry(read: Callable[[str, bool], dict[str, bytes]], wanted: Object) -> str | None:
        optional = wanted.get("optional", False)
        value = read(wanted["name"], optional).get(wanted["key"])
        if value is None and not optional:
            message = f"couldn't find key {wanted['key']} in {wanted['name']}"
            raise CannotStart("CreateContainerConfigError", message)
        return value.decode() if value is not None else None


def expand(text: str, environment: Mapping[str, str]) -> str:
    """With $(VAR) replaced where VAR is known; $$ is a dollar sign."""
    return _REFERENCE.sub(
        lambda match: "$" if match[1] is None else environment.get(match[1], match[0]),
        text,
    )


def _rewriting(mounts: Mapping[str, Path]) -> Callable[[str], str]:
    if not mounts:
        return str
    paths = "|".join(re.escape(path) for path in sorted(mounts, key=len, reverse=True))
    mentioned = re.compile(rf"(?<![\w./-])({paths})(?![\w.-])")
    return lambda text: mentioned.sub(lambda match: str(mounts[match[1]]), text)


def _field(pod: Object, path: str) -> str:
    if entry := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str(pod["metadata"].get(entry[1], {}).get(entry[2], ""))
    value = pod | {"status": {"podIP": "127.0.0.1", "hostIP": "127.0.0.1"}}
    for name in path.split("."):
        value = value.get(name, {})
    return str(value or "")


def _write(folder: Path, source: Object, content: Mapping[str, bytes]) -> None:
    paths = {item["key"]: item["path"] for item in source.get("items", [])} or {key: key for key in content}
    for key, path in paths.items():
        if key in content:
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content[key])


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
