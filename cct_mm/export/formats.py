"""Files of an exported network: what each holds, how it is written, and how it is run again."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.export import ExportedProgram

from .traceable import INPUT, OUTPUTS

OPSET = 18
"""Of the ONNX file; the one that PyTorch's exporter is written in."""
NOTES = 'cct_mm.json'
"""Name under which a ``.pt2`` file holds the description, for ``extra_files``."""

Predict = Callable[[Tensor], Tensor]  # images to logits


def write_onnx(program: ExportedProgram, path: Path, notes: Mapping[str, str]) -> None:
    """Write a traced network as ONNX, with its description in ``metadata_props``.

    Args:
        program: As :func:`~cct_mm.export.traceable.trace` returns it.
        path: The file.
        notes: The description, texts by name.

    Raises:
        ImportError: If a package of the extra ``export`` is missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  what PyTorch's exporter needs
    except ImportError as error:
        raise ImportError(
            f"{error.name} is not installed, which writing ONNX needs; pip install 'cct_mm[export]'"
        ) from error
    exported = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=list(OUTPUTS),
        verbose=False,
    )
    model = exported.model_proto
    # The tracer's own names, which tell nothing.
    del model.graph.value_info[:]
    names = {0: 'batch', -2: 'height', -1: 'width'}
    for value in (*model.graph.input, *model.graph.output):
        for i, name in names.items():
            value.type.tensor_type.shape.dim[i].dim_param = name
    onnx.helper.set_model_props(model, dict(notes))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def read_onnx(path: Path) -> Predict | None:
    """Return the network of an ONNX file, or None where onnxruntime is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return lambda images: torch.from_numpy(session.run(OUTPUTS[:1], {INPUT: images.numpy()})[0])


def write_torch(program: ExportedProgram, path: Path, notes: Mapping[str, str]) -> None:
    """Write a traced network as a program of ``torch.export``, with its description beside.

    Args:
        program: As :func:`~cct_mm.export.traceable.trace` returns it.
        path: The file.
        notes: The description, texts by name.
    """
    torch.export.save(program, str(path), extra_files={NOTES: json.dumps(dict(notes), indent=2)})


def read_torch(path: Path) -> Predict:
    """Return the network of a ``.pt2`` file."""
    module = torch.export.load(str(path)).module()
    return lambda images: module(images)[0].detach()


class Format(NamedTuple):
    """How a traced network is written and read."""

    write: Callable[[ExportedProgram, Path, Mapping[str, str]], None]
    read: Callable[[Path], Predict | None]


TRACED = {'onnx': Format(write_onnx, read_onnx), 'torch': Format(write_torch, read_torch)}
