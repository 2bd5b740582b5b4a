"""Export one domain of a network into a folder: write, compare with the network, move there."""

import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from cct_mm.engine.config_text import config_text
from cct_mm.models import MultiDomainSegmentor
from cct_mm.version import __version__

from .formats import TRACED, Predict
from .generated_code import source_without_package
from .mmseg_config import domain_pipeline, export_config, model_config
from .plain import is_divided, plain_model
from .traceable import CHECKED_SIZES, Traceable, description, example, predicted_logits, trace
from .traceable_layers import num_channels

FORMATS = {'mmseg': ('.py', '.pth'), 'onnx': ('.onnx',), 'torch': ('.pt2',)}
"""Ends of the names of each format's files; mmseg may need one more, see :func:`_module_name`."""
TOLERANCE = 1e-3
"""Largest difference of logits, as a part of the largest logit, that counts as rounding."""


@dataclass
class Export:
    """What was written.

    Args:
        files: The files.
        parameters: Number of parameters of the network and of the part that was exported.
        differences: Largest difference of logits to the network's for each format, None where it
            could not be checked.
    """

    parameters: tuple[int, int]
    files: list[Path] = field(default_factory=list)
    differences: dict[str, float | None] = field(default_factory=dict)


def export_domain(
    model: MultiDomainSegmentor,
    cfg: Config,
    domain: str,
    out: str | os.PathLike,
    formats: Sequence[str] = ('mmseg',),
    force: bool = False,
) -> Export:
    """Export what predicts one domain.

    Args:
        model: The network with its weights; it is moved to the CPU, in evaluation mode.
        cfg: Its config.
        domain: Name of the domain.
        out: Folder for the files, made if it is missing. Their names begin with the domain's.
        formats: Some of :data:`FORMATS`.
        force: Whether files that are there may be replaced.

    Returns:
        What was written, each file whole.

    Raises:
        FileExistsError: If a file is there, and ``force`` is False.
        ImportError: If a package that a format needs is missing.
        ValueError: If the network cannot be exported, or predicts something else afterwards.
    """
    out = Path(out)
    names = [f'{domain}{end}' for kind in formats for end in FORMATS[kind]]
    names += [f'{_module_name(domain)}.py'] if 'mmseg' in formats else []
    there = [out / name for name in names if (out / name).exists()]
    if there and not force:
        raise FileExistsError(
            f'{", ".join(map(str, there))} is there already; choose another folder with --out, or '
            'replace with --force'
        )
    model = model.cpu().eval()
    plain = plain_model(model, domain)
    export = Export((_parameters(model), _parameters(plain)))
    meta = model.meta_of(domain)
    out.mkdir(parents=True, exist_ok=True)
    # What is checked there moves on within one file system, so each file appears whole.
    with tempfile.TemporaryDirectory(prefix='.export', dir=out) as stage:
        stage = Path(stage)
        if 'mmseg' in formats:
            joined = is_divided(model.neck, model.domain_named(domain).decode_head)
            _write_mmseg(stage, plain, cfg, domain, meta, joined)
        if traced := [kind for kind in formats if kind in TRACED]:
            notes = description(domain, meta, plain, domain_pipeline(cfg, domain))
            program = trace(Traceable(plain))
            for kind in traced:
                TRACED[kind].write(program, _path(stage, domain, kind), notes)
        for kind in formats:
            if kind in TRACED:
                predict = TRACED[kind].read(_path(stage, domain, kind))
            else:
                predict = _read_mmseg(stage, domain)
            export.differences[kind] = predict and _difference(kind, predict, model, domain)
        for path in sorted(p for p in stage.iterdir() if p.is_file()):
            os.replace(path, out / path.name)
            export.files.append(out / path.name)
    return export


def _path(folder: Path, domain: str, kind: str) -> Path:
    return folder / f'{domain}{FORMATS[kind][0]}'


def _module_name(domain: str) -> str:
    return re.sub(r'\W', '_', domain) + '_layers'


def _write_mmseg(
    folder: Path, plain: EncoderDecoder, cfg: Config, domain: str, meta: Mapping, joined: bool
) -> None:
    """Write config, checkpoint and, where our layers are needed, their code.

    Raises:
        ValueError: If the network reads images that mmseg does not.
    """
    if num_channels(plain) not in (1, 3):
        raise ValueError(
            f'mmseg: the network reads images of {num_channels(plain)} channels, expected 1 or 3, '
            'for mmseg normalizes no others; take --format onnx or torch'
        )
    config, classes = model_config(cfg, domain, joined)
    module = _module_name(domain) if classes else None
    if module:
        (folder / f'{module}.py').write_text(source_without_package(classes), 'utf-8')
    text = config_text(export_config(cfg, domain, meta, config, module))
    (folder / f'{domain}.py').write_text(_head(domain, module) + text, 'utf-8')
    about = dict(dataset_meta=dict(meta), cct_mm_version=__version__, domain=domain)
    torch.save(dict(meta=about, state_dict=plain.state_dict()), folder / f'{domain}.pth')


def _read_mmseg(folder: Path, domain: str) -> Predict:
    """Return the network of a config and a checkpoint, as mmseg builds it.

    Raises:
        ValueError: If the config is not that of the weights.
    """
    config, checkpoint = (str(folder / f'{domain}{end}') for end in FORMATS['mmseg'])
    before = sys.path.copy()
    try:
        with DefaultScope.overwrite_default_scope('mmseg'):
            model = MODELS.build(Config.fromfile(config).model)
        load_checkpoint(model, checkpoint, map_location='cpu', strict=True, logger='silent')
    except RuntimeError as error:
        raise ValueError(
            'mmseg: a network of the exported config has other weights, expected those of the '
            'trained one: ' + '\n'.join(str(error).splitlines()[:4])
        ) from None
    finally:
        # The files move, and another export may need other layers.
        sys.path[:] = before
        sys.modules.pop(_module_name(domain), None)
    model.eval()
    return lambda images: predicted_logits(model, images)


def _head(domain: str, module: str | None) -> str:
    lines = [f'# The domain {domain} as an ordinary network of mmseg, exported by cct_mm.']
    if module:
        lines += [
            f'# {module}.py lies beside this file, and is found from any folder by these lines.',
            # Without _base_ mmengine takes a config that imports for one of its other kind.
            '_base_ = []',
            'import sys',
            '',
            "sys.path.insert(0, '{{ fileDirname }}')",
        ]
    return '\n'.join(lines) + '\n\n'


def _parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _difference(kind: str, predict: Predict, model: MultiDomainSegmentor, domain: str) -> float:
    """Return how much a format's logits differ from the network's, at sizes it was not traced at.

    Raises:
        ValueError: If that is more than rounding.
    """
    largest = 0.0
    for size in CHECKED_SIZES:
        images = example(model, size)
        expected = predicted_logits(model, images, domain)
        difference = float((predict(images) - expected).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise ValueError(
                f'{kind}: the exported network predicts something else than {type(model).__name__} '
                f'(logits differ by {difference:.3g} for images {size}), expected rounding alone; '
                'does it do more than encoder, neck and main head? nothing was written'
            )
        largest = max(largest, difference)
    return largest
