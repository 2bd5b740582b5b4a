"""Loading a network: exactly its own weights, and what it needs to predict."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg import apis

from cct_mm.apis import init_model, predict


def test_has_the_weights_of_its_checkpoint_and_predicts_for_the_domain(network):
    model = init_model(network / 'tiny.py', network / 'tiny.pth', domain='night')
    saved = torch.load(network / 'tiny.pth')['state_dict']
    assert all((value == saved[name]).all() for name, value in model.state_dict().items())
    assert not model.training
    assert model.default_domain == 'night'


def test_leaves_a_config_as_it_is_and_takes_options(network):
    config = Config.fromfile(network / 'tiny.py')
    before = config.to_dict()
    model = init_model(config, cfg_options={'model.norm': 'shared'})
    assert config.to_dict() == before
    assert model.norm == 'shared'


def test_says_nothing_of_the_losses_of_a_network_that_is_not_trained(network, recwarn):
    loss = dict(type='CrossEntropyLoss', loss_weight=1.0)
    init_model(network / 'tiny.py', cfg_options={'model.decode_head.loss_decode': loss})
    assert not [w for w in recwarn if 'avg_non_ignore' in str(w.message)]


def test_without_a_checkpoint_colors_are_drawn_and_differ(network, model):
    model.dataset_meta = None
    (found,) = predict(model, np.zeros((8, 8, 3), np.uint8), 'day')
    assert len({tuple(color) for color in found.palette.tolist()}) == 3


def test_networks_that_mmseg_has_loaded_predict_the_same(network, model):
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    loaded = apis.init_model(str(network / 'tiny.py'), str(network / 'tiny.pth'), device='cpu')
    (found,) = predict(loaded, image, 'day')
    (wanted,) = predict(model, image, 'day')
    assert (found.labels == wanted.labels).all()
    assert (found.palette == wanted.palette).all()


@pytest.mark.parametrize(
    ('config', 'checkpoint', 'domain', 'sentence'),
    [
        ('tiny.py', 'none.pth', None, r'none\.pth does not exist, expected a \.pth file'),
        ('tiny.py', 'tiny.pth', 'dusk', r"domain 'dusk' is not in this model, .*'day', 'night'"),
        ('other.py', 'tiny.pth', None, r'tiny\.pth is no checkpoint of this config'),
        ('plain.py', 'tiny.pth', None, 'EncoderDecoder, expected a segmentor of this package'),
    ],
)
def test_says_what_does_not_fit(network, config, checkpoint, domain, sentence):
    text = (network / 'tiny.py').read_text()
    (network / 'other.py').write_text(text.replace("('dark', 'lamp')", "('dark', 'lamp', 'moon')"))
    (network / 'plain.py').write_text(
        text.replace('SupervisedSegmentor', 'EncoderDecoder')
        + "model.pop('domains')\nmodel['decode_head']['num_classes'] = 2\n"
    )
    with pytest.raises(ValueError, match=sentence):
        init_model(network / config, network / checkpoint, domain=domain)
