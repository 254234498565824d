"""The released model: a file of tensors and one JSON text, and nothing that could run.

A plain ``torch.save``, loadable with ``weights_only=True`` anywhere.  The JSON holds the
architecture, what the caller adds, and a digest of all values; that and a digest of the JSON are checked on loading.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.artifacts.files import atomic_path
from pipeline.errors import InputError, Problem
from pipeline.model.ensemble import Ensemble
from pipeline.model.presets import Architecture
from pipeline.provenance.fingerprint import plugin_code

SCHEMA = "seeg-to-audio/model/1"


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` so that a reader, or a crash, sees the old file or the new one."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def serialise(content: object) -> bytes:
    """``torch.save`` as bytes; equal contents give equal bytes."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def model_digest(model: Ensemble) -> str:
    """SHA-256 over the architectures and every tensor's name, type, shape and values."""
    return _digest(_architectures(model), model.state_dict())


def _architectures(model: Ensemble) -> list[dict[str, Any]]:
    return [network.a.as_dict() for network in model.networks]


def _plugin_code(architectures: list[dict[str, Any]]) -> dict[str, str]:
    """Hash by path of the files of the networks' plug-ins."""
    return plugin_code(sorted({a["network"] for a in architectures if a.get("network")}))


def _digest(architectures: list[dict[str, Any]], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(architectures, sort_keys=True).encode())
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()


def save_model(path: Path, model: Ensemble, meta: Mapping[str, Any]) -> None:
    """Write the released model; ``meta`` is any JSON value.  Equal models and metas give equal bytes."""
    header: dict[str, Any] = {
        "schema": SCHEMA,
        "architectures": _architectures(model),
        "digest": model_digest(model),
        "meta": dict(meta),
    }
    if code := _plugin_code(header["architectures"]):
        header["plugins"] = code
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    write_atomically(path, serialise({"header": text, "header_sha256": _sha256(text), "tensors": tensors}))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _of_each_subject(tensors: Mapping[str, Tensor], model: Ensemble) -> dict[str, Tensor]:
    """The tensors; pooled models had one scale of the mel for all subjects before each had its own."""
    shapes = {name: own.shape for name, own in model.state_dict().items()}
    scales = ("mel_mean", "mel_scale")
    return {n: x.expand(shapes[n]) if n.endswith(scales) and n in shapes else x for n, x in tensors.items()}


def load_model(path: Path) -> tuple[Ensemble, dict[str, Any]]:
    """The model, in evaluation mode on the CPU, and its meta.

    Raises :class:`InputError` where the file is damaged, foreign or of another schema, or the code of a plug-in of its
    networks is not that of training.
    """
    try:
        content = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
        if content.get("header_sha256", own := _sha256(content["header"])) != own:
            raise ValueError("a header that was edited")
        header = json.loads(content["header"])
        if header["schema"] != SCHEMA:
            raise ValueError(f"schema {header['schema']}")
        if _digest(header["architectures"], content["tensors"]) != header["digest"]:
            raise ValueError("values that do not match their digest")
        _refuse_other_plugins(path, header)
        model = Ensemble([Architecture(**values) for values in header["architectures"]])
        model.load_state_dict(_of_each_subject(content["tensors"], model))
    except (FileNotFoundError, InputError):  # a plug-in that is not installed is named as such
        raise
    except Exception as error:  # torch raises many types on a damaged or hostile file
        got = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        problem = Problem(str(path), "", got, f"a model file of schema {SCHEMA}", "Run the train stage again.")
        raise InputError(problem) from error
    return model.eval(), header["meta"]


def _refuse_other_plugins(path: Path, header: Mapping[str, Any]) -> None:
    code = _plugin_code(header["architectures"])
    changed = {name for name, _ in code.items() ^ header.get("plugins", {}).items()}
    if changed:
        named = ", ".join(sorted({a["network"] for a in header["architectures"] if a.get("network")}))
        got, fix = (
            f"other code in {', '.join(sorted(changed))}",
            "Install the version that it was trained with, or train",
        )
        raise InputError(Problem(str(path), named, got, "the plug-in that the model was trained with", fix))
