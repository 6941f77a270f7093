"""The files of an encoder, judged before they are stored: by JSON, magic bytes and headers, without torch.

What a stage could not load is refused here, where its name is still the one that a person wrote. Nothing in a file is
run: pickles are read as a list of operations, and only the names in it are looked at.
"""

import io
import math
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from xstilts.core.encoders import parsed
from xstilts.core.errors import UserError
from xstilts.core.handed_over import is_pointer, pointer_error, stays_inside

DOCUMENT_BYTES = 100 * 1024**2
"""The largest JSON or header that is read; tokenizers of 250,000 tokens take 17 MB. The format's own limit."""

_AGAIN = "download the file again"
_SHOWN = 3
_WIDTHS = {
    **{"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4},
    **{"F16": 2, "BF16": 2, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1},
}
"""Bytes an element of the dtypes that encoders have."""
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First pickle of a file that torch.save wrote before version 1.6."""
_LEGACY_PREAMBLE = 3
"""Pickles before that of the object: magic number, version of the protocol, properties of the machine."""
_TENSOR_PARTS = re.compile(
    r"collections (OrderedDict|Counter)|_codecs encode|(builtins|__builtin__) (set|bytearray|complex)"
    r"|torch (Size|device|Tensor|[a-z]+\d\w*)|torch\._utils _rebuild_\w+|torch\._tensor _rebuild_from_type_v2"
    r"|torch(\.cuda|\.sparse|\.cuda\.sparse)? [A-Z]\w*(Storage|Tensor)|torch\.storage (Typed|Untyped)Storage"
    r"|torch\.nn\.parameter Parameter|torch\.serialization _get_layout"
)
"""Module and name of what a pickle of tensors calls, as torch's own list has it, which decides when it is loaded."""


def checked_file(folder: Path, name: str) -> Path:
    """A regular file of the folder that is not empty, no git-lfs pointer and no link to elsewhere, else UserError."""
    path = folder / name
    try:
        target = path.resolve()
        if not stays_inside(target, folder.resolve()):
            raise UserError(
                f"{name} is a link to {target}, outside of the folder, which is not followed: copy the file"
            )
        if not target.is_file():
            raise UserError(f"{name} is {'a link to nothing' if path.is_symlink() else 'no regular file'}; {_AGAIN}")
        start = _start(target)
    except (OSError, RuntimeError) as error:  # the latter for links in a circle
        raise UserError(f"{name} cannot be read: {error}") from error
    if not start:
        raise UserError(f"{name} is empty; {_AGAIN}")
    if is_pointer(start):
        raise pointer_error(name)
    return path


def read_document(folder: Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of the folder. Raises UserError."""
    path = checked_file(folder, name)
    if path.stat().st_size > DOCUMENT_BYTES:
        raise UserError(f"{name} has {path.stat().st_size} bytes; the largest that is read has {DOCUMENT_BYTES}")
    return parsed(name, path.read_bytes())


def check_weights(folder: Path, names: Iterable[str]) -> Mapping[str, tuple[int, ...]]:
    """Shapes of the tensors in these files by name, as far as headers tell: nothing of pickles. Raises UserError."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name in names:
        path = checked_file(folder, name)
        if path.suffix == ".safetensors":
            shapes |= _safetensors(path)
        else:
            _check_pickled(path)
    return shapes


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


# ---- safetensors


def _safetensors(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes by the name of the tensor, once the header is seen to describe the whole file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, DOCUMENT_BYTES):
            raise UserError(
                f"{path.name} is not a safetensors file, or it is cut off: it has {size} bytes and begins with "
                f"{_start(path)[:16]!r}; {_AGAIN}"
            )
        header = parsed(f"the header of {path.name}", file.read(length))
    header.pop("__metadata__", None)
    try:
        end = 0
        for begin, stop, dtype, shape in sorted(
            (*tensor["data_offsets"], tensor["dtype"], tensor["shape"]) for tensor in header.values()
        ):
            width = _WIDTHS.get(dtype)
            if begin != end or stop < begin or (width and stop - begin != width * math.prod(shape)):
                raise ValueError(f"bytes {begin} to {stop} do not hold {dtype} {shape}")
            end = stop
        shapes = {name: tuple(tensor["shape"]) for name, tensor in header.items()}
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"the header of {path.name} is malformed ({error!r}); {_AGAIN}") from error
    if end != size - 8 - length:
        raise UserError(
            f"{path.name} is cut off or damaged: its header describes {end} bytes of tensors, and there are "
            f"{size - 8 - length}; {_AGAIN}"
        )
    return shapes


# ---- pickles


def _check_pickled(path: Path) -> None:
    """Raises UserError for anything but what torch.save writes of tensors."""
    start = _start(path)
    if start.startswith(b"PK"):
        pickled = _pickle_in_archive
    elif start.startswith(b"\x80"):
        pickled = _pickle_in_legacy_file
    else:
        raise UserError(
            f"{path.name} is not a file that torch.save wrote: it begins with {start[:16]!r}; {_AGAIN}, or give "
            "model.safetensors instead"
        )
    try:
        foreign = _foreign(pickled(path))
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path.name} is cut off, damaged or no file of torch.save ({error}); {_AGAIN}") from error
    if foreign:
        raise UserError(
            f"{path.name} holds objects other than tensors ({', '.join(sorted(foreign)[:_SHOWN])}), which are never "
            "loaded; save the encoder again with save_pretrained, which writes tensors alone (model.safetensors)"
        )


def _pickle_in_archive(path: Path) -> IO[bytes]:
    """The pickle in the zip archive that torch.save has written since 1.6."""
    with zipfile.ZipFile(path) as archive:
        found = [entry for entry in archive.infolist() if entry.filename.endswith("data.pkl")]
        if len(found) != 1 or found[0].file_size > DOCUMENT_BYTES:
            raise ValueError("an archive without a data.pkl of its own")
        return io.BytesIO(archive.read(found[0]))


def _pickle_in_legacy_file(path: Path) -> IO[bytes]:
    """The same before 1.6: after a number, the version of the protocol and properties of the machine."""
    with path.open("rb") as file:
        content = io.BytesIO(file.read(DOCUMENT_BYTES))
    magic, *_ = [[argument for _, argument, _ in pickletools.genops(content)] for _ in range(_LEGACY_PREAMBLE)]
    if _LEGACY_MAGIC not in magic:
        raise ValueError("a pickle that torch.save did not write")
    return content


def _foreign(pickled: IO[bytes]) -> set[str]:
    """What the pickle would import, except for what tensors are made of; nothing of it is run."""
    called = set()
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in {"GLOBAL", "INST"}:
            called.add(str(argument))
        elif operation.name == "STACK_GLOBAL":
            called.add("an object of pickle protocol 4")
    return {name.replace(" ", ".") for name in called if not _TENSOR_PARTS.fullmatch(name)}
