"""Networks of configs/zoo are ordinary ones of mmseg again, and can be traced."""

import pytest
import torch
from mmengine.config import Config
from tiny_zoo import NETWORKS, tiny_zoo_config

from cct_mm.apis import init_model
from cct_mm.export import export_domain

HEADS = {
    'upernet-r18': ('UPerHead', None),
    'segformer-b0': ('SegformerHead', None),
    'dinov2-vits14': ('FCNHead', 'MultiLevelNeck'),
}


@pytest.mark.slow
@pytest.mark.parametrize('network', NETWORKS)
def test_exports(network, tmp_path):
    pytest.importorskip('onnxscript', reason='the extra export is not installed')
    config = tmp_path / 'config.py'
    config.write_text(tiny_zoo_config('cct', network))
    model = init_model(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    done = export_domain(model, model.cfg, 'day', tmp_path / 'out', ('mmseg', 'onnx', 'torch'))
    names = sorted(path.name for path in done.files)
    assert names == ['day.onnx', 'day.pt2', 'day.pth', 'day.py']
    found = Config.fromfile(tmp_path / 'out/day.py').model
    assert found.decode_head.type == HEADS[network][0]
    assert found.get('neck', {}).get('type') == HEADS[network][1]
    assert 'auxiliary_head' not in found
