"""Guided perturbations by truth: CCT's own where the main head is right, and nothing else."""

import pytest
import torch
from mmengine.structures import PixelData
from tiny_network import ROOT

from cct_mm.datasets.file_lists import read_file_list
from cct_mm.lab.gain.true_foreground import TrueTarget


def with_truth(batch, truth):
    for sample, labels in zip(batch['data_samples'][2:], truth, strict=True):
        sample.set_metainfo(dict(supervision='weak'))
        sample.gt_sem_seg = PixelData(data=labels[None])
    return batch


def test_is_cct_where_the_prediction_is_the_truth(make_model, batch):
    model = make_model()
    expected = model.loss(**batch)
    with torch.no_grad(), model.active('day') as domain:
        maps = model.extract_feat(batch['inputs'][2:])
        prediction = domain.predict_target(maps, (32, 48)).argmax(dim=1)
    assert len(prediction.unique()) > 1
    model = make_model('CCTWithTrueForeground')
    found = model.loss(**with_truth(batch, prediction))
    assert found.keys() == expected.keys()  # no L_w
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_another_truth_changes_the_guided_perturbations_alone(make_model, batch):
    expected = make_model().loss(**batch)
    truth = torch.randint(3, (2, 32, 48))
    found = make_model('CCTWithTrueForeground').loss(**with_truth(batch, truth))
    changed = {
        name.removeprefix('day.distance ')
        for name, value in expected.items()
        if 'distance' in name and not torch.equal(found[name], value)
    }
    assert changed == {'Obj-Msk', 'Con-Msk', 'G-Cutout'}


def test_guidance_by_hand():
    truth = torch.tensor([[[2, 0, 255, 0], [0, 0, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]])
    valid = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    valid[..., 2:, 2:] = False
    target = TrueTarget(
        prob=torch.full((1, 3, 4, 4), 1 / 3),
        valid=valid,
        foreground=torch.tensor([False, False, True]),
        key=(0,),
        samples=['0'],
        truth=truth,
    )
    guidance = target.guidance((2, 2))
    assert guidance.labels.tolist() == [[[2, 0], [1, 2]]]
    assert guidance.foreground.tolist() == [[[[True, False], [False, False]]]]
    assert guidance.valid.tolist() == [[[[True, True], [True, False]]]]


def test_says_where_labels_come_from(make_model, batch):
    with pytest.raises(ValueError, match='domain day come without labels.*weak source'):
        make_model('CCTWithTrueForeground').loss(**batch)


def test_the_list_of_the_config_is_that_of_the_unlabeled_images():
    masked = read_file_list(ROOT / 'configs/gain/camvid_n20_unlabeled_masks.txt', labeled=True)
    unlabeled = read_file_list(ROOT / 'configs/_base_/domains/splits/camvid/n20_unlabeled.txt')
    assert [image for image, _ in masked] == [image for image, _ in unlabeled]
