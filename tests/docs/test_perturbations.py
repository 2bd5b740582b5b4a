"""The examples of docs/perturbations.md."""

from collections import Counter
from pathlib import Path

from doc_pages import blocks
from mmengine.config import Config

from cct_mm.models.cct import AuxiliaryBank
from cct_mm.models.cct.perturbations import PERTURBATIONS
from cct_mm.testing import assert_fused_equals_reference

ROOT = Path(__file__).resolve().parents[2]
PAGE = 'docs/perturbations.md'
MIX, CODE, CONFIG, TEST = blocks(PAGE, 'python')


def test_the_mix_is_that_of_the_paper():
    names = {}
    exec(compile(MIX, PAGE, 'exec'), names)
    auxiliary = names['model']['auxiliary']
    paper = Config.fromfile(ROOT / 'configs/_base_/methods/cct.py').paper_auxiliary
    assert Counter(AuxiliaryBank(**auxiliary, num_classes=3).names) == Counter(
        AuxiliaryBank(**paper, num_classes=3).names
    )
    assert auxiliary == paper.to_dict()


def test_all_seven_are_in_the_table():
    text = (ROOT / PAGE).read_text(encoding='utf-8')
    own = [n for n, entry in PERTURBATIONS.module_dict.items() if 'cct_mm' in entry.__module__]
    assert len(own) == 7 and all(f'| `{name}` |' in text for name in own)


def test_own_perturbation_works_as_the_page_says(tmp_path, monkeypatch):
    (tmp_path / 'row_drop.py').write_text(CODE)
    (tmp_path / 'config.py').write_text(CONFIG.replace('./', f'{ROOT}/configs/cct/'))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(PERTURBATIONS, '_module_dict', dict(PERTURBATIONS.module_dict))

    perturbations = Config.fromfile(tmp_path / 'config.py').model.auxiliary.perturbations
    assert perturbations[-1] == dict(type='Row-Drop', num=2) and len(perturbations) == 8

    names = {}
    exec(compile(TEST, PAGE, 'exec'), names)
    names['test_row_drop']()
    assert_fused_equals_reference(dict(type='Row-Drop', p=0.5))
