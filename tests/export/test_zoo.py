"""Networks of configs/zoo are ordinary ones of mmseg again, and can be traced."""

import pytest
import torch
from mmengine.config import Config
from tiny_zoo import NETWORKS, tiny_zoo_config

from cct_mm.apis import init_model
from cct_mm.export import export_domain
from cct_mm.export.folder import FORMATS

EXPORTED = {
    'upernet-r18': ('UPerHead', None, ('mmseg',)),
    'segformer-b0': ('SegformerHead', None, ('mmseg', 'torch')),
    'dinov2-vits14': ('FCNHead', 'MultiLevelNeck', ('mmseg', 'onnx')),
}
"""Head, neck and formats; tracing takes long, so each way of it is taken once."""


@pytest.mark.slow
@pytest.mark.parametrize('network', NETWORKS)
def test_exports(network, tmp_path):
    head, neck, formats = EXPORTED[network]
    if 'onnx' in formats:
        pytest.importorskip('onnxscript', reason='the extra export is not installed')
    config = tmp_path / 'config.py'
    config.write_text(tiny_zoo_config('cct', network))
    model = init_model(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    done = export_domain(model, model.cfg, 'day', tmp_path / 'out', formats)
    # No file with layers of this package.
    expected = {f'day{end}' for kind in formats for end in FORMATS[kind]}
    assert {path.name for path in done.files} == expected
    found = Config.fromfile(tmp_path / 'out/day.py').model
    assert found.decode_head.type == head
    assert found.get('neck', {}).get('type') == neck
    assert 'auxiliary_head' not in found
