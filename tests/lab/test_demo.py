"""What the demo shows: what is comparable is compared, and each run beside the recorded ones."""

import json
import re

import numpy as np
import pytest
import yaml
from doc_pages import ROOT

from cct_mm.lab.demo import SCALE, gain_sentence, make_picture
from cct_mm.lab.report.evaluation import Evaluation, Picture
from cct_mm.lab.report.pictures import CORRECTED, ERROR_COLORS, RIGHT, STILL_WRONG, WRONG

EXPERIMENTS = ROOT / 'configs/experiments'


def record_of(supervised, cct):
    rows = [
        {'method': 'supervised', 'mIoU': supervised},
        {'method': 'cct', 'mIoU': cct},
    ]
    return {'rows': rows, 'commit': 'abc'}


def test_gain_is_paired_by_seed():
    record = record_of({'0': 60.0, '1': 50.0, '2': 40.0}, {'2': 44.0, '0': 66.0, '1': 55.0})
    text = gain_sentence({'supervised': 61.25, 'cct': 60.0}, record)
    assert '-1.25 mIoU in this run' in text
    assert '3 seeds they gave +5.00 ± 1.00, from +4.00 to +6.00 (commit abc)' in text


def test_record_is_of_what_the_demo_runs():
    demo, seeds = (
        yaml.safe_load((EXPERIMENTS / name).read_text())
        for name in ('demo.yaml', 'demo_seeds.yaml')
    )
    record = json.loads((EXPERIMENTS / 'demo_record.json').read_text())
    assert record['grid'] == seeds['name']
    assert demo | {'name': '', 'seeds': []} == seeds | {'name': '', 'seeds': []}
    assert [row['method'] for row in record['rows']] == list(demo['methods'])
    for row in record['rows']:
        assert list(row['mIoU']) == [str(seed) for seed in seeds['seeds']]
    assert re.fullmatch('[0-9a-f]{7,}', record['commit'])


@pytest.fixture
def evaluations():
    """A baseline and another method on one image of 1 x 4 pixels, whose labels are 0, 1, 0, 1."""
    palette = [[10, 20, 30], [40, 50, 60]]

    def evaluation(labels, miou):
        picture = Picture(
            'day',
            '0.png',
            np.full((1, 4, 3), 7, np.uint8),
            np.array([[0, 1, 0, 1]], np.uint8),
            np.array([labels], np.uint8),
        )
        return Evaluation('x', {'mIoU': miou}, {'day': {'palette': palette}}, {}, [picture], {})

    return {'supervised': evaluation([0, 0, 1, 1], 50.0), 'cct': evaluation([0, 1, 1, 0], 60.0)}


def test_picture_shows_truth_predictions_and_errors(evaluations):
    picture = make_picture(evaluations)
    rows = picture[-1 - 6]  # above the gap below the only row
    cells = [
        rows[start : start + 4 * SCALE : SCALE] for start in range(0, len(rows), 4 * SCALE + 6)
    ]
    dark, light = [10, 20, 30], [40, 50, 60]
    errors = [[RIGHT, WRONG, WRONG, RIGHT], [RIGHT, CORRECTED, STILL_WRONG, WRONG]]
    expected = [
        [[7, 7, 7]] * 4,
        [dark, light, dark, light],
        [dark, dark, light, light],
        [list(ERROR_COLORS[i]) for i in errors[0]],
        [dark, light, light, dark],
        [list(ERROR_COLORS[i]) for i in errors[1]],
    ]
    np.testing.assert_array_equal(cells, expected)
